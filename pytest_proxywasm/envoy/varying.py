"""Values that differ from run to run by nature: one table; they taken out, or replaced by the mock's; reads no log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

from ..headers import Headers, to_bytes, to_text
from ..host.clock import START_NS
from ..model import Request, Response

__all__ = ["VARYING", "Varying", "has_varying", "stable", "stable_header"]

Pair = tuple[bytes, bytes]

VARYING: tuple[tuple[str, str, str, bytes, bytes], ...] = (
    (
        "request ids",
        "random in Envoy, counted in the mock",
        "the mock's for that request, if it is the one that Envoy gave it",
        rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        b"<uuid>",
    ),
    (
        "dates",
        "the wall clock in Envoy, virtual in the mock",
        "when the mock's clock starts, if it is of the time since Envoy started",
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
        b"<date>",
    ),
    (
        "addresses",
        "ports are chosen by the system",
        "the mock's ports of client, listener and upstream",
        rb"127\.0\.0\.1:\d{1,5}\b",
        b"127.0.0.1:<port>",
    ),
    (
        "times",
        "seconds to nanoseconds since 1970",
        "when the mock's clock starts, if it is of the time since Envoy started",
        rb"(?<!\d)1[5-9]\d{8}(?:\d{3}){0,3}(?!\d)",
        b"<time>",
    ),
    (
        "durations",
        "x-envoy-upstream-service-time is real in Envoy",
        "what the mock's upstream takes: 0, or the time in `pw.After`",
        rb"(x-envoy-upstream-service-time(?:=|: ?|\":\"|\x00))\d+",
        rb"\1<ms>",
    ),
)
"""What it is, why it differs, what Envoy's becomes, how it is recognised, and what stands for it in comparisons."""

_COMPILED = tuple((re.compile(pattern), replacement) for _, _, _, pattern, replacement in VARYING)
_UUID, _DATE, _ADDRESS, _TIME, _DURATION = (pattern for pattern, _ in _COMPILED)
SERVICE_TIME = b"x-envoy-upstream-service-time"
_BY_HEADER = {SERVICE_TIME: b"<ms>", b"x-request-id": b"<uuid>", b"date": b"<date>"}
_SLACK = 1.5
"""Seconds: Envoy's date is that of up to half a second ago, in whole seconds."""
_SOURCE, _LISTENER, _UPSTREAM, _LOCAL = 40_000, 10_000, 8080, 50_000
"""The mock's ports: the client's and the upstream connection's own count up from theirs."""


def stable(data: bytes) -> bytes:
    """The data with what varies replaced."""
    for pattern, replacement in _COMPILED:
        data = pattern.sub(replacement, data)
    return data


def stable_header(name: bytes, value: bytes) -> bytes:
    """A header's value with what varies replaced."""
    if name in _BY_HEADER and value.isdigit():
        return _BY_HEADER[name]
    return stable(value)


def has_varying(data: bytes) -> bool:
    """Whether something in it varies."""
    return stable(data) != data


