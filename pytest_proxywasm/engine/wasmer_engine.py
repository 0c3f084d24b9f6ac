"""The engine wasmer: holds every name of wasmer that this package uses; knows nothing of wasmtime.

wasmer calls Python functions cheaply, so imports need no argument window. It holds the interpreter lock all the time
and has no limits of its own: the rewritten guest brings them.
"""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

import wasmer
from wasmer import engine as _engines
from wasmer_compiler_cranelift import Compiler

from ..announce import Report
from . import core
from .binary import ModuleInfo
from .cache import ModuleCache
from .core import Built, CompiledModule, CompilingEngine
from .interface import BadModule, FunctionType, HostFunction, Limits
from .state import SavedInstance
from .window import Calls, empty, none_returned

__all__ = ["WasmerEngine", "wat_to_wasm"]

_TEXT_KEPT = 20_000
_FRAME = re.compile(r"\[(\d+)\]:0x([0-9a-f]+)\)")
# Ordered: the first text that occurs decides.
_KINDS = (
    ("call stack exhausted", "stack_overflow"),
    ("out of bounds memory access", "memory_out_of_bounds"),
    ("misaligned memory access", "memory_out_of_bounds"),
    ("out of bounds table access", "table_out_of_bounds"),
    ("undefined element", "table_out_of_bounds"),
    ("uninitialized element", "indirect_call_to_null"),
    ("indirect call type mismatch", "bad_signature"),
    ("integer overflow", "integer_overflow"),
    ("integer divide by zero", "integer_division_by_zero"),
    ("invalid conversion to integer", "bad_conversion_to_integer"),
    ("unreachable", "unreachable"),
)
_SIGNED = {"i32": "i", "i64": "q", "f32": "f", "f64": "d"}
_UNSIGNED = {"i32": "I", "i64": "Q", "f32": "f", "f64": "d"}
_MASKS = {"i32": 0xFFFFFFFF, "i64": 0xFFFFFFFFFFFFFFFF}
_TYPES = {"i32": wasmer.Type.I32, "i64": wasmer.Type.I64, "f32": wasmer.Type.F32, "f64": wasmer.Type.F64}


def wat_to_wasm(text: str) -> bytes:
    """Assemble the text format."""
    try:
        return bytes(wasmer.wat2wasm(text))
    except RuntimeError as error:
        raise BadModule(f"the text is no WebAssembly module: {error}") from None


class WasmerEngine(CompilingEngine):
    """wasmer with the Cranelift compiler; all modules and functions share one store."""

    name = "wasmer"
    window = False

    def __init__(self, cache: ModuleCache | None = None, on_compile: Report | None = None) -> None:
        super().__init__(cache, on_compile)
        self.version: str = wasmer.__version__
        self.store = wasmer.Store(_engines.Universal(Compiler))
        self._thread = threading.get_ident()

    def check_thread(self) -> None:
        """`RuntimeError` in any thread but the one that made the engine: wasmer would abort the thread."""
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "wasmer can be used only in the thread that first used it: stay in that thread, or choose the engine "
                "'wasmtime'"
            )

    def settings(self) -> str:
        return "universal cranelift"

    def module(self, wasm: bytes, *, name: str = "") -> WasmerModule:
        """The compiled module of these bytes."""
        self.check_thread()
        module = self.load(wasm, name)
        assert isinstance(module, WasmerModule)
        return module

    def compile(self, wasm: bytes) -> Any:
        try:
            return wasmer.Module(self.store, wasm)
        except RuntimeError as error:
            text = str(error)
            hint = ""
            if "not enabled" in text or "not supported" in text or "unsupported" in text.lower():
                hint = "; the engine wasmtime may run it"
            raise BadModule(f"wasmer {self.version} refuses the module: {text}{hint}") from None

    def serialize(self, native: Any) -> bytes:
        return bytes(native.serialize())

    def deserialize(self, payload: bytes) -> Any:
        return wasmer.Module.deserialize(self.store, payload)

    def wrap(self, wasm: bytes, sha256: str, info: ModuleInfo, built: Built, window: bool) -> WasmerModule:
        return WasmerModule(self, wasm, sha256, info, built, window)


class WasmerModule(CompiledModule):
    """A module compiled by wasmer."""

    def __init__(self, engine: WasmerEngine, *args: Any) -> None:
        super().__init__(*args)
        self.engine = engine

    def link(self, functions: Mapping[tuple[str, str], HostFunction]) -> WasmerLinked:
        """Bind host functions once, for any number of instances."""
        return WasmerLinked(self, self.functions(functions))


class WasmerLinked:
    """Host functions bound as functions of the shared store."""

    def __init__(self, module: WasmerModule, found: list[tuple[HostFunction, FunctionType]]) -> None:
        self.module = module
        self.calls = Calls()
        self.imports = wasmer.ImportObject()
        store = module.engine.store
        bound = {
            str(number): wasmer.Function(
                store,
                _callback(function, kind, self.calls.cell),
                wasmer.FunctionType([_TYPES[t] for t in kind.params], [_TYPES[t] for t in kind.results]),
            )
            for number, (function, kind) in enumerate(found)
        }
        if bound:
            self.imports.register("h", bound)

    def instantiate(self, data: object, limits: Limits = core.NO_LIMITS) -> WasmerInstance:
        """A fresh instance."""
        self.module.engine.check_thread()
        return WasmerInstance(self, data, limits)


