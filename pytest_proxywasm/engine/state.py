"""The state of an instance, memory and globals, taken out and put back; knows no engine, and nothing of what it means.

There are two ways back. A used instance gets its whole memory copied back, which is exact whatever has happened to it.
A new instance gets written only what differs from the memory a new instance has, which is exact because all of its
other bytes are those of the module. The first is cheaper for small memories, the second for large ones, and it alone
makes memory smaller again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import core
from .interface import PAGE, FunctionType, Instance, Limits, Linked, State

if TYPE_CHECKING:
    from .core import CompiledModule

__all__ = ["Revival", "SavedInstance", "differences", "seconds"]

seconds = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter
"""To compare what two ways cost: on a busy machine, what else it does must not count, where that can be told."""

_BLOCK = 4096
_IDLE_KEPT = 2
"""How many used instances of a module wait for their next use."""

_LARGEST_IDLE = 4 * 1024 * 1024
"""Instances with more memory do not wait: copying it costs more than a new instance."""

_SAMPLES = 3
"""How often each way is tried before the cheaper one is taken."""


def differences(before: bytes, after: bytes) -> tuple[tuple[int, bytes], ...]:
    """What to write where to turn one memory into another of the same size."""
    found: list[tuple[int, bytes]] = []
    start: int | None = None
    for chunk in range(0, len(after), PAGE):
        if before[chunk : chunk + PAGE] == after[chunk : chunk + PAGE]:
            if start is not None:
                found.append((start, after[start:chunk]))
                start = None
            continue
        for at in range(chunk, min(chunk + PAGE, len(after)), _BLOCK):
            if before[at : at + _BLOCK] == after[at : at + _BLOCK]:
                if start is not None:
                    found.append((start, after[start:at]))
                    start = None
            elif start is None:
                start = at
    if start is not None:
        found.append((start, after[start:]))
    return tuple(found)


class SavedInstance:
    """The part of an instance that saves and restores its state, the same for every engine."""

    __slots__ = ()

    _active: bool
    _closing: bool
    memory: memoryview

    def renew(self) -> memoryview:
        raise NotImplementedError

    def added(self, name: str, kind: FunctionType) -> Callable[..., Any]:
        """A function that the rewriting added."""
        raise NotImplementedError

    @property
    def compiled(self) -> CompiledModule:
        """The instance's module."""
        raise NotImplementedError

    def save(self) -> State:
        """Memory and globals as they are now."""
        self._check_at_rest("saved")
        types = self.compiled.globals
        values = self.added("r", FunctionType((), types))()
        return State(bytes(self.renew()), values if len(types) > 1 else (values,))

    def restore(self, state: State, *, new: bool = False) -> None:
        """Memory and globals as they were."""
        self._check_at_rest("restored")
        if len(self.renew()) < len(state.memory):
            pages = (len(state.memory) - len(self.memory)) // PAGE
            if self.added("g", FunctionType(("i32",), ("i32",)))(pages) == 0xFFFFFFFF:
                raise MemoryError(f"the engine has no {len(state.memory):,} bytes for the memory of an instance")
            self.renew()
        memory = self.memory
        if len(memory) != len(state.memory):
            raise ValueError("the memory of an instance cannot shrink: restore the state in a new instance")
        if not new:
            memory[:] = state.memory
        else:
            if state.patches is None:
                state.patches = differences(bytes(memory), state.memory)
            for at, data in state.patches:
                memory[at : at + len(data)] = data
        self.added("l", FunctionType(self.compiled.globals, ()))(*state.globals)

    @property
    def at_rest(self) -> bool:
        """Whether it is open and no call is running."""
        return not (self._closing or self._active)

    def _check_at_rest(self, what: str) -> None:
        if self._closing:
            raise core.closed()
        if self._active:
            raise RuntimeError(f"an instance cannot be {what} while a call into it is running")
        if self.compiled.unsaved:
            raise ValueError(f"this module has state that cannot be saved: {self.compiled.unsaved}")


class Revival:
    """Instances of one linked module in saved states, by the cheaper way.

    Args:
        linked: what new instances are made of.
    """

    def __init__(self, linked: Linked) -> None:
        self._linked = linked
        self._idle: list[tuple[Limits, Instance]] = []
        self._used = False

    def give(self, instance: Instance, limits: Limits) -> None:
        """Take an instance that nobody needs any more, instead of closing it."""
        if self._used and instance.at_rest and len(self._idle) < _IDLE_KEPT and len(instance.renew()) <= _LARGEST_IDLE:
            instance.data = None
            self._idle.append((limits, instance))
        else:
            instance.close()

    def take(self, state: State, data: object, limits: Limits) -> Instance:
        """An instance in a state that an instance of the same module and limits had."""
        self._used = True
        if len(state.memory) <= _LARGEST_IDLE and not (
            len(state.new_times) >= _SAMPLES
            and len(state.copy_times) >= _SAMPLES
            and min(state.copy_times) > min(state.new_times)
        ):
            idle = self._fitting(state, limits)
            if idle is not None and not (len(state.copy_times) >= _SAMPLES > len(state.new_times)):
                return self._copied(idle, state, data, limits)
            if idle is not None:
                self._idle.append((limits, idle))
        return self._new(state, data, limits)

    def _fitting(self, state: State, limits: Limits) -> Instance | None:
        while self._idle:
            theirs, instance = self._idle.pop()
            if theirs == limits and len(instance.renew()) <= len(state.memory):
                return instance
            instance.close()
        return None

    def _copied(self, instance: Instance, state: State, data: object, limits: Limits) -> Instance:
        begin = seconds()
        instance.data = data
        try:
            instance.restore(state)
        except BaseException:
            instance.close()
            raise
        _note(state.copy_times, begin)
        return instance

    def _new(self, state: State, data: object, limits: Limits) -> Instance:
        begin = seconds()
        first = state.patches is None
        instance = self._linked.instantiate(data, limits)
        try:
            instance.restore(state, new=True)
        except BaseException:
            instance.close()
            raise
        if not first:
            _note(state.new_times, begin)
        return instance

    def close(self) -> None:
        """Free the instances that wait."""
        while self._idle:
            self._idle.pop()[1].close()


def _note(times: list[float], begin: float) -> None:
    if len(times) < _SAMPLES:
        times.append(seconds() - begin)
