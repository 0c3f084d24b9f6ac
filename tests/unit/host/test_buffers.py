"""Bodies in flight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm.abi.enums import Status
from pytest_proxywasm.host.buffers import Buffer, view_read, view_size

BIG = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("start", "length", "result"),
    [
        (0, 0, b"Xhello"),
        (0, 2, b"Xllo"),
        (0, 5, b"X"),
        (0, BIG, b"X"),
        (5, 0, b"helloX"),
        (5, BIG, b"helloX"),
        (BIG, BIG, b"helloX"),
        (1, 0, None),
        (4, BIG, None),
    ],
)
def test_writing_replaces_at_the_front_or_appends(start: int, length: int, result: bytes | None) -> None:
    """Fact B16; in the middle it is refused and changes nothing."""
    buffer = Buffer(b"hello")
    assert buffer.write(start, length, b"X") is (Status.BAD_ARGUMENT if result is None else Status.OK)
    assert bytes(buffer.data) == (b"hello" if result is None else result)


@pytest.mark.parametrize("length", [0, 1, BIG])
def test_an_empty_buffer_takes_any_start(length: int) -> None:
    """Fact B18."""
    for start in (0, 1, BIG):
        buffer = Buffer()
        assert buffer.write(start, length, b"X") is Status.OK
        assert bytes(buffer.data) == b"X"


@given(st.binary(max_size=20), st.integers(0, 30), st.integers(0, 30) | st.just(BIG))
def test_reading_is_cut_at_the_end(data: bytes, start: int, length: int) -> None:
    """Fact B17; of a buffer and of plain bytes alike."""
    assert view_read(Buffer(data), start, length) == view_read(data, start, length) == data[start : start + length]
    assert view_size(Buffer(data)) == view_size(data) == len(data)


def test_data_moves_from_buffer_to_buffer() -> None:
    """None is lost, none is there twice."""
    left, right = Buffer(b"a"), Buffer(b"b")
    left.move_from(right)
    assert (bytes(left.data), len(right)) == (b"ab", 0)
    assert left.take() == b"ab"
    assert len(left) == 0
