"""Property tests over real guests: a new host for every example, cheap enough to do so."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_proxywasm import Filter, Toolkit

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(lambda name: f"x-{name}")
CONTROL = bytes(range(32)) + b"\x7f"
VALUES = st.binary(max_size=24).map(lambda value: value.translate(None, CONTROL).strip())


@settings(
    max_examples=500,
    derandomize=True,
    database=None,
    deadline=None,
    # The fixtures are of the session, and every example has a host of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(headers=st.lists(st.tuples(NAMES, VALUES), max_size=6))
def check_headers_survive(gallery: Filter, toolkit: Toolkit, headers: list[tuple[str, bytes]]) -> None:
    """Headers a filter does not touch arrive as they were sent, in order, whatever bytes they hold
    (no proxy lets control characters in)."""
    configured = gallery.replace(configuration="filter=headers\nrequest-set=x-added: 1")
    with toolkit.host(configured) as host:
        exchange = host.get("/", headers=headers)
        assert exchange.upstream_request is not None
        sent = [(name.encode(), value) for name, value in headers if name != "x-added"]
        arrived = [pair for pair in exchange.upstream_request.headers.raw if pair in sent]
        assert arrived == sent


@pytest.mark.parametrize("sdk", ["rust", "c"], indirect=True)
def test_untouched_headers_survive_in_five_hundred_fresh_hosts(gallery: Filter, toolkit: Toolkit) -> None:
    """500 examples, a new host each."""
    toolkit.prepare(gallery)
    check_headers_survive(gallery, toolkit)
