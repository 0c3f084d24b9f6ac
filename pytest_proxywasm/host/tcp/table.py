"""The one table a TCP connection runs by; knows neither guests nor bytes.

A proxied connection has two halves, one from the client and one from the upstream. Each half is open, or has ended:
its end of stream was read and a filter holds it, or it has passed all filters. A connection is closed when both its
halves have ended, by a reset, by a filter, or by the proxy. Guests are told of it with
``proxy_on_downstream_connection_close``, whose peer type says which socket event closed the client's connection:
REMOTE when it came from the client, LOCAL when the proxy closed it.

`TABLE` says for each state and event what happens and which state follows. It is what Envoy's connections
(``ConnectionImpl::bothSidesHalfClosed``) and its TCP proxy (``Filter::onUpstreamEvent``) do between them; every row
was seen in Envoy 1.40:

- both ends of the client's connection count as soon as its own end is *read*, even if a filter holds it, and the
  other one is *written*: REMOTE if the client's end came last, LOCAL otherwise;
- the same holds for the upstream's connection, and when that one closes the TCP proxy closes the client's: LOCAL;
- nothing is read from the client, not even a reset, before all filters have let the new connection pass.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class State(enum.Enum):
    """What has become of a connection."""

    NEW = "new"
    """The filters are asked; there is no upstream yet, and the client is not read."""
    OPEN = "open"
    CLIENT_END_HELD = "client end held"
    """The client has ended, and a filter holds its end."""
    CLIENT_ENDED = "client ended"
    """The client's end has reached the upstream, which may still send."""
    UPSTREAM_END_HELD = "upstream end held"
    UPSTREAM_ENDED = "upstream ended"
    """The upstream's end has reached the client, which may still send."""
    BOTH_ENDS_HELD = "both ends held"
    CLOSED = "closed"


class Event(enum.Enum):
    """What happens to a connection."""

    CONNECTION_PASSED = enum.auto()
    """All filters have let the new connection pass."""
    CLIENT_DATA = enum.auto()
    CLIENT_END = enum.auto()
    """The client's end of stream, with or without data."""
    CLIENT_END_PASSED = enum.auto()
    """It has passed all filters."""
    CLIENT_RESET = enum.auto()
    UPSTREAM_DATA = enum.auto()
    UPSTREAM_END = enum.auto()
    UPSTREAM_END_PASSED = enum.auto()
    UPSTREAM_RESET = enum.auto()
    """The upstream broke off, or could not be connected to."""
    FILTER_CLOSE = enum.auto()
    """A filter closed the connection (``proxy_close_stream``), or failed."""
    PROXY_CLOSE = enum.auto()
    """The proxy stops."""


class Effect(enum.Enum):
    """What the connection does then."""

    NOTHING = enum.auto()
    WAIT = enum.auto()
    """It stays in the client's socket until the client is read."""
    CONNECT = enum.auto()
    """Connect to the upstream, and begin to read the client."""
    READ = enum.auto()
    """Show what was read from the client to the filters, first to last."""
    WRITE = enum.auto()
    """Show what came from the upstream to the filters, last to first."""
    READ_THEN_CLOSE = enum.auto()
    """READ, then CLOSE_REMOTE whatever the filters say."""
    WRITE_THEN_CLOSE = enum.auto()
    """WRITE, then CLOSE_LOCAL whatever the filters say."""
    CLOSE_AFTERWARDS = enum.auto()
    """CLOSE_LOCAL when the running event is over: what was written leaves the socket only then."""
    CLOSE_LOCAL = enum.auto()
    CLOSE_REMOTE = enum.auto()
    IMPOSSIBLE = enum.auto()
    """A peer cannot do this: it has ended, or is not connected yet."""


class Step(NamedTuple):
    """What happens, and the state that follows."""

    effect: Effect
    state: State


class Verdict(enum.Enum):
    """What a callback's result means to the chain."""

    CONTINUE = enum.auto()
    STOP = enum.auto()


def verdict_of(result: int) -> Verdict:
    """0 continues, anything else stops: network filters know no other results (Envoy 1.40, result 99)."""
    return Verdict.STOP if result else Verdict.CONTINUE


_CLIENT_OPEN = (State.OPEN, State.UPSTREAM_END_HELD, State.UPSTREAM_ENDED)
_UPSTREAM_OPEN = (State.OPEN, State.CLIENT_END_HELD, State.CLIENT_ENDED)
_CLIENT_OVER = (State.CLIENT_END_HELD, State.CLIENT_ENDED, State.BOTH_ENDS_HELD)
_UPSTREAM_OVER = (State.UPSTREAM_END_HELD, State.UPSTREAM_ENDED, State.BOTH_ENDS_HELD)
_CONNECTED = (*_CLIENT_OPEN, *_CLIENT_OVER)
_NEW, _CLOSED = State.NEW, State.CLOSED


