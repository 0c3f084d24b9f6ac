"""Servers on the loopback interface that answer Envoy as a test wants; they know no filters.

A connection is served by a thread of its own. What a server has received is kept in `Served` records, which also say
what it is about: a stream that waits for a busy server is not stalled.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import UsageError
from ..headers import Headers
from ..host.callouts import response_entries
from ..model import After, ConnectionRefused, GrpcResponse, NoHosts, Request, Reset, Response, Timeout
from .wire import Closed, Message, Reader, chunk, head, last_chunk

__all__ = ["Answerer", "HttpServer", "Served", "Server"]

Pair = tuple[bytes, bytes]
RECEIVING, ANSWERING, SILENT, DONE = "receiving", "answering", "silent", "done"


@dataclass(slots=True)
class Served:
    """A request as a server sees it.

    Attributes:
        state: ``"receiving"``, ``"answering"``, ``"silent"`` (it will not answer), ``"done"``.
        answer: what it was answered with.
        messages: gRPC messages received so far.
    """

    cluster: str
    message: Message = field(default_factory=Message)
    state: str = RECEIVING
    answer: Any = None
    messages: list[bytes] = field(default_factory=list)

    def request(self) -> Request:
        """The request so far, with pseudo headers; of an HTTP/1.1 message the ``:scheme`` is not known."""
        message = self.message
        if message.line:
            method, _, rest = message.line.partition(b" ")
            path = rest.rpartition(b" ")[0]
            pseudo = [(b":path", path), (b":method", method), (b":scheme", b"http")]
        else:
            pseudo = []
        entries: list[Pair] = []
        for name, value in message.headers:
            if message.line and name.lower() == b"host":
                pseudo.insert(0, (b":authority", value))
            elif name.lower() != b"transfer-encoding":
                entries.append((name, value))
        headers = Headers.from_raw([*pseudo, *entries])
        return Request(
            headers=headers,
            method=headers.get(":method", ""),
            path=headers.get(":path", ""),
            authority=headers.get(":authority", ""),
            scheme=headers.get(":scheme", ""),
            body=bytes(message.body),
            trailers=Headers.from_raw(message.trailers),
        )


class Answerer(Protocol):
    """Who says what a server answers; called in the server's threads."""

    def begin(self, cluster: str, port: int) -> Served:
        """A request begins to arrive, from this port."""

    def answer(self, served: Served) -> Any:
        """A request has arrived: a `Response` or failure, or ``None`` for none."""

    def failed(self, error: BaseException) -> None:
        """The test's callable, or the server, failed."""

    def between_chunks(self) -> None:
        """Wait until Envoy has taken in what was written."""

    def wait(self, seconds: float) -> bool:
        """Let time pass; false when everything is over."""


class Server:
    """Accepts connections on a port of its own, each in a thread.

    The port stays ours while the server refuses connections.
    """

    def __init__(self) -> None:
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.listen()

    def listen(self) -> None:
        """Accept connections."""
        if self._listener is None:
            self._listener = _bound(self.port)
            self._listener.listen(128)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse connections, and close those that are open."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop()

    @property
    def refuses(self) -> bool:
        """Whether connections are refused."""
        return self._listener is None

    def drop(self) -> None:
        """Close the connections that are open."""
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything."""
        self.refuse()
        self._holder.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve_quietly, args=(connection,), daemon=True).start()

    def _serve_quietly(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, Closed):
            self.serve(connection)
        with self._lock:
            self._connections.discard(connection)
        connection.close()

    def serve(self, connection: socket.socket) -> None:
        """One connection to its end."""
        raise NotImplementedError


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


class HttpServer(Server):
    """HTTP/1.1: reads whole requests and answers them one after the other."""

    def __init__(self, cluster: str, answerer: Answerer) -> None:
        self._cluster = cluster
        self._answerer = answerer
        super().__init__()

    def serve(self, connection: socket.socket) -> None:
        """Requests one after the other."""
        reader = Reader(connection)
        while True:
            message = Message()
            served: list[Served] = []

            def begin(message: Message = message, served: list[Served] = served) -> None:
                record = self._answerer.begin(self._cluster, connection.getpeername()[1])
                record.message = message
                served.append(record)

            try:
                reader.message(message, request=True, at_headers=begin)
                served[0].state = ANSWERING
                if not self._answer(connection, served[0]):
                    return
            except (OSError, Closed):
                for record in served:
                    record.state = DONE
                raise
            except Exception as error:
                self._answerer.failed(error)
                for record in served:
                    record.state = DONE
                return
            finally:
                for record in served:
                    if record.state != SILENT:
                        record.state = DONE

    def _answer(self, connection: socket.socket, served: Served) -> bool:
        """Whether the connection can be used again."""
        answer = served.answer = self._answerer.answer(served)
        if isinstance(answer, After):
            if not self._answerer.wait(answer.seconds):
                return False
            answer = answer.answer
        if isinstance(answer, Response):
            method = served.message.line.partition(b" ")[0]
            write_response(connection, answer, method == b"HEAD", self._answerer.between_chunks)
            return True
        if isinstance(answer, Reset):
            if answer.after_headers:
                connection.sendall(head(b"HTTP/1.1 200 OK", [(b"transfer-encoding", b"chunked")]))
                self._answerer.between_chunks()
            return False
        if answer is None or isinstance(answer, Timeout):
            served.state = SILENT
            while connection.recv(1 << 16):
                pass
            served.state = DONE
            return False
        raise cannot_answer(answer, self._cluster)


def cannot_answer(answer: object, cluster: str) -> UsageError:
    """The error for what a server cannot do."""
    if isinstance(answer, (ConnectionRefused, NoHosts)):
        return UsageError(
            f"cluster {cluster!r} answers a call with {answer!r}, but in a real Envoy the call has arrived by then: "
            f"declare the whole cluster so, host.cluster({cluster!r}, pw.{type(answer).__name__}())"
        )
    if isinstance(answer, GrpcResponse):
        return UsageError(f"cluster {cluster!r} answers gRPC, but the filter made an HTTP call")
    return UsageError(f"cluster {cluster!r} gave {answer!r}, which is no answer")


def write_response(
    connection: socket.socket, response: Response, head_only: bool, between_chunks: Callable[[], None]
) -> None:
    """Write a response; one chunk after the other, each when Envoy has taken in the one before."""
    bodiless = head_only or response.status in (204, 304)
    entries = response_entries(response)
    if response.status in (204, 304) and "content-length" not in response.headers:
        entries = [entry for entry in entries if entry[0] != b"content-length"]
    fields = [(name, value) for name, value in entries if name != b":status"]
    status = next(value for name, value in entries if name == b":status")
    connection.sendall(head(b"HTTP/1.1 %s %s" % (status, b"OK" if status == b"200" else b"x"), fields))
    if bodiless:
        return
    chunked = any(name == b"transfer-encoding" for name, _ in fields)
    pieces: Iterable[bytes] = response.chunks if response.chunks is not None else (response.body,)
    for piece in pieces:
        if piece:
            between_chunks()
            connection.sendall(chunk(piece) if chunked else piece)
    if chunked:
        between_chunks()
        connection.sendall(last_chunk(response.trailers.raw))
