"""What a host costs: a decoded and traced hostcall, an exchange, a fresh host; ratios within a run are what counts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.filters import Filter
from pytest_proxywasm.mock import MockHost

CALLS = 1000
"""Hostcalls in one callback of the guest below."""

GUEST = f"""
(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) ":path")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $i i32)
    (loop $again
      (drop (call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 68)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const {CALLS}))))
    (i32.const 0)))
"""

ENGINES = ["wasmtime"] if sys.version_info >= (3, 11) else ["wasmtime", "wasmer"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each engine of this Python."""
    return get_engine(request.param, cache_dir=tmp_path)


@pytest.mark.parametrize("trace", [True, False], ids=["traced", "untraced"])
def test_a_thousand_header_reads(benchmark: Any, engine: Any, trace: bool) -> None:
    """Divide by 1000: one decoded ``proxy_get_header_map_value`` with its allocation in the guest."""
    with MockHost([Filter(GUEST)], engine=engine, trace=trace) as host:

        def run() -> None:
            host.get("/a/path")
            host.trace.clear()

        benchmark(run)


def test_an_exchange(benchmark: Any, engine: Any) -> None:
    """A whole exchange of a guest with one hostcall."""
    guest = Filter(GUEST.replace(f"(i32.const {CALLS})", "(i32.const 1)"))
    with MockHost([guest], engine=engine) as host:

        def run() -> None:
            host.get("/a/path")
            host.trace.clear()

        benchmark(run)


def test_a_fresh_host_with_an_exchange(benchmark: Any, engine: Any) -> None:
    """What one example of a property test costs."""
    guest = Filter(GUEST.replace(f"(i32.const {CALLS})", "(i32.const 1)"))

    def run() -> None:
        with MockHost([guest], engine=engine) as host:
            host.get("/a/path")

    benchmark(run)
