"""`Headers`: bytes inside, text outside, Envoy's order and case."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm import Headers, UsageError
from pytest_proxywasm.headers import to_bytes, to_text

RAW = st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=6)


def test_names_are_lower_case_and_order_and_repeats_stay() -> None:
    """What Envoy does on input."""
    headers = Headers([("X-B", "1"), ("a", "2"), ("x-b", "3")])
    assert headers.raw == ((b"x-b", b"1"), (b"a", b"2"), (b"x-b", b"3"))
    assert headers.keys() == ["x-b", "a"]
    assert headers.items() == list(headers) == [("x-b", "1"), ("a", "2"), ("x-b", "3")]
    assert len(headers) == 3


def test_access_is_case_insensitive_and_gives_the_first_value() -> None:
    """The other values are in `get_all`."""
    headers = Headers([("set-cookie", "a=1"), ("Set-Cookie", "b=2")])
    assert headers["SET-COOKIE"] == headers[b"set-cookie"] == "a=1"
    assert headers.get("Set-Cookie") == "a=1"
    assert headers.get_all("sEt-cookie") == ["a=1", "b=2"]
    assert "Set-Cookie" in headers
    assert b"SET-COOKIE" in headers


def test_a_missing_header_has_a_default() -> None:
    """As a dict has one."""
    headers = Headers()
    assert headers.get("x") is None
    assert headers.get("x", 7) == 7
    assert headers.get_all("x") == []
    assert "x" not in headers
    assert 5 not in headers


@pytest.mark.parametrize(
    ("headers", "there"), [(Headers(), "none at all"), (Headers([("b", "1"), ("a", "2"), ("b", "3")]), "b, a")]
)
def test_the_error_for_a_missing_header_names_those_that_are_there(headers: Headers, there: str) -> None:
    """Each name once."""
    with pytest.raises(KeyError) as caught:
        headers["X-Missing"]
    assert caught.value.args == (f"no header 'x-missing'; there are: {there}",)


@pytest.mark.parametrize(
    "given_as",
    [
        {"a": "1", "b": ["2", b"3"]},
        {b"A": b"1", b"B": (b"2", "3")},
        [("a", "1"), (b"b", "2"), ["B", b"3"]],
        iter([("a", "1"), ("b", "2"), ("b", "3")]),
        Headers([("a", "1"), ("b", "2"), ("b", "3")]),
        {"a": bytearray(b"1"), "b": ["2", memoryview(b"3")]},
    ],
)
def test_headers_are_accepted_in_many_forms(given_as: Any) -> None:
    """Mappings (a sequence of values repeats the name), pairs, iterators and other headers."""
    assert Headers(given_as).raw == ((b"a", b"1"), (b"b", b"2"), (b"b", b"3"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("a: b", "headers must be a mapping, pairs or Headers, not 'a: b'"),
        (b"a: b", "headers must be a mapping, pairs or Headers, not b'a: b'"),
        (None, "headers must be a mapping, pairs or Headers, not None"),
        (5, "headers must be a mapping, pairs or Headers, not 5"),
        (["ab"], "headers must be a mapping, pairs or Headers; this item is not a pair: 'ab'"),
        ([("a", "b", "c")], "headers must be a mapping, pairs or Headers; this item is not a pair: ('a', 'b', 'c')"),
        ([("a", 1)], "the value of header 'a' must be str or bytes, not int: 1"),
        ([(1, "a")], "a header name must be str or bytes, not int: 1"),
        ({"content-length": 5}, "the value of header 'content-length' must be str or bytes, not int: 5"),
        ({"a": None}, "the value of header 'a' must be str or bytes, not NoneType: None"),
        ({"a": ["1", 2]}, "the value of header 'a' must be str or bytes, not int: 2"),
        ({5: "a"}, "a header name must be str or bytes, not int: 5"),
        (
            {"a": "\ud800"},
            "the value of header 'a' has a character that is not UTF-8, give bytes instead: '\\ud800'",
        ),
    ],
)
def test_what_cannot_be_headers_is_a_usage_error(wrong: Any, message: str) -> None:
    """The message names the header and the value."""
    with pytest.raises(UsageError) as caught:
        Headers(wrong)
    assert str(caught.value) == message


@given(RAW)
def test_bytes_that_are_not_text_survive_the_text_view(pairs: list[tuple[bytes, bytes]]) -> None:
    """Text is a view: decoding and encoding again changes nothing."""
    headers = Headers(pairs)
    assert Headers(headers.items()).raw == headers.raw
    assert all(to_bytes(to_text(value)) == value for _, value in headers.raw)


@given(RAW)
def test_headers_survive_copies_and_pickles(pairs: list[tuple[bytes, bytes]]) -> None:
    """Under every protocol."""
    headers = Headers(pairs)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(headers, protocol)) == headers
    assert copy.copy(headers) == copy.deepcopy(headers) == headers


@given(RAW)
def test_the_repr_makes_the_same_headers_again(pairs: list[tuple[bytes, bytes]]) -> None:
    """Text where it is UTF-8, else bytes."""
    headers = Headers(pairs)
    assert eval(repr(headers), {"Headers": Headers}) == headers


def test_headers_equal_pairs_in_order_and_mappings_in_any_order() -> None:
    """The order of one name's values counts always."""
    headers = Headers([("a", "1"), ("b", "2"), ("a", "3")])
    assert headers == [("A", "1"), (b"b", b"2"), ("a", "3")]
    assert headers != [("b", "2"), ("a", "1"), ("a", "3")]
    assert headers == {"b": "2", "a": ["1", "3"]}
    assert headers != {"b": "2", "a": ["3", "1"]}
    assert headers != {"b": "2"}
    assert headers == Headers(headers.raw)
    assert hash(headers) == hash(Headers(headers.raw))


@pytest.mark.parametrize("other", [None, 5, "a", b"a", [1], [("a", 1)], {"a": 1}, {"a": None}])
def test_headers_differ_from_what_cannot_be_headers(other: Any) -> None:
    """A comparison never raises."""
    assert (Headers([("a", "1")]) == other) is False


def test_headers_cannot_be_changed() -> None:
    """The message says how to make others."""
    headers = Headers([("a", "1")])
    with pytest.raises(AttributeError, match=r"Headers cannot be changed; make new ones: Headers\(\[\*headers.raw, "):
        headers.raw = ()
    with pytest.raises(AttributeError):
        headers.other = 1  # type: ignore[attr-defined]
