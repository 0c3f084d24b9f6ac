"""Virtual time: timers fire in time order, and nothing reads the wall clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import UsageError

START_NS = 1_577_836_800 * 10**9
"""2020-01-01T00:00:00Z."""


class Timer:
    """Something that happens at a time, unless it is cancelled."""

    __slots__ = ("action", "due_ns")

    def __init__(self, due_ns: int, action: Callable[[], object]) -> None:
        self.due_ns = due_ns
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        """It will not happen."""
        self.action = None


class Clock:
    """The time of one host. It starts at 2020-01-01T00:00:00Z and moves only when it is told to."""

    def __init__(self) -> None:
        self._now_ns = START_NS
        self._timers: list[tuple[int, int, Timer]] = []
        self._count = 0
        self.firing = False
        """Whether a timer's action runs."""
        self.after_advance: Callable[[], None] | None = None
        """Called when `advance` is over (for hosts)."""

    @property
    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return self._now_ns / 1e9

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return self._now_ns

    def call_later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Have something happen so many seconds from now; timers of the same time fire in the order they were set."""
        return self.call_at(self._now_ns + max(0, round(seconds * 1e9)), action)

    def call_at(self, due_ns: int, action: Callable[[], object]) -> Timer:
        """Have something happen at a time in nanoseconds since the epoch."""
        timer = Timer(max(due_ns, self._now_ns), action)
        self._count += 1
        heapq.heappush(self._timers, (timer.due_ns, self._count, timer))
        return timer

    @property
    def next_due_ns(self) -> int | None:
        """When the next timer fires; ``None`` when nothing is due."""
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def step(self, until_ns: int) -> bool:
        """Fire the next timer, moving time to it, if it is due by then; whether one fired."""
        due = self.next_due_ns
        if due is None or due > until_ns:
            return False
        timer = heapq.heappop(self._timers)[2]
        action, timer.action = timer.action, None
        self._now_ns = max(self._now_ns, due)
        if action is not None:
            outer, self.firing = self.firing, True
            try:
                action()
            finally:
                self.firing = outer
        return True

    def advance(self, seconds: float) -> None:
        """Let time pass: ticks, callout answers and timeouts that fall into it happen in time order."""
        if seconds < 0:
            raise UsageError(f"time does not run backwards: advance({seconds})")
        target = self._now_ns + round(seconds * 1e9)
        while self.step(target):
            pass
        self._now_ns = max(self._now_ns, target)
        if self.after_advance is not None:
            self.after_advance()
