"""What a test says about filters and host: checked, and as a proxy is told of it; knows no host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..host.plugin import PluginConfig

if TYPE_CHECKING:
    from ..filters import Filter
    from ..model import Upstream

PROTOCOLS = ("http", "tcp")
STARTS = ("once", "envoy")
ON_TRAP = ("raise", "continue")


def code_of(one: Filter) -> str:
    """Identifies a filter's code together with what it is allowed to call."""
    names = ",".join(sorted(one.allowed_capabilities)) if one.allowed_capabilities is not None else "*"
    return f"{one.sha256}:{names}"


def plugin_config(one: Filter) -> PluginConfig:
    """A filter as a proxy is told of it."""
    return PluginConfig(
        code=code_of(one),
        name=one.name,
        root_id=one.root_id,
        vm_id=one.vm_id,
        configuration=one.configuration,
        vm_configuration=one.vm_configuration,
        environment=tuple(one.environment.items()),
        failure_policy=one.failure_policy,
        allow_on_headers_stop_iteration=one.allow_on_headers_stop_iteration,
        capabilities=one.allowed_capabilities,
    )


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Refuse a value of an option that it does not have."""
    if value not in known:
        raise UsageError(f"{name}={value!r}: it is one of {', '.join(map(repr, known))}")


def check_options(
    filters: Sequence[Filter],
    services: Sequence[Filter],
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
