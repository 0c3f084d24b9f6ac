"""The failing test whose trace docs/how-to/trace-viewer.md shows: `docs/screenshots.py` runs it."""

from __future__ import annotations

from guests import guest

import pytest_proxywasm as pw


def test_orders_are_for_members(proxywasm):
    """Two filters in a chain, the second of which asks a service."""
    call = {":method": "GET", ":path": "/alice", ":authority": "members"}
    asks = guest(
        proxy_on_request_headers=[
            ("proxy_log", 2, "asking members"),
            ("proxy_http_call", "members", call, "", "", 500),
            1,
        ],
        proxy_on_http_call_response=[
            ("proxy_get_header_map_value", 6, "x-member"),
            ("proxy_log", 3, "no member: refused"),
            ("proxy_set_effective_context", 2),
            ("proxy_send_local_response", 403, "", "members only", "", -1),
        ],
    )
    names = guest(
        proxy_on_request_headers=[
            ("proxy_replace_header_map_value", 0, "x-user", "alice"),
            ("proxy_remove_header_map_value", 0, "authorization"),
            0,
        ],
        proxy_on_response_headers=[("proxy_add_header_map_value", 2, "x-served-by", "orders"), 0],
    )
    filters = [
        proxywasm.filter(names, name="names", vm_id="names"),
        proxywasm.filter(asks, name="members", vm_id="members"),
    ]
    with proxywasm.host(*filters, clusters={"members": pw.After(0.25, pw.Response(404))}) as host:
        exchange = host.get("/orders", headers={"authorization": "Bearer abc"})
        assert exchange.response.status == 200
