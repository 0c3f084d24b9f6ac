"""The one table an HTTP stream runs by; knows neither guests nor messages.

A stream has two directions. Each direction carries headers, then data, then perhaps trailers, through the filters of
its chain, and every filter is in one of four states of iteration:

- ``CONTINUE``: what arrives is shown to the filter and goes on;
- ``STOP_SINGLE``: the filter holds the stream, but is still shown what arrives;
- ``STOP_ALL_BUFFER`` and ``STOP_ALL_WATERMARK``: the filter holds the stream and is shown nothing; body data is kept
  for it, in the second case without a limit (the peer is slowed down instead).

`TABLE` says for each state and event what happens and which state follows. It is Envoy's filter manager
(``commonHandleAfterHeadersCallback``, ``...DataCallback``, ``...TrailersCallback``, ``commonContinue``) in one place.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class Iteration(enum.Enum):
    """What a filter does with what arrives."""

    CONTINUE = enum.auto()
    STOP_SINGLE = enum.auto()
    STOP_ALL_BUFFER = enum.auto()
    STOP_ALL_WATERMARK = enum.auto()

    @property
    def stopped_all(self) -> bool:
        """The filter is shown nothing."""
        return self in (Iteration.STOP_ALL_BUFFER, Iteration.STOP_ALL_WATERMARK)


class Event(enum.Enum):
    """What happens to a filter: something arrives, its callback returned something, or it resumes the stream."""

    HEADERS_CONTINUE = enum.auto()
    HEADERS_STOP = enum.auto()
    HEADERS_STOP_ALL_BUFFER = enum.auto()
    HEADERS_STOP_ALL_WATERMARK = enum.auto()
    DATA_ARRIVES = enum.auto()
    DATA_CONTINUE = enum.auto()
    DATA_STOP_AND_BUFFER = enum.auto()
    DATA_STOP_AND_WATERMARK = enum.auto()
    DATA_STOP_NO_BUFFER = enum.auto()
    TRAILERS_ARRIVE = enum.auto()
    TRAILERS_CONTINUE = enum.auto()
    TRAILERS_STOP = enum.auto()
    RESUME = enum.auto()


class Effect(enum.Enum):
    """What the direction does then."""

    NEXT = enum.auto()
    """On to the next filter."""
    HOLD = enum.auto()
    """Stop here."""
    CALL = enum.auto()
    """Show it to the filter."""
    KEEP = enum.auto()
    """Keep the data, up to the limit, and stop here."""
    KEEP_STREAMING = enum.auto()
    """Keep the data without a limit and stop here."""
    KEEP_AND_RESUME = enum.auto()
    """Keep the data, then resume with everything that is kept."""
    DROP = enum.auto()
    """Lose the data and stop here."""
    RESUME = enum.auto()
    """Go on with the next filter: headers if they were held, then data, then trailers."""
    RESUME_HERE = enum.auto()
    """As RESUME, but data and trailers begin with this filter, which has not seen them."""


class Step(NamedTuple):
    """What happens, and the state that follows."""

    effect: Effect
    state: Iteration


class HeadersVerdict(enum.Enum):
    """What a headers callback means to the chain, and the event it is."""

    CONTINUE = Event.HEADERS_CONTINUE
    STOP_ITERATION = Event.HEADERS_STOP
    STOP_ALL_ITERATION_AND_BUFFER = Event.HEADERS_STOP_ALL_BUFFER
    STOP_ALL_ITERATION_AND_WATERMARK = Event.HEADERS_STOP_ALL_WATERMARK


class DataVerdict(enum.Enum):
    """What a body callback means to the chain, and the event it is."""

    CONTINUE = Event.DATA_CONTINUE
    STOP_ITERATION_AND_BUFFER = Event.DATA_STOP_AND_BUFFER
    STOP_ITERATION_AND_WATERMARK = Event.DATA_STOP_AND_WATERMARK
    STOP_ITERATION_NO_BUFFER = Event.DATA_STOP_NO_BUFFER


class TrailersVerdict(enum.Enum):
    """What a trailers callback means to the chain, and the event it is."""

    CONTINUE = Event.TRAILERS_CONTINUE
    STOP_ITERATION = Event.TRAILERS_STOP


_C, _S, _B, _W = Iteration
_ALL = tuple(Iteration)

TABLE: dict[tuple[Iteration, Event], Step] = {
    **{(s, Event.HEADERS_CONTINUE): Step(Effect.NEXT, s) for s in _ALL},
    **{(s, Event.HEADERS_STOP): Step(Effect.HOLD, _S) for s in _ALL},
    **{(s, Event.HEADERS_STOP_ALL_BUFFER): Step(Effect.HOLD, _B) for s in _ALL},
    **{(s, Event.HEADERS_STOP_ALL_WATERMARK): Step(Effect.HOLD, _W) for s in _ALL},
    (_C, Event.DATA_ARRIVES): Step(Effect.CALL, _C),
    (_S, Event.DATA_ARRIVES): Step(Effect.CALL, _S),
    (_B, Event.DATA_ARRIVES): Step(Effect.KEEP, _B),
    (_W, Event.DATA_ARRIVES): Step(Effect.KEEP_STREAMING, _W),
    (_C, Event.DATA_CONTINUE): Step(Effect.NEXT, _C),
    (_S, Event.DATA_CONTINUE): Step(Effect.KEEP_AND_RESUME, _S),
    **{(s, Event.DATA_STOP_AND_BUFFER): Step(Effect.KEEP, _S) for s in (_C, _S)},
    **{(s, Event.DATA_STOP_AND_WATERMARK): Step(Effect.KEEP_STREAMING, _S) for s in (_C, _S)},
    **{(s, Event.DATA_STOP_NO_BUFFER): Step(Effect.DROP, _S) for s in (_C, _S)},
    (_C, Event.TRAILERS_ARRIVE): Step(Effect.CALL, _C),
    (_S, Event.TRAILERS_ARRIVE): Step(Effect.CALL, _S),
    (_B, Event.TRAILERS_ARRIVE): Step(Effect.HOLD, _B),
    (_W, Event.TRAILERS_ARRIVE): Step(Effect.HOLD, _W),
    (_C, Event.TRAILERS_CONTINUE): Step(Effect.NEXT, _C),
    (_S, Event.TRAILERS_CONTINUE): Step(Effect.RESUME, _C),
    **{(s, Event.TRAILERS_STOP): Step(Effect.HOLD, _S) for s in (_C, _S)},
    (_C, Event.RESUME): Step(Effect.RESUME, _C),
    (_S, Event.RESUME): Step(Effect.RESUME, _C),
    (_B, Event.RESUME): Step(Effect.RESUME_HERE, _C),
    (_W, Event.RESUME): Step(Effect.RESUME_HERE, _C),
}


def headers_verdict(result: int, *, local_response: bool, allow_stop_iteration: bool) -> HeadersVerdict:
    """What the number a headers callback returned means.

    proxy-wasm-cpp-host: 1 pauses everything unless ``allow_on_headers_stop_iteration`` is set; 2 continues (Envoy has
    no such status any more); unknown numbers, and a local response, pause everything.
    """
    if local_response or result > 4:
        return HeadersVerdict.STOP_ALL_ITERATION_AND_WATERMARK
    if result == 1:
        return (
            HeadersVerdict.STOP_ITERATION if allow_stop_iteration else HeadersVerdict.STOP_ALL_ITERATION_AND_WATERMARK
        )
    return {
        0: HeadersVerdict.CONTINUE,
        2: HeadersVerdict.CONTINUE,
        3: HeadersVerdict.STOP_ALL_ITERATION_AND_BUFFER,
        4: HeadersVerdict.STOP_ALL_ITERATION_AND_WATERMARK,
    }[result]


def data_verdict(result: int, *, local_response: bool) -> DataVerdict:
    """What the number a body callback returned means; unknown ones drop the data."""
    if local_response or result > 3:
        return DataVerdict.STOP_ITERATION_NO_BUFFER
    return tuple(DataVerdict)[result]


def trailers_verdict(result: int, *, local_response: bool) -> TrailersVerdict:
    """What the number a trailers callback returned means."""
    if local_response or result != 0:
        return TrailersVerdict.STOP_ITERATION
    return TrailersVerdict.CONTINUE
