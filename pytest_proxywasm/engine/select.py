"""Chooses an engine by name and imports it at that moment; knows nothing of how engines work."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..announce import Report
from .interface import Engine, EngineUnavailable

if TYPE_CHECKING:
    from .cache import ModuleCache
    from .core import CompilingEngine

__all__ = ["ENGINES", "get_engine", "wat_to_wasm"]

ENGINES = ("wasmtime", "wasmer")
_made: dict[tuple[str, Path], CompilingEngine] = {}


def get_engine(choice: str = "auto", *, cache_dir: Path | None = None, on_compile: Report | None = None) -> Engine:
    """The engine of that name; ``"auto"`` is wasmtime where it can be imported, else wasmer.

    ``cache_dir`` replaces the cache directory of the platform. ``on_compile`` is called with a line of text before a
    compilation that takes seconds. The same engine is returned for the same choice and directory.
    """
    from .cache import ModuleCache, default_directory

    if choice == "auto":
        name = _first_importable()
    elif choice in ENGINES:
        name = choice
    else:
        raise EngineUnavailable(f"there is no engine {choice!r}: choose 'auto', 'wasmtime' or 'wasmer'")
    directory = cache_dir if cache_dir is not None else default_directory()
    engine = _made.get((name, directory))
    if engine is None:
        cache = ModuleCache(directory)
        engine = _wasmtime(cache) if name == "wasmtime" else _wasmer(cache)
        _made[name, directory] = engine
    if on_compile is not None:
        engine.on_compile = on_compile
    return engine  # type: ignore[return-value]


def _first_importable() -> str:
    return "wasmtime" if importlib.util.find_spec("wasmtime") is not None else "wasmer"


def _wasmtime(cache: ModuleCache) -> CompilingEngine:
    try:
        from .wasmtime_engine import WasmtimeEngine
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise EngineUnavailable(
            f"the engine wasmtime cannot be imported in {_python()} ({error}): "
            "install it with 'pip install -U wasmtime'"
            + ("" if sys.version_info >= (3, 11) else ", or choose the engine 'wasmer'")
        ) from error
    return WasmtimeEngine(cache)


def _wasmer(cache: ModuleCache) -> CompilingEngine:
    try:
        from .wasmer_engine import WasmerEngine
    except (ImportError, OSError, AttributeError) as error:
        if sys.version_info >= (3, 11) or platform.python_implementation() != "CPython":
            remedy = "choose the engine 'wasmtime', or run the tests with CPython 3.10"
        else:
            remedy = "install it with 'pip install wasmer==1.1.0 wasmer-compiler-cranelift==1.1.0'"
        raise EngineUnavailable(
            f"the engine wasmer cannot be imported in {_python()} ({error}): it has wheels for CPython 3.10 and older "
            f"only, and what pip installs elsewhere is a stub; {remedy}"
        ) from error
    return WasmerEngine(cache)


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def wat_to_wasm(text: str) -> bytes:
    """Assemble the text format with whichever engine is installed; `BadModule` carries the parser's message."""
    if _first_importable() == "wasmtime":
        from .wasmtime_engine import wat_to_wasm as assemble

        return assemble(text)
    try:
        from .wasmer_engine import wat_to_wasm as assemble_with_wasmer
    except ImportError as error:
        raise EngineUnavailable(
            f"no WebAssembly engine can be imported in {_python()}: install one with 'pip install wasmtime'"
        ) from error
    return assemble_with_wasmer(text)
