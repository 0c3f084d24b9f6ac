"""Clients that send one request to Envoy and read what comes back, over HTTP/1.1 and HTTP/2; they know no filters."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import UsageError
from ..headers import Headers, to_bytes
from ..host.http.codec import request_map
from ..model import Request, Response
from .wire import Closed, Message, Reader, TimeUp, chunk, head, last_chunk, receive

__all__ = ["Client", "Http1Client", "Http2Client", "connect"]

Pair = tuple[bytes, bytes]
Idle = Callable[[], bool]
BARE = ("content-length", "transfer-encoding")


class Client(Protocol):
    """A connection for one request.

    Attributes:
        complete: the whole response has arrived.
        closed: the connection was closed, or the stream reset, before that.
        port: the client's own port.
    """

    complete: bool
    closed: bool
    port: int

    def send(self, request: Request, between_chunks: Callable[[], None]) -> None:
        """Send the request; each chunk when Envoy has taken in the one before."""

    def receive(self) -> None:
        """Read the response, until it is there, broken off, or not worth waiting for."""

    def response(self) -> Response | None:
        """The response so far; ``None`` without headers."""

    def close(self, *, reset: bool = False) -> None:
        """Close the connection."""


def connect(port: int) -> socket.socket:
    """A connection to a port of the loopback interface."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def close(connection: socket.socket, *, reset: bool = False) -> None:
    """Close a connection, in good order or with a reset."""
    if reset:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def body_pieces(request: Request) -> list[bytes] | None:
    """The pieces of a body; ``None`` for no body at all."""
    if request.chunks is not None:
        return list(request.chunks)
    return [request.body] if request.body else None


class Http1Client:
    """HTTP/1.1."""

    def __init__(self, port: int, idle: Idle) -> None:
        self.complete = False
        self.closed = False
        self._socket = connect(port)
        self.port = self._socket.getsockname()[1]
        self._reader = Reader(self._socket, idle)
        self._message = Message()
        self._method = b""

    def send(self, request: Request, between_chunks: Callable[[], None]) -> None:
        """Send the request; each chunk when Envoy has taken in the one before."""
        entries = request_map(request.headers, request, "1.1").entries
        pseudo = {name: value for name, value in entries if name.startswith(b":")}
        if pseudo.pop(b":scheme") != b"http":
            raise UsageError("over HTTP/1.1 without TLS the scheme is http; use http_version='2' for another")
        self._method = pseudo[b":method"]
        fields = [(b"host", pseudo[b":authority"]), *(e for e in entries if not e[0].startswith(b":"))]
        pieces = body_pieces(request)
        framed = any(name in request.headers for name in BARE)
        trailers = request.trailers.raw
        chunked = "transfer-encoding" in request.headers
        if not framed and (pieces is not None or trailers):
            if request.chunks is None and not trailers:
                fields.append((b"content-length", b"%d" % len(request.body)))
            else:
                fields.append((b"transfer-encoding", b"chunked"))
                chunked = True
        with contextlib.suppress(OSError):
            line = b"%s %s HTTP/1.1" % (self._method, pseudo[b":path"])
            self._socket.sendall(head(line, fields))
            for piece in pieces or ():
                if piece:
                    between_chunks()
                    self._socket.sendall(chunk(piece) if chunked else piece)
            if chunked:
                between_chunks()
                self._socket.sendall(last_chunk(trailers))

    def receive(self) -> None:
        """Read the response, until it is there, broken off, or not worth waiting for."""
        try:
            self._reader.message(self._message, request=False, head=self._method == b"HEAD")
            self.complete = True
        except Closed:
            self.closed = True
        except TimeUp:
            return

    def response(self) -> Response | None:
        """The response so far; ``None`` without headers."""
        message = self._message
        if not message.line or not (message.headers or message.complete):
            return None
        entries = [(name, value) for name, value in message.headers if name.lower() != b"transfer-encoding"]
        status = message.line.split(b" ")[1]
        return Response(
            int(status),
            Headers.from_raw([(b":status", status), *entries]),
            bytes(message.body),
            Headers.from_raw(message.trailers),
        )

    def close(self, *, reset: bool = False) -> None:
        """Close the connection."""
        close(self._socket, reset=reset)


