"""What both engines share: compiling through the caches, checking imports, describing traps; names no engine."""

from __future__ import annotations

import hashlib
import json
import platform
import struct
import sys
from abc import ABC, abstractmethod
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..announce import Report, announced
from . import instrument as rewriting
from .binary import ModuleInfo, read_module
from .cache import ModuleCache
from .instrument import FORMAT, locate, original_offset
from .interface import (
    PAGE,
    BadModule,
    ExportType,
    Frame,
    FunctionType,
    HostFunction,
    ImportType,
    InstanceClosed,
    Limits,
    LinkError,
    Trap,
)
from .symbols import Symbols

__all__ = [
    "NO_LIMITS",
    "Built",
    "CompiledModule",
    "CompilingEngine",
    "budget_trap",
    "check_callable",
    "closed",
    "host_trap",
    "signed_arguments",
    "trap",
]

NO_LIMITS = Limits()
"""The limits that rewritten modules start with."""

_MODULES_KEPT = 32
_CODE_BYTES_PER_SECOND = 1_000_000
_FRAMES_KEPT = 30
_NUMERIC = {"i32", "i64", "f32", "f64"}
_TEXTS = {
    "unreachable": "it executed an 'unreachable' instruction (a panic or abort, as a rule)",
    "stack_overflow": "it overflowed its stack: an endless recursion, as a rule",
    "memory_out_of_bounds": "it accessed memory beyond its end",
    "table_out_of_bounds": "it accessed a table beyond its end",
    "indirect_call_to_null": "it called a null function pointer",
    "bad_signature": "it called a function pointer with the wrong type",
    "integer_overflow": "an integer division overflowed",
    "integer_division_by_zero": "it divided an integer by zero",
    "bad_conversion_to_integer": "it converted a float that no integer can hold",
    "host": "a host function did not come back",
}


@dataclass(frozen=True, slots=True)
class Built:
    """What compiling gives: the engine's native module, and what to know of its rewriting (see `Instrumented`)."""

    native: Any
    starts: array[int]
    globals: tuple[str, ...]
    unsaved: str


