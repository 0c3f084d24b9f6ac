"""Chooses an engine by name and imports it at that moment; knows nothing of how engines work."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .interface import Engine, EngineUnavailable

if TYPE_CHECKING:
    from .core import CompilingEngine

__all__ = ["ENGINES", "get_engine", "wat_to_wasm"]

ENGINES = ("wasmtime", "wasmer")
_made: dict[tuple[str, Path], CompilingEngine] = {}


def get_engine(
    choice: str = "auto", *, cache_dir: Path | None = None, on_compile: Callable[[str], None] | None = None
) -> Engine:
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
        if name == "wasmtime":
            engine = _wasmtime(cache)
        else:
            engine = _wasmer(cache)
        _made[name, directory] = engine
    if on_compile is not None:
        engine.on_compile = on_compile
    return engine  # type: ignore[return-value]


def _first_importable() -> str:
    if importlib.util.find_spec("wasmtime") is not None:
        return "wasmtime"
    return "wasmer"


def _wasmtime(cache: object) -> CompilingEngine:
    try:
        from .wasmtime_engine import WasmtimeEngine
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineUnavailable(
            f"the engine wasmtime cannot be imported in Python {platform.python_version()} ({error}): "
            "install it with 'pip install wasmtime', or choose the engine 'wasmer' on CPython 3.10"
        ) from error
    return WasmtimeEngine(cache)


def _wasmer(cache: object) -> CompilingEngine:
    raise EngineUnavailable("not yet")


def wat_to_wasm(text: str) -> bytes:
    """Assemble the text format with whichever engine is installed; `BadModule` carries the parser's message."""
    if _first_importable() == "wasmtime":
        from .wasmtime_engine import wat_to_wasm as assemble
    else:
        from .wasmer_engine import wat_to_wasm as assemble
    return assemble(text)
