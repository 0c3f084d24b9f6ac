"""Whether a message can be sent over a real connection as it is: else a proxy's codec would change or refuse it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..host.callouts import response_entries
from ..model import After, ConnectionRefused, Exchange, Request, Response

__all__ = ["problem_with_answer", "problem_with_request", "problem_with_result"]

Pair = tuple[bytes, bytes]
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_PATH = re.compile(rb"[\x21-\x7e]+\Z")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
_FRAMING = frozenset(
    b"""
    content-length transfer-encoding connection upgrade expect keep-alive te host proxy-connection http2-settings
    """.split()
)
HTTP1 = "what it sends cannot be sent over HTTP/1.1 as it is"
HEAD_BODY = "the body of a HEAD request does not get to an HTTP/1.1 upstream"
LENGTH = "a content-length does not fit the body that a filter has changed"
HTTP2 = "what it sends cannot be sent over HTTP/2 as it is"
HTTP2_TRAILERS = "a filter has put a pseudo header into trailers, which HTTP/2 does not allow"
_METHODS = frozenset(
    b"""
    ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS
    PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE
    """.split()
)
"""What Envoy's HTTP/1.1 parser takes; it answers 400 to others."""
LARGEST_FRAME = 16384
FRAMES = f"a chunk over {LARGEST_FRAME} bytes is several frames of HTTP/2"
REFUSED_BODY = "a refused connection shows before the request's body has arrived"
UPSTREAM = "what the upstream answers cannot be sent over HTTP/1.1 as it is"


def _bad_pairs(pairs: Sequence[Pair], body_size: int) -> bool:
    for name, value in pairs:
        if name == b"content-length" and value == b"%d" % body_size:
            continue
        if name in _FRAMING or not _TOKEN.match(name) or not _VALUE.match(value) or value.strip(b" \t") != value:
            return True
    return False


def problem_with_request(request: Request, http_version: str) -> str:
    """Why a request cannot be sent as it is; "" if it can."""
    reason = HTTP2 if http_version == "2" else HTTP1
    pseudo = [name for name, _ in request.headers.raw if name.startswith(b":")]
    pairs = [pair for pair in request.headers.raw if not pair[0].startswith(b":")]
    path, method = request.path.encode("utf-8", "surrogateescape"), request.method.encode("utf-8", "surrogateescape")
    authority = request.authority.encode("utf-8", "surrogateescape")
    if set(pseudo) - {b":method", b":path", b":authority", b":scheme"} or len(set(pseudo)) < len(pseudo):
        return reason
    if not _TOKEN.match(method) or not _PATH.match(path) or not path.startswith(b"/") or b"#" in path:
        return reason
    if not authority or not _PATH.match(authority) or method == b"CONNECT":
        return reason
    if http_version != "2" and (request.scheme != "http" or method not in _METHODS):
        return reason
    if _bad_pairs(pairs, len(request.body)) or _bad_pairs(request.trailers.raw, -1):
        return reason
    if method == b"HEAD" and (request.body or request.chunks is not None or len(request.trailers)):
        return HEAD_BODY
    chunks = request.chunks if request.chunks is not None else (request.body,)
    if http_version == "2" and any(len(one) > LARGEST_FRAME for one in chunks):
        return FRAMES
    return ""


def problem_with_answer(answer: Any, request: Request) -> str:
    """Why an upstream cannot answer a request so; "" if it can."""
    if isinstance(answer, ConnectionRefused) and (request.body or request.chunks is not None or len(request.trailers)):
        return REFUSED_BODY
    if isinstance(answer, After):
        if isinstance(answer.answer, ConnectionRefused):
            return "a connection that is refused after a while"
        answer = answer.answer
    if not isinstance(answer, Response):
        return ""
    if not 200 <= answer.status <= 999:
        return UPSTREAM
    entries = [pair for pair in response_entries(answer) if pair[0] != b":status"]
    framed = [pair for pair in entries if pair == (b"transfer-encoding", b"chunked")]
    pairs = [pair for pair in entries if pair not in framed]
    if len(framed) > 1 or _bad_pairs(pairs, len(answer.body)) or _bad_pairs(answer.trailers.raw, -1):
        return UPSTREAM
    if any(name.startswith(b":") for name, _ in pairs) or (answer.status in (204, 304) and (answer.body or framed)):
        return UPSTREAM
    return ""


def problem_with_result(exchange: Exchange, http_version: str) -> str:
    """Why a peer cannot take what filters have made of a message; "" if it can.

    The mock's peers go by what has been sent, not by the length that was announced.
    """
    if http_version == "2" and exchange.response is not None:
        if any(name.startswith(b":") for name, _ in exchange.response.trailers.raw):
            return HTTP2_TRAILERS
    upstream, response, request = exchange.upstream_request, exchange.response, exchange.request
    bodiless = request is not None and request.method == "HEAD"
    for message in (upstream, response):
        length = message.headers.get("content-length") if message is not None else None
        if message is None or length is None or (message is response and (bodiless or message.status in (204, 304))):
            continue
        if length != str(len(message.body)):
            return LENGTH
    return ""
