"""The HTTP driver: recorded client and upstream around one host, on its virtual clock; knows no expectations."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from pytest_proxywasm.recording.upstream import Answer, Incoming, answer_to

from .case import More
from .client import ClientReader
from .front import Data, Event, Head, Refusal, RequestReader, Settings, Trailers
from .upstream import LATENCY, Upstream, encoded_request

__all__ = ["HttpConversation"]

SETTLE = 0.05
"""Seconds between the start and the request: answers to calls from ``proxy_on_configure`` arrive in them."""
FIRST_PART = 0.13
"""Seconds until the client's second write; in the recordings a tick of 120 ms comes before it."""
NEXT_PART = 0.08
PATIENCE = 3.0
"""Seconds after the last write until the client gives up."""
AFTERWARDS = 3.0
CONNECT = 0.0005
"""Seconds until a request reaches the upstream: Envoy connects first."""
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
        self._connecting = False
        self._incoming: Incoming | None = None
        self._pieces: list[bytes] = []
        self._known = 0
        self._answered = False
        self._head_seen = False
        self.left = False

    def leave(self) -> None:
        """The client closes the connection."""
        if not self.stream.finished:
            self.left = True
            self.stream.reset(peer="downstream")
            self.look()

    def crash(self) -> None:
        """Envoy dies."""
        self.client.crash()
        if self._incoming is not None and not self._answered:
            self._upstream.broken_off(self._incoming)

    def look(self) -> None:
        """Take notice of what has left towards either side."""
        exchange = self.stream.exchange
        if exchange.upstream_request is not None:
            self._look_upstream(exchange)
        self._look_client(exchange)

    def _look_upstream(self, exchange: Any) -> None:
        request = exchange.upstream_request
        if len(request.body) > self._known:
            if self._incoming is None:
                self._pieces.clear()  # what waits for the connection is written at once
                self._known = 0
            self._pieces.append(request.body[self._known :])
            self._known = len(request.body)
        if not self._connecting:
            self._connecting = True
            bodiless = self.stream.upstream_complete and not request.body and not request.trailers.raw
            self._later(CONNECT, self.stream.refuse if self._refused else partial(self._arrive, not bodiless))
        incoming = self._incoming
        if incoming is None or self._answered:
            return
        incoming.trailers = request.trailers.raw
        incoming.finished = self.stream.upstream_complete
        if incoming.complete:
            self._answered = True
            self._upstream.keep(incoming)
            self._answer(answer_to(incoming))
        elif not self._open:
            self._answered = True
            self._upstream.broken_off(incoming)

    def _arrive(self, has_body: bool) -> None:
        """The upstream connection is there; a request that Envoy gave up until now never gets to it."""
        line, headers = encoded_request(self.stream.exchange.upstream_request.headers.raw, has_body=has_body)
        self._incoming = Incoming(line=line, headers=headers, pieces=self._pieces)

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
                self.client.close()

    def _answer(self, answer: Answer) -> None:
        """Have the answer arrive: what is written at one time is read in one go, its body as one piece."""
        at = LATENCY + answer.delay
        reads: list[tuple[float, list[Callable[[], object]]]] = [(at, [partial(self._respond_head, answer)])]
        written: list[bytearray] = []
        for number, piece in enumerate(answer.pieces):
            if piece.after:
                at += piece.after
                reads.append((at, []))
            if piece.after or not number:
                written.append(bytearray())
                reads[-1][1].append(partial(self._respond_body, written[-1]))
            written[-1] += piece.data
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

    def _respond_body(self, data: bytearray) -> None:
        self.stream.response_body(bytes(data), False)

    def _later(self, seconds: float, *steps: Callable[[], object]) -> None:
        """Something happens on the upstream's side, unless Envoy has turned away from it by then."""

        def happen() -> None:
            for step in steps:
                if self._open:
                    step()
                    self.look()

        self._clock.call_later(seconds, happen)

    @property
    def _open(self) -> bool:
        """Envoy still listens to the upstream: the stream is alive, and nobody else has answered."""
        exchange = self.stream.exchange
        replied = exchange.local_response is not None or exchange.details not in ("", "via_upstream")
        return not self.stream.finished and not replied


