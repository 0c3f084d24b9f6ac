"""Host functions behind an argument window: Python callables without parameters; knows no engine.

The rewritten guest stores the arguments of an import in a page of memory and calls a function without any. That one
reads them with a single unpacking, calls the host function, and writes the result and a flag in one packing. Without
the flag the guest traps as soon as it is back: so a host function's exception needs nothing from the engine.
"""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

from .instrument import ARGUMENTS
from .interface import FunctionType, HostFunction

__all__ = ["Calls", "empty", "none_returned"]

_FORMATS = {"i32": "I4x", "i64": "Q", "f32": "f4x", "f64": "d"}
_MASKS = {"i32": 0xFFFFFFFF, "i64": 0xFFFFFFFFFFFFFFFF}


def empty() -> memoryview:
    """A view of no bytes, one for each instance because instances release their views."""
    return memoryview(bytearray())


def none_returned(function: HostFunction, kind: FunctionType) -> TypeError:
    """What is wrong with a host function that gives the guest nothing where it wants a value."""
    name = getattr(function, "__qualname__", repr(function))
    return TypeError(f"the host function {name} returned None, but the guest wants {kind.results[0]} ({kind})")


class Calls:
    """The call that is running now, of all instances of one linked module.

    ``cell`` holds the instance's data, its window, and the exception of a host function on its way through the guest.
    """

    def __init__(self) -> None:
        self.cell: list[Any] = [None, None, None]
        # Two threads may run instances of one module, but not at the same time: they share the cell.
        self.lock = threading.RLock()
        self._lost: BaseException | None = None
        self._hook: Callable[[Any], object] = sys.unraisablehook
        self._caught = self._catch

    def watch(self) -> Callable[[Any], object]:
        """Catch what ctypes drops from here on; returns the hook to put back when the outermost call is over.

        A signal handler may raise while a callback starts or ends, outside its ``try``; ctypes reports such an
        exception as unraisable and goes on as if nothing had happened.
        """
        previous = sys.unraisablehook
        if previous is not self._caught:
            self._hook = previous
            sys.unraisablehook = self._caught
        return previous

    def unwatch(self, previous: Callable[[Any], object]) -> None:
        """Put the hook back that `watch` returned."""
        sys.unraisablehook = previous

    def _catch(self, report: Any) -> None:
        if "ctypes callback" in (report.err_msg or "") and report.exc_value is not None:
            self._lost = report.exc_value
            self.cell[1][0] = 0
        else:
            self._hook(report)

    def raised(self) -> BaseException | None:
        """The exception that a host function raised, or a signal handler during one; it is handed out once."""
        error: BaseException | None = self.cell[2] or self._lost
        self.cell[2] = self._lost = None
        return error

    def callback(self, function: HostFunction, kind: FunctionType, done: int | None) -> Callable[[], int | None]:
        """The function without parameters behind an import; it returns ``done`` whatever happens."""
        cell = self.cell
        arguments = struct.Struct("<" + "".join(_FORMATS[t] for t in kind.params)).unpack_from
        if not kind.results:

            def callback() -> int | None:
                try:
                    window = cell[1]
                    function(cell[0], *arguments(window, ARGUMENTS))
                    window[0] = 1
                except BaseException as error:
                    cell[2] = error
                    cell[1][0] = 0
                return done

            return callback
        (result_type,) = kind.results
        pack_into = struct.Struct(f"<I4x{_FORMATS[result_type][0]}").pack_into
        mask = _MASKS.get(result_type)

        def callback_with_result() -> int | None:
            try:
                window = cell[1]
                result = function(cell[0], *arguments(window, ARGUMENTS))
                if result is None:
                    raise none_returned(function, kind)
                pack_into(window, 0, 1, result if mask is None else result & mask)
            except BaseException as error:
                cell[2] = error
                # A signal handler may raise right after the packing.
                cell[1][0] = 0
            return done

        return callback_with_result
