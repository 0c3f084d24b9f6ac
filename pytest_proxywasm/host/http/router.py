"""Envoy's router as far as filters can tell: which route a request takes, and what it refuses to send."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import NotEmulatedError, UsageError
from ...headers import to_number
from ..headermap import HeaderMap
from .connection_manager import SCHEMES

ROUTE_TIMEOUT_NS = 15 * 10**9
"""Envoy's default route timeout."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*\Z")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes: to a cluster, or straight back with status and body."""

    name: str = ""
    cluster: str = "web"
    prefix: str = "/"
    path: str | None = None
    headers: tuple[tuple[bytes, bytes | None], ...] = ()
    direct: tuple[int, bytes] | None = None
    timeout_ms: int = ROUTE_TIMEOUT_NS // 1_000_000
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, path: bytes, headers: HeaderMap) -> bool:
        """Whether a request takes this route."""
        bare = path.partition(b"?")[0]
        if self.path is not None:
            if bare != self.path.encode():
                return False
        elif not path.startswith(self.prefix.encode()):
            return False
        for name, value in self.headers:
            have = headers.get(name)
            if have is None or (value is not None and have != value):
                return False
        return True


class Routes:
    """The routes of the one virtual host; without any, everything goes to the upstream."""

    def __init__(self, routes: Sequence[dict[str, Any]] = ()) -> None:
        self._routes = [_route(spec) for spec in routes] or [Route()]

    def select(self, headers: HeaderMap) -> Route | None:
        """The first route that matches; Envoy finds none without ``:path``, or with an empty ``x-forwarded-proto``."""
        path = headers.get(b":path")
        if path is None or not headers.get(b"x-forwarded-proto"):
            return None
        return next((route for route in self._routes if route.matches(path, headers)), None)

    def any(self) -> Route:
        """The first route, whatever the request looks like: without Envoy's own headers none can be selected."""
        return self._routes[0]


def _milliseconds(duration: str) -> int:
    """A protobuf Duration in JSON: seconds with a unit."""
    try:
        return round(float(duration.removesuffix("s")) * 1000)
    except ValueError:
        raise UsageError(f'routes: a timeout is written as in "1.5s", not {duration!r}') from None


def _only(spec: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(spec) - known)
    if unknown:
        raise NotEmulatedError(f"routes: the mock host does not emulate {where}.{unknown[0]} of Envoy's routes")


def _route(spec: dict[str, Any]) -> Route:
    _only(spec, {"name", "match", "route", "direct_response", "metadata"}, "route")
    action = spec.get("route", {})
    _only(action, {"cluster", "timeout"}, "route.route")
    match = spec.get("match", {})
    _only(match, {"prefix", "path", "headers"}, "match")
    wanted = []
    for header in match.get("headers", ()):
        _only(header, {"name", "string_match", "present_match"}, "match.headers")
        string = header.get("string_match")
        if string is not None:
            _only(string, {"exact"}, "match.headers.string_match")
        wanted.append((header["name"].encode(), string["exact"].encode() if string else None))
    direct = None
    if "direct_response" in spec:
        reply = spec["direct_response"]
        body = reply.get("body", {}).get("inline_string", "").encode()
        direct = (int(reply["status"]), body)
    return Route(
        name=spec.get("name", ""),
        cluster=action.get("cluster", ""),
        timeout_ms=_milliseconds(action.get("timeout", "15s")),
        prefix=match.get("prefix", ""),
        path=match.get("path"),
        headers=tuple(wanted),
        direct=direct,
        metadata=spec.get("metadata", {}).get("filter_metadata", {}),
    )


TIMEOUT = b"x-envoy-upstream-rq-timeout-ms"
TRY_TIMEOUT = b"x-envoy-upstream-rq-per-try-timeout-ms"
TIMEOUT_ANSWER = b"x-envoy-upstream-rq-timeout-alt-response"
ROUTERS_OWN = (
    TIMEOUT,
    TRY_TIMEOUT,
    TIMEOUT_ANSWER,
    b"x-envoy-hedge-on-per-try-timeout",
    b"x-envoy-max-retries",
    b"x-envoy-retriable-header-names",
    b"x-envoy-retriable-status-codes",
    b"x-envoy-retry-grpc-on",
    b"x-envoy-retry-on",
    b"x-envoy-upstream-alt-stat-name",
    b"x-envoy-upstream-stream-duration-ms",
)
"""Request headers that tell the router something, and that it takes out."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How the router sends a request.

    Attributes:
        timeout_ns: from the request's end to the response's; 0 for none.
        empty_on_timeout: a request that times out is answered with 204 and nothing else.
    """

    timeout_ns: int = ROUTE_TIMEOUT_NS
    empty_on_timeout: bool = False


def prepare_upstream_headers(headers: HeaderMap, timeout_ms: int = ROUTE_TIMEOUT_NS // 1_000_000) -> Sending:
    """What request headers tell the router; it takes that out, and tells the upstream the timeout.

    A timeout that a filter asks for replaces the route's, of 15 seconds. Headers that ask for retries are taken out as
    well, but nothing is retried here (Envoy 1.40 does).
    """
    wanted = to_number(headers.get(TIMEOUT) or b"")
    timeout = timeout_ms if wanted is None else wanted
    one_try = to_number(headers.get(TRY_TIMEOUT) or b"") or 0
    sending = Sending(timeout * 1_000_000, TIMEOUT_ANSWER in headers)
    for name in ROUTERS_OWN:
        headers.remove(name)
    shown = one_try if one_try and (one_try < timeout or not timeout) else timeout
    if shown:
        headers.set(b"x-envoy-expected-rq-timeout-ms", b"%d" % shown)
    return sending


def mend_scheme(headers: HeaderMap) -> None:
    """Make a ``:scheme`` that is none that of ``x-forwarded-proto``, or ``http`` (Envoy 1.40)."""
    if headers.get(b":scheme") not in SCHEMES:
        forwarded = headers.get(b"x-forwarded-proto")
        headers.set(b":scheme", forwarded if forwarded is not None and forwarded in SCHEMES else b"http")


def problem_with_request(headers: HeaderMap) -> bytes | None:
    """Why Envoy does not send this request to an HTTP/1.1 upstream, in its words; ``None`` if it does."""
    if headers.get(b":method") is None:
        return b"missing required header: :method"
    for name, value in headers.entries:
        if name.startswith(b":"):
            continue
        if not _TOKEN.match(name):
            return b"invalid header name: " + name
        if re.search(rb"[\r\n\0]", value):
            return b"invalid header value for: " + name
    return None
