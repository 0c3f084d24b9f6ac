"""What chance decides in a real proxy, told from the mock's trace."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import Action, Status
from pytest_proxywasm.shadow.races import answers_race, calls_in_response, several_wait
from pytest_proxywasm.trace import Arguments, Callback, Hostcall, Trace

HEADERS, BODY, ANSWER, LOG = (
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_http_call_response",
    "proxy_on_log",
)
RESPONSE = "proxy_on_response_headers"


def trace(*steps: tuple[Any, ...]) -> Trace:
    """Callbacks with what they return and the hostcall they make."""
    found = Trace()
    for name, action, *calls in steps:
        event = Callback(name, Arguments(), 1 if name == ANSWER else 2, "", 0)
        event.action = action
        event.hostcalls += [Hostcall(call, Arguments(), Status.OK, Arguments(), event) for call in calls]
        found.add(event)
    return found


GO, STOP, CALL, RESUME = Action.CONTINUE, Action.PAUSE, "proxy_http_call", "proxy_continue_stream"


@pytest.mark.parametrize(
    ("steps", "races"),
    [
        ([(HEADERS, STOP, CALL), (ANSWER, None, RESUME)], False),
        ([(HEADERS, GO, CALL), (ANSWER, None)], True),
        ([(HEADERS, STOP, CALL), (BODY, GO), (ANSWER, None)], True),
        ([(HEADERS, STOP, CALL), (BODY, STOP), (ANSWER, None, RESUME), (RESPONSE, GO)], False),
        ([(HEADERS, STOP, CALL), (ANSWER, None, RESUME), (ANSWER, None)], True),
        ([(HEADERS, STOP, CALL), (LOG, None), (ANSWER, None)], True),
        ([(HEADERS, GO), (RESPONSE, STOP, CALL), (ANSWER, None, RESUME)], False),
    ],
)
def test_an_answer_races_when_nobody_waits_for_it(steps: list[tuple[str, Action]], races: bool) -> None:
    assert answers_race(trace(*steps)) is races


def test_several_callouts_may_wait_at_a_time() -> None:
    assert several_wait(trace((HEADERS, STOP, CALL, CALL)))
    assert not several_wait(trace((HEADERS, STOP, CALL), (ANSWER, None), (BODY, STOP, CALL)))


def test_calls_of_response_callbacks() -> None:
    assert calls_in_response(trace((RESPONSE, STOP, CALL)))
    assert not calls_in_response(trace((HEADERS, STOP, CALL), (RESPONSE, GO)))
