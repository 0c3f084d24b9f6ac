"""A TCP connection as a proxy runs it: the client's socket, the filter chain, and the TCP proxy with its upstream.

Runs by `table.TABLE`. Knows contexts and buffers; knows neither sockets nor guests, and not who drives it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ...abi.enums import PeerType
from ...errors import UsageError
from ...model import Action
from ..filter_state import FilterState
from ..http.router import Route
from ..proxy import Proxy
from .context import TcpContext
from .table import TABLE, Effect, Event, State, Verdict
from .wire import Wire

FLAG_UPSTREAM_RESET = 0x10
FLAG_UPSTREAM_CONNECTION_FAILURE = 0x20
FLAG_UPSTREAM_RETRIES_EXCEEDED = 0x8000

UPSTREAM_LIMIT = 1 << 20
"""Envoy's default buffer limit of a cluster; the listener's limit does not count there."""
_ROUTE = Route(cluster="tcp")

ContextFactory = Callable[["TcpStreamCore"], "TcpContext | None"]

_ENDS = {Event.CLIENT_END: "downstream", Event.UPSTREAM_END: "upstream"}
_CLOSERS = {
    Event.CLIENT_RESET: "downstream",
    Event.UPSTREAM_RESET: "upstream",
    Event.FILTER_CLOSE: "filter",
    Event.PROXY_CLOSE: "proxy",
}


class TcpStreamCore:
    """One connection.

    Attributes:
        client: what the client sent; its buffer is what the filters are shown of it.
        upstream: what the upstream sent, likewise.
        sent_upstream, sent_downstream: what has passed all filters.
        closed_by: ``"downstream"`` or ``"upstream"`` (who ended first, or broke off), ``"filter"`` (one closed it, or
            failed), ``"proxy"`` (which stopped); ``None`` while it is open.
        finished: all contexts are deleted.
        actions: what every callback returned that returns an action.
        last_action: the newest of these; ``None`` if there was none since it was last reset.
        on_end_passed: told ``"downstream"`` or ``"upstream"`` when this peer's end has reached the other.
    """

    undone = False
    """The host was restored to a checkpoint from before it: it never was."""

    def __init__(self, proxy: Proxy, factories: Sequence[ContextFactory]) -> None:
        self.proxy = proxy
        self.state = State.NEW
        self.client = Wire(proxy.buffer_limit)
        self.upstream = Wire(UPSTREAM_LIMIT)
        self.sent_upstream = bytearray()
        self.sent_downstream = bytearray()
        self.closed_by: str | None = None
        self.finished = False
        self.actions: list[Action] = []
        self.last_action: Action | None = None
        self.on_end_passed: Callable[[str], None] | None = None
        self.on_finished: Callable[[], None] | None = None
        self._ended_first = ""
        self._talked = False
        self._closing_by = ""
        self._passed: set[str] = set()
        self._held: dict[str, TcpContext] = {}
        # What properties say.
        self.connection_id = proxy.next_connection_id()
        self.filter_state = FilterState()
        self.started_ns = proxy.clock.now_ns
        self.flags = 0
        self.request_size = 0
        self.refused = False
        self.transport_failure = ""
        self.source_port = 40_000 + self.connection_id
        self.destination_port = 10_000
        self.upstream_port = 8080
        self.upstream_local_port = 50_000 + self.connection_id
        self.upstream_connected = False
        self.upstream_attempts = 0
        self.contexts = [c for make in factories if (c := make(self)) is not None]

    # What the peers do.

    def accept(self) -> None:
        """The client has connected: the filters are asked."""
        self._read_chain(0)
        self.upstream_connected = self.upstream_attempts > 0

    def client_sends(self, data: bytes, end_of_stream: bool) -> None:
        """The client sends; read at once, unless the connection is new or a filter holds too much."""
        if self.closed:
            return
        event = Event.CLIENT_END if end_of_stream else Event.CLIENT_DATA
        if self.client.ended or TABLE[self.state, event].effect is Effect.IMPOSSIBLE:
            raise UsageError("the client has ended its stream already: it cannot send any more")
        self.client.send(data, end_of_stream)
        self._read_client()

    def client_resets(self) -> None:
        """The client breaks off; noticed when it is read."""
        self.client.reset = True
        self._read_client()

    def upstream_sends(self, data: bytes, end_of_stream: bool) -> None:
        """The upstream sends."""
        if self.closed:
            return
        event = Event.UPSTREAM_END if end_of_stream else Event.UPSTREAM_DATA
        self._check_connected()
        if self.upstream.ended or TABLE[self.state, event].effect is Effect.IMPOSSIBLE:
            raise UsageError("the upstream has ended its stream already: it cannot send any more")
        self.upstream.send(data, end_of_stream)
        while not self.closed and self.upstream.read():
            self._apply(Event.UPSTREAM_END if self.upstream.end_read else Event.UPSTREAM_DATA)
        self._settle()

    def upstream_resets(self) -> None:
        """The upstream breaks off; what filters hold of it is lost."""
        if not self.closed:
            self._check_connected()
            self.flags |= FLAG_UPSTREAM_RESET
            self._apply(Event.UPSTREAM_RESET)

    def upstream_refuses(self) -> None:
        """The upstream cannot be connected to."""
        if self.closed:
            return
        self._check_connected()
        if self._talked:
            raise UsageError("the upstream is connected already: it cannot refuse the connection any more")
        self.refused = True
        self.flags |= FLAG_UPSTREAM_CONNECTION_FAILURE | FLAG_UPSTREAM_RETRIES_EXCEEDED
        self.transport_failure = "delayed connect error: Connection refused"
        self._apply(Event.UPSTREAM_RESET)

    def stop(self) -> None:
        """The proxy stops."""
        self._apply(Event.PROXY_CLOSE)

    def _check_connected(self) -> None:
        if self.state is State.NEW:
            holder = self._held.get("downstream")
            who = f"filter {holder.label!r}" if holder is not None and holder.label else "a filter"
            raise UsageError(
                f"there is no connection to the upstream yet: {who} holds the new connection "
                "(proxy_on_new_connection paused it) until it calls proxy_continue_stream"
            )

    # What filters do.

    def resume(self, context: TcpContext) -> None:
        """Go on with the filter after this one, with all there is; this one is not asked again.

        Without anything held it is harmless, but an end of stream is shown once more (Envoy 1.40).
        """
        if not self.closed:
            self._read_chain(self.contexts.index(context) + 1)
            self.upstream_connected = self.upstream_attempts > 0
            if self.client.waiting or self._closing_by:
                self.proxy.clock.call_later(0, self._read_client)

    def close_by_filter(self) -> None:
        """A filter closes the connection, or has failed. What it was just shown is lost."""
        self._apply(Event.FILTER_CLOSE)

    def note(self, action: Action) -> None:
        """A callback returned."""
        self.actions.append(action)
        self.last_action = action

    @property
    def closed(self) -> bool:
        """Whether it is all over."""
        return self.state is State.CLOSED

    @property
    def held(self) -> bool:
        """Whether a filter holds either direction, or the new connection."""
        return not self.closed and bool(self._held)

    def has_passed(self, peer: str) -> bool:
        """Whether the end of ``"downstream"`` or ``"upstream"`` has reached the other side."""
        return peer in self._passed

    # The two ways through the chain.

    def _read_client(self) -> None:
        """Read what the client has sent, as often as there is something."""
        if self.state is State.NEW:
            return
        while not self.closed and self.client.read():
            self.request_size += len(self.client.buffer)  # counts held data again each time (Envoy 1.40)
            self._apply(Event.CLIENT_END if self.client.end_read else Event.CLIENT_DATA)
        if self.client.reset_noticed:
            self._apply(Event.CLIENT_RESET)
        self._settle()

    def _read_chain(self, start: int) -> None:
        buffer = self.client.buffer
        for context in self.contexts[start:]:
            if not context.announced and self._stopped(context, "downstream", context.on_new_connection()):
                return
            if buffer.data or self.client.end_read:
                verdict = context.on_downstream_data(buffer, self.client.end_read)
                if self._stopped(context, "downstream", verdict):
                    return
        self._held.pop("downstream", None)
        self._apply(Event.CONNECTION_PASSED)
        if "downstream" in self._passed:
            return
        self.sent_upstream += buffer.take()
        if self.client.end_read:
            self._apply_passed("downstream", Event.CLIENT_END_PASSED)

    def _write_chain(self) -> None:
        buffer, end_of_stream = self.upstream.buffer, self.upstream.end_read
        for context in reversed(self.contexts):
            if self._stopped(context, "upstream", context.on_upstream_data(buffer, end_of_stream)):
                return
        self._held.pop("upstream", None)
        self.sent_downstream += buffer.take()
        if end_of_stream:
            self._apply_passed("upstream", Event.UPSTREAM_END_PASSED)

    def _stopped(self, context: TcpContext, side: str, verdict: Verdict) -> bool:
        if self.closed:
            return True
        if verdict is Verdict.STOP:
            self._held[side] = context
            return True
        return False

    # The table.

    def _apply(self, event: Event) -> None:
        step = TABLE[self.state, event]
        assert step.effect is not Effect.IMPOSSIBLE, (self.state, event)
        by = _CLOSERS.get(event) or self._ended_first or _ENDS.get(event, "")
        if event in _ENDS and not self._ended_first:
            self._ended_first = _ENDS[event]
        self.state = step.state
        self._talked = self._talked or step.effect in (Effect.READ, Effect.WRITE)
        if step.effect is Effect.CONNECT:
            self.upstream_attempts = 1
        elif step.effect is Effect.READ:
            self._read_chain(0)
        elif step.effect is Effect.WRITE:
            self._write_chain()
        elif step.effect is Effect.READ_THEN_CLOSE:
            self._read_chain(0)
            self._close(PeerType.REMOTE, by)
        elif step.effect is Effect.WRITE_THEN_CLOSE:
            self._write_chain()
            self._close(PeerType.LOCAL, by)
        elif step.effect is Effect.CLOSE_AFTERWARDS:
            self._closing_by = by
        elif step.effect is Effect.CLOSE_LOCAL:
            self._close(PeerType.LOCAL, by)
        elif step.effect is Effect.CLOSE_REMOTE:
            self._close(PeerType.REMOTE, by)

    def _apply_passed(self, peer: str, event: Event) -> None:
        self._passed.add(peer)
        self._apply(event)
        if self.on_end_passed is not None:
            self.on_end_passed(peer)

    def _settle(self) -> None:
        """The running event is over."""
        if self._closing_by:
            self._close(PeerType.LOCAL, self._closing_by)

    def _close(self, peer: PeerType, by: str) -> None:
        """Tell every filter, first to last: each is told everything before the next one is told anything."""
        if self.closed_by is not None:
            return
        self.state = State.CLOSED
        self.closed_by = by
        for context in self.contexts:
            context.on_closed(peer)
        self.finished = True
        if self.on_finished is not None:
            self.on_finished()

    # What properties say of a connection; those of requests and responses are not there (Envoy 1.40).

    request_protocol = ""
    virtual_host = ""
    response_code = None
    backend_latency_ns = None
    ended_ns = None
    details = ""
    code_details: str | None = None

    def grpc_status(self, headers: object, trailers: object) -> None:
        """None: there is no response."""

    @property
    def upstream_chosen(self) -> bool:
        """The TCP proxy has chosen a host."""
        return self.upstream_attempts > 0

    @property
    def response_size(self) -> int:
        """What the client got."""
        return len(self.sent_downstream)

    @property
    def route_for_properties(self) -> Route | None:
        """The TCP proxy's cluster, once the upstream is connected, or could not be."""
        return _ROUTE if self.upstream_connected else None
