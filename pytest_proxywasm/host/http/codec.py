"""Between messages and header maps: as Envoy's codecs hand them to the connection manager, and write them."""

from __future__ import annotations

from ...headers import Headers, to_bytes, to_text
from ...model import Request, Response
from ..headermap import HeaderMap, Pair
from .connection_manager import status_of


def request_map(headers: Headers, request: Request, http_version: str) -> HeaderMap:
    """Request headers in the order Envoy's codec gives them, with the missing pseudo headers filled in.

    HTTP/1.1: ``:authority``, ``:path``, ``:method``, ``:scheme``, then the others as sent. HTTP/2: pseudo headers as
    sent, cookies joined to one behind all others, and none for nothing but empty ones (Envoy 1.40).
    """
    pseudo = [pair for pair in headers.raw if pair[0].startswith(b":")]
    others = [pair for pair in headers.raw if not pair[0].startswith(b":")]
    given = dict(pseudo)
    if b":authority" not in given:
        host = next((value for name, value in others if name == b"host"), None)
        given[b":authority"] = host if host is not None else to_bytes(request.authority)
    others = [pair for pair in others if pair[0] != b"host"]
    given.setdefault(b":path", to_bytes(request.path))
    given.setdefault(b":method", to_bytes(request.method))
    given.setdefault(b":scheme", to_bytes(request.scheme))
    if http_version == "2":
        joined = b"; ".join(value for name, value in others if name == b"cookie")
        others = [pair for pair in others if pair[0] != b"cookie"]
        if joined:
            others.append((b"cookie", joined))
        names = [name for name, _ in pseudo]
        names += [name for name in (b":method", b":scheme", b":authority", b":path") if name not in names]
    else:
        order = (b":authority", b":path", b":method", b":scheme")
        names = [*order, *(name for name, _ in pseudo if name not in order)]
    entries: list[Pair] = [(name, given[name]) for name in names]
    return HeaderMap.request([*entries, *others])


def written_response(headers: HeaderMap) -> list[Pair]:
    """Response headers over HTTP/1.1, which has no pseudo headers: Envoy 1.40 writes ``:authority`` as ``host``."""
    found = []
    for name, value in headers.entries:
        if name == b":authority":
            found.append((b"host", value))
        elif name == b":status" or not name.startswith(b":"):
            found.append((name, value))
    return found


def request_of(headers: HeaderMap, body: bytes, trailers: HeaderMap | None) -> Request:
    """A request from its parts."""
    return Request(
        headers=Headers.from_raw(headers.entries),
        method=to_text(headers.get(b":method") or b""),
        path=to_text(headers.get(b":path") or b""),
        authority=to_text(headers.get(b":authority") or b""),
        scheme=to_text(headers.get(b":scheme") or b""),
        body=body,
        trailers=Headers.from_raw(trailers.entries if trailers is not None else ()),
    )


def response_of(headers: HeaderMap, body: bytes, trailers: HeaderMap | None, *, http1: bool = False) -> Response:
    """A response from its parts; ``http1``: as it is written to an HTTP/1.1 client."""
    return Response(
        status_of(headers) or 0,
        Headers.from_raw(written_response(headers) if http1 else headers.entries),
        body,
        Headers.from_raw(trailers.entries if trailers is not None else ()),
    )
