"""Telling of work that takes seconds: a line when it begins, and whatever the listener shows until it is over."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import TracebackType
from typing import Protocol, TypeAlias

__all__ = ["Elapsed", "Report", "announced"]

Report: TypeAlias = "Callable[[str], AbstractContextManager[object] | None]"
"""Is told a line; may give a context manager that is left when the work is over."""

INTERVAL = 1.0
"""Seconds between two updates of the elapsed time."""


def announced(report: Report | None, line: str) -> AbstractContextManager[object]:
    """Tell of work that begins; leave the context manager when it is over."""
    given = report(line) if report is not None else None
    return given if given is not None else nullcontext()


class Terminal(Protocol):
    """What a line that changes needs; pytest's terminal reporter is one."""

    def ensure_newline(self) -> None:
        """Go to a new line unless there."""

    def write(self, content: str, *, flush: bool = ...) -> None:
        """Write text."""

    def rewrite(self, line: str, *, erase: bool = ...) -> None:
        """Write over the line."""


class Elapsed:
    """A line on a terminal that grows older: ``building a.wasm: make (3 s)``.

    It is cut to the terminal's width: a line that wraps cannot be written over.

    Args:
        around: is left when the work is over, after the last write.
    """

    def __init__(self, terminal: Terminal, line: str, around: ExitStack) -> None:
        self._terminal = terminal
        self._line = line
        self._around = around
        self._over = threading.Event()
        self._begin = time.monotonic()
        terminal.ensure_newline()
        terminal.write(self._text(""), flush=True)
        self._thread = threading.Thread(target=self._run, name="proxywasm-elapsed", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(INTERVAL):
            self._grow_older()

    def _grow_older(self) -> None:
        self._terminal.rewrite(self._text(f" ({time.monotonic() - self._begin:.0f} s)"), erase=True)

    def _text(self, end: str) -> str:
        most = shutil.get_terminal_size().columns - len(end) - 1
        return (self._line if len(self._line) <= most else f"{self._line[: most - 3]}...") + end

    def __enter__(self) -> Elapsed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._grow_older()
        self._terminal.write("\n", flush=True)
        self._around.close()
