"""Engines, and hosts with the probe guest, whose configuration is a script."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm import Filter, MockHost
from pytest_proxywasm.engine import get_engine

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
WASM = (FIXTURES / "probe" / "probe.wasm").read_bytes()


class Hosts:
    """Hosts of one engine that end with the test."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.open: list[MockHost] = []

    def host(self, *filters: Filter, **options: Any) -> MockHost:
        """A host with these filters."""
        host = MockHost(filters, engine=self.engine, **options)
        self.open.append(host)
        return host

    def close(self) -> None:
        """End them all, whatever state they are in."""
        for host in self.open:
            if not host.closed:
                host._on_trap = "continue"
                host.close()


class Scripts(Hosts):
    """Hosts with the probe guest: lines ``event operation``.

    ``#n`` after the event: only the n-th time; ``$``: only with the end of stream; ``!``: only without it.
    """

    @staticmethod
    def filter(*script: str, **options: Any) -> Filter:
        """One filter."""
        return Filter(WASM, configuration="\n".join(script).encode(), **options)

    def start(self, *script: str, filter: Any = None, **options: Any) -> MockHost:
        """A host with one filter, with `filter` as its options; its logs begin after the start."""
        host = self.host(self.filter(*script, **(filter or {})), **options)
        host.logs.clear()
        return host

    @staticmethod
    def seen(host: MockHost) -> list[str]:
        """The callbacks so far with their arguments, results other than the usual, and what operations said."""
        lines: list[str] = []
        for log in host.logs:
            who = f"{log.filter}: " if log.filter else ""
            callback = re.match(r"CB (.+) ctx=\d+(.*)", log.message, re.DOTALL)
            result = re.match(r"RET (\w+) = (\d+)", log.message)
            operation = re.match(r"  OP (.*)", log.message, re.DOTALL)
            if callback:
                lines.append(f"{who}{callback[1]}{callback[2]}")
            elif operation:
                lines.append(f"  {operation[1].partition(' [allocs')[0]}")
            elif result and result[2] != {"done": "1", "configure": "1", "vm_start": "1"}.get(result[1], "0"):
                lines.append(f"  returned {result[2]}")
        return lines

    @staticmethod
    def said(host: MockHost) -> list[str]:
        """What the operations said."""
        return [line[2:] for line in Scripts.seen(host) if line.startswith("  ") and not line.startswith("  returned")]


@pytest.fixture(params=["wasmtime", "wasmer"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Each engine."""
    if request.param == "wasmer" and sys.version_info >= (3, 11):
        pytest.skip("wasmer has wheels for CPython 3.10 and older only")
    return get_engine(request.param)


@pytest.fixture
def hosts(engine: Any) -> Iterator[Hosts]:
    """Hosts on each engine."""
    made = Hosts(engine)
    yield made
    made.close()


@pytest.fixture
def scripts() -> Iterator[Scripts]:
    """Hosts with the probe guest, on the engine that is chosen automatically."""
    made = Scripts(get_engine())
    yield made
    made.close()


@pytest.fixture
def hostile() -> Any:
    """The guests that break a rule, by name."""

    def load(name: str, **options: Any) -> Filter:
        return Filter((FIXTURES / "hostile" / f"{name}.wat").read_text(encoding="utf-8"), name=name, **options)

    return load
