"""Has the rounds carried out by a real Envoy, one process each."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from pytest_proxywasm.recording.bootstrap import Ports, bootstrap
from pytest_proxywasm.recording.grpc import GrpcServer
from pytest_proxywasm.recording.peers import HttpClient, tcp_session
from pytest_proxywasm.recording.process import Envoy
from pytest_proxywasm.recording.servers import HttpServer, TcpServer, refused_port

from .events import Event, Round
from .plan import Done, Plan, read
from .trials import ACTIONS, PATIENCE, REQUEST, filter_options

__all__ = ["EnvoyProxy"]

QUIET = 0.05
"""Seconds of silence in the log after which a trial is over."""
AT_MOST = 1.0


class EnvoyProxy:
    """An Envoy of one round."""

    def __init__(self, envoy: Path, guests: Path) -> None:
        self._envoy = envoy
        self._guests = guests

    def carry_out(self, round_: Round, plan: Plan) -> tuple[dict[int, Done], int | None]:
        """What happened in each trial, and the number of the one in which Envoy crashed."""
        folder = tempfile.TemporaryDirectory(prefix="universal")
        with folder as name, HttpServer() as web, TcpServer(b"") as tcp, GrpcServer() as grpc:
            ports = Ports(http=web.port, tcp=tcp.port, dead=refused_port(), grpc=grpc.port)
            config = bootstrap(_case(round_.event, plan), ports, self._guests)
            started = 0
            with Envoy(self._envoy, config, Path(name), level="info") as process:
                if process.ready:
                    process.settle(QUIET, AT_MOST)
                    if not round_.event.starting:
                        port = process.listener_port()
                        for _ in round_.trials:
                            started += 1
                            self._stream(round_.event, port)
                            process.settle(QUIET, AT_MOST)
                            if process.exit is not None:
                                break
            messages = [_message(record) for record in process.lines()]
            crashed = process.exit is not None and process.exit < 0
            if not process.ready and not crashed:
                raise AssertionError(f"{round_.event}: Envoy does not start\n" + "\n".join(process.lines()[-5:]))
            return read(plan, messages), started if crashed else None

    def _stream(self, event: Event, port: int) -> None:
        # A filter may have spoilt the response.
        with contextlib.suppress(OSError, ValueError):
            if event.protocol == "tcp":
                tcp_session(port, ACTIONS, patience=PATIENCE)
                return
            with contextlib.closing(HttpClient(port, patience=PATIENCE)) as client:
                client.exchange(REQUEST)


def _case(event: Event, plan: Plan) -> dict[str, Any]:
    options = filter_options(event, plan)
    environment = {"key_values": options.pop("environment")}
    return {
        "kind": event.protocol,
        "envoy": {"node": {"id": "n", "cluster": "c"}},
        "filters": [{**options, "environment_variables": environment}],
    }


def _message(record: str) -> str:
    """A guest's message out of a log record: what follows the label of its filter."""
    return record[record.find("U|") :] if "|wasm|wasm log" in record and "U|" in record else ""
