"""What Envoy's HTTP connection manager does to header maps before the first filter and after the last."""

from __future__ import annotations

import re
from email.utils import formatdate

from ...headers import to_number
from ..headermap import HeaderMap
from ..proxy import Proxy

HOP_BY_HOP = (b"connection", b"expect", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
"""Request headers that no filter sees."""

INTERNAL = tuple(
    name.encode()
    for name in """
    x-envoy-expected-rq-timeout-ms x-envoy-force-trace x-envoy-hedge-on-per-try-timeout x-envoy-internal x-envoy-ip-tags
    x-envoy-max-retries x-envoy-original-url x-envoy-retriable-header-names x-envoy-retriable-status-codes
    x-envoy-retry-grpc-on x-envoy-retry-on x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-per-try-timeout-ms
    x-envoy-upstream-rq-timeout-alt-response x-envoy-upstream-rq-timeout-ms x-envoy-upstream-stream-duration-ms
    x-forwarded-client-cert
    """.split()
)
"""Request headers that are taken away from every request that comes from outside, as all do by default."""

SCHEMES = (b"http", b"https")

_HOST = rb"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
_ABSOLUTE = re.compile(rb"[A-Za-z]+://" + _HOST + rb"(?::(\d{1,5}))?(?:[/?][!\"$-~]*)?\Z")
_PLAIN = rb"A-Za-z0-9._~!$&'()*+,;=@?%-"
_RELATIVE = re.compile(rb"[" + _PLAIN + rb"]*(?:/[" + _PLAIN + rb":/]*)?\Z")


def prepare_request_headers(headers: HeaderMap, proxy: Proxy, *, http1: bool = True) -> None:
    """Take away and add what the connection manager does to a request (no ``use_remote_address``; Envoy 1.40).

    Of ``te`` only ``trailers`` is left. Over HTTP/1.1 ``:scheme`` follows ``x-forwarded-proto``.
    """
    named = {token.strip() for value in headers.get_all(b"connection") for token in value.lower().split(b",")}
    accepts = {token.strip() for value in headers.get_all(b"te") for token in value.lower().split(b",")}
    for name in (*HOP_BY_HOP, *INTERNAL, *sorted(named - {b"close", b"keep-alive", b"te", b""})):
        headers.remove(name)
    if b"trailers" in accepts:
        headers.set(b"te", b"trailers")
    else:
        headers.remove(b"te")
    forwarded = headers.get(b"x-forwarded-proto")
    if forwarded is None:
        headers.add(b"x-forwarded-proto", headers.get(b":scheme") or b"http")
    elif http1 and forwarded in SCHEMES:
        headers.set(b":scheme", forwarded)
    if not is_referer(headers.get(b"referer") or b""):
        headers.remove(b"referer")
    request_id = proxy.next_request_id()
    if not headers.get(b"x-request-id"):
        headers.set(b"x-request-id", request_id)


def is_referer(value: bytes) -> bool:
    """Whether Envoy 1.40 lets a ``referer`` in: a URL without user and fragment, absolute or relative."""
    absolute = _ABSOLUTE.match(value)
    if absolute is not None:
        return int(absolute[1] or b"0") < 1 << 16
    return _RELATIVE.match(value) is not None


def finish_response_headers(headers: HeaderMap, now: float, *, close: bool, request: HeaderMap | None = None) -> None:
    """Add what the connection manager adds to a response: a date unless there is one, and always its own server.

    A request with ``x-envoy-force-trace``, which only a filter can have added, gets its id back.
    """
    if headers.get(b"date") is None:
        headers.add(b"date", formatdate(now, usegmt=True).encode())
    headers.set(b"server", b"envoy")
    for name in (b"connection", b"transfer-encoding", b"upgrade", b"proxy-connection"):
        headers.remove(name)
    if request is not None and b"x-envoy-force-trace" in request:
        headers.set(b"x-request-id", request.get(b"x-request-id") or b"")
    if close:
        headers.add(b"connection", b"close")


def removed_required_header(headers: HeaderMap) -> bytes | None:
    """What is wrong with a response the filters let go: it needs a numeric ``:status``."""
    if status_of(headers) is None:
        return b"missing required header: :status"
    return None


def status_of(headers: HeaderMap) -> int | None:
    """The status as Envoy reads it: blanks around it, a plus sign and zeros in front are no harm."""
    value = headers.get(b":status")
    return to_number(value.strip(b" \t\n\v\f\r").removeprefix(b"+")) if value is not None else None
