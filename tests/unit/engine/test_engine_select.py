"""Which engine is chosen, and what is said when it is not there."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path

import pytest

from pytest_proxywasm.engine import EngineUnavailable, get_engine, select


def test_auto_prefers_wasmtime(tmp_path: Path) -> None:
    engine = get_engine(cache_dir=tmp_path)
    assert engine.name == "wasmtime"
    assert engine.version[0].isdigit()


def test_auto_takes_wasmer_where_there_is_no_wasmtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert select._first_importable() == "wasmer"


def test_an_unknown_engine_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        get_engine("v8", cache_dir=tmp_path)
    assert str(caught.value) == "there is no engine 'v8': choose 'auto', 'wasmtime' or 'wasmer'"


def test_a_wasmer_that_cannot_be_imported_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasmer", None)
    monkeypatch.delitem(sys.modules, "pytest_proxywasm.engine.wasmer_engine", raising=False)
    with pytest.raises(EngineUnavailable) as caught:
        get_engine("wasmer", cache_dir=tmp_path)
    text = str(caught.value)
    assert text.startswith(f"the engine wasmer cannot be imported in CPython {platform.python_version()} (")
    assert "it has wheels for CPython 3.10 and older only, and what pip installs elsewhere is a stub" in text
    if sys.version_info >= (3, 11):
        assert text.endswith("; choose the engine 'wasmtime', or run the tests with CPython 3.10")
    else:
        assert text.endswith("; install it with 'pip install wasmer==1.1.0 wasmer-compiler-cranelift==1.1.0'")


def test_a_wasmtime_that_cannot_be_imported_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    monkeypatch.delitem(sys.modules, "pytest_proxywasm.engine.wasmtime_engine", raising=False)
    with pytest.raises(EngineUnavailable) as caught:
        get_engine("wasmtime", cache_dir=tmp_path)
    text = str(caught.value)
    assert text.startswith(f"the engine wasmtime cannot be imported in CPython {platform.python_version()} (")
    assert "install it with 'pip install -U wasmtime'" in text


def test_wasmtime_without_the_raw_names_takes_its_public_api(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_proxywasm.engine import wasmtime_engine

    monkeypatch.setitem(sys.modules, "pytest_proxywasm.engine.wasmtime_raw", None)
    engine = wasmtime_engine.WasmtimeEngine()
    assert engine.raw is None
    with pytest.raises(RuntimeError, match="lacks names that the fast route needs"):
        wasmtime_engine.WasmtimeEngine(fast=True)
