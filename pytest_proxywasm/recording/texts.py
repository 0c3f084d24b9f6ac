"""Envoy's log as the guest lines of a recording, and values that vary taken out of them; runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["after_start", "guest_lines", "stable"]

_GUEST = re.compile(r"\w+[|]wasm[|]wasm log(?: ([^:]*))?: (.*)")
_LEFT_OUT = re.compile(r"CB (?:done|delete) ctx=1|RET (?:done|delete) = \d+")
_CONFIGURED = re.compile(r"(?:\[[^\]]*\] )?RET configure = ")
KEPT = 400
"""How many lines a recording keeps."""

_VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<date>"),
    (re.compile(r"(x-envoy-upstream-service-time(?:=|: |\\x00))\d+"), r"\1<ms>"),
    (re.compile(r"\bt=\d{4,}"), "t=<t>"),
    (re.compile(r"127[.]0[.]0[.]1:\d{4,5}\b"), "127.0.0.1:<port>"),
)


def guest_lines(log: Iterable[str]) -> list[str]:
    """What guests logged, with what Envoy puts before it; the root context's own end is left out."""
    lines = []
    for record in log:
        match = _GUEST.fullmatch(record)
        if match is None or _LEFT_OUT.fullmatch(match[2]):
            continue
        label = match[1] or ""
        lines.append(f"[{label}] {match[2]}" if label else match[2])
    return lines


def after_start(lines: Sequence[str], known: int) -> list[str]:
    """The lines without those of the start, which ends in the first ``known`` lines."""
    ends = [index for index, line in enumerate(lines[:known]) if _CONFIGURED.match(line)]
    return list(lines[ends[-1] + 1 if ends else 0 :])


def cut(lines: Sequence[str]) -> list[str]:
    """As many lines as a recording keeps."""
    return [*lines] if len(lines) <= KEPT else [*lines[:KEPT], "...truncated"]


def stable(value: Any) -> Any:
    """A value of a recording with what varies in all its texts replaced."""
    if isinstance(value, str):
        for pattern, replacement in _VARYING:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, dict):
        return {key: stable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [stable(item) for item in value]
    return value
