"""Values that differ from run to run by nature: one table, and texts with them taken out; knows no exchange."""

from __future__ import annotations

import re

__all__ = ["VARYING", "has_varying", "stable"]

VARYING: tuple[tuple[str, str, bytes, bytes], ...] = (
    (
        "request ids",
        "random in Envoy, counted in the mock",
        rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        b"<uuid>",
    ),
    (
        "dates",
        "the wall clock in Envoy, virtual in the mock",
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
        b"<date>",
    ),
    ("addresses", "ports are chosen by the system", rb"127\.0\.0\.1:\d{1,5}\b", b"127.0.0.1:<port>"),
    ("times", "seconds to nanoseconds since 1970", rb"(?<!\d)1[5-9]\d{8}(?:\d{3}){0,3}(?!\d)", b"<time>"),
    (
        "durations",
        "x-envoy-upstream-service-time is real in Envoy",
        rb"(x-envoy-upstream-service-time(?:=|: ?|\":\"|\x00))\d+",
        rb"\1<ms>",
    ),
)
"""What it is, why it differs, how it is recognised, and what stands for it."""

_COMPILED = tuple((re.compile(pattern), replacement) for _, _, pattern, replacement in VARYING)
_BY_HEADER = {b"x-envoy-upstream-service-time": b"<ms>", b"x-request-id": b"<uuid>", b"date": b"<date>"}


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
