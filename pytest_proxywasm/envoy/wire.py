"""HTTP/1.1 messages on a socket: written as they are given, read as they are; knows no Envoy and no filter.

Nothing is checked or corrected: what a proxy makes of odd messages is what a test wants to see.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["Closed", "Message", "Reader", "TimeUp", "chunk", "head", "last_chunk", "receive"]

Pair = tuple[bytes, bytes]
SLICE = 0.05
"""Seconds between two questions whether to wait on."""


class TimeUp(Exception):
    """Nothing more came in time."""


class Closed(Exception):
    """The peer has closed the connection."""


@dataclass(slots=True)
class Message:
    """A request or response as far as it has arrived.

    Attributes:
        line: the request line or status line.
        complete: its end was seen.
    """

    line: bytes = b""
    headers: list[Pair] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[Pair] = field(default_factory=list)
    complete: bool = False

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return (self.get(b"transfer-encoding") or b"").lower().endswith(b"chunked")

    @property
    def status(self) -> int:
        """The number in a status line."""
        return int(self.line.split(b" ")[1])


def receive(connection: socket.socket, idle: Callable[[], bool] | None = None) -> bytes:
    """What comes next on a connection, at least one byte.

    Raises:
        Closed: the peer is gone.
        TimeUp: ``idle`` does not want to wait any more.
    """
    while idle is not None and not select.select([connection], [], [], SLICE)[0]:
        if not idle():
            raise TimeUp
    try:
        data = connection.recv(1 << 16)
    except OSError as error:
        raise Closed from error
    if not data:
        raise Closed
    return data


class Reader:
    """Reads messages from a connection.

    Args:
        idle: asked from time to time while nothing comes; it answers whether to wait on. Without it: for ever.
    """

    def __init__(self, connection: socket.socket, idle: Callable[[], bool] | None = None) -> None:
        self._connection = connection
        self._buffer = b""
        self._idle = idle

    @property
    def buffered(self) -> bool:
        """Whether bytes have arrived that nobody has taken yet."""
        return bool(self._buffer)

    def more(self) -> None:
        """Read once."""
        self._buffer += receive(self._connection, self._idle)

    def line(self) -> bytes:
        """A line without its end."""
        while b"\n" not in self._buffer:
            self.more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.removesuffix(b"\r")

    def fields(self) -> list[Pair]:
        """Header or trailer fields and the empty line behind them."""
        fields = []
        while line := self.line():
            # A pseudo header that a filter has put among others begins with a colon itself.
            name, _, value = line[1:].partition(b":")
            fields.append((line[:1] + name, value.removeprefix(b" ")))
        return fields

    def take(self, at_most: int) -> bytes:
        """At least one byte, and no more than that."""
        while not self._buffer:
            self.more()
        data, self._buffer = self._buffer[:at_most], self._buffer[at_most:]
        return data

    def message(
        self, message: Message, *, request: bool, head: bool = False, at_headers: Callable[[], None] | None = None
    ) -> None:
        """Read a whole message into ``message``, which holds what has arrived when this raises.

        Args:
            head: it is the response to a HEAD request.
            at_headers: called when the headers are there.
        """
        while True:
            message.line = self.line()
            message.headers = self.fields()
            if request or not 100 <= message.status < 200 or message.status == 101:
                break
        if at_headers is not None:
            at_headers()
        bodiless = not request and (head or message.status in (204, 304))
        if not bodiless:
            self._body(message, request)
        message.complete = True

    def _body(self, message: Message, request: bool) -> None:
        if message.chunked:
            while size := self._chunk_size():
                end = len(message.body) + size
                while len(message.body) < end:
                    message.body += self.take(end - len(message.body))
                self.line()
            message.trailers = self.fields()
            return
        length = message.get(b"content-length")
        if length is not None and length.isdigit():
            while len(message.body) < int(length):
                message.body += self.take(int(length) - len(message.body))
        elif not request:
            try:
                while True:
                    message.body += self.take(1 << 16)
            except Closed:
                return

    def _chunk_size(self) -> int:
        line = self.line().partition(b";")[0]
        try:
            return int(line, 16)
        except ValueError:
            raise Closed from None  # a filter has made Envoy write two responses into one


def head(line: bytes, headers: Iterable[Pair]) -> bytes:
    """The first line and the headers of a message."""
    return line + b"\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in headers) + b"\r\n"


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def last_chunk(trailers: Sequence[Pair] = ()) -> bytes:
    """The end of a chunked body."""
    return b"0\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in trailers) + b"\r\n"
