"""What a test leaves behind: sections of a failing report and files; knows traces and logs, not pytest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Exchange, GuestLog
    from .trace import Trace

__all__ = ["elided", "folder_name", "log_lines", "remove_files", "trace_section", "write_files"]

SHOWN_LINES = 80
SHOWN_LOGS = 40
LONGEST_NAME = 120
_FILES = ("trace*.txt", "trace*.html", "logs.txt")
_PLAIN_HEAD = re.compile(r"[A-Za-z0-9_./:]*")
_PLAIN_PARAMETERS = re.compile(r"(\[[A-Za-z0-9_.]*\])?")


def elided(lines: Sequence[str], most: int, hint: str) -> list[str]:
    """The lines, the middle left out where there are more than so many: how it begins, and more of how it ends."""
    if len(lines) <= most:
        return list(lines)
    head = most // 3
    tail = most - head - 1
    return [*lines[:head], f"... {len(lines) - head - tail} lines left out; {hint}", *lines[-tail:]]


def trace_section(traces: Sequence[tuple[Trace, int]], redact: Iterable[str], hint: str) -> str:
    """Traces as text with the reasons of failed hostcalls.

    Each comes with the index at which the failing exchange begins: what was before it is the first to be left out.
    """
    hidden = list(redact)
    parts = []
    for number, (trace, start) in enumerate(traces, 1):
        lines = trace.text(redact=hidden, reasons=True).splitlines()
        if len(lines) > SHOWN_LINES and 0 < start < len(trace):
            rest = trace[start:].text(redact=hidden, reasons=True).splitlines()[1:]
            before = len(lines) - len(rest) - 1
            note = f"... {before} lines before the last exchange left out; {hint}"
            lines = [lines[0], note, *elided(rest, SHOWN_LINES - 2, hint)]
        else:
            lines = elided(lines, SHOWN_LINES, hint)
        if len(traces) > 1:
            lines.insert(0, f"host {number} of {len(traces)}:")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def log_lines(logs: Iterable[GuestLog]) -> list[str]:
    """Guest logs, one message a line."""
    return [
        f"{log.level.name:<8} {log.filter or 'filter'}:{log.context_id} {log.raw.decode('utf-8', 'backslashreplace')}"
        for log in logs
    ]


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


def write_files(
    folder: Path,
    traces: Sequence[tuple[Trace, Sequence[Exchange]]],
    logs: Sequence[GuestLog],
    redact: Iterable[str],
    *,
    title: str = "",
    error: str = "",
) -> dict[str, Path]:
    """Write each trace as text and as a page to look at (``trace.txt``, ``trace.html``, ``trace-2.txt``, ...), and the
    guests' logs (``logs.txt``).

    Args:
        traces: each with the exchanges that its page shows above it.
        title: the test's name.
        error: what it failed with.

    Returns:
        The paths by name: ``trace``, ``trace-2``, ``logs``, ``trace_page``, ...
    """
    remove_files(folder)
    if not traces and not logs:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    hidden = list(redact)
    from .viewer import page

    texts: dict[str, tuple[str, str]] = {}
    for number, (trace, exchanges) in enumerate(traces, 1):
        name = "trace" if number == 1 else f"trace-{number}"
        texts[name] = f"{name}.txt", trace.text(redact=hidden, reasons=True)
        shown = page(trace, title=title, error=error, exchanges=exchanges, logs=logs, redact=hidden)
        texts[name.replace("trace", "trace_page", 1)] = f"{name}.html", shown
    if logs:
        texts["logs"] = "logs.txt", "\n".join(log_lines(logs)) + "\n"
    written = {}
    for name, (file, text) in texts.items():
        path = written[name] = folder / file
        path.write_text(text, "utf-8", newline="\n")
    return written


def remove_files(folder: Path) -> None:
    """Remove what an earlier run wrote."""
    if not folder.is_dir():
        return
    for pattern in _FILES:
        for path in folder.glob(pattern):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
