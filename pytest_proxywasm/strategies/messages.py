"""Strategies for bodies, chunkings, paths, requests and responses; knows how messages are framed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from hypothesis import strategies as st

from ..headers import Headers
from ..model import Request, Response
from . import vocabulary
from .headers import headers as any_headers
from .headers import trailers as any_trailers

T = TypeVar("T")

METHODS = ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH")
STATUSES = (200, 404, 204, 500, 201, 301, 304, 400, 401, 403, 206, 302, 409, 418, 429, 502, 503, 504, 299, 599)
SIZES = (300, 1100, 2100, 4200, 9000)


_LETTERS = "ab01-._~%20;=&@:!"
_SIMPLE_PATHS = st.sampled_from(
    ["/", "/a", "/a?b", "/a?b=c&d", "/a/", "//", "/../a", "/%00", "/%", "/?", "/a;b=c", "/favicon.ico", "/a,b"]
)
_BUILT_PATHS = st.builds(
    lambda parts, query: "/" + "/".join(parts) + (f"?{query}" if query else ""),
    st.lists(st.text(_LETTERS, min_size=1, max_size=6), min_size=1, max_size=4),
    st.text(_LETTERS, max_size=6),
)
_TENTHS = st.integers(0, 9)
_SEGMENTS = st.one_of(st.integers(1, 60), st.sampled_from([20, 40, 60]), st.sampled_from([20, 40, 60]))
_PATH_SIZES = st.one_of(st.integers(1, 9000), st.sampled_from(SIZES), st.sampled_from(SIZES))


@lru_cache(maxsize=64)
def _known_paths(words: vocabulary.Words) -> st.SearchStrategy[str]:
    return st.sampled_from([path for path in words.paths if path.isascii()] or ["/a/b?c=d"])


@st.composite
def paths(draw: st.DrawFn, *, max_size: int = 9000) -> str:
    """Paths with and without a query; short ones, odd ones, and some of several kB. Shrinks to ``"/"``."""
    kind = draw(_TENTHS)
    if kind < 5:
        path = draw(_SIMPLE_PATHS)
    elif kind == 5:
        path = draw(_BUILT_PATHS)
    elif kind == 6:
        path = draw(_known_paths(vocabulary.current()))
    elif kind == 7:
        path = "/a" * draw(_SEGMENTS)
    else:
        size = min(draw(_PATH_SIZES), max_size)
        path = "/" + "a" * (size - 1) if kind == 8 else "/?" + "&".join(["a=1"] * (size // 8))
    return path[:max_size]


_ANY_PATHS = paths()
_TYPICAL_BODIES = st.sampled_from(
    [b"ab", b"", b"{}", b'{"a": 1, "b": [true, null, "c"]}', b"a b\n", b"null", b"\xff\xfe", b"\0"]
)
_UNITS = st.sampled_from([b"a", b"ab\n", b"\xe2\x82\xac"])


@lru_cache(maxsize=64)
def _known_bodies(words: vocabulary.Words) -> st.SearchStrategy[bytes]:
    return st.sampled_from([text.encode() for text in words.texts] or [b"a=1&b=2"])


@st.composite
def bodies(draw: st.DrawFn, *, min_size: int = 0, max_size: int = 100_000) -> bytes:
    """Bodies: text, JSON, words of the filter's configuration, any bytes, and some of many kB.

    Shrinks to ``b"ab"``, the smallest that can be cut, where the sizes allow it.

    Args:
        max_size: in bytes. Envoy buffers a mebibyte for filters that hold a body (``buffer_limit`` of the host).
    """
    kind = draw(_TENTHS)
    if kind < 4:
        body = draw(_TYPICAL_BODIES)
    elif kind < 7:
        body = draw(st.binary(min_size=min(min_size, 40), max_size=min(40, max_size)))
    elif kind == 7:
        body = draw(_known_bodies(vocabulary.current()))
    else:
        size = draw(st.sampled_from([size for size in (*SIZES, 70_000) if size <= max_size] or [max_size]))
        unit = draw(_UNITS)
        body = (unit * (size // len(unit) + 1))[:size]
    return body[:max_size].ljust(min_size, b"a")


_ANY_BODIES = bodies()


@st.composite
def chunkings(draw: st.DrawFn, body: bytes, *, max_chunks: int = 5, empty: bool = False) -> tuple[bytes, ...]:
    """Ways to cut a body into pieces. Shrinks to one piece.

    Args:
        empty: whether pieces may be empty, as DATA frames of HTTP/2 can be and chunks of HTTP/1.1 cannot.
    """
    if not body:
        return (b"",) if empty and draw(st.booleans()) else ()
    lowest, highest = (0, len(body)) if empty else (1, len(body) - 1)
    if highest < lowest:
        return (body,)
    near = st.sampled_from([n for n in (1, len(body) // 2, len(body) - 1) if lowest <= n <= highest])
    cuts = draw(st.lists(near | st.integers(lowest, highest), max_size=max_chunks - 1, unique=not empty))
    marks = [0, *sorted(cuts), len(body)]
    return tuple(body[start:end] for start, end in itertools.pairwise(marks))


_ANY_HEADERS = any_headers()
_FEW_HEADERS = any_headers(max_size=4)
_ANY_TRAILERS = any_trailers()
_FRAMINGS = st.sampled_from(["whole", "pieces", "pieces with a length", "trailers"])


@st.composite
def requests(
    draw: st.DrawFn,
    *,
    methods: Sequence[str] | st.SearchStrategy[str] = METHODS,
    paths: st.SearchStrategy[str] | None = None,
    headers: st.SearchStrategy[Headers] | None = None,
    bodies: st.SearchStrategy[bytes] | None = None,
    trailers: st.SearchStrategy[Headers] | None = None,
    authorities: Sequence[str] = ("example.com", "localhost:8080", "[::1]:80", "a.b.c.example."),
    schemes: Sequence[str] = ("http", "https"),
) -> Request:
    """Requests as a proxy's clients send them. Shrinks to ``GET /`` without headers and body.

    A body comes with content-length or without (chunked, or frames of HTTP/2), in one piece or several, and only then
    there may be trailers.
    To have none, give ``trailers=st.just(pw.Headers())``.
    """
    method = draw(methods if isinstance(methods, st.SearchStrategy) else _one_of(tuple(methods)))
    path = draw(paths if paths is not None else _ANY_PATHS)
    fields = draw(headers if headers is not None else _ANY_HEADERS)
    authority = draw(_mostly(tuple(authorities)))
    scheme = draw(_mostly(tuple(schemes)))
    body, chunks, tail = b"", None, Headers()
    may_have_body = method in ("POST", "PUT", "PATCH", "DELETE") or draw(_TENTHS) == 9
    if may_have_body and method != "HEAD":
        body, chunks, fields, tail = _framed(draw, bodies, trailers, fields)
    return Request(method, path, fields, body, tail, chunks=chunks, authority=authority, scheme=scheme)


def _framed(
    draw: st.DrawFn,
    bodies_: st.SearchStrategy[bytes] | None,
    trailers_: st.SearchStrategy[Headers] | None,
    fields: Headers,
) -> tuple[bytes, tuple[bytes, ...] | None, Headers, Headers]:
    """A body, its pieces, the headers that go with it, and trailers."""
    body = draw(bodies_ if bodies_ is not None else _ANY_BODIES)
    framing = draw(_FRAMINGS)
    if framing == "whole":
        return body, None, fields, Headers()
    chunks = draw(chunkings(body))
    if framing == "pieces with a length":
        return b"", chunks, Headers([*fields.raw, (b"content-length", b"%d" % len(body))]), Headers()
    tail = draw(trailers_ if trailers_ is not None else _ANY_TRAILERS) if framing == "trailers" else Headers()
    return b"", chunks, fields, tail


@st.composite
def responses(
    draw: st.DrawFn,
    *,
    statuses: Sequence[int] | st.SearchStrategy[int] = STATUSES,
    headers: st.SearchStrategy[Headers] | None = None,
    bodies: st.SearchStrategy[bytes] | None = None,
    trailers: st.SearchStrategy[Headers] | None = None,
) -> Response:
    """Responses of an upstream or of a cluster. Shrinks to a 200 without headers and body.

    Of responses to HEAD the proxy passes on the headers only; those of status 204 and 304 have no body.
    """
    status = draw(statuses if isinstance(statuses, st.SearchStrategy) else _one_of(tuple(statuses)))
    fields = draw(headers if headers is not None else _FEW_HEADERS)
    if status in (204, 304) or not draw(st.booleans()):
        return Response(status, fields)
    body, chunks, fields, tail = _framed(draw, bodies, trailers, fields)
    return Response(status, fields, body, tail, chunks=chunks)


@lru_cache(maxsize=64)
def _one_of(values: tuple[T, ...]) -> st.SearchStrategy[T]:
    return st.sampled_from(values)


@lru_cache(maxsize=64)
def _mostly(values: tuple[str, ...]) -> st.SearchStrategy[str]:
    """The first one, as a rule."""
    return st.sampled_from([*[values[0]] * 6, *values[1:]])
