"""When the mock's filters ticked and made callouts, and when those were answered; reads the mock's trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..abi.enums import Status
from ..envoy.clockwork import TICK
from ..model import Callout, Timeout
from ..trace import Callback

__all__ = [
    "ANSWERS",
    "CALLS",
    "answer_to",
    "begins_of_answers",
    "made",
    "phases",
    "seconds_in_vain",
    "ticks_while_answered",
]

CALLS = {"proxy_http_call": "call_id", "proxy_grpc_call": "call_id", "proxy_grpc_stream": "stream_id"}
"""The hostcalls that make one, and the result that is its id."""
ANSWERS = {
    "proxy_on_http_call_response": "call_id",
    **dict.fromkeys(
        (
            "proxy_on_grpc_receive_initial_metadata",
            "proxy_on_grpc_receive",
            "proxy_on_grpc_receive_trailing_metadata",
            "proxy_on_grpc_close",
        ),
        "call_or_stream_id",
    ),
}
"""The callbacks with which an answer begins, goes on and ends, and which argument is the call's id."""


def answer_to(event: Callback) -> tuple[str, int] | None:
    """The filter and the id of the call that a callback answers."""
    key = ANSWERS.get(event.name)
    return (event.filter, event.args[key]) if key is not None else None


def begins_of_answers(events: Iterable[Callback]) -> dict[tuple[str, int], int]:
    """When calls have begun to be answered, in nanoseconds, by filter and id."""
    found: dict[tuple[str, int], int] = {}
    for event in events:
        call = answer_to(event)
        if call is not None and event.time_ns is not None:
            found.setdefault(call, event.time_ns)
    return found


def made(events: Iterable[Callback], calls: Iterable[Callout]) -> list[Callout]:
    """The callouts that were made in these callbacks, of all that were made at the time."""
    waiting = list(calls)
    found = []
    for event in events:
        for call in event.hostcalls:
            result = CALLS.get(call.name)
            if result is None or (call.status and call.status != Status.INTERNAL_FAILURE):
                continue
            # One to a cluster without hosts has no id.
            number = 0 if call.status else call.results[result]
            one = next((one for one in waiting if one.id == number), None)
            if one is not None:
                waiting.remove(one)
                found.append(one)
    return found


def phases(
    events: Iterable[Callback], begins: Callable[[Callback], bool] = lambda event: False
) -> list[list[Callback]]:
    """What happened before the first tick, and what from each to the next.

    Args:
        begins: what else something begins with.
    """
    found: list[list[Callback]] = [[]]
    for event in events:
        if event.name == TICK or begins(event):
            found.append([])
        found[-1].append(event)
    return found


def ticks_while_answered(events: Iterable[Callback], calls: Iterable[Callout]) -> bool:
    """Whether a filter has ticked while a call waited for an answer that came."""
    all_calls = list(calls)
    under_way: dict[tuple[str, int], Callout] = {}
    for event in events:
        call = answer_to(event)
        if call is not None:
            under_way.pop(call, None)
        if event.name == TICK and any(not isinstance(one.outcome, Timeout) for one in under_way.values()):
            return True
        under_way.update(((one.filter, one.id), one) for one in made([event], all_calls) if one.id)
    return False


def seconds_in_vain(calls: Iterable[Callout]) -> float:
    """For how long callouts were waited for that nobody answered: in Envoy that takes real time."""
    return sum(one.timeout or 0 for one in calls if isinstance(one.outcome, Timeout))
