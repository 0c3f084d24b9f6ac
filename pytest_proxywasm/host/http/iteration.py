"""One direction of an HTTP stream: how headers, data and trailers travel through the filters of a chain.

Runs by `table.TABLE`; knows neither guests nor what stands at the ends of the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..buffers import Buffer
from ..headermap import HeaderMap
from .table import TABLE, DataVerdict, Effect, Event, HeadersVerdict, Iteration, Step, TrailersVerdict


class DirectionFilter(Protocol):
    """A filter as one direction sees it."""

    def on_headers(self, headers: HeaderMap, end_of_stream: bool) -> HeadersVerdict:
        """Headers arrive."""

    def on_data(self, data: Buffer, end_of_stream: bool) -> DataVerdict:
        """Data arrives."""

    def on_trailers(self, trailers: HeaderMap) -> TrailersVerdict:
        """Trailers arrive."""


class Sink(Protocol):
    """What stands at the end of a direction: the router, or the connection manager."""

    def headers(self, headers: HeaderMap, end_of_stream: bool) -> None:
        """Headers left the last filter."""

    def data(self, data: bytes, end_of_stream: bool) -> None:
        """Data left the last filter."""

    def trailers(self, trailers: HeaderMap) -> None:
        """Trailers left the last filter."""


class Entry:
    """One filter in the direction's order, and where it stands."""

    __slots__ = ("ended", "filter", "from_here", "headers_passed", "state")

    def __init__(self, filter: DirectionFilter) -> None:
        self.filter = filter
        self.state = Iteration.CONTINUE
        self.headers_passed = False
        self.ended = False
        self.from_here = False


