"""What Envoy's HTTP connection manager does to header maps before the first filter and after the last."""

from __future__ import annotations

from email.utils import formatdate

from ...headers import to_number
from ..headermap import HeaderMap
from ..proxy import Proxy


def prepare_request_headers(headers: HeaderMap, proxy: Proxy) -> None:
    """Add what the connection manager adds to a request (no ``use_remote_address``)."""
    if headers.get(b"x-forwarded-proto") is None:
        headers.add(b"x-forwarded-proto", headers.get(b":scheme") or b"http")
    request_id = proxy.next_request_id()
    if headers.get(b"x-request-id") is None:
        headers.add(b"x-request-id", request_id)


def finish_response_headers(headers: HeaderMap, now: float, *, close: bool) -> None:
    """Add what the connection manager adds to a response: a date unless there is one, and always its own server."""
    if headers.get(b"date") is None:
        headers.add(b"date", formatdate(now, usegmt=True).encode())
    headers.set(b"server", b"envoy")
    for name in (b"connection", b"transfer-encoding", b"keep-alive", b"proxy-connection"):
        headers.remove(name)
    if close:
        headers.add(b"connection", b"close")


def removed_required_header(headers: HeaderMap) -> bytes | None:
    """What is wrong with a response the filters let go: it needs a numeric ``:status``."""
    status = headers.get(b":status")
    if status is None or to_number(status) is None:
        return b"missing required header: :status"
    return None
