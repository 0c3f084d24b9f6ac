"""Has the rounds carried out by the mock host."""

from __future__ import annotations

from pathlib import Path

from pytest_proxywasm.engine import Engine
from pytest_proxywasm.errors import EnvoyCrashError
from pytest_proxywasm.filters import Filter
from pytest_proxywasm.mock import MockHost
from pytest_proxywasm.model import GuestLog, LogLevel

from ..front import settings_of
from ..http import HttpConversation
from ..tcp import TcpConversation
from ..upstream import Upstream
from .events import Round
from .plan import Done, Plan, read
from .trials import ACTIONS, PATIENCE, REQUEST, filter_options

__all__ = ["MockProxy"]


class MockProxy:
    """A proxy of one round: opened with its plan, told to do one trial after the other."""

    def __init__(self, engine: Engine, guests: Path) -> None:
        self._engine = engine
        self._guests = guests

    def carry_out(self, round_: Round, plan: Plan) -> tuple[dict[int, Done], int | None]:
        """What happened in each trial, and the number of the one in which the proxy crashed."""
        logs: list[GuestLog] = []
        upstream = Upstream()
        options = filter_options(round_.event, plan)
        wasm = (self._guests / options.pop("wasm")).read_bytes()
        for key in ("configuration", "vm_configuration"):
            options[key] = options[key].encode()
        started = 0
        try:
            host = MockHost(
                [Filter(wasm=wasm, **options)],
                engine=self._engine,
                protocol=round_.event.protocol,
                starts="envoy",
                clusters=upstream.handlers(),
                node={"id": "n", "cluster": "c"},
                on_trap="continue",
                on_log=logs.append,
                trace=False,
            )
            host.log_level = LogLevel.INFO
            try:
                if not round_.event.starting:
                    for _ in round_.trials:
                        started += 1
                        self._stream(host, upstream)
                else:
                    host.clock.advance(1)
            finally:
                host.close()
        except EnvoyCrashError:
            return read(plan, [log.message for log in logs]), started
        return read(plan, [log.message for log in logs]), None

    def _stream(self, host: MockHost, upstream: Upstream) -> None:
        if host.protocol == "tcp":
            TcpConversation(host, "tcp", b"", patience=PATIENCE).talk(ACTIONS)
            return
        settings, _ = settings_of({})
        HttpConversation(host, upstream, settings, patience=PATIENCE).run(REQUEST, ())
