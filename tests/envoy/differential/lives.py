"""Strategies: filters of many kinds, and what happens to a host in its life; everything is legal traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

import pytest_proxywasm as pw

from .scripts import scripts

__all__ = ["GALLERY", "Life", "Step", "gallery_lives", "probe_lives"]


@dataclass(frozen=True)
class Step:
    """One exchange: the arguments of ``host.request``.

    Attributes:
        after: how many seconds pass before it.
    """

    arguments: dict[str, Any]
    upstream: Any
    after: float = 0


@dataclass(frozen=True)
class Life:
    """A host's life.

    Attributes:
        filters: the options of each filter of the chain.
        clusters: what answers callouts, as functions of nothing but the call.
        steps: exchanges in order.
    """

    filters: list[dict[str, Any]]
    clusters: dict[str, Any]
    steps: list[Step]


_TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~"
_RESERVED = {"connection", "te", "upgrade", "host", "expect", "keep-alive"}
_LEGAL = bytes(b for b in range(256) if b >= 0x20 and b != 0x7F)


class Repeated(bytes):
    """A long piece with a short repr."""

    def __repr__(self) -> str:
        return f"{self[:1]!r} * {len(self)}"


VALUES = st.one_of(
    st.sampled_from(
        [b"", b"1", b"a, b", b"text/plain", b"application/grpc", b"a=1; b=2", b"\xff\xc3\x28", Repeated(b"v" * 300)]
    ),
    st.lists(st.sampled_from(list(_LEGAL)), max_size=12).map(lambda codes: bytes(codes).strip(b" \t")),
)
_COMMON = """
x-a x-a x-b x-c X-Block
cookie accept user-agent referer x-forwarded-for x-request-id content-type authorization x-secret
x-panic x-forwarded-proto range via accept-encoding x-envoy-force-trace x-envoy-internal
""".split()
NAMES = st.one_of(
    st.sampled_from(_COMMON),
    st.text(_TOKEN, min_size=1, max_size=8).filter(lambda name: name.lower() not in _RESERVED),
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
TRAILER_NAMES = st.one_of(
    st.sampled_from(["x-t", "grpc-status", "x-checksum"]), st.text("abcxyz-", min_size=1, max_size=6)
)
TRAILERS = st.lists(st.tuples(TRAILER_NAMES, VALUES), max_size=3)
PIECES = st.one_of(
    st.sampled_from([b"x", b"fish", b"one fi", b"sh", Repeated(b"a" * 1000), Repeated(b"b" * 15_000)]),
    st.binary(min_size=1, max_size=20),
)
CHUNKS = st.lists(PIECES, min_size=0, max_size=4)
METHODS = st.sampled_from(["GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH"])
PATHS = st.sampled_from(
    ["/", "/a", "/a?b=c&d", "/%20%00", "//x//", "/a/../b", "/" + "p" * 200, "/a?", "/~;,:@!$&'()*+="]
)
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 301, 304, 400, 404, 418, 500, 503, 599])


@st.composite
def bodies(draw: Any) -> dict[str, Any]:
    """``body``, ``chunks``, ``trailers``, or nothing of them."""
    kind = draw(st.sampled_from(["none", "body", "chunks", "trailers"]))
    if kind == "none":
        return {}
    if kind == "body":
        return {"body": draw(PIECES)}
    found: dict[str, Any] = {"chunks": draw(CHUNKS)}
    if kind == "trailers":
        found["trailers"] = draw(TRAILERS)
    return found


@st.composite
def responses(draw: Any) -> pw.Response:
    """Legal responses."""
    status = draw(STATUSES)
    names = st.one_of(
        st.sampled_from(
            ["x-a", "X-Up", "set-cookie", "content-type", "date", "server", "etag", "vary", "location", "via"]
        ),
        st.text("abcxyz-", min_size=1, max_size=6),
    )
    headers = draw(st.lists(st.tuples(names, VALUES), max_size=4))
    return pw.Response(status, headers, **({} if status in (204, 304) else draw(bodies())))


@st.composite
def exchanges(draw: Any) -> Step:
    """One exchange that can be sent as it is."""
    version = draw(st.sampled_from(["1.1", "1.1", "2"]))
    method = draw(METHODS if version == "1.1" else st.one_of(METHODS, st.just("odd")))
    body = {} if method == "HEAD" else draw(bodies())
    arguments = {"method": method, "path": draw(PATHS), "headers": draw(HEADERS), "http_version": version, **body}
    if draw(st.integers(0, 3)) == 0:
        arguments["headers"] = [("content-type", "application/grpc"), *arguments["headers"]]
    if draw(st.integers(0, 7)) == 0:
        arguments["authority"] = draw(st.sampled_from(["a", "example.com:8080", "[::1]:80"]))
    answer = draw(st.integers(0, 9))
    if answer == 0:
        return Step(arguments, pw.Reset(after_headers=draw(st.booleans())))
    if answer == 1 and not body:
        return Step(arguments, pw.ConnectionRefused())
    return Step(arguments, draw(responses()))


LIVES_STEPS = st.lists(exchanges(), min_size=1, max_size=6)


@st.composite
def _in_time(draw: Any, steps: list[Step]) -> list[Step]:
    """The same exchanges, with time between them."""
    passes = st.sampled_from([0.0, 0.0, 0.25, 2.5, 5.0, 61.7])
    return [replace(step, after=draw(passes)) for step in steps]


def _pairs(key: str) -> st.SearchStrategy[list[str]]:
    name = st.sampled_from(["x-a", "x-b", "cookie", "content-type", "x-new", "server", "date", ":path", "accept"])
    value = st.sampled_from(["1", "two words", "a,b", "/p?q", ""])
    verb = st.sampled_from(["set", "add"])
    line = st.builds(lambda v, n, x: f"{key}-{v}={n}: {x}", verb, name, value)
    gone = st.builds(lambda n: f"{key}-remove={n}", name.filter(lambda n: not n.startswith(":")))
    return st.lists(st.one_of(line, gone), max_size=4)


@st.composite
def _headers(draw: Any) -> str:
    return "\n".join(["filter=headers", *draw(_pairs("request")), *draw(_pairs("response"))])


@st.composite
def _body(draw: Any) -> str:
    find, to = draw(st.sampled_from([("fish", "bird"), ("x", ""), ("a", "bb"), ("one", "1")]))
    return f"filter=body\nfind={find}\nreplace={to}\non={draw(st.sampled_from(['request', 'response', 'both']))}"


GALLERY: dict[str, st.SearchStrategy[str]] = {
    "headers": _headers(),
    "body": _body(),
    "auth": st.just("filter=auth\ntoken=s3cret"),
    "trailers": st.just("filter=trailers"),
    "properties": st.just("filter=properties"),
    "metrics": st.just("filter=metrics"),
    "shared": st.just("filter=shared"),
    "kinds": st.just("filter=kinds"),
    "panic": st.just("filter=panic"),
    "callout": st.just("filter=callout\ncluster=auth\npath=/check\ntimeout-ms=1000"),
    "grpc": st.just("filter=grpc\ncluster=auth"),
    "fetcher": st.sampled_from(["1500", "2500"]).map(lambda ms: f"filter=fetcher\ncluster=auth\nperiod-ms={ms}"),
}
"""The gallery's filters by kind."""

