"""`ANY`, `matching` and `Placeholder`: values that stand for others."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_proxywasm import ANY, Headers, Placeholder, Response, UsageError, matching

HEADERS = Headers([("x-a", "1"), ("x-b", "2"), ("x-b", "3")])


def test_any_is_equal_to_everything_from_either_side() -> None:
    """Also inside containers."""
    assert ANY == 1
    assert ANY == b"x"
    assert {"a": [ANY, ("b", ANY)]} == {"a": [1, ("b", None)]}
    assert repr(ANY) == "ANY"


@pytest.mark.parametrize(
    ("wanted", "value", "fits"),
    [
        (r"^v\d$", "v1", True),
        (r"\d", "abc1", True),
        (r"\d", b"abc1", True),
        (rb"\xff", b"a\xff", True),
        (re.compile("A", re.I), "xa", True),
        (r"^v\d$", "v12", False),
        (r"1", 1, False),
        (str.isdigit, "12", True),
        (lambda n: n > 3, 2, False),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"x-a": "1"}, HEADERS, True),
        ({"X-B": "3"}, HEADERS, True),
        ({"x-b": ["2", "3"]}, HEADERS, True),
        ({"x-a": "2"}, HEADERS, False),
        ({"x-a": ANY, "x-b": matching("[23]")}, HEADERS, True),
        ({"x-a": "1"}, [("x-a", "1"), ("x-c", "4")], True),
        ({"x-a": "1"}, 7, False),
    ],
)
def test_matching_fits_by_expression_function_or_subset(wanted: Any, value: Any, fits: bool) -> None:
    """Text and its bytes are the same."""
    assert (matching(wanted) == value) is fits
    assert (value == matching(wanted)) is fits


def test_matching_looks_at_attributes() -> None:
    """Mappings among them are subsets."""
    response = Response(200, {"x-a": "1", "x-b": "2"}, b"hello")
    assert response == matching(status=200, headers={"x-a": "1"}, body=matching("^h"))
    assert response != matching(status=201)
    assert response != matching(nothing=1)
    assert matching(status=201, headers={"x-a": "2", "x-c": "3"}).problems(response) == [
        "status is 200, expected 201",
        "headers: 'x-a' is '1', expected '2'",
        "headers: 'x-c' is missing, expected '3'",
    ]


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: matching(r"\d"), r"matching('\\d')"),
        (lambda: matching(str.isdigit), "matching(isdigit)"),
        (lambda: matching({"a": ANY}, status=1), "matching({'a': ANY}, status=1)"),
    ],
)
def test_it_shows_what_fits(make: Any, shown: str) -> None:
    """For messages."""
    assert repr(make()) == shown


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: matching(), "matching.. fits everything: say what has to fit, or use pw.ANY"),
        (lambda: matching("("), "is no regular expression: missing"),
        (lambda: matching(7), "takes a regular expression, a callable or a mapping, not 7"),
    ],
)
def test_mistakes_are_refused(make: Any, said: str) -> None:
    """At once, not when it is compared."""
    with pytest.raises(UsageError, match=said):
        make()


def test_a_placeholder_is_what_it_was_first() -> None:
    """From then on it is equal to that only."""
    call = Placeholder("call")
    assert repr(call) == "<Placeholder call>"
    assert call == 4
    assert call.value == 4
    assert call != 8
    assert [call, call] == [4, 4]
    assert repr(call) == "<Placeholder call: 4>"


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        ({"x-a": "1", "x-b": ["2", ANY]}, True),
        ({"x-a": ANY, "x-b": [ANY, ANY]}, True),
        ({"x-a": ANY, "x-b": ANY}, False),
        ({"x-a": ANY}, False),
        ([("x-a", ANY), ("x-b", b"2"), ("x-b", matching("3"))], True),
        ([("x-a", ANY), ("x-b", "2")], False),
        ([("x-a", ANY), ("x-b", "3"), ("x-b", "2")], False),
        ([1, 2, ANY], False),
    ],
)
def test_headers_compare_with_stand_ins_inside(other: Any, equal: bool) -> None:
    """In mappings and in pairs."""
    assert (HEADERS == other) is equal  # noqa: SIM300
    assert (other == HEADERS) is equal
