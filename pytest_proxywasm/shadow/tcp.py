"""`ShadowedTcpStream`: a TCP connection in the mock whose steps are also done in Envoy, and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import EnvoyCrashError, FilterError, GuestBudgetExceeded
from ..headers import Text
from ..mock.tcp import TcpStream
from ..model import Action
from .compare import compare_connections

if TYPE_CHECKING:
    from ..envoy.tcp import EnvoyTcpStream
    from ..mock import MockHost
    from ..mock.plugins import Worker
    from .shadow import Shadow

__all__ = ["ShadowedTcpStream"]


class ShadowedTcpStream(TcpStream):
    """The mock's connection; the test sees what it does."""

    def __init__(
        self, host: MockHost, worker: Worker, shadow: Shadow, others: Sequence[ShadowedTcpStream] = ()
    ) -> None:
        self._shadow = shadow
        self._other: EnvoyTcpStream | None = None
        self._counted = False
        error: FilterError | None = None
        before, now_ns = len(host.trace), host.clock.now_ns
        connected = any(stream.compared for stream in others)
        try:
            super().__init__(host, worker)
        except FilterError as caught:
            error = caught
        reason = shadow.reason(host, connected=connected)
        found: list[str] = []
        if not reason:
            self._other, found = shadow.connect(host, before, now_ns)
        if found:
            self._counted = True
            raise shadow.connection_differs("connect()", found) from error
        if self._other is not None:
            self._compare("connect()", error)
        else:
            self._count(reason or shadow.reason(host))
        if error is not None:
            raise error

    def downstream_data(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The client sends data, in both."""
        action: Action | None = self._both(
            "downstream_data(...)",
            lambda: super(ShadowedTcpStream, self).downstream_data(data, end_of_stream),
            lambda other: other.downstream_data(data, end_of_stream),
        )
        return action

    def upstream_data(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The upstream sends data, in both."""
        action: Action | None = self._both(
            "upstream_data(...)",
            lambda: super(ShadowedTcpStream, self).upstream_data(data, end_of_stream),
            lambda other: other.upstream_data(data, end_of_stream),
        )
        return action

    def close(self, peer: str = "downstream", reset: bool = False) -> None:
        """One side leaves, in both."""
        self._both(
            f"close({peer!r}, reset={reset})",
            lambda: super(ShadowedTcpStream, self).close(peer, reset),
            lambda other: other.close(peer, reset),
        )

    def refuse(self) -> None:
        """The upstream refuses the connection, in the mock only."""
        self._shadow.taint("connections are refused by the test")
        super().refuse()

    def _both(self, what: str, ours: Callable[[], Any], theirs: Callable[[EnvoyTcpStream], Any]) -> Any:
        error: FilterError | None = None
        result = None
        try:
            result = ours()
        except FilterError as caught:
            error = caught
        if self._still_compared(error):
            assert self._other is not None
            # A peer that has gone does not send any more; the mock loses what it says.
            if not self._other.finished:
                theirs(self._other)
            self._compare(what, error)
        if error is not None:
            raise error
        return result

    def _still_compared(self, error: FilterError | None) -> bool:
        if self._other is None:
            return False
        reason = self._shadow.reason(self._host)
        if isinstance(error, (EnvoyCrashError, GuestBudgetExceeded)):
            reason = "a connection on which the filter crashes Envoy or does not come back"
        if reason:
            self._shadow.taint(reason)
            self._count(reason)
            self._other = None
        return not reason

    def _compare(self, what: str, error: FilterError | None) -> None:
        assert self._other is not None
        self._shadow.caught_up(self._host)
        found = compare_connections(self, self._other)
        if found:
            self._other = None
            self._counted = True
            raise self._shadow.connection_differs(what, found) from error

    def _count(self, reason: str = "") -> None:
        if not self._counted:
            self._counted = True
            self._shadow.count_connection(reason)

    @property
    def compared(self) -> bool:
        """Whether it is open in Envoy as well."""
        return self._other is not None and not self.finished

    def finish_comparing(self) -> None:
        """The host closes."""
        self._count()
