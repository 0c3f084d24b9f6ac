"""Engines to test with: both routes of wasmtime, and wasmer where it can be imported."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pytest_proxywasm.engine import Limits, wat_to_wasm

ROUTES = ("wasmtime-fast", "wasmtime-public", "wasmer")
_made: dict[str, Any] = {}


def make_engine(route: str) -> Any:
    """A new engine without a disk cache."""
    if route == "wasmer":
        if sys.version_info >= (3, 11) or importlib.util.find_spec("wasmer") is None:
            pytest.skip("wasmer has wheels for CPython 3.10 and older only")
        from pytest_proxywasm.engine.wasmer_engine import WasmerEngine

        return WasmerEngine()
    from pytest_proxywasm.engine.wasmtime_engine import WasmtimeEngine

    return WasmtimeEngine(fast=route == "wasmtime-fast")


@pytest.fixture(params=ROUTES)
def engine(request: pytest.FixtureRequest) -> Any:
    """Each engine and route in turn."""
    route = request.param
    if route not in _made:
        _made[route] = make_engine(route)
    return _made[route]


@pytest.fixture
def run(engine: Any) -> Callable[..., Any]:
    """Instantiate a module given as text: ``run(wat, {("env", "f"): function}, data=..., limits=...)``."""

    def make(wat: str, functions: Any = None, *, data: object = None, limits: Limits | None = None) -> Any:
        linked = engine.module(wat_to_wasm(wat)).link(functions or {})
        instance = linked.instantiate(data, limits or Limits())
        instance.start()
        return instance

    return make
