"""Strategies for bodies, chunkings, paths, requests and responses; knows how messages are framed."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from ..headers import Headers
from ..model import Request, Response
from . import vocabulary
from .headers import headers as any_headers
from .headers import trailers as any_trailers

METHODS = ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH")
STATUSES = (200, 404, 204, 500, 201, 301, 304, 400, 401, 403, 206, 302, 409, 418, 429, 502, 503, 504, 299, 599)
SIZES = (300, 1100, 2100, 4200, 9000)


def paths(*, max_size: int = 9000) -> st.SearchStrategy[str]:
    """Paths with and without a query; short ones, odd ones, and some of several kB. Shrinks to ``"/"``."""

    def known(_: None) -> st.SearchStrategy[str]:
        found = vocabulary.current().paths
        return st.sampled_from(found) if found else st.just("/a/b?c=d")

    letters = "ab01-._~%20;=&@:!"
    segments = st.lists(st.text(letters, min_size=1, max_size=6), min_size=1, max_size=4)
    simple = st.sampled_from(
        ["/", "/a", "/a?b", "/a?b=c&d", "/a/", "//", "/../a", "/%00", "/%", "/?", "/a;b=c", "/favicon.ico", "/a,b"]
    )
    built = st.builds(
        lambda parts, query: "/" + "/".join(parts) + (f"?{query}" if query else ""), segments, st.text(letters, max_size=6)
    )
    long = st.one_of(
        st.integers(1, max_size - 1).map(lambda size: "/" + "a" * size),
        st.integers(1, 60).map(lambda count: "/a" * count),
        st.integers(1, max_size // 8).map(lambda count: "/?" + "&".join(["a=1"] * count)),
    )
    return st.one_of(simple, built, st.none().flatmap(known), long)


def bodies(*, min_size: int = 0, max_size: int = 100_000) -> st.SearchStrategy[bytes]:
    """Bodies: text, JSON, words of the filter's configuration, any bytes, and some of many kB. Shrinks to the smallest.

    Args:
        max_size: in bytes. Envoy buffers a mebibyte for filters that hold a body (``buffer_limit`` of the host).
    """

    def known(_: None) -> st.SearchStrategy[bytes]:
        texts = vocabulary.current().texts
        return st.sampled_from(texts).map(str.encode) if texts else st.just(b"a=1&b=2")

    texts = st.sampled_from([b"ab", b"", b"{}", b'{"a": 1, "b": [true, null, "c"]}', b"a b\n", b"null", b"\xff\xfe", b"\0"])
    any_bytes = st.binary(max_size=min(40, max_size))
    sizes = st.sampled_from([s for s in (*SIZES, 70_000) if s <= max_size] or [max_size])
    long = st.builds(lambda unit, size: (unit * size)[:size], st.sampled_from([b"a", b"ab\n", b"\xe2\x82\xac"]), sizes)
    joined = st.one_of(texts, any_bytes, st.none().flatmap(known), long)
    return joined.filter(lambda body: min_size <= len(body) <= max_size)


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
    return tuple(body[start:end] for start, end in zip(marks, marks[1:]))


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
    there may be trailers. Pass ``st.none()`` nowhere: to have no trailers, give ``trailers=st.just(Headers())``.
    """
    method = draw(methods if isinstance(methods, st.SearchStrategy) else st.sampled_from(list(methods)))
    path = draw(paths if paths is not None else _paths())
    fields = draw(headers if headers is not None else any_headers())
    authority = draw(_mostly(authorities))
    scheme = draw(_mostly(schemes))
    body, chunks, tail = b"", None, Headers()
    may_have_body = method in ("POST", "PUT", "PATCH", "DELETE") or draw(st.integers(0, 7)) == 7
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
    body = draw(bodies_ if bodies_ is not None else bodies())
    framing = draw(st.sampled_from(["whole", "pieces", "pieces with a length", "trailers"]))
    if framing == "whole":
        return body, None, fields, Headers()
    chunks = draw(chunkings(body))
    if framing == "pieces with a length":
        return b"", chunks, Headers([*fields.raw, (b"content-length", b"%d" % len(body))]), Headers()
    tail = draw(trailers_ if trailers_ is not None else any_trailers()) if framing == "trailers" else Headers()
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
    status = draw(statuses if isinstance(statuses, st.SearchStrategy) else st.sampled_from(list(statuses)))
    fields = draw(headers if headers is not None else any_headers(max_size=4))
    if status in (204, 304) or draw(st.booleans()):
        return Response(status, fields)
    body, chunks, fields, tail = _framed(draw, bodies, trailers, fields)
    return Response(status, fields, body, tail, chunks=chunks)


def _mostly(values: Sequence[str]) -> st.SearchStrategy[str]:
    """The first one, as a rule."""
    return st.sampled_from([*[values[0]] * 6, *values[1:]])


_paths = paths
