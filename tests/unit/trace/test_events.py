"""Events of a run, and finding things in them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from pytest_proxywasm.abi.enums import Status
from pytest_proxywasm.model import Action
from pytest_proxywasm.trace import Arguments, Callback, Hostcall, Trace, WasiCall


def run_of(*steps: tuple[str, ...]) -> Trace:
    """Callbacks by name, each with hostcalls by name."""
    trace = Trace()
    for name, *calls in steps:
        event = Callback(name, Arguments(context=1), 1, "", 0)
        event.finished, event.action = True, Action.CONTINUE
        for call in calls:
            event.hostcalls.append(Hostcall(call, Arguments(key="k"), Status.OK, Arguments(value=b"v"), event))
        trace.add(event)
    return trace


RUN = run_of(("headers", "get", "set"), ("body", "get"), ("headers",))


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ([], True),
        (["headers"], True),
        (["headers", "get", "get", "headers"], True),
        (["get", "set", "body"], True),
        (["set", "get", "set"], False),
        (["headers", "headers", "headers"], False),
        ([("get", {"key": "k"})], True),
        ([("get", {"key": "k", "value": b"v", "status": Status.OK})], True),
        ([("get", {"return_value": b"v"})], True),
        ([("get", {"key": "other"})], False),
        ([("get", {"nothing": None})], False),
        ([("body", {"action": Action.CONTINUE, "context": 1})], True),
        ([("body", {"action": Action.PAUSE})], False),
        (["nothing"], False),
    ],
)
def test_contains_looks_for_a_subsequence(wanted: Any, there: bool) -> None:
    """Names, or names with the arguments, results, status or action that must be there."""
    assert RUN.contains(wanted) is there


def test_contains_does_not_change_what_it_was_given() -> None:
    """The list belongs to the caller."""
    wanted = ["headers", "get"]
    assert RUN.contains(wanted)
    assert wanted == ["headers", "get"]


def test_callbacks_and_hostcalls_are_found_by_name() -> None:
    """In order."""
    assert [event.name for event in RUN.callbacks()] == ["headers", "body", "headers"]
    assert len(RUN.callbacks("headers")) == 2
    assert [call.callback.name for call in RUN.hostcalls("get") if call.callback] == ["headers", "body"]
    assert [call.name for call in RUN.hostcalls()] == ["get", "set", "get"]
    assert RUN.hostcalls("nothing") == RUN.callbacks("nothing") == []


def test_a_trace_is_a_sequence_of_callbacks() -> None:
    """Slices are traces that keep their labels."""
    trace = Trace(RUN, labelled=True)
    assert (len(trace), trace[1].name, trace[-1].name) == (3, "body", "headers")
    part = trace[1:]
    assert isinstance(part, Trace)
    assert part.labelled
    assert [event.name for event in part] == ["body", "headers"]
    trace.clear()
    assert not trace
    assert len(part) == 2


def test_traces_are_equal_when_their_texts_are() -> None:
    """WASI calls included."""
    other = run_of(("headers", "get", "set"), ("body", "get"), ("headers",))
    assert other == RUN
    other[2].hostcalls.append(WasiCall("sched_yield", Arguments(), Status.OK, Arguments(), other[2]))
    assert other != RUN
    assert (RUN == 5) is False


def test_a_diff_shows_the_lines_that_differ_and_is_empty_for_equal_traces() -> None:
    """As `diff -u` does, `this` being the trace and `other` the argument."""
    other = run_of(("headers", "get"), ("body", "get"), ("headers",))
    assert RUN.diff(RUN) == ""
    lines = RUN.diff(other).splitlines()
    assert lines[:2] == ["--- this", "+++ other"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ['-    set key="k" -> OK value="v"']


@pytest.mark.parametrize(
    ("spelling", "short"),
    [
        ("return_value", "value"),
        ("map_type", "map"),
        ("buffer_type", "buffer"),
        ("status_code_details", "details"),
        ("value", "value"),
    ],
)
def test_arguments_are_found_by_the_longer_spelling_too(spelling: str, short: str) -> None:
    """The ABI's text has more than one name for some."""
    assert Arguments({short: 7})[spelling] == 7


def test_a_missing_argument_names_those_that_are_there() -> None:
    """The message of the KeyError."""
    with pytest.raises(KeyError) as caught:
        Arguments(map=1, key="a")["kye"]
    assert caught.value.args == ("no argument 'kye'; there are: map, key",)
    with pytest.raises(KeyError) as caught:
        Arguments()["key"]
    assert caught.value.args == ("no argument 'key'; there are: none",)


def test_arguments_can_be_compared_with_dicts_and_pickled() -> None:
    """They are dicts."""
    arguments = Arguments(a=1)
    assert arguments == {"a": 1}
    assert pickle.loads(pickle.dumps(arguments)) == arguments
