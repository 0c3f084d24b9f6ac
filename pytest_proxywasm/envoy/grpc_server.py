"""A gRPC server on the loopback interface that answers Envoy as a test wants; knows no filters."""

from __future__ import annotations

import contextlib
import inspect
import queue
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any

from ..errors import UsageError
from ..headers import Headers, to_bytes
from ..host.callouts import response_entries
from ..host.http.reply import percent_encoded
from ..model import After, GrpcResponse, Reset, Response, Timeout
from .client import _h2
from .servers import ANSWERING, DONE, RECEIVING, SILENT, Answerer, Served, Server, cannot_answer

__all__ = ["GrpcServer"]

Pair = tuple[bytes, bytes]
REFUSED_STREAM_CODE = 0x2  # INTERNAL_ERROR: Envoy shows it as a reset by the remote side


class GrpcServer(Server):
    """HTTP/2 with gRPC's framing: an answer goes out when the first message has come, or the call's end."""

    def __init__(self, cluster: str, answerer: Answerer) -> None:
        _h2()
        self._cluster = cluster
        self._answerer = answerer
        super().__init__()

    def serve(self, connection: socket.socket) -> None:
        """All calls of one connection."""
        _Connection(connection, self._cluster, self._answerer).run()


class _Call:
    """One call as the server sees it."""

    def __init__(self, number: int, served: Served) -> None:
        self.number = number
        self.served = served
        self.inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.asked = False
        self.buffer = b""
        self.over = False

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now."""
        self.buffer += data
        messages = []
        while len(self.buffer) >= 5:
            (size,) = struct.unpack(">I", self.buffer[1:5])
            if len(self.buffer) < 5 + size:
                break
            messages.append(self.buffer[5 : 5 + size])
            self.buffer = self.buffer[5 + size :]
        return messages


class _Connection:
    def __init__(self, connection: socket.socket, cluster: str, answerer: Answerer) -> None:
        h2 = _h2()
        self._events = h2.events
        self._socket = connection
        self._cluster = cluster
        self._answerer = answerer
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,  # else it moves cookies to the end
        )
        self._h2 = h2.connection.H2Connection(config)
        self._lock = threading.RLock()
        self._calls: dict[int, _Call] = {}

    def run(self) -> None:
        with self._lock:
            self._h2.initiate_connection()
            self._flush()
        try:
            while data := self._socket.recv(1 << 16):
                with self._lock:
                    for event in self._h2.receive_data(data):
                        self._event(event)
                    self._flush()
        finally:
            for call in self._calls.values():
                self._end(call)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            with contextlib.suppress(OSError):
                self._socket.sendall(data)

    def _event(self, event: Any) -> None:
        events = self._events
        if isinstance(event, events.RequestReceived):
            served = self._answerer.begin(self._cluster, self._socket.getpeername()[1])
            served.message.headers = [(bytes(n), bytes(v)) for n, v in event.headers]
            self._calls[event.stream_id] = _Call(event.stream_id, served)
        elif isinstance(event, events.DataReceived):
            call = self._calls[event.stream_id]
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            for message in call.feed(event.data):
                call.served.messages.append(message)
                if len(call.served.messages) == 1:
                    call.served.message.body += message
                call.inbox.put(message)
                self._ask(call)
        elif isinstance(event, events.StreamEnded):
            call = self._calls[event.stream_id]
            call.served.message.complete = True
            call.inbox.put(None)
            self._ask(call)
        elif isinstance(event, events.StreamReset):
            self._end(self._calls[event.stream_id])

    def _end(self, call: _Call) -> None:
        call.over = True
        call.served.state = DONE
        call.inbox.put(None)

    def _ask(self, call: _Call) -> None:
        if not call.asked:
            call.asked = True
            call.served.state = ANSWERING
            threading.Thread(target=self._answer_quietly, args=(call,), daemon=True).start()

    def _answer_quietly(self, call: _Call) -> None:
        try:
            self._answer(call)
        except Exception as error:
            self._answerer.failed(error)
            self._reset(call)
        finally:
            if call.served.state != SILENT:
                call.served.state = DONE

    def _answer(self, call: _Call) -> None:
        answer = call.served.answer = self._answerer.answer(call.served)
        if inspect.isgenerator(answer):
            answer = self._run(call, answer)
        self._finish(call, answer, begun=False)

    def _finish(self, call: _Call, answer: Any, *, begun: bool) -> None:
        if answer is _ENDED:
            return
        if isinstance(answer, After):
            if not self._answerer.wait(answer.seconds):
                return
            answer = answer.answer
        if isinstance(answer, GrpcResponse):
            self._respond(call, answer, begun=begun)
        elif isinstance(answer, Response):
            entries = [pair for pair in response_entries(answer) if pair[0] != b"transfer-encoding"]
            self._send(call, entries, [answer.body] if answer.body else [], None)
        elif isinstance(answer, Reset):
            if answer.after_headers and not begun:
                self._headers(call, ())
                self._answerer.between_chunks()
            self._reset(call)
        elif answer is None or isinstance(answer, Timeout):
            call.served.state = SILENT
        else:
            raise cannot_answer(answer, self._cluster)

    def _run(self, call: _Call, script: Any) -> Any:
        """Run a generator: what it yields is sent, and each ``yield`` gives the filter's next message."""
        begun = False
        value: bytes | None = None
        started = False
        while not call.over:
            try:
                item = script.send(value) if started else next(script)
            except StopIteration as stop:
                end = stop.value if stop.value is not None else GrpcResponse()
                if begun and isinstance(end, GrpcResponse):
                    self._respond(call, end, begun=True)
                    return _ENDED
                return end
            started = True
            for one in item if isinstance(item, list) else [item]:
                begun = self._item(call, one, begun)
            call.served.state = RECEIVING
            value = call.inbox.get()
            call.served.state = ANSWERING
        script.close()
        return _ENDED

    def _item(self, call: _Call, item: Any, begun: bool) -> bool:
        if item is None:
            return begun
        if isinstance(item, Headers):
            self._headers(call, item.raw)
            return True
        if not isinstance(item, (bytes, str)):
            raise UsageError(
                f"the handler of cluster {self._cluster!r} yielded {item!r}; it must yield a message (bytes), a list "
                "of messages, pw.Headers as initial metadata, or None"
            )
        if not begun:
            self._headers(call, ())
        self._data(call, _frame(to_bytes(item)))
        return True

    def _headers(self, call: _Call, metadata: Iterable[Pair]) -> None:
        self._send(call, [*_GRPC, *metadata], (), None, end=False)

    def _respond(self, call: _Call, answer: GrpcResponse, *, begun: bool) -> None:
        end: list[Pair] = [(b"grpc-status", b"%d" % answer.status)]
        if answer.message:
            end.append((b"grpc-message", percent_encoded(to_bytes(answer.message))))
        end += Headers(answer.trailing_metadata).raw
        initial = Headers(answer.initial_metadata).raw
        if not begun and not answer.messages and not initial and answer.status != 0:
            self._send(call, [*_GRPC, *end], (), None)
            return
        if not begun:
            self._headers(call, initial)
        for message in answer.messages:
            self._answerer.between_chunks()
            self._data(call, _frame(message))
        self._answerer.between_chunks()
        with self._lock:
            if not call.over:
                self._h2.send_headers(call.number, end, end_stream=True)
                self._flush()

    def _send(
        self,
        call: _Call,
        headers: list[Pair],
        pieces: Iterable[bytes],
        trailers: list[Pair] | None,
        *,
        end: bool = True,
    ) -> None:
        body = list(pieces)
        with self._lock:
            if call.over:
                return
            self._h2.send_headers(call.number, headers, end_stream=end and not body)
            self._flush()
        for number, piece in enumerate(body):
            self._answerer.between_chunks()
            self._data(call, piece, end=end and number == len(body) - 1)

    def _data(self, call: _Call, data: bytes, *, end: bool = False) -> None:
        with self._lock:
            while data and not call.over:
                part, data = data[: self._h2.max_outbound_frame_size], data[self._h2.max_outbound_frame_size :]
                self._h2.send_data(call.number, part, end_stream=end and not data)
                self._flush()

    def _reset(self, call: _Call) -> None:
        with self._lock, contextlib.suppress(Exception):
            if not call.over:
                self._h2.reset_stream(call.number, REFUSED_STREAM_CODE)
                self._flush()


_GRPC: list[Pair] = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_ENDED = object()
"""Nothing is left to be sent."""


def _frame(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message
