"""Long work on a terminal shows how long it has taken."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from pytest_proxywasm import announce
from pytest_proxywasm.announce import Elapsed, announced


class Terminal:
    """What was written to it."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def ensure_newline(self) -> None:
        self.written.append("<new line>")

    def write(self, content: str, *, flush: bool = False) -> None:
        self.written.append(content)

    def rewrite(self, line: str, *, erase: bool = False) -> None:
        self.written.append(f"\r{line}")


def test_the_line_grows_older_until_the_work_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "INTERVAL", 0.01)
    monkeypatch.setenv("COLUMNS", "80")
    terminal, left = Terminal(), []
    around = ExitStack()
    around.callback(left.append, "left")
    with announced(lambda line: Elapsed(terminal, line, around), "building a.wasm: make"):
        while not any(one.startswith("\r") for one in terminal.written):
            time.sleep(0.01)
        assert left == []
    assert terminal.written[:3] == ["<new line>", "building a.wasm: make", "\rbuilding a.wasm: make (0 s)"]
    assert terminal.written[-1] == "\n"
    assert left == ["left"]
    size = len(terminal.written)
    time.sleep(0.05)
    assert len(terminal.written) == size


def test_a_line_that_would_wrap_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What wraps cannot be written over: each second would add a line."""
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    with announced(lambda line: Elapsed(terminal, line, ExitStack()), "building " + "a" * 100):
        pass
    assert terminal.written[1] == "building " + "a" * 27 + "..."
    assert terminal.written[-2] == "\rbuilding " + "a" * 21 + "... (0 s)"


def test_a_listener_that_only_takes_lines_is_enough() -> None:
    lines: list[str] = []
    with announced(lines.append, "compiling"):
        assert lines == ["compiling"]
    with announced(None, "nobody listens"):
        pass
