"""The upstream of the recordings on real sockets: an HTTP/1.1 server and a TCP server that echoes; knows no Envoy."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .upstream import Answer, Incoming, answer_to

__all__ = ["HttpServer", "Server", "TcpServer", "refused_port"]

_REQUEST_LINE = re.compile(rb"\S+ \S+ HTTP/1\.[01]\Z")


class _Gone(Exception):
    """The peer has closed the connection."""


class Server:
    """Accepts connections, each in a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Any:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.finish(0.1)
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def finish(self, seconds: float) -> None:
        """Let the connections come to their end."""
        deadline = time.monotonic() + seconds
        for thread in self._threads[1:]:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(connection)
            self._start(self._serve_quietly, connection)

    def _serve_quietly(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, _Gone):
            self.serve(connection)
        connection.close()

    def serve(self, connection: socket.socket) -> None:
        """One connection to its end."""
        raise NotImplementedError


class HttpServer(Server):
    """Answers by path and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self._requests: list[Incoming] = []

    def record(self) -> list[dict[str, Any]]:
        """Everything it received, in the order in which it was read."""
        return [request.record() for request in self._requests]

    def serve(self, connection: socket.socket) -> None:
        """Requests one after the other."""
        reader = _Reader(connection)
        while True:
            request = reader.head()
            try:
                reader.body(request)
            except _Gone:
                if not request.chunked:
                    self._requests.append(request)
                raise
            self._requests.append(request)
            answer = answer_to(request)
            _write(connection, answer)
            if answer.cut:
                return


class _Reader:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def _more(self) -> None:
        try:
            data = self._connection.recv(1 << 16)
        except OSError as error:
            raise _Gone from error
        if not data:
            raise _Gone
        self._buffer += data

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _fields(self) -> tuple[tuple[bytes, bytes], ...]:
        fields = []
        while line := self._line():
            name, _, value = line.partition(b":")
            fields.append((name, value.removeprefix(b" ")))
        return tuple(fields)

    def head(self) -> Incoming:
        line = self._line()
        if not _REQUEST_LINE.match(line):
            raise _Gone
        return Incoming(line=line.decode("latin-1"), headers=self._fields())

    def body(self, request: Incoming) -> None:
        if not request.chunked:
            while not request.complete:
                if not self._buffer:
                    self._more()
                left = request.length - len(request.body)
                request.pieces.append(self._buffer[:left])
                self._buffer = self._buffer[left:]
            return
        while size := int(self._line().partition(b";")[0], 16):
            while len(self._buffer) < size + 2:
                self._more()
            request.pieces.append(self._buffer[:size])
            self._buffer = self._buffer[size + 2 :]
        request.trailers = self._fields()
        request.finished = True


def _write(connection: socket.socket, answer: Answer) -> None:
    """Head, body and trailers; what no pause separates is written at once."""
    time.sleep(answer.delay)
    chunked = any(name == b"transfer-encoding" for name, _ in answer.headers)
    data = b"HTTP/1.1 %d x\r\n" % answer.status + b"".join(b"%s: %s\r\n" % pair for pair in answer.headers) + b"\r\n"
    for piece in answer.pieces:
        if piece.after:
            connection.sendall(data)
            data = b""
            time.sleep(piece.after)
        data += b"%x\r\n%s\r\n" % (len(piece.data), piece.data) if chunked else piece.data
    if chunked and answer.pieces:
        data += b"0\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in answer.trailers) + b"\r\n"
    connection.sendall(data)
    if answer.cut:
        time.sleep(0.02)


class TcpServer(Server):
    """Echoes with ``E:`` in front, closes on ``QUIT``, resets on ``RESET``; may speak first."""

    def __init__(self, greet: bytes) -> None:
        super().__init__()
        self._greet = greet
        self.got: list[str] = []

    def serve(self, connection: socket.socket) -> None:
        """One connection."""
        if self._greet:
            connection.sendall(self._greet)
        while True:
            data = connection.recv(1 << 16)
            self.got.append(data.decode("latin-1"))
            if not data or data.strip() == b"QUIT":
                return
            if data.strip() == b"RESET":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            # An end that has arrived by now goes with the answer, so that Envoy reads both at once.
            time.sleep(0.005)
            over = _ended(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(over))
            connection.sendall(b"E:" + data)
            if over:
                self.got.append("")
                connection.shutdown(socket.SHUT_WR)
                return


def _ended(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def refused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
