"""The HTTP driver: the recorded client and upstream around one host, on its virtual clock; knows no expectations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .client import ClientReader
from .front import Data, Event, Head, Refusal, RequestReader, Settings, Trailers
from .upstream import LATENCY, Answer, Incoming, Upstream, answer_to, encoded_request

__all__ = ["HttpConversation"]

SETTLE = 0.05
"""Seconds between the start and the request: answers to calls from ``proxy_on_configure`` arrive in them."""
FIRST_PART = 0.13
"""Seconds until the client's second write; in the recordings a tick of 120 ms comes before it."""
NEXT_PART = 0.08
PATIENCE = 3.0
"""Seconds after the last write until the client gives up. Each recording had its own, between 0.3 and 3."""
AFTERWARDS = 1.5
"""Seconds between the end of the exchange and Envoy's end."""


class _Exchange:
    """One request of the connection with what belongs to it."""

    def __init__(self, stream: Any, upstream: Upstream, clock: Any, head: Head | None, refused: bool) -> None:
        self.stream = stream
        self.head = head
        method = dict(head.headers).get(b":method") if head is not None else None
        self.client = ClientReader(head_request=method == b"HEAD")
        self._upstream = upstream
        self._clock = clock
        self._refused = refused
        self._incoming: Incoming | None = None
        self._known = 0
        self._answered = False
        self._head_seen = False
        self.left = False

    def leave(self) -> None:
        """The client closes the connection."""
        if not self.stream.finished:
            self.left = True
            self.stream.reset(peer="downstream")

    def look(self) -> None:
        """Take notice of what has reached either side."""
        exchange = self.stream.exchange
        if exchange.upstream_request is not None and not self._answered:
            self._look_upstream(exchange)
        self._look_client(exchange)

    def _look_upstream(self, exchange: Any) -> None:
        request = exchange.upstream_request
        complete = self.stream.upstream_complete
        if self._refused:
            self._answered = True
            self._later(LATENCY, self.stream.refuse)
            return
        if self._incoming is None:
            bodiless = complete and not request.body and not request.trailers.raw
            line, headers = encoded_request(request.headers.raw, has_body=not bodiless)
            self._incoming = self._upstream.receive(line, headers)
        if len(request.body) > self._known:
            self._incoming.pieces.append(request.body[self._known :])
            self._known = len(request.body)
        self._incoming.trailers = request.trailers.raw
        self._incoming.finished = complete
        if self._incoming.complete:
            self._answered = True
            self._answer(answer_to(self._incoming))

    def _look_client(self, exchange: Any) -> None:
        response, finished = exchange.response, self.stream.finished
        if response is not None:
            if not self._head_seen:
                self._head_seen = True
                bodiless = finished and not response.body and not response.trailers.raw
                self.client.head(
                    response.headers.raw,
                    has_body=not (bodiless and exchange.outcome == "complete"),
                    wants_close=self.head is not None and self.head.wants_close,
                )
            self.client.body(response.body)
        if finished and not self.left:
            if exchange.outcome == "complete" and response is not None:
                self.client.end(response.trailers.raw)
            else:
                self.client.closed = True

    def _answer(self, answer: Answer) -> None:
        """Have the answer arrive: what is written at one time is read in one go."""
        at = LATENCY + answer.delay
        reads: list[tuple[float, list[Callable[[], object]]]] = [(at, [partial(self._respond_head, answer)])]
        for piece in answer.pieces:
            if piece.after:
                at += piece.after
                reads.append((at, []))
            reads[-1][1].append(partial(self.stream.response_body, piece.data, False))
        if answer.trailers:
            reads[-1][1].append(partial(self.stream.response_trailers, answer.trailers))
        elif answer.pieces and not answer.cut:
            reads[-1][1].append(partial(self.stream.response_body, b"", True))
        if answer.cut:
            reads.append((at + LATENCY, [partial(self.stream.reset, peer="upstream")]))
        for seconds, steps in reads:
            self._later(seconds, *steps)

    def _respond_head(self, answer: Answer) -> None:
        headers = [(b":status", b"%d" % answer.status), *answer.headers]
        self.stream.response_headers(headers, end_of_stream=not answer.pieces and not answer.trailers)

    def _later(self, seconds: float, *steps: Callable[[], object]) -> None:
        def read() -> None:
            for step in steps:
                self._if_open(step)

        self._clock.call_later(seconds, read)

    def _if_open(self, action: Callable[[], object]) -> None:
        """Do something on the upstream's side, unless Envoy has turned away from it."""
        exchange = self.stream.exchange
        replied = exchange.local_response is not None or exchange.details not in ("", "via_upstream")
        if not self.stream.finished and not replied:
            action()
            self.look()