class Direction:
    """Request or response side of a stream.

    Attributes:
        complete: the peer has sent everything.
        kept: data held for a filter that stopped the stream; ``None`` before the first was.
        streaming: data is kept without a limit.
        running: a filter's callback is running.
        aborted: a local reply ended the iteration; what is on its way stops there.
    """

    def __init__(
        self,
        filters: Sequence[DirectionFilter],
        limit: int,
        overflow: Callable[[], None],
        after: Callable[[], None],
        *,
        is_request: bool = False,
    ) -> None:
        self._is_request = is_request
        self.entries = [Entry(f) for f in filters]
        self.sink: Sink
        self.headers_map: HeaderMap | None = None
        self.trailers_map: HeaderMap | None = None
        self.kept: Buffer | None = None
        self.complete = False
        self.streaming = False
        self.running = ""
        self.aborted = False
        self._resuming = 0
        self._then: list[Callable[[], None]] = []
        self._limit = limit
        self._overflow = overflow
        self._after = after

    # What arrives.

    def headers(self, headers: HeaderMap, end_of_stream: bool) -> None:
        """Headers arrive from the peer."""
        self.headers_map = headers
        self.complete = end_of_stream
        self._headers(0, end_of_stream)

    def data(self, data: Buffer, end_of_stream: bool) -> None:
        """Data arrives from the peer."""
        self.complete = self.complete or end_of_stream
        self._data(0, data, end_of_stream)

    def trailers(self, trailers: HeaderMap) -> None:
        """Trailers arrive from the peer."""
        self.complete = True
        self.trailers_map = trailers
        self._trailers(0)

    # What filters ask for.

    def resume(self, filter: DirectionFilter) -> None:
        """A filter lets go what it held; does nothing after a local reply."""
        entry = self._entry(filter)
        if not self.aborted:
            self._resume(entry, TABLE[entry.state, Event.RESUME])

    def keep(self, filter: DirectionFilter, data: Buffer) -> None:
        """A filter that buffers adds data to what is kept, within the limit."""
        self.streaming = False
        self._keep(data)

    def add_trailers(self, trailers: HeaderMap) -> HeaderMap:
        """Trailers of the filter's own, where the peer sends none."""
        self.trailers_map = trailers
        return trailers

    @property
    def can_add_trailers(self) -> bool:
        """Trailers can be added while the last data is on its way."""
        return self.trailers_map is None

    @property
    def held_by(self) -> DirectionFilter | None:
        """The filter that stopped this direction, if one did."""
        for entry in self.entries:
            if entry.state is not Iteration.CONTINUE:
                return entry.filter
        return None

    # The iteration.

    def _entry(self, filter: DirectionFilter) -> Entry:
        return next(entry for entry in self.entries if entry.filter is filter)

    def _start(self, entry: Entry) -> int:
        at = self.entries.index(entry)
        return at if entry.from_here else at + 1

    def _headers(self, start: int, end_of_stream: bool) -> None:
        headers = self.headers_map
        assert headers is not None
        for entry in self.entries[start:]:
            entry.ended = end_of_stream
            self.running = "headers"
            verdict = entry.filter.on_headers(headers, end_of_stream)
            self.running = ""
            if self._interrupted():
                return
            step = TABLE[entry.state, verdict.value]
            entry.state = step.state
            if step.effect is Effect.HOLD:
                return
            entry.headers_passed = True
        self.sink.headers(headers, end_of_stream)

    def _data(self, start: int, data: Buffer, end_of_stream: bool) -> None:
        if self.aborted:
            return
        trailers_before = self.trailers_map is not None
        added_by: Entry | None = None
        for entry in self.entries[start:]:
            step = TABLE[entry.state, Event.DATA_ARRIVES]
            if step.effect is not Effect.CALL:
                self.streaming = step.effect is Effect.KEEP_STREAMING
                self._keep(data)
                return
            if entry.ended:
                return
            entry.ended = end_of_stream and self.trailers_map is None
            self.running = "data"
            verdict = entry.filter.on_data(data, entry.ended)
            self.running = ""
            if self._interrupted():
                return
            if not trailers_before and self.trailers_map is not None and added_by is None:
                added_by = entry
                end_of_stream = False
            step = TABLE[entry.state, verdict.value]
            entry.state = step.state
            if step.effect is not Effect.NEXT:
                self._stop_data(entry, step, data)
                if self._is_request and added_by is not None and step.effect is not Effect.KEEP_AND_RESUME:
                    # Envoy 1.40: trailers that a filter adds to a request go on even past a filter that stops.
                    self._trailers(self.entries.index(added_by) + 1)
                return
        self.sink.data(data.take(), end_of_stream)
        if added_by is not None and not self.aborted:
            self._trailers(self.entries.index(added_by) + 1)

    def _stop_data(self, entry: Entry, step: Step, data: Buffer) -> None:
        if step.effect is Effect.KEEP_AND_RESUME:
            self._keep(data)
            if not self.aborted:
                self._resume(entry, Step(Effect.RESUME, Iteration.CONTINUE))
        elif step.effect in (Effect.KEEP, Effect.KEEP_STREAMING):
            self.streaming = step.effect is Effect.KEEP_STREAMING
            self._keep(data)
        else:
            if data is not self.kept:
                data.take()
            if self.complete and self.trailers_map is None and self.kept is None:
                # Data is lost, but the end of the stream must survive until the filter resumes.
                self.kept = Buffer()

    def _trailers(self, start: int) -> None:
        trailers = self.trailers_map
        assert trailers is not None
        if self.aborted:
            return
        for entry in self.entries[start:]:
            if TABLE[entry.state, Event.TRAILERS_ARRIVE].effect is Effect.HOLD:
                return
            self.running = "trailers"
            verdict = entry.filter.on_trailers(trailers)
            entry.ended = True
            self.running = ""
            if self._interrupted():
                return
            step = TABLE[entry.state, verdict.value]
            entry.state = step.state
            if step.effect is Effect.RESUME:
                self._resume(entry, step)
                return
            if step.effect is Effect.HOLD:
                return
        self.sink.trailers(trailers)

    def when_resumed(self, action: Callable[[], None]) -> None:
        """Do something as soon as no filter is being resumed, with all that it held on its way."""
        if self._resuming:
            self._then.append(action)
        else:
            action()

    def _resume(self, entry: Entry, step: Step) -> None:
        self._resuming += 1
        try:
            self._let_go(entry, step)
        finally:
            self._resuming -= 1
        while self._then and not self._resuming:
            self._then.pop(0)()

    def _let_go(self, entry: Entry, step: Step) -> None:
        entry.from_here = entry.from_here or step.effect is Effect.RESUME_HERE  # a resume may come within a resume
        entry.state = step.state
        if not entry.headers_passed:
            entry.headers_passed = True
            self._headers(
                self.entries.index(entry) + 1, self.complete and self.kept is None and self.trailers_map is None
            )
        had_trailers = self.trailers_map is not None
        if self.kept is not None and not self.aborted:
            self._data(self._start(entry), self.kept, self.complete and not had_trailers)
        if had_trailers and not self.aborted:
            self._trailers(self._start(entry))
        entry.from_here = False

    def _keep(self, data: Buffer) -> None:
        if self.kept is data:
            return
        if self.kept is None:
            self.kept = Buffer()
        fits = len(self.kept) <= self._limit
        self.kept.move_from(data)
        if fits and len(self.kept) > self._limit and not self.streaming:
            self._overflow()

    def _interrupted(self) -> bool:
        if self.aborted:
            self._after()
        return self.aborted