class CompiledModule:
    """A module as compiled by one engine: its bytes, what they declare, and the engine's native module."""

    def __init__(self, wasm: bytes, sha256: str, info: ModuleInfo, built: Built, window: bool) -> None:
        self.wasm = wasm
        self.sha256 = sha256
        self.info = info
        self.native = built.native
        self.globals = built.globals
        self.unsaved = built.unsaved
        self.imports: tuple[ImportType, ...] = info.import_types()
        self.exports: tuple[ExportType, ...] = info.export_types()
        self.exported: dict[str, tuple[int, FunctionType]] = {
            export.name: (number, export.type) for number, export in enumerate(self.exports) if export.type is not None
        }
        self.has_memory = info.memory_index is not None
        self._starts = built.starts
        self._window = window
        self._symbols: Symbols | None = None

    def functions(self, offered: Mapping[tuple[str, str], HostFunction]) -> list[tuple[HostFunction, FunctionType]]:
        """The host function of every imported function, in order; `LinkError` when one is missing or mistyped."""
        found: list[tuple[HostFunction, FunctionType]] = []
        for entry in self.imports:
            where = f"{entry.module}.{entry.name}"
            if entry.kind in ("memory", "table"):
                continue
            if entry.type is None:
                raise LinkError(
                    f"the module imports the {entry.kind} {where}, but only functions, memories and tables can be "
                    "imported from the host",
                    module=entry.module,
                    name=entry.name,
                )
            function = offered.get((entry.module, entry.name))
            if function is None:
                raise LinkError(
                    f"the module imports the function {where} ({entry.type}), which the host does not offer"
                    + _near(entry, offered),
                    module=entry.module,
                    name=entry.name,
                    wanted=entry.type,
                )
            declared = getattr(function, "wasm_type", None)
            if declared is not None and declared != entry.type:
                raise LinkError(
                    f"the module imports the function {where} as {entry.type}, but the host offers it as {declared}",
                    module=entry.module,
                    name=entry.name,
                    wanted=entry.type,
                    offered=declared,
                )
            strange = [t for t in entry.type.params + entry.type.results if t not in _NUMERIC]
            if strange or len(entry.type.results) > 1:
                problem = f"values of type {strange[0]}" if strange else "more than one result"
                raise LinkError(
                    f"the module imports the function {where} as {entry.type}, but a host function cannot take or give "
                    + problem,
                    module=entry.module,
                    name=entry.name,
                    wanted=entry.type,
                )
            found.append((function, entry.type))
        return found

    def check_memory(self, limits: Limits) -> int:
        """The cap on memory in pages; `BadModule` when the module starts above it."""
        cap = min(limits.max_memory // PAGE, 65536)
        for memory in self.info.memories[:1]:
            if memory.minimum > cap:
                raise BadModule(
                    f"the module needs {memory.minimum * PAGE / 2**20:g} MiB of memory to start, but is limited to "
                    f"{limits.max_memory / 2**20:g} MiB: raise max_memory"
                )
        return cap

    def is_added(self, index: int) -> bool:
        """Whether a function of the rewritten module is none of the guest's own."""
        return index >= len(self.info.imported_functions) + len(self.info.functions)

    def frames(self, raw: Iterable[tuple[int, int | None]]) -> tuple[Frame, ...]:
        """Frames from function indices and offsets of the rewritten module, without the functions that were added."""
        imported = len(self.info.imported_functions)
        own = range(imported, imported + len(self.info.functions))
        if self._symbols is None:
            self._symbols = Symbols(self.wasm, self.info)
        out: list[Frame] = []
        for index, offset in raw:
            if index in own:
                out.append(self._frame(index, offset, self._symbols))
                if len(out) == _FRAMES_KEPT:
                    break
        return tuple(out)

    def _frame(self, index: int, offset: int | None, symbols: Symbols) -> Frame:
        name, raw_name = symbols.function(index)
        original = location = None
        if offset is not None:
            ordinal, into = locate(self._starts, offset)
            if ordinal + len(self.info.imported_functions) == index:
                try:
                    original, _ = original_offset(self.wasm, self.info, self._window, index, into)
                except Exception:
                    original = None
                else:
                    location = symbols.location(original)
        return Frame(index, name, raw_name, original, location)


def _near(entry: ImportType, offered: Mapping[tuple[str, str], HostFunction]) -> str:
    import difflib

    others = [module for module, name in offered if name == entry.name]
    if others:
        return f"; it offers {others[0]}.{entry.name}"
    close = difflib.get_close_matches(entry.name, [name for module, name in offered if module == entry.module], 1)
    return f"; did you mean {entry.module}.{close[0]}?" if close else ""


def trap(module: CompiledModule, kind: str, detail: str, raw: Iterable[tuple[int, int | None]]) -> Trap:
    """The `Trap` of an engine's report; ``detail`` is the engine's own text, used where we have none."""
    frames = module.frames(raw)
    text = _TEXTS.get(kind) or detail.strip() or "it trapped"
    return Trap(kind, f"the guest trapped: {text}{_where(frames)}", frames)


def budget_trap(module: CompiledModule, limits: Limits, raw: Iterable[tuple[int, int | None]]) -> Trap:
    """The `Trap` of a call that ran out of its budget."""
    frames = module.frames(raw)
    text = (
        f"the guest did not come back: one call used up its budget of {limits.budget:,} function calls and loop rounds"
        f"{_where(frames)}; an endless loop, as a rule, else raise the budget"
    )
    return Trap("budget", text, frames)


def host_trap(error: str) -> Trap:
    """The `Trap` of a host function whose exception got lost."""
    return Trap("host", f"the guest trapped: {_TEXTS['host']}: {error}")


def _where(frames: tuple[Frame, ...]) -> str:
    return f", in {frames[0]}" if frames else ""


def check_callable(kind: FunctionType) -> None:
    """`TypeError` for a function whose values cannot be passed to or from Python."""
    strange = [t for t in kind.params + kind.results if t not in _NUMERIC]
    if strange:
        raise TypeError(f"a function of type {kind} cannot be called: Python has no values of type {strange[0]}")


def signed_arguments(kind: FunctionType, args: tuple[Any, ...]) -> list[Any]:
    """Arguments as the engines' own APIs want them: integers signed."""
    if len(args) != len(kind.params):
        raise TypeError(f"a function of type {kind} was called with {len(args)} arguments")
    return [_SIGNED[t](value) for t, value in zip(kind.params, args)]


def _signed_i32(value: int) -> int:
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def _signed_i64(value: int) -> int:
    return ((value & 0xFFFFFFFFFFFFFFFF) ^ 0x8000000000000000) - 0x8000000000000000


_SIGNED: dict[str, Callable[[Any], Any]] = {
    "i32": _signed_i32,
    "i64": _signed_i64,
    "f32": float,
    "f64": float,
}


def closed() -> InstanceClosed:
    """What using a closed instance raises."""
    return InstanceClosed("this instance is closed: its memory is gone and its functions cannot be called any more")


class CompilingEngine(ABC):
    """Gets modules from memory, else from the disk cache, else by compiling; engines say how."""

    name: str
    version: str
    window: bool
    """Whether imports go through an argument window."""

    def __init__(self, cache: ModuleCache | None, on_compile: Report | None) -> None:
        self.cache = cache
        self.on_compile = on_compile
        self._modules: OrderedDict[bytes, CompiledModule] = OrderedDict()

    @abstractmethod
    def settings(self) -> str:
        """All that makes compiled code differ, besides engine, version and machine."""

    @abstractmethod
    def compile(self, wasm: bytes) -> Any:
        """A native module; `BadModule` when the engine refuses it."""

    @abstractmethod
    def serialize(self, native: Any) -> bytes:
        """Native code to store."""

    @abstractmethod
    def deserialize(self, payload: bytes) -> Any:
        """A native module from verified stored code; any exception means that it must be compiled again."""

    @abstractmethod
    def wrap(self, *args: Any) -> Any:
        """The engine's subclass of `CompiledModule`."""

    def load(self, wasm: bytes, name: str) -> Any:
        """The compiled module of these bytes."""
        wasm = bytes(wasm)
        module = self._modules.get(wasm)
        if module is None:
            module = self._load(wasm, name)
            self._modules[wasm] = module
            while len(self._modules) > _MODULES_KEPT:
                self._modules.popitem(last=False)
        else:
            self._modules.move_to_end(wasm)
        return module

    def _load(self, wasm: bytes, name: str) -> CompiledModule:
        info = read_module(wasm)
        sha256 = hashlib.sha256(wasm).hexdigest()
        key = self._key(sha256)
        loaded = self._stored(key)
        if loaded is None:
            if self.cache is None:
                loaded, _ = self._build(wasm, info, name)
            else:
                with self.cache.lock(key):
                    loaded = self._stored(key)
                    if loaded is None:
                        loaded, payload = self._build(wasm, info, name)
                        self.cache.put(key, payload)
        module = self.wrap(wasm, sha256, info, loaded, self.window)
        assert isinstance(module, CompiledModule)
        return module

    def _key(self, sha256: str) -> str:
        parts = (
            sha256,
            self.name,
            self.version,
            self.settings(),
            str(FORMAT),
            sys.platform,
            platform.machine(),
            sys.byteorder,
            _processor(),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _stored(self, key: str) -> Built | None:
        payload = self.cache.get(key) if self.cache is not None else None
        if payload is None:
            return None
        try:
            size, described = struct.unpack_from("<II", payload)
            code = 8 + size + described
            starts = array("I")
            starts.frombytes(payload[8 : 8 + size])
            globals, unsaved = json.loads(bytes(payload[8 + size : code]))
            return Built(self.deserialize(payload[code:]), starts, tuple(globals), unsaved)
        except Exception:
            return None

    def _build(self, wasm: bytes, info: ModuleInfo, name: str) -> tuple[Built, bytes]:
        code = info.section(10)
        seconds = (code.end - code.start) / _CODE_BYTES_PER_SECOND if code is not None else 0.0
        notice = ""
        if self.on_compile is not None and seconds > 1:
            if self.cache is not None and not self.cache.problem:
                how_long = f"once: about {seconds:.0f} s"
            else:
                problem = self.cache.problem if self.cache is not None else "there is no cache directory"
                how_long = f"about {seconds:.0f} s, each time ({problem})"
            size = len(wasm) / 1e6
            notice = f"compiling {name or 'a module'} ({size:.1f} MB) with {self.name}, {how_long}"
        with announced(self.on_compile if notice else None, notice):
            rewritten = rewriting.instrument(wasm, info, window=self.window)
            native = self.compile(rewritten.wasm)
        starts = rewritten.starts.tobytes()
        payload = b""
        if self.cache is not None:
            described = json.dumps([rewritten.globals, rewritten.unsaved]).encode()
            head = struct.pack("<II", len(starts), len(described)) + starts + described
            payload = head + self.serialize(native)
        return Built(native, rewritten.starts, rewritten.globals, rewritten.unsaved), payload


def _processor() -> str:
    """What tells apart the processors of machines that share a cache directory."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(("flags", "Features")):
                    return hashlib.sha256(line.encode()).hexdigest()[:16]
    except OSError:
        pass
    return platform.processor()
