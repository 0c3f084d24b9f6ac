"""Virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm import UsageError
from pytest_proxywasm.host.clock import START_NS, Clock


def test_time_starts_in_2020_and_stands_still() -> None:
    """The same in every run."""
    clock = Clock()
    assert clock.now == 1_577_836_800.0
    assert clock.now_ns == START_NS == 1_577_836_800_000_000_000
    assert clock.next_due_ns is None


def test_advancing_fires_what_is_due_in_order_of_time() -> None:
    """And of setting, where the time is the same; the clock shows the time of each."""
    clock, fired = Clock(), []

    def note(name: str) -> None:
        fired.append((name, clock.now_ns - START_NS))

    clock.call_later(2, lambda: note("late"))
    clock.call_later(1, lambda: note("early"))
    clock.call_later(1, lambda: note("early too"))
    clock.call_later(5, lambda: note("never"))
    clock.advance(3)
    assert fired == [("early", 10**9), ("early too", 10**9), ("late", 2 * 10**9)]
    assert clock.now_ns == START_NS + 3 * 10**9


def test_what_a_timer_sets_fires_too_if_it_is_due() -> None:
    """A tick of 0.1 s fires ten times in a second."""
    clock, times = Clock(), []

    def tick() -> None:
        times.append(clock.now_ns - START_NS)
        clock.call_later(0.1, tick)

    clock.call_later(0.1, tick)
    clock.advance(1)
    assert times == [n * 10**8 for n in range(1, 11)]


def test_a_cancelled_timer_does_not_fire() -> None:
    """Nor is it due."""
    clock, fired = Clock(), []
    timer = clock.call_later(1, lambda: fired.append(1))
    timer.cancel()
    assert clock.next_due_ns is None
    clock.advance(2)
    assert fired == []


def test_a_timer_in_the_past_is_due_now() -> None:
    """Time does not run backwards for it."""
    clock = Clock()
    clock.advance(1)
    clock.call_at(START_NS, lambda: None)
    clock.call_later(-5, lambda: None)
    assert clock.next_due_ns == clock.now_ns
    assert clock.step(clock.now_ns)
    assert clock.step(clock.now_ns)
    assert not clock.step(clock.now_ns)


def test_time_does_not_run_backwards() -> None:
    """A usage error."""
    with pytest.raises(UsageError, match=r"time does not run backwards: advance\(-1\)"):
        Clock().advance(-1)


def test_an_action_that_fails_has_fired() -> None:
    """And the clock can be used on."""
    clock = Clock()

    def fail() -> None:
        raise RuntimeError("why")

    clock.call_later(1, fail)
    with pytest.raises(RuntimeError, match="why"):
        clock.advance(2)
    assert not clock.firing
    clock.advance(2)
    assert clock.now_ns == START_NS + 3 * 10**9


def test_whoever_advances_is_told_at_the_end_only() -> None:
    """Hosts raise there what went wrong meanwhile."""
    clock, told = Clock(), []
    clock.after_advance = lambda: told.append((clock.now_ns - START_NS, clock.firing))
    clock.call_later(1, lambda: None)
    clock.advance(2)
    assert told == [(2 * 10**9, False)]


def run(delays: list[float], steps: list[float]) -> list[tuple[int, int]]:
    """Which timers fired when, and when it was over."""
    clock, fired = Clock(), []

    def set_timer(number: int, delay: float) -> None:
        clock.call_later(delay, lambda: fired.append((number, clock.now_ns)))

    for number, delay in enumerate(delays):
        set_timer(number, delay)
    for step in steps:
        clock.advance(step)
    return [*fired, (-1, clock.now_ns)]


@given(st.lists(st.floats(0, 10), max_size=20), st.lists(st.floats(0, 3), min_size=1, max_size=8))
def test_the_steps_of_advancing_do_not_matter(delays: list[float], steps: list[float]) -> None:
    """The same timers fire at the same times, in one step or in many."""
    whole = sum(round(step * 1e9) for step in steps) / 1e9
    assert run(delays, steps) == run(delays, [whole])