def _callback(function: HostFunction, kind: FunctionType, cell: list[Any]) -> Callable[..., Any]:
    """What wasmer calls: makes integers unsigned, and remembers an exception so that it is not taken for a trap."""
    pack = struct.Struct("<" + "".join(_SIGNED[t] for t in kind.params)).pack
    unpack = struct.Struct("<" + "".join(_UNSIGNED[t] for t in kind.params)).unpack
    if not kind.results:

        def callback(*args: Any) -> Any:
            try:
                function(cell[0], *unpack(pack(*args)))
            except BaseException as error:
                cell[2] = error
                raise

        return callback
    (result_type,) = kind.results
    mask = _MASKS.get(result_type)

    def callback_with_result(*args: Any) -> Any:
        try:
            result = function(cell[0], *unpack(pack(*args)))
            if result is None:
                raise none_returned(function, kind)
            return result & mask if mask is not None else float(result)
        except BaseException as error:
            cell[2] = error
            raise

    return callback_with_result


class WasmerInstance(SavedInstance):
    """An instance whose native parts go when the last reference to them does."""

    memory: memoryview

    def __init__(self, linked: WasmerLinked, data: object, limits: Limits) -> None:
        module = linked.module
        cap = module.check_memory(limits)
        self._module = module
        self._calls = linked.calls
        self.data = data
        self._limits = limits
        self._active = False
        self._closing = False
        self._functions: dict[str, Callable[..., Any]] = {}
        self.memory = empty()
        try:
            self._instance: Any = wasmer.Instance(module.native, linked.imports)
        except RuntimeError as error:
            raise self._failure(error, lambda: 0) from None
        self._exports: Any = self._instance.exports
        self._memory = getattr(self._exports, "m") if module.has_memory else None  # noqa: B009
        try:
            self.renew()
            if limits is not core.NO_LIMITS and limits != core.NO_LIMITS:
                self._exports.c(limits.budget, cap)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Run the module's start section."""
        if self._module.info.start is not None:
            self._bind("s", "s", FunctionType((), ()))()

    def renew(self) -> memoryview:
        """Refresh ``memory``."""
        if self._closing:
            raise core.closed()
        memory = self._memory
        if memory is not None:
            size = memory.data_size
            if size != len(self.memory):
                self.memory = memoryview(memory.buffer) if size else empty()
        return self.memory

    @property
    def budget_used(self) -> int:
        """Of the last or ongoing outermost call."""
        if self._closing:
            raise core.closed()
        return self._limits.budget - max(self._left(), 0)

    def _left(self) -> int:
        return int(self._exports.b())

    def function(self, name: str) -> Callable[..., Any] | None:
        """The exported function."""
        bound = self._functions.get(name)
        if bound is None and name in self._module.exported:
            if self._closing:
                raise core.closed()
            number, kind = self._module.exported[name]
            bound = self._functions[name] = self._bind(f"o{number}", f"i{number}", kind)
        return bound

    def added(self, name: str, kind: FunctionType) -> Callable[..., Any]:
        """A function that the rewriting added."""
        return self._bind(name, name, kind)

    @property
    def compiled(self) -> CompiledModule:
        """The instance's module."""
        return self._module

    def _bind(self, outer_name: str, inner_name: str, kind: FunctionType) -> Callable[..., Any]:
        core.check_callable(kind)
        outer, inner = getattr(self._exports, outer_name), getattr(self._exports, inner_name)
        calls = self._calls
        cell, lock = calls.cell, calls.lock
        masks = [_MASKS.get(t) for t in kind.results]
        mask = masks[0] if len(masks) == 1 else None

        count = len(kind.params)

        def call(*args: Any) -> Any:
            if self._closing:
                raise core.closed()
            if len(args) != count:
                # wasmer drops arguments that are too many.
                core.signed_arguments(kind, args)
            with lock:
                nested = self._active
                saved = cell[0]
                cell[0] = self.data
                self._active = True
                try:
                    try:
                        result = (inner if nested else outer)(*args)
                    except OverflowError as error:
                        if cell[2] is error:
                            raise
                        result = (inner if nested else outer)(*core.signed_arguments(kind, args))
                except RuntimeError as error:
                    raise self._failure(error, self._left) from None
                except BaseException as error:
                    if cell[2] is error:
                        cell[2] = None
                    raise
                finally:
                    cell[0] = saved
                    self._active = nested
                    if self._closing and not nested:
                        self._free()
            if mask is not None:
                return result & mask
            if len(masks) > 1:
                return tuple(v if m is None else v & m for v, m in zip(result, masks))
            return result

        return call

    def _failure(self, error: Exception, left: Callable[[], int]) -> BaseException:
        cell = self._calls.cell
        from_host: bool = cell[2] is error
        if from_host:
            cell[2] = None
            return error
        module, limits = self._module, self._limits
        # The text of a stack overflow has megabytes.
        text = str(error.args[0] if error.args else error)[:_TEXT_KEPT]
        head = text.split("\n", 1)[0].removeprefix("RuntimeError: ")
        kind = next((kind for part, kind in _KINDS if part in head), "other")
        raw = [(int(index), int(offset, 16)) for index, offset in _FRAME.findall(text)]
        if kind == "unreachable" and left() < 0:
            return core.budget_trap(module, limits, raw)
        return core.trap(module, kind, head, raw)

    def close(self) -> None:
        """Free the instance."""
        self._closing = True
        if not self._active:
            self._free()

    def _free(self) -> None:
        self.memory.release()
        self._functions.clear()
        self._instance = self._exports = self._memory = None
