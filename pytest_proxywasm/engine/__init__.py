"""Compiles, caches, limits and runs WebAssembly modules over interchangeable engines; knows nothing of Proxy-Wasm.

Importing it imports no engine: that happens in `get_engine`.
"""

from __future__ import annotations

from .interface import (
    BadModule,
    Engine,
    EngineUnavailable,
    ExportType,
    Frame,
    FunctionType,
    HostFunction,
    ImportType,
    Instance,
    InstanceClosed,
    Limits,
    Linked,
    LinkError,
    Module,
    State,
    Trap,
    ValueType,
)
from .select import get_engine, wat_to_wasm

__all__ = [
    "BadModule",
    "Engine",
    "EngineUnavailable",
    "ExportType",
    "Frame",
    "FunctionType",
    "HostFunction",
    "ImportType",
    "Instance",
    "InstanceClosed",
    "Limits",
    "LinkError",
    "Linked",
    "Module",
    "State",
    "Trap",
    "ValueType",
    "get_engine",
    "wat_to_wasm",
]
