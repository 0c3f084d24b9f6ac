"""The recorded upstream as the mock host's: the servers behind the clusters ``web``, ``aux`` and ``grpc``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

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
from pytest_proxywasm.recording.upstream import Incoming, answer_to

__all__ = ["LATENCY", "Upstream", "encoded_request"]

Pair: TypeAlias = "tuple[bytes, bytes]"

LATENCY = 0.001
"""Seconds from a request to its answer."""

NO_BODY_METHODS = ("GET", "HEAD", "DELETE", "TRACE", "CONNECT")


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
