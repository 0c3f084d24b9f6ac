"""Records one case: Envoy, its peers and the log put together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..envoy.process import EnvoyFailure
from .bootstrap import Ports, bootstrap
from .grpc import GrpcServer
from .peers import HttpClient, tcp_session
from .process import Envoy
from .servers import HttpServer, TcpServer, refused_port
from .texts import after_start, cut, guest_lines, stable
from .wire import expand

__all__ = ["record"]

SETTLE = 0.06
LATER = 0.45
"""Seconds of silence after which nothing more is expected where ticks or calls may be under way."""
AT_MOST = 1.5
BODY = 1500
"""How much of a body that a client received is kept."""
_TAKES_TIME = (" tick ", " http ", " qenq ", " gcall ", " gstream ")


def record(case: Mapping[str, Any], envoy: Path, guests: Path) -> dict[str, Any]:
    """The case with what this Envoy did as ``expected``.

    Args:
        guests: the folder that the names of modules in ``filters`` are relative to.

    Raises:
        EnvoyFailure: Envoy does not start, answer or end in time.
    """
    folder = tempfile.TemporaryDirectory(prefix="record")
    greet = (case.get("greet") or "").encode("latin-1")
    with folder as name, HttpServer() as web, TcpServer(greet) as tcp, GrpcServer() as grpc:
        ports = Ports(http=web.port, tcp=tcp.port, dead=refused_port(), grpc=grpc.port)
        config = bootstrap(case, ports, guests)
        with Envoy(envoy, config, Path(name)) as process:
            expected: dict[str, Any] = {"ready": process.ready}
            started = 0
            if process.ready:
                process.settle(SETTLE, 0.3)
                started = len(guest_lines(process.lines()))
                expected |= _drive(case, process, tcp)
                takes_time = any(word in script for script in _scripts(case) for word in _TAKES_TIME)
                process.settle(LATER if takes_time else SETTLE, AT_MOST)
                process.stop()
        web.finish(0.5)
        tcp.finish(0.5)
        start_only = case["kind"] == "http" and case.get("request") is None
        lines = guest_lines(process.lines())
        if process.exit is None or process.exit == -9:
            raise EnvoyFailure("Envoy had to be killed")
        result = {
            "envoy_exit": process.exit,
            "ready": expected.pop("ready"),
            "guest_log": cut(lines if start_only or not process.ready else after_start(lines, started)),
            **expected,
        }
        if "client" in result:
            result["upstream"] = web.record()
        if "client_got" in result:
            result["upstream_got"] = tcp.got
    kept = stable(result)
    for client in (kept.get("client"), *kept.get("more_clients", ())):
        if client is not None:
            client["body"] = client["body"][:BODY]
    return {**case, "expected": kept}


def _drive(case: Mapping[str, Any], process: Envoy, tcp: TcpServer) -> dict[str, Any]:
    if case["kind"] == "tcp":
        return {"client_got": tcp_session(process.listener_port(), case.get("actions") or ())}
    request = case.get("request")
    if request is None:
        return {}
    written, parts = expand(request), _parts(case)
    port = process.listener_port()
    client = HttpClient(port)
    result: dict[str, Any] = {"client": client.exchange(written, parts)}
    more = []
    for step in case.get("more_requests") or ():
        if not step.get("same_connection"):
            client.close()
        time.sleep(step.get("after", 0.05))
        if not step.get("same_connection"):
            try:
                client = HttpClient(port)
            except OSError:
                more.append({"status": "<closed>", "headers": [], "body": "", "trailers": []})
                continue
        more.append(client.exchange(expand(step["request"])))
    client.close()
    if more:
        result["more_clients"] = more
    return result


def _parts(case: Mapping[str, Any]) -> list[bytes]:
    return [expand(part) for part in case.get("request_parts") or ()]


def _scripts(case: Mapping[str, Any]) -> list[str]:
    values = [spec.get(key) for spec in case["filters"] for key in ("configuration", "vm_configuration")]
    return [value for value in values if isinstance(value, str)]
