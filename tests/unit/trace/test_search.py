"""Looking for steps in a trace, and why they are not there."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import ANY, Action, Placeholder, Status, Trace, UsageError, matching
from pytest_proxywasm.trace import Arguments, Callback, Hostcall


def trace_of(*steps: tuple[str, list[tuple[str, dict[str, Any], dict[str, Any]]]]) -> Trace:
    """Callbacks with hostcalls: name, arguments, results."""
    trace = Trace()
    for name, calls in steps:
        event = Callback(name, Arguments(end_of_stream=True), 2, "", 0)
        event.finished, event.action = True, Action.CONTINUE
        for call, args, results in calls:
            event.hostcalls.append(Hostcall(call, Arguments(args), Status.OK, Arguments(results), event))
        trace.add(event)
    return trace


RUN = trace_of(
    ("on_request", [("get", {"key": "x-a"}, {"value": b"1"}), ("call", {"upstream": "a"}, {"call_id": 4})]),
    ("on_request", [("call", {"upstream": "b"}, {"call_id": 8})]),
    ("on_answer", [("reply", {"status_code": 403, "headers": [(b"x-a", b"1"), (b"x-b", b"2")]}, {})]),
)
RUN[2].args["call_id"] = 8


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ([("get", {"key": "x-a", "value": "1"})], True),
        ([("get", {"key": b"x-a", "status": "OK"})], True),
        ([("get", {"key": matching("^x-"), "value": ANY})], True),
        ([("on_request", {"action": "CONTINUE"}), ("on_answer", {"action": "PAUSE"})], False),
        ([("reply", {"headers": {"x-b": "2"}})], True),
        ([("reply", {"headers": {"x-b": "3"}})], False),
        ([("reply", {"headers": {}})], False),
        (["reply", "get"], False),
    ],
)
def test_values_may_be_stand_ins_names_and_subsets(wanted: Any, there: bool) -> None:
    """Text and bytes are the same."""
    assert RUN.contains(wanted) is there
    assert (RUN.explain(wanted) == "") is there


def test_a_placeholder_binds_once_for_all_steps() -> None:
    """An earlier choice that does not work out is taken back."""
    call = Placeholder("call")
    assert RUN.contains([("call", {"call_id": call}), ("on_answer", {"call_id": call})])
    assert call.value == 8


def test_a_placeholder_stays_free_when_the_steps_are_not_there() -> None:
    """So that the next search is not misled."""
    call = Placeholder("call")
    assert not RUN.contains([("call", {"call_id": call}), ("on_answer", {"call_id": call}), "more"])
    assert not call.bound
    assert RUN.explain([("call", {"call_id": call}), "more"])
    assert not call.bound


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            [("get", {"key": "x-a"}), ("reply", {"status_code": 429}), "on_done"],
            [
                "step 2 of 3 is not in the trace: reply status_code=429",
                "nearest: status_code is 403, not 429, in on_answer",
                '    reply status_code=403 headers=[("x-a", "1"), ("x-b", "2")] -> OK',
                'found: step 1, get key="x-a"',
                "after it: step 3, on_done",
            ],
        ),
        (
            ["reply", "get"],
            [
                "step 2 of 2 is not in the trace: get",
                "it happened only before step 1:",
                '    get key="x-a" -> OK value="1"',
                "found: step 1, reply",
            ],
        ),
        (
            ["replay"],
            ["step 1 of 1 is not in the trace: replay", "there is no replay; near it: reply"],
        ),
        (
            ["zzz"],
            [
                "step 1 of 1 is not in the trace: zzz",
                "there is no zzz; the trace has: on_request, get, call, on_answer, reply",
            ],
        ),
        (
            [("get", {"kex": "x-a"})],
            [
                'step 1 of 1 is not in the trace: get kex="x-a"',
                "nearest: it has no kex (it has key, value, status), in on_request",
                '    get key="x-a" -> OK value="1"',
            ],
        ),
        (
            ["get", "get"],
            [
                "step 2 of 2 is not in the trace: get",
                "it happened only before step 1:",
                '    get key="x-a" -> OK value="1"',
                "found: step 1, get",
            ],
        ),
    ],
)
def test_the_explanation_begins_with_the_missing_step_and_what_is_nearest(wanted: Any, said: list[str]) -> None:
    """Then comes what was found."""
    assert RUN.explain(wanted).splitlines() == said


@pytest.mark.parametrize("step", [7, ("get",), ("get", "key"), {"get": {}}])
def test_a_step_of_another_form_is_refused(step: Any) -> None:
    """With the right form."""
    with pytest.raises(UsageError, match=r'trace.contains\(\["proxy_log", \("proxy_send_local_response", '):
        RUN.contains([step])