class HttpConversation:
    """The client's connection: what it writes, when, and what it reads.

    The exchange that counts is the first; further requests on the connection are carried out as well. A case may have
    further requests of its own, on this connection or on new ones.

    Attributes:
        more_clients: the readers of the responses to those.
    """

    def __init__(
        self,
        host: Any,
        upstream: Upstream,
        settings: Settings,
        *,
        upstream_refuses: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        self._host = host
        self._upstream = upstream
        self._settings = settings
        self._reader = RequestReader(settings)
        self._refuses = upstream_refuses
        self._patience = patience
        self._exchanges: list[_Exchange] = []
        self._unread: deque[Event] = deque()
        self._first = 0
        """Where the exchanges of the current connection begin."""
        self.more_clients: list[ClientReader] = []

    @property
    def client(self) -> ClientReader:
        """The reader of the first response."""
        return self._exchanges[0].client if self._exchanges else ClientReader()

    def run(self, request: bytes, parts: tuple[bytes, ...], more: tuple[More, ...] = ()) -> None:
        """Let it happen, until the client has its responses or gives up, and then some."""
        clock = self._host.clock
        self._pass(SETTLE)
        self._write(request)
        at = FIRST_PART
        for part in parts:
            clock.call_later(at, lambda part=part: self._write(part))
            at += NEXT_PART
        written = clock.now_ns + round((at if parts else 0) * 1e9)
        self._until(clock.now_ns + round((at + self._patience) * 1e9), written)
        for step in more:
            self._another(step)
        self._leave()
        self._pass(AFTERWARDS)

    def _another(self, step: More) -> None:
        if not step.same_connection:
            self._leave()
            self._reader = RequestReader(self._settings)
            self._unread.clear()
            self._first = len(self._exchanges)
        self._pass(step.after)
        before, now = len(self._exchanges), self._host.clock.now_ns
        self._write(step.request)
        self._until(now + round(self._patience * 1e9), now)
        new = self._exchanges[before:]
        closed = ClientReader()
        closed.close()
        closed.deliver()
        self.more_clients.append(new[0].client if new else closed)

    def crash(self) -> None:
        """Envoy dies."""
        for exchange in self._exchanges:
            exchange.crash()

    def _leave(self) -> None:
        for exchange in self._exchanges:
            exchange.leave()

    def _until(self, deadline_ns: int, written_ns: int) -> None:
        clock = self._host.clock
        while clock.now_ns < written_ns or not self._served():
            if not clock.step(deadline_ns):
                break
            self._sent()

    def _served(self) -> bool:
        return bool(self._exchanges) and all(e.client.served for e in self._exchanges)

    def _pass(self, seconds: float) -> None:
        clock = self._host.clock
        target = clock.now_ns + round(seconds * 1e9)
        while clock.step(target):
            self._sent()
        clock.advance(max(0, target - clock.now_ns) / 1e9)

    def _look(self) -> None:
        for exchange in self._exchanges:
            exchange.look()

    def _sent(self) -> None:
        """Envoy is done with what it was told, and sends what it has for the client."""
        self._look()
        for exchange in self._exchanges:
            exchange.client.deliver()
        if self._unread and not self._busy:
            self._read()
            self._sent()

    def _write(self, data: bytes) -> None:
        self._unread += self._reader.feed(data)
        self._read()
        self._sent()

    def _read(self) -> None:
        """Envoy reads what the client wrote; a further request of the connection waits for the end of this one."""
        while self._unread:
            if isinstance(self._unread[0], Head) and self._busy:
                return
            self._tell(self._unread.popleft())
            self._look()

    @property
    def _busy(self) -> bool:
        return bool(self._exchanges) and not self._exchanges[-1].stream.finished

    def _tell(self, event: Event) -> None:
        if self._exchanges[self._first :] and self._exchanges[-1].client.closing:
            return
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
        exchange = self._exchanges[-1] if self._exchanges and not self._exchanges[-1].stream.finished else None
        stream = (exchange or self._open(None)).stream
        stream._core.send_local_reply(refusal.status, refusal.body, [], refusal.details)
