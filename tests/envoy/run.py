"""Runs one case in the mock host: sets it up as Envoy was, has it driven, and collects what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_proxywasm.engine import Engine
from pytest_proxywasm.errors import EnvoyCrashError, FilterStartError, ProxyWasmError
from pytest_proxywasm.filters import Filter
from pytest_proxywasm.mock import MockHost
from pytest_proxywasm.model import GuestLog

from .case import Case
from .configuration import NotReplayable, filter_of
from .front import settings_of
from .http import AFTERWARDS, HttpConversation
from .lines import guest_lines, recorded_level
from .result import Result
from .tcp import TcpConversation
from .upstream import Upstream

__all__ = ["run"]

DIRECTIONS = {"UNSPECIFIED": 0, "INBOUND": 1, "OUTBOUND": 2}
ENVOY = {"node", "routes", "hcm_extra", "listener_extra"}
LISTENER = {"traffic_direction", "per_connection_buffer_limit_bytes"}
REFUSED = "reset reason: remote connection failure"


def run(case: Case, engine: Engine, probe: Path, *, patience: float | None = None) -> Result:
    """Replay a case. What keeps it from its end is in the result's ``problem``.

    Args:
        patience: how many seconds the client waits in vain; by default longer than any recorded one.
    """
    result = Result()
    logs: list[GuestLog] = []
    started = 0
    try:
        upstream = Upstream()
        host = _host(case, [filter_of(spec, probe) for spec in case.filters], engine, upstream, logs)
        started = 0 if case.start_only else len(logs)
        if not case.start_only:
            # What the main thread's VMs had called and got while starting came before the recorder looked.
            del upstream.requests[: sum(call.kind == "http" and call.outcome is not None for call in host.callouts)]
        try:
            _drive(case, host, upstream, result, {} if patience is None else {"patience": patience})
        finally:
            host.close()
    except FilterStartError as error:
        result.ready = False
        result.problem = f"FilterStartError: {error}" if case.expected.ready else ""
    except EnvoyCrashError as error:
        result.crashed = True
        result.problem = "" if case.expected.crashed else f"EnvoyCrashError: {error}"
    except (ProxyWasmError, NotReplayable) as error:
        result.problem = f"{type(error).__name__}: {error}"
    result.guest_log = guest_lines(logs, recorded_level(case.expected.guest_log), since=started)
    return result


def _host(case: Case, filters: Sequence[Filter], engine: Engine, upstream: Upstream, logs: list[GuestLog]) -> MockHost:
    listener = case.envoy.get("listener_extra", {})
    unknown = [
        *case.unknown,
        *(f"envoy.{key}" for key in sorted(set(case.envoy) - ENVOY)),
        *(f"envoy.listener_extra.{key}" for key in sorted(set(listener) - LISTENER)),
    ]
    if unknown:
        raise NotReplayable(f"this replay does not know the key {unknown[0]}")
    host = MockHost(
        filters,
        engine=engine,
        protocol=case.kind,
        starts="envoy",
        clusters=upstream.handlers(),
        node=case.envoy.get("node"),
        routes=case.envoy.get("routes"),
        buffer_limit=int(listener.get("per_connection_buffer_limit_bytes", 1 << 20)),
        on_trap="continue",
        on_log=logs.append,
    )
    host.log_level = recorded_level(case.expected.guest_log)
    if "traffic_direction" in listener:
        host.properties["xds.listener_direction"] = DIRECTIONS[listener["traffic_direction"]]
    return host


def _drive(case: Case, host: MockHost, upstream: Upstream, result: Result, waiting: dict[str, float]) -> None:
    if case.start_only:
        host.clock.advance(AFTERWARDS)
        return
    if case.kind == "tcp":
        connection = TcpConversation(host, case.cluster, case.greet, **waiting)
        result.client_got, result.upstream_got = connection.client_got, connection.upstream_got
        connection.run(case.actions)
        return
    settings, unknown = settings_of(case.envoy.get("hcm_extra", {}))
    if unknown:
        raise NotReplayable(f"this replay does not know the key envoy.hcm_extra.{unknown[0]}")
    assert case.request is not None
    conversation = HttpConversation(host, upstream, settings, upstream_refuses=_refuses(case), **waiting)
    try:
        conversation.run(case.request, case.parts, case.more)
    except EnvoyCrashError:
        conversation.crash()
        raise
    finally:
        result.client = conversation.client.view()
        result.more_clients = [client.view() for client in conversation.more_clients]
        result.upstream = upstream.record()


def _refuses(case: Case) -> bool:
    """Whether the route led to a cluster where nobody listens.

    Routes that were configured say so. The recorder's own default route is in no case; where it led to ``dead``,
    the client's response tells.
    """
    routes = case.envoy.get("routes")
    if routes:
        return all(route.get("route", {}).get("cluster") == "dead" for route in routes)
    client = case.expected.client or {}
    return str(client.get("body", "")).endswith(REFUSED)
