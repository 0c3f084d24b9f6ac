"""Test compiled Proxy-Wasm filters in pytest, in a mock host that behaves like Envoy.

The public names; each is loaded from its module at first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .abi.enums import BufferType, Errno, MapType, MetricType, PeerType, Status, StreamType
    from .errors import (
        AbiError,
        EnvoyCrashError,
        EnvoyDiffersError,
        ExpectationError,
        FilterError,
        FilterStartError,
        GuestBudgetExceeded,
        GuestTrap,
        NotEmulatedError,
        ProxyWasmError,
        StreamStalled,
        StrictError,
        UsageError,
    )
    from .filters import Filter
    from .host.callouts import PendingCallout
    from .host.grpc import GrpcPendingCallout
    from .invariants import CheckReport, Invariant, InvariantError, check
    from .mock import MockHost
    from .mock.stream import HttpStream
    from .mock.strict import Strict
    from .mock.tcp import TcpStream
    from .model import (
        Action,
        After,
        Callout,
        ConnectionRefused,
        Exchange,
        GrpcResponse,
        GuestLog,
        HeaderChanges,
        Headers,
        LocalResponse,
        LogLevel,
        Metric,
        NoHosts,
        Request,
        Reset,
        Response,
        Timeout,
    )
    from .plans import Answer, Drop, ExchangePlan, Schedule, Step, TcpPlan, Wait
    from .stand_ins import ANY, Placeholder, matching
    from .toolkit import Toolkit
    from .trace import Callback, Hostcall, Trace, WasiCall

__all__ = [
    "ANY",
    "AbiError",
    "Action",
    "After",
    "Answer",
    "BufferType",
    "Callback",
    "Callout",
    "CheckReport",
    "ConnectionRefused",
    "Drop",
    "EnvoyCrashError",
    "EnvoyDiffersError",
    "Errno",
    "Exchange",
    "ExchangePlan",
    "ExpectationError",
    "Filter",
    "FilterError",
    "FilterStartError",
    "GrpcPendingCallout",
    "GrpcResponse",
    "GuestBudgetExceeded",
    "GuestLog",
    "GuestTrap",
    "HeaderChanges",
    "Headers",
    "Hostcall",
    "HttpStream",
    "Invariant",
    "InvariantError",
    "LocalResponse",
    "LogLevel",
    "MapType",
    "Metric",
    "MetricType",
    "MockHost",
    "NoHosts",
    "NotEmulatedError",
    "PeerType",
    "PendingCallout",
    "Placeholder",
    "ProxyWasmError",
    "Request",
    "Reset",
    "Response",
    "Schedule",
    "Status",
    "Step",
    "StreamStalled",
    "StreamType",
    "Strict",
    "StrictError",
    "TcpPlan",
    "TcpStream",
    "Timeout",
    "Toolkit",
    "Trace",
    "UsageError",
    "Wait",
    "WasiCall",
    "check",
    "matching",
]

_HOMES = {
    "abi.enums": ("BufferType", "Errno", "MapType", "MetricType", "PeerType", "Status", "StreamType"),
    "filters": ("Filter",),
    "host.callouts": ("PendingCallout",),
    "host.grpc": ("GrpcPendingCallout",),
    "invariants": ("CheckReport", "Invariant", "InvariantError", "check"),
    "stand_ins": ("ANY", "Placeholder", "matching"),
    "mock": ("MockHost",),
    "mock.stream": ("HttpStream",),
    "mock.strict": ("Strict",),
    "mock.tcp": ("TcpStream",),
    "model": (
        "Action",
        "After",
        "Callout",
        "ConnectionRefused",
        "Exchange",
        "GrpcResponse",
        "GuestLog",
        "HeaderChanges",
        "Headers",
        "LocalResponse",
        "LogLevel",
        "Metric",
        "NoHosts",
        "Request",
        "Reset",
        "Response",
        "Timeout",
    ),
    "plans": ("Answer", "Drop", "ExchangePlan", "Schedule", "Step", "TcpPlan", "Wait"),
    "toolkit": ("Toolkit",),
    "trace": ("Callback", "Hostcall", "Trace", "WasiCall"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOME.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
