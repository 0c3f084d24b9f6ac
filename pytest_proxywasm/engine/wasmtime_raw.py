"""The fast route to wasmtime: its C functions, called through ctypes without the Python binding's conversions.

The names used here are private to the binding: importing this file fails with `ImportError` or `AttributeError` when
one of them is missing, and the engine then takes the public API. Raw handles keep nothing alive, so each object holds
what its handles need.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import _ffi as ffi

from . import core
from .interface import FunctionType, HostFunction, Limits, Trap
from .state import SavedInstance
from .window import Calls, empty

if TYPE_CHECKING:
    from .core import CompiledModule
    from .wasmtime_engine import WasmtimeModule

__all__ = ["RawInstance", "RawLinked"]

_pointer, _size = ctypes.c_void_p, ctypes.c_size_t
# PyDLL keeps the interpreter lock, which spares two handovers in every call and every callback.
_library = ctypes.PyDLL(None, handle=ffi.dll._handle)


def _foreign(name: str, result: Any, *arguments: Any) -> Any:
    function = _library[name]
    function.restype = result
    function.argtypes = arguments
    return function


_store_new = _foreign("wasmtime_store_new", _pointer, _pointer, _pointer, _pointer)
_store_context = _foreign("wasmtime_store_context", _pointer, _pointer)
_store_delete = _foreign("wasmtime_store_delete", None, _pointer)
_instantiate = _foreign("wasmtime_instance_pre_instantiate", _pointer, _pointer, _pointer, _pointer, _pointer)
_export_get = _foreign(
    "wasmtime_instance_export_get", ctypes.c_bool, _pointer, _pointer, ctypes.c_char_p, _size, _pointer
)
_memory_data = _foreign("wasmtime_memory_data", _pointer, _pointer, _pointer)
_memory_size = _foreign("wasmtime_memory_data_size", _size, _pointer, _pointer)
_trap_delete = _foreign("wasm_trap_delete", None, _pointer)
_call = _foreign("wasmtime_func_call_unchecked", _pointer, _pointer, _pointer, _pointer, _size, _pointer)
_define = _foreign(
    "wasmtime_linker_define_func_unchecked",
    _pointer,
    _pointer,
    ctypes.c_char_p,
    _size,
    ctypes.c_char_p,
    _size,
    _pointer,
    _pointer,
    _pointer,
    _pointer,
)
_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.restype = ctypes.py_object
_view.argtypes = (_pointer, ctypes.c_ssize_t, ctypes.c_int)

# The function wants four parameters; one that takes none of them may be called with them in every C ABI.
# Its result is a trap to free. When a callback fails before its first bytecode (a signal handler raises there, or the
# stack is full), ctypes writes no result at all, and wasmtime would free whatever lay there. So the Python function is
# the callback of an inner function without a result, which always comes back with None, and None is a null pointer.
_Inner = ctypes.PYFUNCTYPE(None)
_Callback = ctypes.PYFUNCTYPE(ctypes.c_void_p)
_WRITABLE = 0x200
_OF = ffi.wasmtime_extern_t.of.offset
_VALUE_SIZE = ctypes.sizeof(ffi.wasmtime_val_raw_t)
_FORMATS = {"i32": "I", "i64": "Q", "f32": "f", "f64": "d"}
_PADDING = {"i32": _VALUE_SIZE - 4, "i64": _VALUE_SIZE - 8, "f32": _VALUE_SIZE - 4, "f64": _VALUE_SIZE - 8}
_MASKS = {"i32": 0xFFFFFFFF, "i64": 0xFFFFFFFFFFFFFFFF}
if _VALUE_SIZE != 16:
    raise ImportError(f"a raw value of wasmtime takes {_VALUE_SIZE} bytes instead of 16")


def _values(types: tuple[str, ...]) -> struct.Struct:
    return struct.Struct("<" + "".join(f"{_FORMATS[t]}{_PADDING[t]}x" for t in types))


def _address(handle: Any) -> int:
    address = ctypes.cast(handle, _pointer).value
    assert address
    return address


class RawLinked:
    """Host functions bound as unchecked C callbacks."""

    def __init__(self, module: WasmtimeModule, found: list[tuple[HostFunction, FunctionType]]) -> None:
        from .wasmtime_engine import keep

        self.module = module
        self.calls = Calls()
        self.trap = _pointer()
        self.trap_address = ctypes.addressof(self.trap)
        self.engine = module.engine.native
        self.engine_address = _address(self.engine.ptr())
        linker = keep(wasmtime.Linker(self.engine))
        nothing = keep(wasmtime.FuncType([], []))
        linker_address, type_address = _address(linker.ptr()), _address(nothing.ptr())
        self._kept: list[Any] = [linker, nothing]
        for number, (function, kind) in enumerate(found):
            callback = _Callback(_Inner(self.calls.callback(function, kind, None)))
            self._kept.append(callback)
            name = str(number).encode()
            error = _define(linker_address, b"h", 1, name, len(name), type_address, _address(callback), None, None)
            if error:
                raise wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t)))
        self._kept.append(prepared := keep(linker.instantiate_pre(module.native)))
        self.prepared_address = _address(prepared.ptr())
        self.layouts: dict[FunctionType, tuple[struct.Struct, struct.Struct]] = {}

    def instantiate(self, data: object, limits: Limits = core.NO_LIMITS) -> RawInstance:
        """A fresh instance."""
        return RawInstance(self, data, limits)

    def layout(self, kind: FunctionType) -> tuple[struct.Struct, struct.Struct]:
        """How the arguments and results of a function lie in memory."""
        found = self.layouts.get(kind)
        if found is None:
            core.check_callable(kind)
            found = self.layouts[kind] = _values(kind.params), _values(kind.results)
        return found

    def error(self, error: int | None) -> Exception | None:
        """What the last C call failed with; takes it out of its cell."""
        trap = self.trap.value
        self.trap.value = None
        if error:
            return wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t)))
        if trap:
            return wasmtime.Trap._from_ptr(ctypes.cast(trap, ctypes.POINTER(ffi.wasm_trap_t)))
        return None


class _Store:
    """A raw store, freed with this object at the latest."""

    __slots__ = ("address", "context", "delete")

    def __init__(self, engine: int) -> None:
        self.address: int | None = None
        self.delete = _store_delete
        self.address = _store_new(engine, None, None)
        self.context = _store_context(self.address)

    def close(self) -> None:
        address, self.address = self.address, None
        if address:
            self.delete(address)

    def __del__(self) -> None:
        self.close()


class RawInstance(SavedInstance):
    """An instance driven through C functions."""

    __slots__ = (
        "_active",
        "_closing",
        "_functions",
        "_instance",
        "_instance_address",
        "_limits",
        "_linked",
        "_memory",
        "_store",
        "_window",
        "data",
        "memory",
    )
    memory: memoryview

    def __init__(self, linked: RawLinked, data: object, limits: Limits) -> None:
        module = linked.module
        cap = module.check_memory(limits)
        self._linked = linked
        self.data = data
        self._limits = limits
        self._active = False
        self._closing = False
        self._functions: dict[str | tuple[str], Callable[..., Any]] = {}  # of the guest | added
        self._store = store = _Store(linked.engine_address)
        self._instance = ffi.wasmtime_instance_t()
        self._instance_address = ctypes.addressof(self._instance)
        self.memory = empty()
        self._window = empty()
        with linked.calls.lock:
            error = _instantiate(linked.prepared_address, store.context, self._instance_address, linked.trap_address)
            failed = linked.error(error) if error or linked.trap.value else None
        if failed is not None:
            from .wasmtime_engine import failure

            self._closing = True
            store.close()
            raise failure(module, limits, linked.calls, failed, lambda: 0)
        window = self._export(b"w")
        self._window = _view(_memory_data(store.context, ctypes.addressof(window) + _OF), 65536, _WRITABLE)
        self._memory = self._export(b"m") if module.has_memory else None
        try:
            self.renew()
            if limits is not core.NO_LIMITS and limits != core.NO_LIMITS:
                self._plain(b"c", struct.pack("<Q8xI12x", limits.budget, cap))
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Run the module's start section."""
        if self._linked.module.info.start is not None:
            self._bind(b"s", b"s", FunctionType((), ()))()

    def _export(self, name: bytes) -> Any:
        item = ffi.wasmtime_extern_t()
        if not _export_get(self._store.context, self._instance_address, name, len(name), ctypes.addressof(item)):
            raise KeyError(name)
        return item

    def _plain(self, name: bytes, values: bytes) -> bytes:
        """Call one of the functions that the rewriting added, which cannot fail."""
        buffer = ctypes.create_string_buffer(values, len(values))
        item = self._export(name)
        with self._linked.calls.lock:
            error = _call(
                self._store.context,
                ctypes.addressof(item) + _OF,
                buffer,
                len(values) // _VALUE_SIZE,
                self._linked.trap_address,
            )
            failed = self._linked.error(error)
        if failed is not None:
            raise Trap("other", f"wasmtime could not run the guest: {failed}")
        return buffer.raw

    def renew(self) -> memoryview:
        """Refresh ``memory``."""
        if self._closing:
            raise core.closed()
        memory = self._memory
        if memory is not None:
            address = ctypes.addressof(memory) + _OF
            context = self._store.context
            size = _memory_size(context, address)
            if size != len(self.memory):
                self.memory = _view(_memory_data(context, address), size, _WRITABLE)
        return self.memory

    @property
    def budget_used(self) -> int:
        """Of the last or ongoing outermost call."""
        if self._closing:
            raise core.closed()
        return self._limits.budget - max(self._left(), 0)

    def _left(self) -> int:
        left: int = struct.unpack_from("<q", self._plain(b"b", bytes(_VALUE_SIZE)))[0]
        return left

    def function(self, name: str) -> Callable[..., Any] | None:
        """The exported function."""
        bound = self._functions.get(name)
        if bound is None:
            found = self._linked.module.exported.get(name)
            if found is None:
                return None
            if self._closing:
                raise core.closed()
            number = found[0]
            bound = self._functions[name] = self._bind(b"o%d" % number, b"i%d" % number, found[1])
        return bound

    def added(self, name: str, kind: FunctionType) -> Callable[..., Any]:
        """A function that the rewriting added."""
        bound = self._functions.get((name,))
        if bound is None:
            export = name.encode()
            bound = self._functions[name,] = self._bind(export, export, kind)
        return bound

    @property
    def compiled(self) -> CompiledModule:
        """The instance's module."""
        return self._linked.module

    def _bind(self, outer: bytes, inner: bytes, kind: FunctionType) -> Callable[..., Any]:
        linked, store, window = self._linked, self._store, self._window
        parameters, results = linked.layout(kind)
        pack, unpack = parameters.pack_into, results.unpack_from
        count = max(len(kind.params), len(kind.results), 1)
        buffer = ctypes.create_string_buffer(count * _VALUE_SIZE)
        buffer_address = ctypes.addressof(buffer)
        calls = linked.calls
        cell, lock, watch, unwatch = calls.cell, calls.lock, calls.watch, calls.unwatch
        trap, trap_address, context = linked.trap, linked.trap_address, store.context
        # The list keeps alive what the addresses point to.
        items = [self._export(outer)]
        outer_address, inner_address = ctypes.addressof(items[0]) + _OF, 0
        single = len(kind.results) == 1
        several = len(kind.results) > 1

        def call(*args: Any) -> Any:
            nonlocal inner_address
            if self._closing:
                raise core.closed()
            with lock:
                saved_data, saved_window = cell[0], cell[1]
                if nested := self._active:
                    if not inner_address:
                        items.append(self._export(inner))
                        inner_address = ctypes.addressof(items[1]) + _OF
                    address = inner_address
                else:
                    address = outer_address
                hook = watch()
                self._active = True
                cell[0], cell[1] = self.data, window
                try:
                    try:
                        pack(buffer, 0, *args)
                    except struct.error:
                        pack(buffer, 0, *_wrapped(kind, args))
                    try:
                        error = _call(context, address, buffer_address, count, trap_address)
                    except ctypes.ArgumentError as wrong:
                        # Nothing is wrong with the arguments: ctypes words a RecursionError so.
                        raise RecursionError(str(wrong)) from None
                    if error or trap.value:
                        pending = cell[2]
                        if pending is not None:
                            # Without another frame: the exception may say that there is no room for one.
                            failed, trap.value, cell[2] = trap.value, None, None
                            with suppress(RecursionError):
                                _trap_delete(failed)
                            raise pending
                        raise self._failure(error)
                    if single:
                        return unpack(buffer)[0]
                    return unpack(buffer) if several else None
                finally:
                    unwatch(hook)
                    cell[0], cell[1] = saved_data, saved_window
                    self._active = nested
                    if self._closing and not nested:
                        self._free()

        return call

    def _failure(self, error: int | None) -> BaseException:
        from .wasmtime_engine import failure

        failed = self._linked.error(error)
        assert failed is not None
        return failure(self._linked.module, self._limits, self._linked.calls, failed, self._left)

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


def _wrapped(kind: FunctionType, args: tuple[Any, ...]) -> list[Any]:
    """Arguments with integers cut to their unsigned values."""
    if len(args) != len(kind.params):
        raise TypeError(f"a function of type {kind} was called with {len(args)} arguments")
    return [value & _MASKS[t] if t in _MASKS else value for t, value in zip(kind.params, args)]