def _same(effect: Effect, event: Event, states: tuple[State, ...]) -> dict[tuple[State, Event], Step]:
    return {(state, event): Step(effect, state) for state in states}


def _closing(effect: Effect, event: Event, states: tuple[State, ...]) -> dict[tuple[State, Event], Step]:
    return {(state, event): Step(effect, _CLOSED) for state in states}


TABLE: dict[tuple[State, Event], Step] = {
    (_NEW, Event.CONNECTION_PASSED): Step(Effect.CONNECT, State.OPEN),
    **_same(Effect.NOTHING, Event.CONNECTION_PASSED, _CONNECTED),
    # The client's half.
    **_same(Effect.WAIT, Event.CLIENT_DATA, (_NEW,)),
    **_same(Effect.READ, Event.CLIENT_DATA, _CLIENT_OPEN),
    **_same(Effect.IMPOSSIBLE, Event.CLIENT_DATA, _CLIENT_OVER),
    **_same(Effect.WAIT, Event.CLIENT_END, (_NEW,)),
    (State.OPEN, Event.CLIENT_END): Step(Effect.READ, State.CLIENT_END_HELD),
    (State.UPSTREAM_END_HELD, Event.CLIENT_END): Step(Effect.READ, State.BOTH_ENDS_HELD),
    (State.UPSTREAM_ENDED, Event.CLIENT_END): Step(Effect.READ_THEN_CLOSE, State.UPSTREAM_ENDED),
    **_same(Effect.IMPOSSIBLE, Event.CLIENT_END, _CLIENT_OVER),
    (State.CLIENT_END_HELD, Event.CLIENT_END_PASSED): Step(Effect.NOTHING, State.CLIENT_ENDED),
    (State.BOTH_ENDS_HELD, Event.CLIENT_END_PASSED): Step(Effect.CLOSE_AFTERWARDS, State.BOTH_ENDS_HELD),
    **_same(Effect.NOTHING, Event.CLIENT_END_PASSED, (State.CLIENT_ENDED, State.UPSTREAM_ENDED)),
    **_same(Effect.IMPOSSIBLE, Event.CLIENT_END_PASSED, (_NEW, State.OPEN, State.UPSTREAM_END_HELD)),
    **_same(Effect.WAIT, Event.CLIENT_RESET, (_NEW,)),
    **_closing(Effect.CLOSE_REMOTE, Event.CLIENT_RESET, _CONNECTED),
    # The upstream's half.
    **_same(Effect.IMPOSSIBLE, Event.UPSTREAM_DATA, (_NEW, *_UPSTREAM_OVER)),
    **_same(Effect.WRITE, Event.UPSTREAM_DATA, _UPSTREAM_OPEN),
    **_same(Effect.IMPOSSIBLE, Event.UPSTREAM_END, (_NEW, *_UPSTREAM_OVER)),
    (State.OPEN, Event.UPSTREAM_END): Step(Effect.WRITE, State.UPSTREAM_END_HELD),
    (State.CLIENT_END_HELD, Event.UPSTREAM_END): Step(Effect.WRITE, State.BOTH_ENDS_HELD),
    (State.CLIENT_ENDED, Event.UPSTREAM_END): Step(Effect.WRITE_THEN_CLOSE, State.CLIENT_ENDED),
    (State.UPSTREAM_END_HELD, Event.UPSTREAM_END_PASSED): Step(Effect.NOTHING, State.UPSTREAM_ENDED),
    (State.BOTH_ENDS_HELD, Event.UPSTREAM_END_PASSED): Step(Effect.CLOSE_AFTERWARDS, State.BOTH_ENDS_HELD),
    **_same(Effect.NOTHING, Event.UPSTREAM_END_PASSED, (State.CLIENT_ENDED,)),
    **_same(
        Effect.IMPOSSIBLE,
        Event.UPSTREAM_END_PASSED,
        (_NEW, State.OPEN, State.CLIENT_END_HELD, State.UPSTREAM_ENDED),
    ),
    **_same(Effect.IMPOSSIBLE, Event.UPSTREAM_RESET, (_NEW,)),
    **_closing(Effect.CLOSE_LOCAL, Event.UPSTREAM_RESET, _CONNECTED),
    # The end.
    **_closing(Effect.CLOSE_LOCAL, Event.FILTER_CLOSE, (_NEW, *_CONNECTED)),
    **_closing(Effect.CLOSE_LOCAL, Event.PROXY_CLOSE, (_NEW, *_CONNECTED)),
    **{(_CLOSED, event): Step(Effect.NOTHING, _CLOSED) for event in Event},
}
