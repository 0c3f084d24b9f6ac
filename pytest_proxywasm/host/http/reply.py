"""Replies Envoy makes itself: their header map and body; knows no stream."""

from __future__ import annotations

from ..headermap import HeaderMap, Pair

GRPC_CONTENT_TYPE = b"application/grpc"

_HTTP_TO_GRPC = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_UNKNOWN = 2

REASONS = {413: b"Payload Too Large", 500: b"Internal Server Error"}


def http_to_grpc(status: int) -> int:
    """The gRPC status an HTTP status amounts to."""
    return _HTTP_TO_GRPC.get(status, _UNKNOWN)


def is_grpc(request: HeaderMap | None) -> bool:
    """Whether a request is gRPC, by its content type."""
    value = request.get(b"content-type") if request is not None else None
    return value is not None and (value == GRPC_CONTENT_TYPE or value.startswith(GRPC_CONTENT_TYPE + b"+"))


def local_reply(
    status: int, body: bytes, headers: list[Pair], *, grpc_status: int | None, grpc: bool, head: bool
) -> tuple[HeaderMap, bytes]:
    """The header map and body Envoy makes of a local reply.

    The given headers come first, a ``:status`` among them is ignored; content-length is always Envoy's own; a gRPC
    request gets a headers-only reply with the status in ``grpc-status``, and the body in ``grpc-message`` unless its
    method is HEAD (Envoy 1.40).
    """
    status &= 0xFFFF
    reply = HeaderMap.response([(b":status", b"%d" % status)])
    for name, value in headers:
        reply.add(name, value)
    reply.set(b":status", b"%d" % status)
    if grpc:
        reply.set(b":status", b"200")
        reply.set(b"content-type", b"application/grpc")
        if not reply.get(b"grpc-status"):
            code = grpc_status if grpc_status is not None else http_to_grpc(status)
            reply.set(b"grpc-status", b"%d" % code)
        if body and not head:
            reply.set(b"grpc-message", percent_encoded(body))
        reply.remove(b"content-length")
        return reply, b""
    if body:
        reply.set(b"content-length", b"%d" % len(body))
        if reply.get(b"content-type") is None:
            reply.set(b"content-type", b"text/plain")
    else:
        reply.remove(b"content-length")
        reply.remove(b"content-type")
    return reply, b"" if head else body


def percent_encoded(message: bytes) -> bytes:
    """A gRPC message: everything but printable ASCII, the percent sign and the tilde as ``%XX`` (Envoy)."""
    return b"".join(bytes([c]) if 0x20 <= c < 0x7E and c != 0x25 else b"%%%02X" % c for c in message)
