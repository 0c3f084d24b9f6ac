"""Header maps with Envoy's rules: order, case, aliases, repeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm.host.headermap import HeaderMap

NAMES = st.sampled_from([b":path", b":method", b"a", b"b", b"A", b"host", b"content-type"])
VALUES = st.sampled_from([b"", b"1", b"2", b"\xff"])


def request(*pairs: tuple[bytes, bytes]) -> HeaderMap:
    """A request map."""
    return HeaderMap.request(pairs or [(b":path", b"/"), (b"x-a", b"1"), (b"x-b", b"2"), (b"X-A", b"3")])


def test_names_are_lower_case_and_lookups_are_not_sensitive() -> None:
    """Fact C5."""
    headers = request()
    assert headers.entries == [(b":path", b"/"), (b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3")]
    assert headers.get(b"X-a") == b"1"
    assert headers.get(b":PATH") == b"/"
    assert headers.get_all(b"X-A") == [b"1", b"3"]
    assert b"X-B" in headers
    assert headers.get(b"") is None
    assert b"nothing" not in headers


def test_adding_appends_a_second_entry() -> None:
    """Fact C8; others join, or replace."""
    headers = request()
    headers.add(b"X-B", b"4")
    assert headers.entries[-1] == (b"x-b", b"4")
    assert headers.get_all(b"x-b") == [b"2", b"4"]


def test_adding_to_a_header_of_one_value_joins_with_a_comma() -> None:
    """Fact C8: Envoy keeps these in one place."""
    headers = request((b":path", b"/a"), (b"x", b"1"))
    headers.add(b":path", b"/b")
    assert headers.entries == [(b":path", b"/a,/b"), (b"x", b"1")]


def test_replacing_removes_all_and_puts_one_at_the_end() -> None:
    """Fact C7; a header that is not there is made."""
    headers = request()
    headers.replace(b"X-A", b"9")
    headers.replace(b"new", b"n")
    assert headers.entries == [(b":path", b"/"), (b"x-b", b"2"), (b"x-a", b"9"), (b"new", b"n")]


def test_replaced_pseudo_headers_go_behind_the_others_of_their_kind() -> None:
    """Fact C9."""
    headers = request((b":authority", b"a"), (b":path", b"/"), (b":method", b"GET"), (b"x", b"1"))
    headers.replace(b":path", b"/new")
    headers.add(b":protocol", b"p")
    assert [name for name, _ in headers.entries] == [b":authority", b":method", b":path", b":protocol", b"x"]


def test_host_means_authority_in_requests_only() -> None:
    """Facts C5 and C8."""
    headers = request((b":authority", b"a"), (b"x", b"1"))
    assert headers.get(b"Host") == b"a"
    headers.replace(b"host", b"b")
    assert headers.entries == [(b":authority", b"b"), (b"x", b"1")]
    headers.remove(b"HOST")
    assert headers.entries == [(b"x", b"1")]
    response = HeaderMap.response([(b"host", b"h")])
    assert response.entries == [(b"host", b"h")]


def test_removing_takes_all_and_what_is_not_there_does_not_matter() -> None:
    """Fact C7."""
    headers = request()
    headers.remove(b"X-A")
    headers.remove(b"nothing")
    assert headers.entries == [(b":path", b"/"), (b"x-b", b"2")]


def test_setting_changes_a_value_in_its_place() -> None:
    """What Envoy's own code does."""
    headers = request()
    headers.set(b"x-b", b"9")
    headers.set(b"new", b"n")
    assert headers.entries == [(b":path", b"/"), (b"x-a", b"1"), (b"x-b", b"9"), (b"x-a", b"3"), (b"new", b"n")]


def test_replacing_all_keeps_order_and_repeats() -> None:
    """Fact C11."""
    headers = request()
    headers.replace_all([(b"B", b"1"), (b"a", b"2"), (b"b", b"3"), (b":path", b"/x")])
    assert headers.entries == [(b":path", b"/x"), (b"b", b"1"), (b"a", b"2"), (b"b", b"3")]
    headers.replace_all([])
    assert len(headers) == 0


def test_a_copy_changes_on_its_own() -> None:
    """With the same rules."""
    headers = request()
    copy = headers.copy()
    copy.remove(b"x-a")
    copy.add(b"host", b"h")
    assert headers.get(b"x-a") == b"1"
    assert copy.get(b":authority") == b"h"


def test_the_size_is_that_of_names_and_values() -> None:
    """Fact C15."""
    assert request((b"ab", b"cde"), (b"f", b"")).byte_size == 6
    assert request((b"ab", b"cde"), (b"f", b"")).byte_size == 6
    assert repr(HeaderMap.trailers([(b"a", b"b")])) == "HeaderMap([(b'a', b'b')])"


@given(st.lists(st.tuples(st.sampled_from(["add", "replace", "remove", "set"]), NAMES, VALUES), max_size=12))
def test_pseudo_headers_come_first_whatever_happens(steps: list[tuple[str, bytes, bytes]]) -> None:
    """And a name that was replaced is there once, one that was removed not at all."""
    headers = HeaderMap.request()
    for operation, name, value in steps:
        if operation == "remove":
            headers.remove(name)
            assert name not in headers
        else:
            getattr(headers, operation)(name, value)
            if operation == "replace":
                assert headers.get_all(name) == [value]
            assert name in headers
        pseudo = [key.startswith(b":") for key, _ in headers.entries]
        assert pseudo == sorted(pseudo, reverse=True)
        assert all(key == key.lower() for key, _ in headers.entries)


@pytest.mark.parametrize("kind", [HeaderMap.request, HeaderMap.response, HeaderMap.trailers])
def test_a_map_can_be_made_of_nothing(kind: type[HeaderMap]) -> None:
    """Of each kind."""
    assert kind().entries == []  # type: ignore[operator]
