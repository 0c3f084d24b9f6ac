"""The engine wasmtime over its public Python API; the fast route around that API is in `wasmtime_raw`.

Together the two files hold every name of wasmtime that this package uses.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

import wasmtime

from ..announce import Report
from . import core
from .binary import ModuleInfo
from .cache import ModuleCache
from .core import Built, CompiledModule, CompilingEngine
from .interface import BadModule, FunctionType, HostFunction, Limits, Trap
from .state import SavedInstance
from .window import Calls, empty

if TYPE_CHECKING:
    from .wasmtime_raw import RawLinked

__all__ = ["WasmtimeEngine", "failure", "keep", "wat_to_wasm"]

Handle = TypeVar("Handle")
_STACK = 1024 * 1024
_KINDS = {
    "STACK_OVERFLOW": "stack_overflow",
    "MEMORY_OUT_OF_BOUNDS": "memory_out_of_bounds",
    "HEAP_MISALIGNED": "memory_out_of_bounds",
    "TABLE_OUT_OF_BOUNDS": "table_out_of_bounds",
    "INDIRECT_CALL_TO_NULL": "indirect_call_to_null",
    "BAD_SIGNATURE": "bad_signature",
    "INTEGER_OVERFLOW": "integer_overflow",
    "INTEGER_DIVISION_BY_ZERO": "integer_division_by_zero",
    "BAD_CONVERSION_TO_INTEGER": "bad_conversion_to_integer",
    "UNREACHABLE": "unreachable",
}
_live: weakref.WeakSet[Any] = weakref.WeakSet()
_MASKS = {"i32": 0xFFFFFFFF, "i64": 0xFFFFFFFFFFFFFFFF}


def wat_to_wasm(text: str) -> bytes:
    """Assemble the text format."""
    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        raise BadModule(f"the text is no WebAssembly module: {error}") from None


def keep(handle: Handle) -> Handle:
    """Note a handle of the binding, to be closed before the interpreter takes the binding apart at its exit."""
    _live.add(handle)
    return handle


@atexit.register
def _close_all() -> None:
    for handle in list(_live):
        handle.close()


class WasmtimeEngine(CompilingEngine):
    """wasmtime; ``fast=False`` forces the public API, ``fast=True`` the raw route, ``None`` takes what works."""

    name = "wasmtime"
    window = True

    def __init__(
        self,
        cache: ModuleCache | None = None,
        on_compile: Report | None = None,
        *,
        fast: bool | None = None,
    ) -> None:
        super().__init__(cache, on_compile)
        self.version = version("wasmtime")
        config = wasmtime.Config()
        config.cranelift_opt_level = "none"
        config.max_wasm_stack = _STACK
        self.native = keep(wasmtime.Engine(config))
        self.raw = _raw_linked() if fast is not False else None
        if fast and self.raw is None:
            raise RuntimeError("this version of wasmtime lacks names that the fast route needs")

    def settings(self) -> str:
        return f"opt=none stack={_STACK}"

    def module(self, wasm: bytes, *, name: str = "") -> WasmtimeModule:
        """The compiled module of these bytes."""
        module = self.load(wasm, name)
        assert isinstance(module, WasmtimeModule)
        return module

    def compile(self, wasm: bytes) -> wasmtime.Module:
        try:
            return keep(wasmtime.Module(self.native, wasm))
        except wasmtime.WasmtimeError as error:
            raise BadModule(f"wasmtime {self.version} refuses the module: {_cause(str(error))}") from None

    def serialize(self, native: wasmtime.Module) -> bytes:
        return bytes(native.serialize())

    def deserialize(self, payload: bytes) -> wasmtime.Module:
        return keep(wasmtime.Module.deserialize(self.native, payload))

    def wrap(self, wasm: bytes, sha256: str, info: ModuleInfo, built: Built, window: bool) -> WasmtimeModule:
        return WasmtimeModule(self, wasm, sha256, info, built, window)


def _raw_linked() -> type[RawLinked] | None:
    try:
        from .wasmtime_raw import RawLinked
    except (ImportError, AttributeError):
        return None
    return RawLinked


def _cause(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and line.strip() != "Caused by:"]
    return ": ".join(lines)


class WasmtimeModule(CompiledModule):
    """A module compiled by wasmtime."""

    def __init__(self, engine: WasmtimeEngine, *args: Any) -> None:
        super().__init__(*args)
        self.engine = engine

    def link(self, functions: Mapping[tuple[str, str], HostFunction]) -> RawLinked | PublicLinked:
        """Bind host functions once, for any number of instances."""
        found = self.functions(functions)
        if self.engine.raw is not None:
            return self.engine.raw(self, found)
        return PublicLinked(self, found)


def failure(
    module: CompiledModule, limits: Limits, calls: Calls, error: Exception, left: Callable[[], int]
) -> BaseException:
    """What a failed call raises: the exception of a host function, or a `Trap` from what wasmtime reports."""
    raised = calls.raised()
    if raised is not None:
        return raised
    if not isinstance(error, wasmtime.Trap):
        return Trap("other", f"wasmtime could not run the guest: {_cause(str(error))}")
    code = error.trap_code
    kind = _KINDS.get(code.name, "other") if code is not None else "other"
    raw = [(frame.func_index, frame.module_offset) for frame in error.frames]
    if kind == "unreachable" and raw:
        if module.is_added(raw[0][0]):
            return core.host_trap("its exception was lost")
        if left() < 0:
            return core.budget_trap(module, limits, raw)
    return core.trap(module, kind, "" if code is None else code.name.lower().replace("_", " "), raw)


class PublicLinked:
    """Host functions bound through ``Linker.define_func``."""

    def __init__(self, module: WasmtimeModule, found: list[tuple[HostFunction, FunctionType]]) -> None:
        self.module = module
        self.calls = Calls()
        linker = keep(wasmtime.Linker(module.engine.native))
        nothing = keep(wasmtime.FuncType([], []))
        for number, (function, kind) in enumerate(found):
            linker.define_func("h", str(number), nothing, self.calls.callback(function, kind, None))
        self.linker = linker
        self.prepared = keep(linker.instantiate_pre(module.native))

    def instantiate(self, data: object, limits: Limits = core.NO_LIMITS) -> PublicInstance:
        """A fresh instance."""
        return PublicInstance(self, data, limits)


class PublicInstance(SavedInstance):
    """An instance driven through ``Func.__call__``."""

    memory: memoryview

    def __init__(self, linked: PublicLinked, data: object, limits: Limits) -> None:
        module = linked.module
        cap = module.check_memory(limits)
        self._module = module
        self._calls = linked.calls
        self.data = data
        self._limits = limits
        self._active = False
        self._closing = False
        self._functions: dict[str, Callable[..., Any]] = {}
        self._store = keep(wasmtime.Store(module.engine.native))
        self.memory = empty()
        try:
            self._exports = linked.prepared.instantiate(self._store).exports(self._store)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            self._store.close()
            raise failure(module, limits, self._calls, error, lambda: 0) from None
        window = self._exports["w"]
        assert isinstance(window, wasmtime.Memory)
        self._window = _view(window, self._store)
        memory = self._exports["m"] if module.has_memory else None
        self._memory = memory if isinstance(memory, wasmtime.Memory) else None
        try:
            self.renew()
            if limits != core.NO_LIMITS:
                self._native("c")(self._store, limits.budget, cap)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Run the module's start section."""
        if self._module.info.start is not None:
            self._bind(self._native("s"), self._native("s"), FunctionType((), ()))()

    def _native(self, name: str) -> wasmtime.Func:
        function = self._exports[name]
        assert isinstance(function, wasmtime.Func)
        return function

    def renew(self) -> memoryview:
        """Refresh ``memory``."""
        if self._closing:
            raise core.closed()
        if self._memory is not None and self._memory.data_len(self._store) != len(self.memory):
            self.memory = _view(self._memory, self._store)
        return self.memory

    @property
    def budget_used(self) -> int:
        """Of the last or ongoing outermost call."""
        if self._closing:
            raise core.closed()
        return self._limits.budget - max(self._left(), 0)

    def _left(self) -> int:
        return int(self._native("b")(self._store))

    def function(self, name: str) -> Callable[..., Any] | None:
        """The exported function."""
        bound = self._functions.get(name)
        if bound is None and name in self._module.exported:
            if self._closing:
                raise core.closed()
            number, kind = self._module.exported[name]
            bound = self._bind(self._native(f"o{number}"), self._native(f"i{number}"), kind)
            self._functions[name] = bound
        return bound

    def added(self, name: str, kind: FunctionType) -> Callable[..., Any]:
        """A function that the rewriting added."""
        return self._bind(self._native(name), self._native(name), kind)

    @property
    def compiled(self) -> CompiledModule:
        """The instance's module."""
        return self._module

    def _bind(self, outer: wasmtime.Func, inner: wasmtime.Func, kind: FunctionType) -> Callable[..., Any]:
        calls, cell, store = self._calls, self._calls.cell, self._store
        result_masks = [_MASKS.get(t) for t in kind.results]
        core.check_callable(kind)

        def call(*args: Any) -> Any:
            if self._closing:
                raise core.closed()
            with calls.lock:
                nested = self._active
                saved = cell[0], cell[1]
                cell[0], cell[1], self._active = self.data, self._window, True
                hook = calls.watch()
                try:
                    result = (inner if nested else outer)(store, *core.signed_arguments(kind, args))
                except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
                    raise failure(self._module, self._limits, calls, error, self._left) from None
                finally:
                    calls.unwatch(hook)
                    cell[0], cell[1] = saved
                    self._active = nested
                    if self._closing and not nested:
                        self._free()
            if len(result_masks) > 1:
                return tuple(v if m is None else v & m for v, m in zip(result, result_masks))
            return result & result_masks[0] if result_masks and result_masks[0] is not None else result

        return call

    def close(self) -> None:
        """Free the instance."""
        self._closing = True
        if not self._active:
            self._free()

    def _free(self) -> None:
        self.memory.release()
        self._window.release()
        self._functions.clear()
        self._store.close()


def _view(memory: wasmtime.Memory, store: wasmtime.Store) -> memoryview:
    size = memory.data_len(store)
    if size == 0:
        return empty()
    return memoryview(memory.get_buffer_ptr(store, size)).cast("B")
