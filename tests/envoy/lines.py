"""What the guests logged, as the recordings print it; knows log messages only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pytest_proxywasm.model import GuestLog, LogLevel

from .configuration import Label

__all__ = ["guest_lines", "recorded_level"]

_ROOT_CREATED = re.compile(rb"CB context_create ctx=(\d+) 0\Z")
_LEFT_OUT = re.compile(r"CB (?:done|delete) ctx=1|RET (?:done|delete) = \d+")


def recorded_level(recorded: Iterable[str]) -> LogLevel:
    """The log level Envoy ran with: debug, unless the recording holds Envoy's own trace lines."""
    return LogLevel.TRACE if any(line.startswith("HOST(trace)") for line in recorded) else LogLevel.DEBUG


def guest_lines(logs: Sequence[GuestLog], level: LogLevel, *, since: int = 0) -> list[str]:
    """The lines of the logs from the ``since``-th on.

    A line begins with what Envoy puts before it. Of a message with several lines the first is there, of a root
    context 1 no done and delete, and the results of done and delete not at all: the recorder left them out.
    """
    roots = {(_label(log), int(found[1])) for log in logs if (found := _ROOT_CREATED.match(log.raw)) is not None}
    lines = []
    for log in logs[since:]:
        text = log.raw.decode("utf-8", "replace").split("\n")[0]
        if log.level < level or _LEFT_OUT.fullmatch(text):
            continue
        name = log.filter
        prefix = ""
        if log.context_id and isinstance(name, Label):
            prefix = name.prefix(root=(_label(log), log.context_id) in roots)
        lines.append(prefix + text)
    return lines


def _label(log: GuestLog) -> tuple[str, str, str]:
    name = log.filter
    return (str(name), name.root_id, name.vm_id) if isinstance(name, Label) else (name, "", "")
