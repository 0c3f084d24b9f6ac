"""What a test says about a host, checked; knows no host and no filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..model import Upstream

PROTOCOLS = ("http", "tcp")
STARTS = ("once", "envoy")
ON_TRAP = ("raise", "continue")


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Refuse a value of an option that it does not have."""
    if value not in known:
        raise UsageError(f"{name}={value!r}: it is one of {', '.join(map(repr, known))}")


def check_options(
    filters: Sequence[object],
    services: Sequence[object],
    protocol: str,
    starts: str,
    on_trap: str,
    workers: int,
    upstream: Upstream | None,
    routes: Sequence[object] | None,
) -> None:
    """Refuse options of a host that make no sense, alone or together."""
    one_of("protocol", protocol, PROTOCOLS)
    one_of("starts", starts, STARTS)
    one_of("on_trap", on_trap, ON_TRAP)
    if not filters and not services:
        raise UsageError("a host needs at least one filter: proxywasm.host(filter), or services=[filter]")
    if workers < 1:
        raise UsageError(f"workers={workers}: a host has at least one worker")
    if protocol == "tcp" and (upstream is not None or routes):
        raise UsageError(
            f'{"upstream" if upstream is not None else "routes"}= is for HTTP requests; with protocol="tcp" the test '
            "itself is the upstream: host.connect().upstream_data(...)"
        )


def check_protocol(protocol: str, wanted: str) -> None:
    """Refuse requests to TCP filters, and connections to HTTP filters."""
    if protocol == wanted:
        return
    if wanted == "http":
        raise UsageError(
            'this host has protocol="tcp", so its filters never see a request: open a connection with '
            'host.connect(), or start the host with protocol="http"'
        )
    raise UsageError(
        'this host has protocol="http", so its filters never see a connection: send a request with '
        'host.request() or host.stream(), or start the host with protocol="tcp"'
    )