class HttpConversation:
    """The client's connection: what it writes, when, and what it reads.

    The exchange that counts is the first; further requests on the connection are carried out as well.
    """

    def __init__(self, host: Any, upstream: Upstream, settings: Settings, *, upstream_refuses: bool) -> None:
        self._host = host
        self._upstream = upstream
        self._reader = RequestReader(settings)
        self._refuses = upstream_refuses
        self._exchanges: list[_Exchange] = []

    @property
    def client(self) -> ClientReader:
        """The reader of the first response."""
        return self._exchanges[0].client if self._exchanges else ClientReader()

    def run(self, request: bytes, parts: tuple[bytes, ...]) -> None:
        """Let it happen, until the client has its response or gives up, and then some."""
        clock = self._host.clock
        self._pass(SETTLE)
        self._write(request)
        at = FIRST_PART
        for part in parts:
            clock.call_later(at, lambda part=part: self._write(part))
            at += NEXT_PART
        written = clock.now_ns + round((at if parts else 0) * 1e9)
        self._until(clock.now_ns + round((at + PATIENCE) * 1e9), written)
        for exchange in self._exchanges:
            exchange.leave()
        self._pass(AFTERWARDS)

    def _until(self, deadline_ns: int, written_ns: int) -> None:
        clock = self._host.clock
        while clock.now_ns < written_ns or not self._served():
            if not clock.step(deadline_ns):
                break
            self._look()

    def _served(self) -> bool:
        return bool(self._exchanges) and all(e.client.complete or e.client.closed for e in self._exchanges)

    def _pass(self, seconds: float) -> None:
        clock = self._host.clock
        target = clock.now_ns + round(seconds * 1e9)
        while clock.step(target):
            self._look()
        clock.advance(max(0, target - clock.now_ns) / 1e9)

    def _look(self) -> None:
        for exchange in self._exchanges:
            exchange.look()

    def _write(self, data: bytes) -> None:
        for event in self._reader.feed(data):
            self._tell(event)
            self._look()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Head):
            exchange = self._open(event)
            exchange.stream.request_headers(event.headers, end_of_stream=event.end_of_stream)
            return
        if isinstance(event, Refusal):
            self._refuse(event)
            return
        stream = self._exchanges[-1].stream
        if stream.finished:
            return
        if isinstance(event, Data):
            stream.request_body(event.data, event.end_of_stream)
        elif isinstance(event, Trailers):
            stream.request_trailers(event.headers)

    def _open(self, head: Head | None) -> _Exchange:
        exchange = _Exchange(
            self._host.stream(http_version="1.1"), self._upstream, self._host.clock, head, self._refuses
        )
        self._exchanges.append(exchange)
        return exchange

    def _refuse(self, refusal: Refusal) -> None:
        """The codec's reply: the filters see nothing of the request, but are created, logged and deleted (fact A10)."""
        exchange = (
            self._exchanges[-1] if self._exchanges and not self._exchanges[-1].stream.finished else None
        )
        stream = (exchange or self._open(None)).stream
        stream._core.send_local_reply(refusal.status, refusal.body, [], refusal.details)
