"""What the demo shows: a filter that turns requests away is tested without a proxy."""

from __future__ import annotations

from pytest_proxywasm import MockHost


def test_a_known_client_reaches_the_upstream(proxywasm_host: MockHost) -> None:
    exchange = proxywasm_host.get("/orders", headers={"authorization": "Bearer s3cret"})
    assert exchange.response is not None
    assert exchange.response.status == 200
    assert exchange.upstream_request is not None


def test_everyone_else_is_turned_away(proxywasm_host: MockHost) -> None:
    exchange = proxywasm_host.get("/orders", headers={"x-block": "1"})
    assert exchange.response is not None
    assert exchange.response.status == 403
    assert exchange.response.body == b"denied\n"
    assert exchange.upstream_request is None