HTTP_CALLS = st.one_of(
    responses(), st.sampled_from([pw.Reset(), pw.Reset(after_headers=True), pw.ConnectionRefused(), pw.NoHosts()])
)
GRPC_CALLS = st.one_of(
    st.builds(
        lambda messages, status, message: pw.GrpcResponse(messages=tuple(messages), status=status, message=message),
        st.lists(st.sampled_from([b"yes", b"", b"\xff"]), max_size=2),
        st.sampled_from([0, 0, 0, 7, 16]),
        st.sampled_from(["", "no", "odd % é"]),
    ),
    st.sampled_from([pw.Reset(), pw.ConnectionRefused(), pw.NoHosts(), pw.Response(500), pw.Response(200, body="x")]),
)
FETCHED = st.lists(st.one_of(HTTP_CALLS, st.just(pw.Timeout())), min_size=1, max_size=3).map(
    lambda answers: [*answers, *[pw.Response(200, body="last")] * 300]
)
"""Several answers, one after the other."""
FILTER = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("named"),
        "failure_policy": st.sampled_from(["fail_closed", "fail_open", "fail_open_legacy"]),
        "allow_on_headers_stop_iteration": st.booleans(),
    },
)


@st.composite
def gallery_lives(draw: Any, kinds: tuple[str, ...]) -> Life:
    """A gallery filter's host and its exchanges."""
    kind = draw(st.sampled_from(kinds))
    answers = {"callout": HTTP_CALLS, "grpc": GRPC_CALLS, "fetcher": st.one_of(HTTP_CALLS, FETCHED)}.get(kind)
    clusters = {"auth": draw(answers)} if answers is not None else {}
    steps = draw(LIVES_STEPS)
    if kind == "fetcher" or draw(st.integers(0, 5)) == 0:
        steps = draw(_in_time(steps))
    return Life([{**draw(FILTER), "configuration": draw(GALLERY[kind])}], clusters, steps)


STEPS_OF_A_PROBE = 4


@st.composite
def probe_lives(draw: Any) -> Life:
    """Scripts for one probe or two in a chain, and their exchanges."""
    steps = draw(st.lists(exchanges(), min_size=1, max_size=STEPS_OF_A_PROBE))
    count = draw(st.sampled_from([1, 1, 1, 2]))
    filters = []
    caller = draw(st.integers(-3, count - 1))
    ticker = draw(st.integers(-4, count - 1))
    for number in range(count):
        contexts = [count + exchange * count + number + 1 for exchange in range(len(steps))]
        options = draw(FILTER)
        if count > 1:
            options["name"] = "ab"[number]
        filters.append(
            {**options, "configuration": draw(scripts(contexts, calls=number == caller, ticks=number == ticker))}
        )
    clusters = {"auth": draw(HTTP_CALLS), "grpc": draw(GRPC_CALLS)}
    return Life(filters, clusters, draw(_in_time(steps)) if ticker >= 0 else steps)