class Http2Client:
    """HTTP/2 without TLS and without an upgrade, on a connection of its own."""

    def __init__(self, port: int, idle: Idle) -> None:
        self.complete = False
        self.closed = False
        h2 = _h2()
        self._events = h2.events
        self._broken = h2.exceptions.ProtocolError
        self._idle = idle
        self._socket = connect(port)
        self.port = self._socket.getsockname()[1]
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,  # else it moves cookies to the end
        )
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()
        self._headers: list[Pair] = []
        self._trailers: list[Pair] = []
        self._body = bytearray()
        self._flush()

    def send(self, request: Request, between_chunks: Callable[[], None]) -> None:
        """Send the request; one DATA frame a chunk, each when Envoy has taken in the one before."""
        entries = list(request_map(request.headers, request, "2").entries)
        pieces = body_pieces(request)
        trailers = request.trailers.raw
        if request.body and request.chunks is None and not trailers and "content-length" not in request.headers:
            entries.append((b"content-length", b"%d" % len(request.body)))
        if pieces == [] and not trailers:
            pieces = [b""]
        last = len(pieces) - 1 if pieces else -1
        self._h2.send_headers(1, entries, end_stream=pieces is None and not trailers)
        self._flush()
        for number, piece in enumerate(pieces or ()):
            between_chunks()
            self._data(piece, end=number == last and not trailers)
        if trailers and not self.closed:
            between_chunks()
            self._h2.send_headers(1, [(to_bytes(n), to_bytes(v)) for n, v in trailers], end_stream=True)
            self._flush()

    def _data(self, piece: bytes, *, end: bool) -> None:
        while not (self.closed or self.complete):
            room = min(self._h2.local_flow_control_window(1), self._h2.max_outbound_frame_size)
            if room >= len(piece) or room > 0:
                part, piece = piece[:room], piece[room:]
                self._h2.send_data(1, part, end_stream=end and not piece)
                self._flush()
                if not piece:
                    return
            else:
                self._more()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            with contextlib.suppress(OSError):
                self._socket.sendall(data)

    def receive(self) -> None:
        """Read the response, until it is there, broken off, or not worth waiting for."""
        try:
            while not (self.complete or self.closed):
                self._more()
        except Closed:
            self.closed = True
        except TimeUp:
            return

    def _more(self) -> None:
        events = self._events
        data = receive(self._socket, self._idle)
        try:
            received = self._h2.receive_data(data)
        except self._broken:
            raise Closed from None  # a filter has made Envoy write what is no response, such as too long a body
        for event in received:
            if isinstance(event, events.ResponseReceived):
                self._headers = [(bytes(n), bytes(v)) for n, v in event.headers]
            elif isinstance(event, events.DataReceived):
                self._body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, events.TrailersReceived):
                self._trailers = [(bytes(n), bytes(v)) for n, v in event.headers]
            elif isinstance(event, events.StreamEnded):
                self.complete = True
            elif isinstance(event, (events.StreamReset, events.ConnectionTerminated)):
                self.closed = not self.complete
        self._flush()

    def response(self) -> Response | None:
        """The response so far; ``None`` without headers."""
        if not self._headers:
            return None
        headers = Headers.from_raw(self._headers)
        return Response(int(headers.get(":status", "0")), headers, bytes(self._body), Headers.from_raw(self._trailers))

    def close(self, *, reset: bool = False) -> None:
        """Close the connection."""
        close(self._socket, reset=reset)


def _h2() -> Any:
    try:
        import h2.config
        import h2.connection
        import h2.events
        import h2.exceptions
    except ImportError:
        raise UsageError("HTTP/2 to a real Envoy needs the package h2: pip install 'pytest-proxywasm[envoy]'") from None
    return h2
