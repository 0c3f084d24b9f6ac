"""What a failing assert says about our types: the cause in the first lines."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import ANY, HeaderChanges, Headers, LocalResponse, Metric, Request, Response, Trace, matching
from pytest_proxywasm.explanations import explain_comparison
from pytest_proxywasm.trace import Arguments, Callback

A = Headers([(":status", "200"), ("x-user", "alice"), ("x-filter", "on")])


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (
            A,
            {":status": "200", "x-user": "bob", "x-filtr": "on"},
            [
                "headers differ:",
                "x-user    is 'alice', expected 'bob'",
                "x-filtr   is missing (near it: 'x-filter'), expected 'on'",
                "x-filter  is 'on', not expected",
                "(1 other is equal)",
            ],
        ),
        (
            A,
            {":status": "200", "x-user": ANY},
            [
                "headers differ:",
                "x-filter  is 'on', not expected",
                "(2 others are equal)",
                "(to compare some of them only: headers == pw.matching({...}))",
            ],
        ),
        (
            {"x-a": "1"},
            Headers([("x-a", "2"), ("x-a", "3")]),
            ["headers differ:", "x-a  is ['2', '3'], expected '1'"],
        ),
        (
            A,
            [("x-user", "alice"), (":status", "200"), ("x-filter", "on")],
            [
                "the order differs, first at entry 1: is ':status', expected 'x-user'",
                "is: :status, x-user, x-filter",
                "expected: x-user, :status, x-filter",
            ],
        ),
        (A, Headers([("x-user", "bob")]), ["headers differ:", "x-user    left 'alice', right 'bob'"]),
        (
            A,
            matching({"x-user": "bob", "x-none": "1"}),
            [
                "Headers does not fit: 'x-user' is 'alice', expected 'bob'",
                "'x-none' is missing, expected '1'",
                "wanted: matching({'x-user': 'bob', 'x-none': '1'})",
            ],
        ),
        ("v12", matching(r"^v\d$"), [r"'v12' does not fit matching('^v\\d$')"]),
        (
            Response(200, {"a": "1"}, b"x"),
            Response(201, {"a": "2"}, b"x"),
            ["Response differs: status: left 200, right 201", "headers: a  left '1', right '2'"],
        ),
        (Request("GET", "/a"), Request("GET", "/b"), ["Request differs: path: left '/a', right '/b'"]),
        (
            Metric("counter", 1),
            Metric("counter", 2),
            ["Metric differs: value: left 1, right 2", "(equal: kind, samples)"],
        ),
        (
            LocalResponse(403, Headers(), b"no", "", None, "f"),
            LocalResponse(403, Headers(), b"yes", "", None, "f"),
            ["LocalResponse differs: body: left b'no', right b'yes'"],
        ),
        (
            HeaderChanges(added={"x": ("1",)}),
            HeaderChanges(added={"x": ("2",)}, removed={"y": ("3",)}),
            [
                "header changes differ: added 'x': left ('1',), right ('2',)",
                "removed 'y': left nothing, right ('3',)",
            ],
        ),
        (1, 2, None),
        ("a", "b", None),
        (A, 7, None),
    ],
)
def test_an_equality_that_does_not_hold(left: Any, right: Any, said: list[str] | None) -> None:
    """What changed comes first, then what is missing, then what is too much."""
    lines = explain_comparison("==", left, right)
    assert (lines if lines is None or said is None else lines[: len(said)]) == said


@pytest.mark.parametrize("operator", ["is", "=="])
def test_a_filter_that_should_not_have_replied(operator: str) -> None:
    """Its name and its reply."""
    reply = LocalResponse(403, Headers([("a", "1")]), b"denied", "policy", None, "authz")
    assert explain_comparison(operator, reply, None) == [
        "filter 'authz' replied: 403 b'denied'",
        "details: 'policy'",
        "headers: Headers([('a', '1')])",
    ]


def test_membership_names_the_nearest_headers() -> None:
    """And all that are there."""
    assert explain_comparison("in", "x-filtr", A) == [
        "there is no header 'x-filtr'; near it: x-filter",
        "there are: :status, x-user, x-filter",
    ]
    assert explain_comparison("not in", "X-User", A) == ["the header 'x-user' is there: 'alice'"]


def events(*lines: str, context: int = 2) -> Trace:
    """A trace of finished callbacks."""
    trace = Trace()
    for name in lines:
        event = Callback(name, Arguments(), context, "", 0)
        event.finished = True
        trace.add(event)
    return trace


def test_traces_show_the_first_difference_and_its_callback_before_the_diff() -> None:
    """Ids of contexts that only count otherwise are no difference."""
    left, right = events("on_request", "on_body", "on_log"), events("on_request", "on_trailers", "on_log", context=3)
    said = explain_comparison("==", left, right)
    assert said is not None
    assert said[:4] == [
        "traces differ: first difference, in on_body, callback 2:",
        "  left   > on_body context=2",
        "  right  > on_trailers context=3",
        "1 of 7 lines only in left, 1 of 7 only in right",
    ]
    assert "-> on_body context=2" in said
    assert explain_comparison("==", left.text(), right.text())[0].startswith("texts of traces differ: first differ")  # type: ignore[index]


def test_traces_that_differ_by_the_ids_of_contexts_only_say_so() -> None:
    """As two exchanges of one host do."""
    said = explain_comparison("==", events("on_request"), events("on_request", context=3))
    assert said is not None
    assert said[0] == "traces differ: only the ids of contexts differ, as between two exchanges of one host"


def test_a_trace_that_is_longer_ends_later() -> None:
    """The other one ends there."""
    said = explain_comparison("==", events("on_request", "on_log"), events("on_request"))
    assert said is not None
    assert said[:3] == [
        "traces differ: first difference, in on_log, callback 2:",
        "  left   > on_log context=2",
        "  right  (ends here)",
    ]
