"""The recorded upstream: how it reads requests, what it answers by path, what it keeps; knows no filters.

It is an HTTP/1.1 server behind the clusters ``web`` and ``aux``, and a gRPC server behind ``grpc``. Everything here
is a plain value: when things happen is up to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from pytest_proxywasm.model import (
    After,
    Callout,
    ConnectionRefused,
    GrpcResponse,
    NoHosts,
    Reset,
    Response,
    Timeout,
)

__all__ = ["LATENCY", "Answer", "Incoming", "Piece", "Upstream", "answer_to", "encoded_request"]

Pair: TypeAlias = "tuple[bytes, bytes]"

LATENCY = 0.001
"""Seconds from a request to its answer."""

NO_BODY_METHODS = ("GET", "HEAD", "DELETE", "TRACE", "CONNECT")


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


def encoded_request(headers: Sequence[Pair], *, has_body: bool) -> tuple[str, tuple[Pair, ...]]:
    """Request line and headers as Envoy's HTTP/1.1 codec writes them: ``host``, and its own framing last."""
    first = dict(reversed(headers))
    method, path = (first.get(name, b"").decode("latin-1") for name in (b":method", b":path"))
    lines = []
    for name, value in headers:
        if name == b":authority":
            lines.append((b"host", value))
        elif not name.startswith(b":") and name != b"transfer-encoding":
            lines.append((name, value))
    if not any(name == b"content-length" for name, _ in lines):
        if has_body:
            lines.append((b"transfer-encoding", b"chunked"))
        elif method not in NO_BODY_METHODS:
            lines.append((b"content-length", b"0"))
    return f"{method} {path} HTTP/1.1", tuple(lines)


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


class Upstream:
    """The upstream with its record of requests, in the order in which they were read."""

    def __init__(self) -> None:
        self.requests: list[Incoming] = []

    def handlers(self) -> dict[str, Any]:
        """All clusters filters can call, by name, in the form the host takes them."""
        return {
            "web": self.http_call,
            "aux": self.http_call,
            "dead": ConnectionRefused(),
            "nohosts": NoHosts(),
            "grpc": grpc_call,
        }

    def keep(self, request: Incoming) -> None:
        """A request has been read to its end."""
        self.requests.append(request)

    def broken_off(self, request: Incoming) -> None:
        """The connection ends in the middle of a request: one that ends within its chunks is not kept."""
        if not request.chunked:
            self.keep(request)

    def http_call(self, callout: Callout) -> Response | Reset | After:
        """A filter's HTTP call arrives, complete; trailers of such a call do not (no chunks to follow)."""
        line, headers = encoded_request(callout.headers.raw, has_body=bool(callout.body))
        request = Incoming(line=line, headers=headers, pieces=[callout.body], finished=True)
        self.keep(request)
        answer = answer_to(request)
        if answer.cut:
            return After(answer.seconds + LATENCY, Reset(after_headers=True))
        chunked = any(name == b"transfer-encoding" for name, _ in answer.headers)
        response = Response(
            answer.status,
            answer.headers,
            b"" if chunked else answer.body,
            answer.trailers,
            chunks=[piece.data for piece in answer.pieces] if chunked else None,
        )
        return After(answer.seconds + LATENCY, response)

    def record(self) -> list[dict[str, Any]]:
        """Everything it received."""
        return [request.record() for request in self.requests]


def grpc_call(callout: Callout) -> GrpcResponse | Timeout | After | Reset:
    """The gRPC server, by method: ``Err`` fails with NOT_FOUND, ``Hang`` never answers, others reply."""
    method = callout.path.rpartition("/")[2] or callout.method
    if method == "Hang":
        return Timeout()
    if "500" in method:
        return After(LATENCY, GrpcResponse(status=2))
    if method == "Err":
        return After(LATENCY, GrpcResponse(status=5, message="nf"))
    if method == "Stream":
        metadata = {"x-init": "iv"}, {"x-trail": "tv"}
        return After(
            LATENCY,
            GrpcResponse(messages=(b"reply",), initial_metadata=metadata[0], trailing_metadata=metadata[1]),
        )
    return After(LATENCY, GrpcResponse(messages=(b"reply",)))
