"""What a test leaves behind: sections of a failing report and files; knows traces and logs, not pytest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import GuestLog
    from .trace import Trace

__all__ = ["folder_name", "logs_section", "remove_traces", "trace_section", "write_traces"]

SHOWN_LINES = 200
LONGEST_NAME = 120
_PLAIN_HEAD = re.compile(r"[A-Za-z0-9_./:]*")
_PLAIN_PARAMETERS = re.compile(r"(\[[A-Za-z0-9_.]*\])?")


def trace_section(traces: Sequence[Trace], redact: Iterable[str]) -> str:
    """The traces as text, each cut to its last lines."""
    hidden = list(redact)
    parts = []
    for number, trace in enumerate(traces, 1):
        lines = trace.text(redact=hidden).splitlines()
        if len(lines) > SHOWN_LINES:
            left_out = len(lines) - SHOWN_LINES
            note = f"... {left_out} lines left out; --proxywasm-trace=retain-on-failure writes them all to a file"
            lines = [lines[0], note, *lines[-(SHOWN_LINES - 1) :]]
        if len(traces) > 1:
            lines.insert(0, f"host {number} of {len(traces)}:")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def logs_section(logs: Iterable[GuestLog]) -> str:
    """Guest logs, one a line."""
    return "\n".join(
        f"{log.level.name:<8} {log.filter or 'filter'}:{log.context_id} {log.raw.decode('utf-8', 'backslashreplace')}"
        for log in logs
    )


def folder_name(test_id: str) -> str:
    """A name for a test's folder that is safe in every file system and no other test's.

    A digest is added where the readable part alone does not tell tests apart.
    """
    head, bracket, parameters = test_id.partition("[")
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", test_id).strip("-.")
    is_plain = _PLAIN_HEAD.fullmatch(head) and _PLAIN_PARAMETERS.fullmatch(bracket + parameters)
    if is_plain and len(readable) <= LONGEST_NAME:
        return readable
    return f"{readable[:LONGEST_NAME]}-{hashlib.sha256(test_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def write_traces(folder: Path, traces: Sequence[Trace], redact: Iterable[str]) -> None:
    """Write each trace to a file: ``trace.txt``, ``trace-2.txt``, ..."""
    remove_traces(folder)
    if not traces:
        return
    folder.mkdir(parents=True, exist_ok=True)
    hidden = list(redact)
    for number, trace in enumerate(traces, 1):
        name = "trace.txt" if number == 1 else f"trace-{number}.txt"
        (folder / name).write_text(trace.text(redact=hidden), "utf-8", newline="\n")


def remove_traces(folder: Path) -> None:
    """Remove what an earlier run wrote."""
    if not folder.is_dir():
        return
    for path in folder.glob("trace*.txt"):
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
