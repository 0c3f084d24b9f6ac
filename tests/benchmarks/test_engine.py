"""What the engine layer costs; run by path: ``pytest tests/benchmarks/test_engine.py``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.engine import Limits, wat_to_wasm
from pytest_proxywasm.engine.cache import ModuleCache

CALLS = 1000
WASM = wat_to_wasm(
    "(module "
    + "".join(f'(import "env" "f{n}" (func $f{n} (param i32 i32 i32 i32 i32 i32) (result i32)))' for n in range(40))
    + """(memory (export "memory") 18)
  (func (export "nop") (param i32 i32 i32) (result i32) (i32.const 7))
  (func (export "loop") (param $n i32)
    (loop $l
      (drop (call $f3 (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const -1)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
)


def make(route: str, cache: ModuleCache | None = None) -> Any:
    if route == "wasmer":
        if sys.version_info >= (3, 11) or importlib.util.find_spec("wasmer") is None:
            pytest.skip("wasmer has wheels for CPython 3.10 and older only")
        from pytest_proxywasm.engine.wasmer_engine import WasmerEngine

        return WasmerEngine(cache)
    from pytest_proxywasm.engine.wasmtime_engine import WasmtimeEngine

    return WasmtimeEngine(cache, fast=route == "wasmtime-fast")


@pytest.fixture(params=["wasmtime-fast", "wasmtime-public", "wasmer"])
def route(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def linked(route: str) -> Any:
    functions = {("env", f"f{n}"): (lambda data, a, b, c, d, e, f: 0) for n in range(40)}
    return make(route).module(WASM).link(functions)


def test_thousand_hostcalls(linked: Any, benchmark: Any) -> None:
    """Divide by 1000: a hostcall of six i32 and an i32 result."""
    benchmark(linked.instantiate(None, Limits()).function("loop"), CALLS)


def test_export_call(linked: Any, benchmark: Any) -> None:
    benchmark(linked.instantiate(None, Limits()).function("nop"), 1, 2, 3)


def test_instantiate_and_close(linked: Any, benchmark: Any) -> None:
    """A guest of 40 imports."""
    benchmark(lambda: linked.instantiate(None, Limits()).close())


def test_link(route: str, benchmark: Any) -> None:
    functions = {("env", f"f{n}"): (lambda data, a, b, c, d, e, f: 0) for n in range(40)}
    benchmark(make(route).module(WASM).link, functions)


@pytest.fixture(scope="module")
def large() -> bytes:
    """About 1.5 MB of code in many functions."""
    step = "(i32.add (i32.mul (local.get 0) (i32.const 12345)) (i32.xor (local.get 1) (i32.const 777)))"
    body = f"(local.set 0 {step}) (local.set 1 {step})" * 100
    return wat_to_wasm("(module " + f"(func (param i32 i32) {body})" * 400 + ")")


def test_compile(route: str, large: bytes, benchmark: Any) -> None:
    benchmark.pedantic(lambda engine: engine.module(large), setup=lambda: ((make(route),), {}), rounds=1)


def test_reload_from_cache(route: str, large: bytes, benchmark: Any, tmp_path: Path) -> None:
    make(route, ModuleCache(tmp_path)).module(large)
    benchmark.pedantic(
        lambda engine: engine.module(large),
        setup=lambda: ((make(route, ModuleCache(tmp_path)),), {}),
        rounds=20,
    )
