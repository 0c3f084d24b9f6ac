"""Looking for a sequence of events in a trace, and saying how far one got; knows only events."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import UsageError
from ..stand_ins import Placeholder, same
from .text import callback_line, hostcall_line, show, show_action

if TYPE_CHECKING:
    from .events import Callback, Hostcall, Trace

Step: TypeAlias = "str | tuple[str, Mapping[str, Any]]"


@dataclass(frozen=True, slots=True)
class Miss:
    """A search that found nothing, kept so that a failing test can be told why."""

    trace: Trace
    wanted: tuple[Step, ...]


last_miss: Miss | None = None
"""The newest search of this process that found nothing; ``assert`` shows no more of it than ``False``."""


def flat(trace: Trace) -> Iterator[Callback | Hostcall]:
    """Callbacks, each followed by its hostcalls."""
    for event in trace:
        yield event
        yield from event.hostcalls


def fields_of(event: Callback | Hostcall) -> Any:
    """What a step may ask of an event: arguments, results, and status or action."""
    from .events import Arguments, Hostcall

    if isinstance(event, Hostcall):
        return Arguments({**event.args, **event.results, "status": event.status})
    return Arguments({**event.args, "action": event.action})


def fits(event: Callback | Hostcall, step: Step) -> bool:
    """Whether an event is what a step asks for."""
    name, wanted = _split(step)
    if event.name != name:
        return False
    return not wanted or all(_has(fields_of(event), key, value) for key, value in wanted.items())


def contains(trace: Trace, wanted: Sequence[Step]) -> bool:
    """Whether the steps are there in this order; placeholders stay bound when they are."""
    steps = [_split(step) for step in wanted]
    if _search(list(flat(trace)), steps, 0, 0, [0]):
        return True
    global last_miss
    last_miss = Miss(trace, tuple(wanted))
    return False


def _split(step: Step) -> tuple[str, Mapping[str, Any]]:
    if isinstance(step, str):
        return step, {}
    if isinstance(step, tuple) and len(step) == 2 and isinstance(step[0], str) and isinstance(step[1], Mapping):
        return step
    raise UsageError(
        f"a step is the name of a callback or hostcall, or a pair of it and its arguments, not {step!r}: "
        'trace.contains(["proxy_log", ("proxy_send_local_response", {"status_code": 403})])'
    )


def _has(fields: Any, key: str, value: Any) -> bool:
    try:
        there = fields[key]
    except KeyError:
        return False
    if isinstance(value, Mapping) and isinstance(there, (list, tuple)):
        from ..stand_ins import matching

        return bool(matching(value) == there) if value else not there
    if isinstance(value, str) and isinstance(there, int) and not isinstance(there, bool):
        return getattr(there, "name", None) == value
    return same(there, value)


def _search(
    events: list[Callback | Hostcall], steps: list[tuple[str, Mapping[str, Any]]], at: int, step: int, best: list[int]
) -> bool:
    """Find the steps from one on, trying later events where placeholders make an earlier choice fail."""
    if step > best[0]:
        best[:] = [step, at]
    if step == len(steps):
        return True
    name, fields = steps[step]
    free = [value for value in fields.values() if isinstance(value, Placeholder) and not value.bound]
    for index in range(at, len(events)):
        event = events[index]
        if event.name != name:
            continue
        have = fields_of(event) if fields else None
        if not fields or all(_has(have, key, value) for key, value in fields.items()):
            if _search(events, steps, index + 1, step + 1, best):
                return True
            if not free:
                # Without a choice to make, the first event that fits leaves the most for the steps that follow.
                return False
        for placeholder in free:
            placeholder.unbind()
    return False


def explain(trace: Trace, wanted: Sequence[Step]) -> str:
    """Why a trace does not contain the steps: the step that is missing first, and what comes nearest; else empty."""
    steps = [_split(step) for step in wanted]
    events = list(flat(trace))
    best = [0, 0]
    placeholders = [v for _, fields in steps for v in fields.values() if isinstance(v, Placeholder) and not v.bound]
    try:
        if _search(events, steps, 0, 0, best):
            return ""
        # Bind what the steps that were found bind, so that the rest is compared with it.
        reached, position = best[0], best[1] if len(best) > 1 else 0
        _search(events, steps[:reached], 0, 0, [0])
        return "\n".join(_explanation(events, steps, reached, position))
    finally:
        for placeholder in placeholders:
            placeholder.unbind()


def _explanation(
    events: list[Callback | Hostcall], steps: list[tuple[str, Mapping[str, Any]]], reached: int, position: int
) -> list[str]:
    name, fields = steps[reached]
    after = [event for event in events[position:] if event.name == name]
    before = [event for event in events[:position] if event.name == name]
    lines = [f"step {reached + 1} of {len(steps)} is not in the trace: {_step(steps[reached])}"]
    if after:
        near = max(after, key=lambda event: sum(_has(fields_of(event), k, v) for k, v in fields.items()))
        lines.append(f"nearest: {_differences(near, fields)}")
        lines.append(f"    {_line(near)}")
    elif before and all(_has(fields_of(before[-1]), k, v) for k, v in fields.items()):
        lines.append(f"it happened only before step {reached}:")
        lines.append(f"    {_line(before[-1])}")
    else:
        names = list(dict.fromkeys(event.name for event in events))
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.75)
        there = close or names
        what = "near it" if close else "the trace has"
        if name in names:
            lines.append(f"after step {reached} there is no more {name}")
        else:
            lines.append(f"there is no {name}; {what}: {', '.join(there[:8]) or 'nothing'}")
    for number, step in enumerate(steps[:reached], 1):
        lines.append(f"found: step {number}, {_step(step)}")
    lines += [f"after it: step {number}, {_step(step)}" for number, step in enumerate(steps, 1) if number > reached + 1]
    return lines


def _differences(event: Callback | Hostcall, fields: Mapping[str, Any]) -> str:
    have = fields_of(event)
    parts = []
    for key, value in fields.items():
        if _has(have, key, value):
            continue
        try:
            parts.append(f"{key} is {_shown(have[key])}, not {_shown(value)}")
        except KeyError:
            parts.append(f"it has no {key} (it has {', '.join(have)})")
    where = getattr(event, "callback", None)
    return ", ".join(parts) + (f", in {where.name}" if where is not None else "")


def _shown(value: Any) -> str:
    if isinstance(value, (str, bytes, int, float, list, tuple)):
        return show(value)
    return repr(value)


def _step(step: tuple[str, Mapping[str, Any]]) -> str:
    name, fields = step
    return name + "".join(f" {key}={_shown(value)}" for key, value in fields.items())


def _line(event: Callback | Hostcall) -> str:
    from .events import Hostcall

    if isinstance(event, Hostcall):
        return hostcall_line(event)
    return f"{callback_line(event)} -> {show_action(event.action)}"
