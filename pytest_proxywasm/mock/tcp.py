"""`TcpStream`: a TCP connection through the chain, as tests drive it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import FilterError, UsageError
from ..headers import Text, to_bytes
from ..host.plugin import PluginConfig
from ..host.tcp.context import TcpContext
from ..host.tcp.stream import ContextFactory, TcpStreamCore
from ..model import Action
from ..trace import Trace

if TYPE_CHECKING:
    from .host import MockHost
    from .plugins import Worker

PEERS = ("downstream", "upstream")


class TcpStream:
    """One TCP connection that a test drives from both its ends: the client (downstream) and the upstream.

    The client is connected when ``host.connect()`` returns, and the upstream as soon as every filter has let the new
    connection pass. Several connections may be open and interleaved. What is due (callout answers) is delivered when
    time moves (``host.clock.advance``) and before each step of the upstream.

    As on a real socket, what is sent to a connection that has been closed meanwhile is lost, without an error.

    Attributes:
        errors: failures of guests in steps of this connection, on a host with ``on_trap="continue"``.
    """

    def __init__(self, host: MockHost, worker: Worker) -> None:
        self._host = host
        self.errors: list[FilterError] = []
        self._starts_at = len(host.trace)
        self._leaving = ""
        self._core = TcpStreamCore(host._proxy, [_maker(worker, config) for config in host._configs])
        self._core.on_end_passed = self._end_passed
        host._track(self._core)
        self._step(self._core.accept)

    # What the peers do.

    def downstream_data(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The client sends data, or ends its half of the connection, or both.

        It is kept back while a filter holds the new connection. More than ``buffer_limit`` comes in several
        callbacks, and stays in the client's socket while a filter holds so much (Envoy 1.40).

        Returns:
            What the last callback returned that this caused; ``None`` if there was none.

        Raises:
            UsageError: the client has ended its half already.
        """
        piece = to_bytes(data, "data")
        return self._step(lambda: self._core.client_sends(piece, end_of_stream))

    def upstream_data(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The upstream sends data, or ends its half of the connection, or both.

        Returns:
            What the last callback returned that this caused; ``None`` if there was none.

        Raises:
            UsageError: the upstream has ended its half already, or a filter holds the new connection, so that there
                is no upstream yet.
        """
        self._pump()
        piece = to_bytes(data, "data")
        return self._step(lambda: self._core.upstream_sends(piece, end_of_stream))

    def close(self, peer: str = "downstream", reset: bool = False) -> None:
        """One side leaves.

        In good order it ends its half; the other side sees that, and leaves as well: this gives the callbacks of a
        client (or an upstream) that closes, and a closed connection. If a filter holds the end back, the other side
        does not know of it, and the connection stays open, as in Envoy, until the filter lets the end pass.

        With ``reset=True`` it breaks off, and the connection is closed at once; a client's reset is only noticed when
        no filter holds the new connection.

        On a closed connection this does nothing.

        Args:
            peer: ``"downstream"`` (the client) or ``"upstream"``.
        """
        if peer not in PEERS:
            raise UsageError(f'close(peer={peer!r}): it is "downstream" or "upstream"')
        core = self._core
        if peer == "upstream":
            self._pump()
        if reset:
            self._step(core.client_resets if peer == "downstream" else core.upstream_resets)
            return
        self._leaving = peer
        wire, send = (core.client, core.client_sends) if peer == "downstream" else (core.upstream, core.upstream_sends)
        if not wire.ended:
            self._step(lambda: send(b"", True))
        elif core.has_passed(peer):
            self._end_passed(peer)
        self._pump()
        self._raise_failures()

    def refuse(self) -> None:
        """The upstream cannot be connected to; the client's connection is closed."""
        self._pump()
        self._step(self._core.upstream_refuses)

    # What has come of it.

    @property
    def sent_upstream(self) -> bytes:
        """What has passed all filters on its way to the upstream."""
        return bytes(self._core.sent_upstream)

    @property
    def sent_downstream(self) -> bytes:
        """What has passed all filters on its way to the client."""
        return bytes(self._core.sent_downstream)

    @property
    def upstream_complete(self) -> bool:
        """Whether the client's end of stream has reached the upstream."""
        return self._core.has_passed("downstream")

    @property
    def downstream_complete(self) -> bool:
        """Whether the upstream's end of stream has reached the client."""
        return self._core.has_passed("upstream")

    @property
    def actions(self) -> list[Action]:
        """What the callbacks returned, in order: new connection, downstream data and upstream data of all filters."""
        return list(self._core.actions)

    @property
    def closed_by(self) -> str | None:
        """Who closed the connection; ``None`` while it is open.

        ``"downstream"`` or ``"upstream"``: this side ended first, or broke off. ``"filter"``: a filter closed it, or
        failed. ``"proxy"``: the host was closed.
        """
        return self._core.closed_by

    @property
    def paused(self) -> bool:
        """Whether a filter holds the new connection, or data or the end of either direction."""
        return self._core.held

    @property
    def finished(self) -> bool:
        """Whether the connection is closed and its contexts are deleted."""
        return self._core.finished

    @property
    def trace(self) -> Trace:
        """What happened in the host since this connection was opened."""
        since: Trace = self._host.trace[self._starts_at :]
        return since

    # How a step goes.

    def _step(self, action: Callable[[], None]) -> Action | None:
        self._host._check_usable(self._core)
        self._core.last_action = None
        action()
        self._raise_failures()
        return self._core.last_action

    def _pump(self) -> None:
        self._host._check_usable(self._core)
        self._host._pump()

    def _raise_failures(self) -> None:
        self.errors += self._host._take_failures()

    def _end_passed(self, peer: str) -> None:
        """The other side learns that its peer has ended; if that has left, so does this one."""
        if peer != self._leaving:
            return
        core = self._core
        wire, send = (core.upstream, core.upstream_sends) if peer == "downstream" else (core.client, core.client_sends)

        def leave() -> None:
            if not wire.ended:
                send(b"", True)

        self._host.clock.call_later(0, leave)

    def __repr__(self) -> str:
        state = f"closed by {self.closed_by}" if self.closed_by else "paused" if self.paused else "open"
        return f"<TcpStream {state}, {len(self.sent_upstream)} bytes up, {len(self.sent_downstream)} bytes down>"


def _maker(worker: Worker, config: PluginConfig) -> ContextFactory:
    return lambda stream: worker.context(config, TcpContext, stream)
