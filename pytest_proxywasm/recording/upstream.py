"""The upstream of recorded cases: how it reads requests, what it answers by path, what it keeps; opens no socket.

It is an HTTP/1.1 server behind the clusters ``web`` and ``aux``. Everything here is a plain value: when things happen
is up to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

__all__ = ["Answer", "Incoming", "Piece", "answer_to"]

Pair: TypeAlias = "tuple[bytes, bytes]"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a chunked body, so many seconds after what came before it."""

    after: float
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the upstream writes: status and headers, then the body in pieces, then trailers or a cut."""

    status: int
    headers: tuple[Pair, ...]
    pieces: tuple[Piece, ...] = ()
    trailers: tuple[Pair, ...] = ()
    delay: float = 0.0
    cut: bool = False

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(piece.data for piece in self.pieces)

    @property
    def seconds(self) -> float:
        """From the request to the last byte."""
        return self.delay + sum(piece.after for piece in self.pieces)


@dataclass(slots=True, kw_only=True)
class Incoming:
    """A request as it arrives: its head, then its body as far as the framing in its head goes.

    Attributes:
        pieces: the body as it was sent, one chunk each where it is chunked.
        finished: Envoy has sent the end of it.
    """

    line: str
    headers: tuple[Pair, ...]
    pieces: list[bytes] = field(default_factory=list)
    trailers: tuple[Pair, ...] = ()
    finished: bool = False

    @property
    def chunked(self) -> bool:
        """The body is chunked."""
        return any(name == b"transfer-encoding" for name, _ in self.headers)

    @property
    def length(self) -> int:
        """The body's length where it is not chunked."""
        value = next((v for n, v in self.headers if n == b"content-length"), b"0")
        return int(value) if value.isdigit() else 0

    @property
    def body(self) -> bytes:
        """The body as the server reads it: what is over the content-length belongs to no request."""
        data = b"".join(self.pieces)
        return data if self.chunked else data[: self.length]

    @property
    def complete(self) -> bool:
        """The server has read all of it."""
        return self.finished if self.chunked else len(self.body) >= self.length

    def record(self) -> dict[str, Any]:
        """What the server keeps of it, and writes into its JSON answers."""
        return {
            "line": self.line,
            "headers": _lines(self.headers),
            "body": self.body.decode("latin-1"),
            "chunks": [len(piece) for piece in self.pieces if piece] if self.chunked else [],
            "trailers": _lines(self.trailers) if self.chunked else [],
        }


def _lines(pairs: Sequence[Pair]) -> list[str]:
    return [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in pairs]


def answer_to(request: Incoming) -> Answer:
    """What the upstream answers, by path."""
    method, target, _ = request.line.split(" ", 2)
    url = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    answer = _answer(url.path, query, request)
    if method == "HEAD":
        return Answer(status=answer.status, headers=answer.headers, delay=answer.delay)
    return answer


def _answer(path: str, query: dict[str, str], request: Incoming) -> Answer:
    if path == "/fixed":
        return _plain(200, [(b"content-type", b"text/plain")], b"hello world")
    if path == "/aux":
        return _plain(201, [(b"X-Aux", b"yes")], json.dumps(request.record()).encode())
    if path == "/chunked":
        return _chunked(query)
    if path == "/dup":
        headers = [(b"X-Dup", b"a"), (b"X-Other", b"o"), (b"x-dup", b"b")]
        return _plain(200, [*headers, (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")], b"hello")
    if path == "/status":
        status = int(query.get("c", "200"))
        return Answer(status=status, headers=()) if status in (204, 304) else _plain(status, [], b"")
    if path == "/slow":
        return _plain(200, [], b"slow", delay=float(query.get("d", "1")))
    if path == "/cut":
        return Answer(status=200, headers=((b"content-length", b"10"),), pieces=(Piece(0, b"abc"),), cut=True)
    if path == "/big":
        return _plain(200, [], b"B" * int(query.get("n", "100000")))
    headers = [(b"content-type", b"application/json"), (b"X-Up", b"Yes")]
    return _plain(200, headers, json.dumps(request.record()).encode())


def _plain(status: int, headers: Sequence[Pair], body: bytes, *, delay: float = 0.0) -> Answer:
    framed = (*headers, (b"content-length", b"%d" % len(body)))
    return Answer(status=status, headers=framed, pieces=(Piece(0, body),) if body else (), delay=delay)


def _chunked(query: dict[str, str]) -> Answer:
    count, size, gap = int(query.get("n", "3")), int(query.get("sz", "5")), float(query.get("d", "0.05"))
    return Answer(
        status=200,
        headers=((b"content-type", b"text/plain"), (b"transfer-encoding", b"chunked")),
        pieces=tuple(Piece(gap if index else 0, bytes([97 + index % 26]) * size) for index in range(count)),
        trailers=((b"X-Trail", b"tv"), (b"x-trail2", b"tv2")) if query.get("tr") else (),
    )
