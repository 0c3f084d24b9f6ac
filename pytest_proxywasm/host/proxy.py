"""One proxy process: what its VMs share, what happened in it, and what went wrong; knows no wasm."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import EnvoyCrashError, FilterError
from ..model import Callout, GuestLog, LogLevel
from ..trace import Trace
from .clock import Clock
from .history import History
from .shared import Metrics, Queues, SharedData

if TYPE_CHECKING:
    from ..abi.enums import Status
    from ..trace import Callback
    from .callouts import Cluster, PendingCallout
    from .grpc import GrpcPendingCallout
    from .vm import Vm

KEPT_WITHOUT_TRACE = 1000
"""How many logs and callouts a host without a trace keeps at least."""

ForeignFunction = Callable[[bytes], bytes]


class Proxy:
    """The process-wide state of a host.

    Attributes:
        tracing: whether events are kept.
        failures: errors of guests that nobody has been told of yet.
        watcher: looks at each callback that has returned, for tests that want no surprises.
        crashed: set once something happened that kills an Envoy process.
    """

    def __init__(self, *, seed: int = 0, tracing: bool = True, buffer_limit: int = 1 << 20) -> None:
        # Without a trace a host may run for very long: then it keeps no more than a test can want to look at.
        newest = None if tracing else KEPT_WITHOUT_TRACE
        self.clock = Clock()
        self.shared_data = SharedData()
        self.queues = Queues()
        self.metrics = Metrics()
        self.random = random.Random(seed)
        self.trace = Trace()
        self.tracing = tracing
        self.buffer_limit = buffer_limit
        self.log_level = LogLevel.TRACE
        self.logs: History[GuestLog] = History(newest)
        self.on_log: Callable[[GuestLog], None] | None = None
        self.clusters: dict[str, Cluster] = {}
        self.callouts: History[Callout] = History(newest)
        self.pending_callouts: list[PendingCallout | GrpcPendingCallout] = []
        self.foreign_functions: dict[bytes, ForeignFunction] = {}
        self.injector: Callable[[str, dict[str, Any]], Status | None] | None = None
        self.overrides: dict[tuple[bytes, ...], Any] = {}
        self.node: dict[str, Any] = {}
        self.listener_direction = 0
        self.envoy_headers = True
        self.failures: list[FilterError] = []
        self.on_test_acted: Callable[[], None] | None = None
        self.watcher: Callable[[Vm, Callback], None] | None = None
        self.crashed: EnvoyCrashError | None = None
        self._requests = 0
        self._connections = 0

    def log(self, level: LogLevel, message: bytes, context_id: int, filter_name: str) -> None:
        """A guest logged."""
        entry = GuestLog(level, message, context_id, filter_name)
        self.logs.add(entry)
        if self.on_log is not None:
            self.on_log(entry)

    def drop_callouts(self, vm: Vm) -> None:
        """A VM is gone: there is nobody to tell what its callouts came to."""
        for pending in list(self.pending_callouts):
            if pending.root.vm is vm:
                pending.drop()

    def next_request_id(self) -> bytes:
        """The id of the n-th request: ``00000000-0000-4000-8000-`` and n in twelve digits."""
        self._requests += 1
        return b"00000000-0000-4000-8000-%012d" % self._requests

    def next_connection_id(self) -> int:
        """Connections count from 1."""
        self._connections += 1
        return self._connections

    def report(self, error: FilterError) -> None:
        """A guest failed; whoever drives the host is told when it has done what a proxy does."""
        if error.trace is None:
            error.trace = self.trace
        self.failures.append(error)

    def test_acted(self) -> None:
        """A test made something happen by itself, such as the answer of a callout: tell it what went wrong."""
        if self.on_test_acted is not None and not self.clock.firing:
            self.on_test_acted()

    def crash(self, message: str, *, callback: str | None = None) -> EnvoyCrashError:
        """A real Envoy dies here; nothing works afterwards. Raise what this returns."""
        error = EnvoyCrashError(message, callback=callback)
        error.trace = self.trace
        self.crashed = error
        return error
