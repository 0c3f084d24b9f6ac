"""The errors users see, sorted by whose fault they are; knows nothing else of the package.

ProxyWasmError
├── FilterError              the filter's fault
│   ├── FilterStartError     it does not load, start or accept its configuration
│   ├── GuestTrap            it trapped (panic, unreachable, stack overflow, memory out of bounds, ...)
│   ├── GuestBudgetExceeded  it did not come back: an endless loop, as a rule
│   ├── StreamStalled        it paused a stream and nothing will ever resume it
│   ├── StrictError          it did what strict= forbids; also an ExpectationError
│   ├── AbiError             it broke the ABI (a callback with the wrong type, memory it does not own, ...)
│   └── EnvoyCrashError      it did what makes a real Envoy crash
├── UsageError               the test's fault
├── NotEmulatedError         ours: the mock host does not know this yet
├── EnvoyDiffersError        ours: the mock and a real Envoy disagree
└── ExpectationError         an expectation did not hold; also an AssertionError
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "AbiError",
    "EnvoyCrashError",
    "EnvoyDiffersError",
    "ExpectationError",
    "FilterError",
    "FilterStartError",
    "GuestBudgetExceeded",
    "GuestTrap",
    "NotEmulatedError",
    "ProxyWasmError",
    "StreamStalled",
    "StrictError",
    "UsageError",
]


class ProxyWasmError(Exception):
    """Base of every error this package raises on purpose."""


class FilterError(ProxyWasmError):
    """The filter did something wrong.

    Attributes:
        exchange: the exchange so far, when the error happened in one.
        trace: the trace so far.
        callback: name of the callback during which it happened, such as ``"proxy_on_request_headers"``.
    """

    exchange: Any = None
    trace: Any = None
    callback: str | None = None

    def __init__(self, message: str, *, callback: str | None = None) -> None:
        super().__init__(message)
        self.callback = callback


class FilterStartError(FilterError):
    """The guest does not load, or refuses its configuration, in the way that makes Envoy reject the listener."""


class GuestTrap(FilterError):
    """The guest trapped.

    Attributes:
        kind: what kind of trap, such as ``"unreachable"`` or ``"stack_overflow"``.
        frames: the guest's backtrace, innermost first.
    """

    kind: str
    frames: Sequence[Any]

    def __init__(
        self, message: str, *, callback: str | None = None, kind: str = "other", frames: Sequence[Any] = ()
    ) -> None:
        super().__init__(message, callback=callback)
        self.kind = kind
        self.frames = tuple(frames)


class GuestBudgetExceeded(GuestTrap):
    """One call into the guest used up its budget of loop rounds and function calls."""


class StreamStalled(FilterError):
    """A callback paused the stream, and no event is due that could resume it."""


class AbiError(FilterError):
    """The guest broke a rule of the Proxy-Wasm ABI in a way that leaves the host no answer."""


class EnvoyCrashError(FilterError):
    """The guest did what crashes a real Envoy process."""


class UsageError(ProxyWasmError):
    """The test used this package in a way that cannot work."""


class NotEmulatedError(ProxyWasmError):
    """The mock host does not emulate this (yet); it says so instead of inventing an answer."""


class EnvoyDiffersError(ProxyWasmError):
    """The mock host and a real Envoy gave different results for the same exchange."""


class ExpectationError(ProxyWasmError, AssertionError):
    """An expectation of the test did not hold."""


class StrictError(FilterError, ExpectationError):
    """The filter did something that a host with ``strict=`` does not let pass unnoticed.

    Attributes:
        hostcall: the first hostcall it is about, if it is about one.
    """

    hostcall: Any = None