class Varying:
    """What one Envoy's values become: those the mock would have in their place.

    Attributes:
        count: how many requests and connections there have been.
        service_ms: how long the upstream of this request was told to take.
    """

    def __init__(self, listener: int, upstream: int) -> None:
        self._begun = time.time()
        self._fixed = {listener: _LISTENER, upstream: _UPSTREAM}
        self._ports = dict(self._fixed)
        self._ids: dict[bytes, bytes] = {}
        self._given = b""
        self.count = 0
        self.service_ms = 0

    # What is learnt.

    def begin_again(self) -> None:
        """Another test has the Envoy now."""
        self._ports = dict(self._fixed)
        self._ids.clear()
        self.count = 0

    def begin(self, client: int, given: bytes = b"") -> None:
        """A request or connection begins.

        Args:
            client: the client's port.
            given: the request id that the client sends.
        """
        self.count += 1
        self._ports[client] = _SOURCE + self.count
        self._given = given
        self.service_ms = 0

    def upstream_connection(self, port: int) -> None:
        """Envoy has connected to the upstream from this port."""
        self._ports[port] = _LOCAL + self.count

    def request(self, headers: Headers) -> None:
        """A request map, as it comes to the first filter."""
        for name, value in headers.raw:
            if name == b"x-request-id" and value != self._given and _UUID.fullmatch(value):
                self._ids[value] = to_bytes(self.request_id(self.count))

    def request_id(self, number: int) -> str:
        """The mock's id of a request, which are counted from 1."""
        return f"00000000-0000-4000-8000-{number:012}"

    # What becomes of it.

    def data(self, data: bytes) -> bytes:
        """Any bytes."""
        data = _UUID.sub(lambda found: self._ids.get(found[0], found[0]), data)
        data = _DATE.sub(lambda found: self._date(found[0]), data)
        data = _ADDRESS.sub(lambda found: self._address(found[0]), data)
        data = _TIME.sub(lambda found: b"%d" % self.number(int(found[0])), data)
        return _DURATION.sub(lambda found: found[1] + b"%d" % self.service_ms, data)

    def header(self, name: bytes, value: bytes) -> bytes:
        """A header's value."""
        if name == SERVICE_TIME and value.isdigit():
            return b"%d" % self.service_ms
        return self.data(value)

    def pairs(self, pairs: Iterable[Pair]) -> list[Pair]:
        """The entries of a map."""
        return [(name, self.header(name.lower(), value)) for name, value in pairs]

    def headers(self, headers: Headers) -> Headers:
        """A map."""
        return Headers.from_raw(self.pairs(headers.raw))

    def arrived(self, request: Request) -> Request:
        """A request as a server has seen it."""
        return Request(
            request.method,
            self.text(request.path),
            self.headers(request.headers),
            self.data(request.body),
            self.headers(request.trailers),
            authority=request.authority,
            scheme=request.scheme,
        )

    def answered(self, response: Response) -> Response:
        """A response as the client has seen it."""
        return Response(
            response.status, self.headers(response.headers), self.data(response.body), self.headers(response.trailers)
        )

    def text(self, text: str) -> str:
        """Any text."""
        return to_text(self.data(to_bytes(text)))

    def number(self, value: int) -> int:
        """A number: a time since Envoy started, in any unit, is when the mock's clock starts."""
        unit = int(10 ** max(len(str(value)) - 10, 0))
        if self._begun - _SLACK <= value / unit <= time.time() + _SLACK:
            return START_NS * unit // 10**9
        return value

    def property(self, path: Sequence[str], value: bytes) -> bytes:
        """The value of a property."""
        change = _PROPERTIES.get(tuple(path))
        if change is not None and len(value) == 8:
            number: int = change(self, int.from_bytes(value, "little"))
            return number.to_bytes(8, "little")
        return self.header(path[-1].lower().encode("utf-8", "surrogateescape") if path else b"", value)

    def port(self, port: int) -> int:
        """A port."""
        return self._ports.get(port, port)

    def _address(self, text: bytes) -> bytes:
        host, _, port = text.rpartition(b":")
        return b"%s:%d" % (host, self.port(int(port)))

    def _date(self, text: bytes) -> bytes:
        try:
            then = parsedate_to_datetime(text.decode()).timestamp()
        except ValueError:
            return text
        if self._begun - _SLACK <= then <= time.time() + _SLACK:
            return formatdate(START_NS // 10**9, usegmt=True).encode()
        return text


_PROPERTIES: dict[tuple[str, ...], Callable[[Varying, int], Any]] = {
    ("source", "port"): Varying.port,
    ("destination", "port"): Varying.port,
    ("upstream", "port"): Varying.port,
    ("request", "time"): Varying.number,
    ("request", "duration"): lambda varying, value: varying.service_ms * 10**6,
    ("response", "backend_latency"): lambda varying, value: varying.service_ms * 10**6,
    ("connection", "id"): lambda varying, value: varying.count,
    ("connection_id",): lambda varying, value: varying.count,
}
"""Numbers that differ, by path; durations are in nanoseconds."""
