"""How headers, data and trailers travel through a chain, with filters that do as they are told.

Each filter is a list of results for its callbacks in order; when it is used up, the filter goes on with everything.
What happened is written down: ``a:headers``, ``a:data 5 end``, and ``-> ...`` for what left the chain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm.host.buffers import Buffer
from pytest_proxywasm.host.headermap import HeaderMap
from pytest_proxywasm.host.http.iteration import Direction
from pytest_proxywasm.host.http.table import DataVerdict, HeadersVerdict, TrailersVerdict

GO, STOP, ALL = HeadersVerdict.CONTINUE, HeadersVerdict.STOP_ITERATION, HeadersVerdict.STOP_ALL_ITERATION_AND_BUFFER
WATERMARK = HeadersVerdict.STOP_ALL_ITERATION_AND_WATERMARK
PASS, KEEP = DataVerdict.CONTINUE, DataVerdict.STOP_ITERATION_AND_BUFFER
STREAM, DROP = DataVerdict.STOP_ITERATION_AND_WATERMARK, DataVerdict.STOP_ITERATION_NO_BUFFER
END, HOLD = TrailersVerdict.CONTINUE, TrailersVerdict.STOP_ITERATION


class Fake:
    """One filter."""

    def __init__(self, name: str, chain: Chain, results: list[Any]) -> None:
        self.name, self.chain, self.results = name, chain, results
        self.buffering = False
        self.during: Callable[[], None] | None = None

    def _result(self, what: str, kind: Any) -> Any:
        self.chain.log.append(f"{self.name}:{what}")
        if self.during is not None:
            during, self.during = self.during, None
            during()
        result = self.results.pop(0) if self.results else kind.CONTINUE
        assert isinstance(result, kind), f"{self.name}:{what} was to return {result}"
        return result

    def on_headers(self, headers: HeaderMap, end_of_stream: bool) -> HeadersVerdict:
        """Headers arrive."""
        return self._result("headers" + " end" * end_of_stream, HeadersVerdict)

    def on_data(self, data: Buffer, end_of_stream: bool) -> DataVerdict:
        """Data arrives; a filter that buffers sees all of it, as guests do."""
        direction = self.chain.direction
        if self.buffering:
            direction.keep(self, data)
        seen = direction.kept if self.buffering else data
        verdict = self._result(f"data {len(seen or b'')}" + " end" * end_of_stream, DataVerdict)
        self.buffering = verdict is KEEP
        return verdict

    def on_trailers(self, trailers: HeaderMap) -> TrailersVerdict:
        """Trailers arrive."""
        return self._result("trailers", TrailersVerdict)


class Chain:
    """A direction with filters, and the log."""

    def __init__(self, *scripts: list[Any], limit: int = 1000) -> None:
        self.log: list[str] = []
        self.out = b""
        self.ended = False
        self.filters = [Fake(name, self, list(script)) for name, script in zip("abc", scripts)]
        self.direction = Direction(
            self.filters, limit, lambda: self.log.append("overflow"), lambda: self.log.append("after")
        )
        self.direction.sink = self

    # The sink; as router and connection manager, it does not listen any more when the message has ended.

    def headers(self, headers: HeaderMap, end_of_stream: bool) -> None:
        """Headers left."""
        self.log.append("-> headers" + " end" * end_of_stream)
        self.ended = end_of_stream

    def data(self, data: bytes, end_of_stream: bool) -> None:
        """Data left."""
        if not self.ended or data:
            self.out += data
            self.log.append(f"-> data {len(data)}" + " end" * end_of_stream)
        self.ended = self.ended or end_of_stream

    def trailers(self, trailers: HeaderMap) -> None:
        """Trailers left."""
        if not self.ended:
            self.log.append("-> trailers")
        self.ended = True

    # The peer.

    def send(self, *pieces: bytes | str) -> list[str]:
        """Headers, then data, or `"trailers"`; a `"."` ends the message. What happened."""
        del self.log[:]
        rest = [piece for piece in pieces if piece != "."]
        for number, piece in enumerate(rest):
            end = "." in pieces and number == len(rest) - 1
            if piece == "headers":
                self.direction.headers(HeaderMap.request([(b"a", b"b")]), end)
            elif piece == "trailers":
                self.direction.trailers(HeaderMap.trailers([(b"t", b"1")]))
            else:
                self.direction.data(Buffer(piece if isinstance(piece, bytes) else piece.encode()), end)
        return self.log

    def resume(self, name: str = "a") -> list[str]:
        """A filter resumes; what happened."""
        del self.log[:]
        self.direction.resume(next(one for one in self.filters if one.name == name))
        return self.log


# Through.


def test_without_filters_everything_goes_through() -> None:
    """Piece by piece."""
    chain = Chain()
    assert chain.send("headers", b"12", b"345", "trailers") == ["-> headers", "-> data 2", "-> data 3", "-> trailers"]


def test_each_piece_passes_all_filters_before_the_next_comes() -> None:
    """In the order of the chain."""
    chain = Chain([], [])
    assert chain.send("headers", b"12", b"", ".") == [
        *("a:headers", "b:headers", "-> headers"),
        *("a:data 2", "b:data 2", "-> data 2"),
        *("a:data 0 end", "b:data 0 end", "-> data 0 end"),
    ]


def test_headers_may_be_all() -> None:
    """Then they carry the end."""
    assert Chain([]).send("headers", ".") == ["a:headers end", "-> headers end"]


def test_with_trailers_no_data_is_the_end() -> None:
    """Fact B6."""
    assert Chain([]).send("headers", b"1234", "trailers") == [
        *("a:headers", "-> headers", "a:data 4", "-> data 4", "a:trailers", "-> trailers")
    ]


# Stopped headers.


@pytest.mark.parametrize("verdict", [ALL, WATERMARK])
def test_a_filter_that_stops_everything_sees_no_data_until_it_resumes(verdict: HeadersVerdict) -> None:
    """Facts S2 and E17: then it sees all of it at once."""
    chain = Chain([verdict], [])
    assert chain.send("headers", b"12345", b"67890", b"", ".") == ["a:headers"]
    assert chain.direction.held_by is chain.filters[0]
    assert chain.resume() == [
        *("b:headers", "-> headers"),
        *("a:data 10 end", "b:data 10 end", "-> data 10 end"),
    ]
    assert (chain.out, chain.direction.held_by) == (b"1234567890", None)


def test_resuming_before_the_end_lets_go_what_is_there() -> None:
    """The rest goes through as it comes."""
    chain = Chain([ALL])
    chain.send("headers", b"12345")
    assert chain.resume() == ["-> headers", "a:data 5", "-> data 5"]
    assert chain.send(b"678", ".") == ["a:data 3 end", "-> data 3 end"]


def test_resuming_a_request_without_a_body_ends_it_with_the_headers() -> None:
    """No empty data is made up."""
    chain = Chain([ALL])
    assert chain.send("headers", ".") == ["a:headers end"]
    assert chain.resume() == ["-> headers end"]


def test_resuming_with_trailers_shows_data_and_trailers() -> None:
    """Neither data nor headers are the end then."""
    chain = Chain([ALL], [])
    chain.send("headers", b"12", "trailers")
    assert chain.resume() == [
        *("b:headers", "-> headers", "a:data 2", "b:data 2", "-> data 2"),
        *("a:trailers", "b:trailers", "-> trailers"),
    ]


def test_a_filter_that_stops_iteration_sees_data_and_lets_all_go_with_it() -> None:
    """Fact S3."""
    chain = Chain([STOP, KEEP, PASS], [])
    assert chain.send("headers", b"12", b"345", b"", ".") == [
        "a:headers",
        "a:data 2",
        *("a:data 5", "b:headers", "-> headers", "b:data 5", "-> data 5"),
        *("a:data 0 end", "b:data 0 end", "-> data 0 end"),
    ]


def test_each_filter_of_a_chain_can_hold_in_turn() -> None:
    """What the first lets go, the second holds."""
    chain = Chain([ALL], [ALL])
    assert chain.send("headers", b"12", ".") == ["a:headers"]
    assert chain.resume("a") == ["b:headers", "a:data 2 end"]
    assert chain.direction.held_by is chain.filters[1]
    assert chain.resume("b") == ["-> headers", "b:data 2 end", "-> data 2 end"]


def test_resuming_what_is_not_held_is_harmless() -> None:
    """Fact E18."""
    chain = Chain([])
    chain.send("headers", b"12")
    assert chain.resume() == []
    chain.send(b"", ".")
    assert chain.resume() == []


def test_resuming_twice_sends_nothing_twice() -> None:
    """Fact E18."""
    chain = Chain([ALL], [])
    chain.send("headers", b"12", ".")
    chain.resume()
    assert chain.resume() == []


# Stopped data.


def test_a_buffering_filter_sees_what_it_has_kept_so_far() -> None:
    """Facts B9 and Q2: the next filter gets all of it in one piece."""
    chain = Chain([GO, KEEP, KEEP, KEEP, PASS], [])
    assert chain.send("headers", b"12345", b"67890", b"12345", b"", ".") == [
        *("a:headers", "b:headers", "-> headers"),
        *("a:data 5", "a:data 10", "a:data 15"),
        *("a:data 15 end", "b:data 15 end", "-> data 15 end"),
    ]
    assert chain.out == b"123456789012345"


def test_a_filter_that_buffered_once_counts_from_zero_again() -> None:
    """Fact B10."""
    chain = Chain([GO, KEEP, PASS])
    assert chain.send("headers", b"12345", b"67890", b"12345", b"", ".")[2:] == [
        *("a:data 5", "a:data 10", "-> data 10", "a:data 5", "-> data 5", "a:data 0 end", "-> data 0 end")
    ]


def test_a_streaming_filter_sees_each_piece_and_loses_none() -> None:
    """Fact B11."""
    chain = Chain([GO, STREAM, STREAM, STREAM, PASS])
    log = chain.send("headers", b"12345", b"67890", b"12345", b"", ".")
    assert log[2:] == ["a:data 5", "a:data 5", "a:data 5", "a:data 0 end", "-> data 15 end"]
    assert chain.out == b"123456789012345"


def test_dropped_data_is_lost_and_the_end_comes_when_it_resumes() -> None:
    """Fact B12."""
    chain = Chain([GO, DROP, DROP])
    assert chain.send("headers", b"12345", b"", ".")[2:] == ["a:data 5", "a:data 0 end"]
    assert chain.resume() == ["-> data 0 end"]
    assert chain.out == b""


def test_a_body_held_at_its_end_waits() -> None:
    """Fact B13: headers are gone already."""
    chain = Chain([GO, KEEP, KEEP])
    assert chain.send("headers", b"12", b"", ".") == ["a:headers", "-> headers", "a:data 2", "a:data 2 end"]
    assert chain.direction.held_by is chain.filters[0]
    assert chain.resume() == ["-> data 2 end"]


# Trailers.


def test_trailers_release_a_body_that_was_buffered() -> None:
    """Fact B14."""
    chain = Chain([GO, KEEP, KEEP, END], [])
    assert chain.send("headers", b"12", b"345", "trailers")[3:] == [
        *("a:data 2", "a:data 5"),
        *("a:trailers", "b:data 5", "-> data 5", "b:trailers", "-> trailers"),
    ]


def test_trailers_are_held_until_they_are_resumed() -> None:
    """Fact B15: together with a body that was kept."""
    chain = Chain([GO, KEEP, HOLD], [])
    assert chain.send("headers", b"12", "trailers")[3:] == ["a:data 2", "a:trailers"]
    assert chain.resume() == ["b:data 2", "-> data 2", "b:trailers", "-> trailers"]


def test_trailers_that_a_filter_adds_come_after_the_data() -> None:
    """Fact C22: the filters behind it see them, its own callback does not run; its data is the end no more."""
    chain = Chain([], [], [])
    chain.send("headers")
    chain.filters[1].during = lambda: chain.direction.add_trailers(HeaderMap.trailers([(b"t", b"1")]))
    assert chain.direction.can_add_trailers
    assert chain.send(b"12", ".") == [
        *("a:data 2 end", "b:data 2 end", "c:data 2", "-> data 2", "c:trailers", "-> trailers")
    ]
    assert not chain.direction.can_add_trailers


# Limits.


def test_data_over_the_limit_is_an_overflow_once() -> None:
    """The limit itself still fits."""
    chain = Chain([GO, KEEP, KEEP, KEEP, KEEP], limit=4)
    assert "overflow" not in chain.send("headers", b"1234")
    assert chain.send(b"5") == ["overflow", "a:data 5"]
    assert chain.send(b"6") == ["a:data 6"]


def test_headers_that_stop_everything_are_limited_unless_the_peer_is_slowed_down() -> None:
    """One verdict has a limit, the other has none."""
    chain = Chain([ALL], limit=4)
    assert chain.send("headers", b"12345") == ["a:headers", "overflow"]
    chain = Chain([WATERMARK], limit=4)
    assert chain.send("headers", b"12345") == ["a:headers"]


def test_streamed_data_has_no_limit() -> None:
    """The peer is slowed down instead."""
    chain = Chain([GO, STREAM], limit=4)
    assert chain.send("headers", b"12345") == ["a:headers", "-> headers", "a:data 5"]


# Ends inside callbacks.


@pytest.mark.parametrize("what", ["headers", "data", "trailers"])
def test_a_reply_made_in_a_callback_ends_the_iteration(what: str) -> None:
    """Filters behind it see nothing, and what was to happen afterwards happens."""
    chain = Chain([], [])
    pieces: list[bytes | str] = ["headers", b"12", "trailers"]
    at = ["headers", "data", "trailers"].index(what)
    chain.send(*pieces[:at])

    def reply() -> None:
        chain.direction.aborted = True

    chain.filters[0].during = reply
    log = chain.send(*pieces[at : at + 1])
    assert log == [f"a:{what}{' 2' if what == 'data' else ''}", "after"]
    assert chain.resume() == []
    assert chain.send(b"more") == []


def test_a_filter_may_resume_inside_its_own_callback() -> None:
    """Hosts put it off until the callback has returned; then the filter is held no more."""
    chain = Chain([ALL], [])
    chain.send("headers")
    chain.resume()
    assert chain.send(b"12", ".") == ["a:data 2 end", "b:data 2 end", "-> data 2 end"]


# Whatever filters do.


VERDICTS = st.lists(st.sampled_from([PASS, KEEP, STREAM]), max_size=6)


@given(
    st.sampled_from([GO, STOP, ALL, WATERMARK]),
    VERDICTS,
    st.sampled_from([GO, ALL]),
    VERDICTS,
    st.lists(st.binary(max_size=4), max_size=4),
    st.booleans(),
)
def test_no_byte_is_lost_or_doubled(
    first: HeadersVerdict,
    first_data: list[DataVerdict],
    second: HeadersVerdict,
    second_data: list[DataVerdict],
    pieces: list[bytes],
    trailers: bool,
) -> None:
    """However two filters hold and keep, once both have resumed, everything has left: once, in order, with one end.

    But for what the next test shows.
    """
    if trailers and first in (ALL, WATERMARK):
        first_data = []
    if trailers and second in (ALL, WATERMARK):
        second_data = []
    chain = Chain([first, *first_data], [second, *second_data])
    for one in chain.filters:
        one.on_trailers = lambda trailers: END  # type: ignore[method-assign]
    log = list(chain.send("headers"))
    for piece in pieces:
        log += chain.send(piece)
    log += chain.send("trailers") if trailers else chain.send(b"", ".")
    for _ in range(2):
        log += chain.resume("a")
        log += chain.resume("b")
    assert chain.out == b"".join(pieces)
    left = [line for line in log if line.startswith("->")]
    assert left[0].startswith("-> headers")
    assert [line for line in left if line.startswith("-> headers")] == left[:1]
    ends = [line for line in left if line.endswith(" end") or line == "-> trailers"]
    assert ends == left[-1:]


@pytest.mark.parametrize("kept", [KEEP, STREAM])
def test_envoy_loses_a_body_that_is_kept_after_everything_was_held(kept: DataVerdict) -> None:
    """Measured in Envoy 1.40: the trailers are shown twice, and leave without the body."""
    chain = Chain([ALL, kept, END, END])
    chain.send("headers", b"12", "trailers")
    assert chain.resume() == ["-> headers", "a:data 2", "a:trailers", "a:trailers", "-> trailers"]
