"""The guest's language: calls as lines of its configuration, and its log as results; runs nothing.

See ``fixtures/universal/universal.c``, which reads the one and writes the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .calls import BAD, BAD_OUT, OUT, OUT8, ROOT, STREAM, WRITTEN, Call, Word

__all__ = ["Done", "Plan", "Seen", "read"]

PREFIX = "U|"
NUMBERS = ("proxy_get_log_level", "proxy_get_current_time_nanoseconds", "clock_time_get", "clock_res_get")
"""Calls that write a number, of which 0 is one; elsewhere it is the address or size of nothing."""
ALL = "*"
FIXED = {BAD: "4294967280 32", BAD_OUT: "4294967294", STREAM: "s", ROOT: "r", WRITTEN: "w"}


class Plan:
    """What the guest is told to do, trial by trial.

    Attributes:
        calls: the call of each line whose result counts.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.calls: dict[int, Call] = {}
        self._data = bytearray()
        self._at: dict[bytes, int] = {}

    def call(self, trial: int | str, event: str, call: Call, *, counts: bool = True) -> None:
        """Make a call; for a context, where it says so, until the callback ends."""
        if call.as_ is not None:
            self._line(trial, event, "proxy_set_effective_context", (call.as_,))
        if counts:
            self.calls[len(self.lines)] = call
        self._line(trial, event, call.name, call.words)

    def returns(self, trial: int | str, event: str, value: int) -> None:
        """Have a callback return something."""
        self.lines.append(f"{trial} {event} return {value}")

    def _line(self, trial: int | str, event: str, name: str, words: Iterable[Word]) -> None:
        shown, out = [], 0
        for word in words:
            if word is OUT or word is OUT8:
                shown.append(f"^{out}")
                out += 4 if word is OUT else 8
            elif isinstance(word, bytes):
                shown.append(f"@{self._address(word)} {len(word)}")
            else:
                shown.append(str(word) if isinstance(word, int) else FIXED[word])
        self.lines.append(" ".join((str(trial), event, name, *shown)))

    def _address(self, data: bytes) -> int:
        at = self._at.setdefault(data, len(self._data))
        if at == len(self._data):
            self._data += data + b"\0"
        return at

    def text(self) -> str:
        """The guest's configuration."""
        return "\n".join(self.lines) + "\n\n" + self._data.hex()


@dataclass(frozen=True, slots=True)
class Seen:
    """A callback as the guest logged it: ``text`` is its name and arguments, without the context."""

    event: str
    text: str


@dataclass(slots=True)
class Done:
    """What happened in one trial.

    Attributes:
        results: of each call, the result of each time it was made.
        callbacks: all of the trial, in order.
        after: for each call, how many callbacks there were when it was first made.
    """

    results: dict[Call, list[str]] = field(default_factory=dict)
    callbacks: list[Seen] = field(default_factory=list)
    after: dict[Call, int] = field(default_factory=dict)


def read(plan: Plan, messages: Iterable[str]) -> dict[int, Done]:
    """The guest's log by trials."""
    trials: dict[int, Done] = {}
    current = Done()
    for message in messages:
        if not message.startswith(PREFIX):
            continue
        kind, *words = message.removeprefix(PREFIX).split(" ")
        if kind == "C":
            current = trials.setdefault(int(words[0]), Done())
            current.callbacks.append(Seen(words[1], " ".join((words[1], *words[3:]))))
        elif int(words[0]) in plan.calls:
            call = plan.calls[int(words[0])]
            current.results.setdefault(call, []).append(_result(call, words[1], words[2], words[3:]))
            current.after.setdefault(call, len(current.callbacks))
    return trials


def _result(call: Call, answer: str, blocks: str, area: Sequence[str]) -> str:
    shown, at = [answer], 0
    for word in call.words:
        if word is OUT:
            shown.append(_loose(call, area[at]))
            at += 1
        elif word is OUT8:
            low, high = area[at : at + 2]
            if low.isdigit() and high.isdigit():
                low = str(int(low) | int(high) << 32)
            shown.append(_loose(call, low))
            at += 2
    if blocks != "0":
        shown.append(f"+{blocks}")
    return " ".join(shown)


def _loose(call: Call, value: str) -> str:
    empty = value == "0" and call.name not in NUMBERS
    return "~" if call.loose and value.isdigit() and not empty else value
