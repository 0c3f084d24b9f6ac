"""`EnvoyTcpStream`: a TCP connection through a real Envoy, both ends of which a test drives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..backends import refuse
from ..errors import FilterError, UsageError
from ..headers import Text, to_bytes
from ..model import Action
from ..trace import Callback, Trace
from .client import connect
from .instance import Instance
from .tcp_server import Peer, TcpServer

if TYPE_CHECKING:
    from .host import EnvoyHost

__all__ = ["EnvoyTcpStream"]

ACCEPT_SECONDS = 10.0
_DATA = ("proxy_on_new_connection", "proxy_on_downstream_data", "proxy_on_upstream_data")


class EnvoyTcpStream:
    """One TCP connection; see ``TcpStream``, whose members it has.

    Each step returns when Envoy has done what follows from it.

    Attributes:
        errors: failures of guests in steps of this connection, on a host with ``on_trap="continue"``.
    """

    def __init__(self, host: EnvoyHost, instance: Instance) -> None:
        self.errors: list[FilterError] = []
        self._host = host
        self._instance = instance
        assert isinstance(instance.upstream, TcpServer)
        self._server: TcpServer = instance.upstream
        self._known = len(self._server.peers)
        instance.read()
        self._starts_at = len(instance.reading.trace)
        self._contexts: set[int] = set()
        self._leaver = ""
        self._upstream: Peer | None = None
        connection = connect(instance.port)
        instance.reading.varying.begin(connection.getsockname()[1])
        self._client = Peer(connection)
        self._settle()
        events = instance.reading.trace[self._starts_at :]
        self._contexts = {event.context_id for event in events.callbacks("proxy_on_context_create")} or {
            event.context_id for event in events.callbacks("proxy_on_new_connection")
        }
        self._find_upstream()
        self._raise_failures()

    # What the peers do.

    def downstream_data(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The client sends data, or ends its half of the connection, or both."""
        if self._client.sent_end:
            raise UsageError("the client has ended its half already")
        return self._step(self._client, to_bytes(data, "data"), end_of_stream, "downstream")

    def upstream_data(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The upstream sends data, or ends its half of the connection, or both."""
        peer = self._find_upstream()
        if peer is None:
            raise UsageError("there is no upstream yet: a filter holds the new connection, or the connection is closed")
        if peer.sent_end:
            raise UsageError("the upstream has ended its half already")
        return self._step(peer, to_bytes(data, "data"), end_of_stream, "upstream")

    def close(self, peer: str = "downstream", reset: bool = False) -> None:
        """One side leaves: in good order, which the other side answers by leaving as well, or with a reset."""
        if peer not in ("downstream", "upstream"):
            raise UsageError(f'close(peer={peer!r}): it is "downstream" or "upstream"')
        if self.finished:
            return
        upstream = self._find_upstream()
        first, second = (self._client, upstream) if peer == "downstream" else (upstream, self._client)
        if first is None:
            raise UsageError("there is no upstream yet: a filter holds the new connection")
        if reset:
            self._leaver = self._leaver or peer
            first.close(reset=True)
            self._settle()
        else:
            if not first.sent_end:
                self._leaver = self._leaver or peer
                first.send(b"", True)
                self._settle()
            if second is not None and second.ended and not second.sent_end:
                second.send(b"", True)
                self._settle()
        self._raise_failures()

    def refuse(self) -> None:
        """Only the mock can still refuse the connection to the upstream here."""
        refuse("TcpStream.refuse")

    # What has come of it.

    @property
    def sent_upstream(self) -> bytes:
        """What has passed all filters on its way to the upstream."""
        peer = self._find_upstream()
        return bytes(peer.received) if peer is not None else b""

    @property
    def sent_downstream(self) -> bytes:
        """What has passed all filters on its way to the client."""
        return bytes(self._client.received)

    @property
    def upstream_complete(self) -> bool:
        """Whether the client's end of stream has reached the upstream."""
        return self._upstream is not None and self._upstream.ended

    @property
    def downstream_complete(self) -> bool:
        """Whether the upstream's end of stream has reached the client."""
        return self._client.ended

    @property
    def actions(self) -> list[Action]:
        """What the callbacks returned, in order: new connection, downstream data and upstream data of all filters."""
        return [event.action for event in self._events() if isinstance(event.action, Action) and event.name in _DATA]

    @property
    def closed_by(self) -> str | None:
        """Who closed the connection; ``None`` while it is open."""
        if not self.finished:
            return None
        return self._leaver or "filter"

    @property
    def paused(self) -> bool:
        """Whether a filter holds the new connection or a direction: what its last callback returned."""
        last: dict[tuple[int, str], Action] = {}
        for event in self._events():
            if event.name in _DATA and isinstance(event.action, Action):
                last[event.context_id, event.name] = event.action
        return not self.finished and any(last.values())

    @property
    def finished(self) -> bool:
        """Whether the connection is closed."""
        self._client.pump()
        return self._client.broken or (self._client.ended and (self._client.sent_end or self._is_gone()))

    @property
    def trace(self) -> Trace:
        """What happened in the host since this connection was opened."""
        since: Trace = self._host.trace[self._starts_at :]
        return since

    # How a step goes.

    def _is_gone(self) -> bool:
        """Whether the worker has told the filters that the client's connection is closed."""
        return any(event.name == "proxy_on_downstream_connection_close" for event in self._events())

    def _events(self) -> list[Callback]:
        return [event for event in self.trace if not self._contexts or event.context_id in self._contexts]

    def _find_upstream(self) -> Peer | None:
        """The upstream's end, once it is connected."""
        if self._upstream is None:
            held = [event for event in self._instance.reading.trace[self._starts_at :] if event.name == _DATA[0]]
            waits = any(event.action for event in held) and not self._server.peers[self._known :]
            self._client.pump()
            gone = self._client.ended or self._client.broken
            self._upstream = self._server.next_peer(self._known, 0.02 if waits or gone else ACCEPT_SECONDS)
        return self._upstream

    def _step(self, peer: Peer, data: bytes, end: bool, name: str) -> Action | None:
        self._host._check_usable("tcp")
        before = len(self.actions)
        if end:
            self._leaver = self._leaver or name
        peer.send(data, end)
        self._settle()
        self._raise_failures()
        actions = self.actions
        return actions[-1] if len(actions) > before else None

    def _settle(self) -> None:
        """Wait until Envoy has done everything, and read what it sent."""
        for _ in range(2):
            self._instance.keeper.pass_through()
            self._client.pump()
            if self._upstream is not None:
                self._upstream.pump()
        self._instance.read()

    def _raise_failures(self) -> None:
        self.errors += self._host._take_failures()

    def _hang_up(self) -> None:
        self._client.close()
        if self._upstream is not None:
            self._upstream.close()

    def __repr__(self) -> str:
        state = f"closed by {self.closed_by}" if self.closed_by else "paused" if self.paused else "open"
        return f"<EnvoyTcpStream {state}, {len(self.sent_upstream)} bytes up, {len(self.sent_downstream)} bytes down>"
