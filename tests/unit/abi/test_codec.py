"""Header pairs and property paths as bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_proxywasm.abi.codec import MAX_COUNT, MAX_SIZE, decode_pairs, encode_pairs, split_path

PAIRS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=20)


@given(PAIRS)
def test_pairs_survive_the_round_trip(pairs: list[tuple[bytes, bytes]]) -> None:
    """Names and values hold any byte, NUL too."""
    data = encode_pairs(pairs)
    assert decode_pairs(data) == pairs
    assert len(data) == 4 + sum(len(name) + len(value) + 10 for name, value in pairs)


def test_pairs_look_like_this() -> None:
    """The count, the sizes of each pair, then names and values with a NUL behind each."""
    assert encode_pairs([(b"a", b"bc"), (b"", b"")]) == (struct.pack("<5I", 2, 1, 2, 0, 0) + b"a\0bc\0" + b"\0" + b"\0")


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\0"])
def test_the_three_ways_to_send_no_pairs_are_understood(data: bytes) -> None:
    """Nothing (C++), one zero byte (the specification), four zero bytes (Rust and Go)."""
    assert decode_pairs(data) == []


@given(st.binary(max_size=200))
@example(struct.pack("<I", 0xFFFFFFFF))
@example(struct.pack("<III", 1, 0xFFFFFFFF, 0xFFFFFFFF) + b"\0\0")
@example(struct.pack("<III", 1, 0, 0xFFFFFFFF) + b"\0\0")
def test_any_bytes_decode_without_an_error(data: bytes) -> None:
    """What is malformed counts as no pairs; what is not encodes to the same bytes again."""
    pairs = decode_pairs(data)
    assert not pairs or encode_pairs(pairs) == data


@given(PAIRS.filter(bool), st.data())
def test_one_byte_more_or_less_makes_pairs_malformed(pairs: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """Nothing is guessed, and the whole map is lost."""
    encoded = encode_pairs(pairs)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    assert decode_pairs(encoded[:cut]) == []
    assert decode_pairs(encoded + b"\0") == []


@pytest.mark.parametrize("at", [13, 16])
def test_every_name_and_value_needs_its_nul(at: int) -> None:
    """Also the last one."""
    data = bytearray(encode_pairs([(b"a", b"bc")]))
    assert data[at] == 0
    data[at] = 1
    assert decode_pairs(bytes(data)) == []


def test_1024_pairs_are_the_most() -> None:
    """One more, and none is left."""
    assert len(decode_pairs(encode_pairs([(b"a", b"")] * MAX_COUNT))) == 1024
    assert decode_pairs(encode_pairs([(b"a", b"")] * (MAX_COUNT + 1))) == []


def test_one_mebibyte_is_the_largest_map() -> None:
    """One byte more, and none is left."""
    room = MAX_SIZE - len(encode_pairs([(b"a", b"")]))
    assert decode_pairs(encode_pairs([(b"a", b"v" * room)])) == [(b"a", b"v" * room)]
    assert decode_pairs(encode_pairs([(b"a", b"v" * (room + 1))])) == []


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (b"", []),
        (b"request\0path", [b"request", b"path"]),
        (b"request\0path\0", [b"request", b"path"]),
        (b"request.path", [b"request.path"]),
        (b"\0", [b""]),
        (b"a\0\0", [b"a", b""]),
        (b"a\0\0b", [b"a", b"", b"b"]),
    ],
)
def test_a_path_is_parts_with_a_nul_between(path: bytes, parts: list[bytes]) -> None:
    """One NUL at the end is left out, dots mean nothing."""
    assert split_path(path) == parts
