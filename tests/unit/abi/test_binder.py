"""Declared hostcalls over a guest's memory: arguments in, results out, and the record of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm.abi.binder import bind, bind_denied
from pytest_proxywasm.abi.codec import decode_pairs, encode_pairs
from pytest_proxywasm.abi.enums import MapType, Status
from pytest_proxywasm.abi.hostcall import (
    I32,
    I64,
    U32,
    U64,
    Bytes,
    LazyBytes,
    Map,
    Output,
    Pairs,
    Path,
    Registry,
    Reply,
    Text,
)

OUT, OUT2, OUT3 = 0x100, 0x104, 0x108
END = 0x10000
WILD = 0xFFFFFFF0
CALLS = Registry()
seen: list[Any] = []


@CALLS.declare()
def numbers(context: Any, map: Map, u: U32, i: I32, big: U64, delta: I64) -> Status:
    """Takes numbers."""
    seen.append((map, u, i, big, delta))
    return Status.OK


@CALLS.declare()
def inputs(context: Any, text: Text, data: Bytes, pairs: Pairs, path: Path) -> Status:
    """Takes data."""
    seen.append((text, data, pairs, path))
    return Status.OK


@CALLS.declare()
def data_out(context: Any) -> Annotated[bytes | Status, Output("data", "value")]:
    """Gives data: what the context is."""
    return context if isinstance(context, (bytes, Status)) else b"data"


@CALLS.declare()
def pairs_out(context: Any) -> Annotated[list[tuple[bytes, bytes]], Output("pairs", "pairs")]:
    """Gives pairs: what the context is."""
    return list(context)


@CALLS.declare()
def words_out(context: Any) -> Annotated[tuple[int, int], Output("u32", "small"), Output("u64", "large")]:
    """Gives numbers."""
    return 0xFFFFFFFF, 2**64 - 1


@CALLS.declare()
def optional_out(context: Any) -> Annotated[Reply, Output("data", "results", optional=True, always=True)]:
    """Gives data also when it fails."""
    return Reply(context, (b"",))


@CALLS.declare()
def first_out(context: Any) -> Annotated[int | Status, Output("u32", "id", first=True)]:
    """Checks its out pointer first."""
    seen.append("ran")
    return Status.BAD_ARGUMENT


@CALLS.declare()
def lazy(context: Any, number: U32, value: LazyBytes) -> Status:
    """Reads its data only when it needs it."""
    if number == 9:
        return Status.NOT_FOUND
    seen.append(value())
    return Status.OK


@CALLS.declare(during_start=True)
def at_start(context: Any) -> Status:
    """May be called early."""
    return Status.OK


@CALLS.declare(inside_allocator=True)
def in_allocator(context: Any) -> Status:
    """May be called by allocators."""
    return Status.OK


@CALLS.declare(returns="none")
def nothing(context: Any, number: U32) -> None:
    """Answers nothing."""


@pytest.fixture(autouse=True)
def forget() -> None:
    """Each test sees its own calls."""
    seen.clear()


def call(name: str, guest: Any, *words: int) -> int | None:
    """Make a call."""
    return bind(CALLS[name])(guest, *words)


# Arguments.


def test_numbers_are_decoded_by_their_type(guest: Any) -> None:
    """Words arrive unsigned."""
    assert call("numbers", guest, 1, 0xFFFFFFFF, 0xFFFFFFFF, 2**64 - 1, 2**64 - 1) == Status.OK
    assert seen == [(MapType.HTTP_REQUEST_TRAILERS, 0xFFFFFFFF, -1, 2**64 - 1, -1)]
    assert guest.record.args == {
        "map": MapType.HTTP_REQUEST_TRAILERS,
        "u": 0xFFFFFFFF,
        "i": -1,
        "big": 2**64 - 1,
        "delta": -1,
    }
    assert guest.record.results == {}
    assert guest.record.status is Status.OK


def test_data_is_decoded_and_shown_by_its_type(guest: Any) -> None:
    """The body gets bytes; the trace shows text as str, and a path in parts."""
    words = [*guest.put(b"t\xff"), *guest.put(b"d\0"), *guest.put(encode_pairs([(b"a", b"b")])), *guest.put(b"p\0q\0")]
    assert call("inputs", guest, *words) == Status.OK
    assert seen == [(b"t\xff", b"d\0", [(b"a", b"b")], b"p\0q\0")]
    assert guest.record.args == {"text": "t\udcff", "data": b"d\0", "pairs": [(b"a", b"b")], "path": ["p", "q"]}


@pytest.mark.parametrize(
    ("address", "size", "fits"),
    [(0, 0, True), (END, 0, True), (END + 1, 0, False), (0, END, True), (1, END, False), (END - 1, 2, False)],
)
def test_input_must_lie_in_the_memory(address: int, size: int, fits: bool, guest: Any) -> None:
    """Its end may be the memory's end; an empty range past the end is refused."""
    status = call("inputs", guest, 0, 0, address, size, 0, 0, 0, 0)
    assert status == (Status.OK if fits else Status.INVALID_MEMORY_ACCESS)
    assert bool(seen) is fits
    assert guest.record.args == ({"text": "", "data": bytes(size), "pairs": [], "path": []} if fits else {})


@given(st.lists(st.integers(0, 0xFFFFFFFF), min_size=8, max_size=8))
def test_wild_addresses_never_raise(make_guest: Any, words: list[int]) -> None:
    """A status for every input."""
    assert call("inputs", make_guest(), *words) in (Status.OK, Status.INVALID_MEMORY_ACCESS)


def test_input_is_a_copy(guest: Any) -> None:
    """What the guest does to its memory later changes no record."""
    address, size = guest.put(b"before")
    call("inputs", guest, 0, 0, address, size, 0, 0, 0, 0)
    guest.pages[address : address + size] = b"after!"
    assert guest.record.args["data"] == b"before"


def test_memory_that_grew_is_noticed(guest: Any) -> None:
    """When an address lies beyond what was known, the memory is looked at again."""
    guest.grow()
    assert call("inputs", guest, 0, 0, END, 4, 0, 0, 0, 0) == Status.OK
    assert guest.renewals == 1
    assert call("inputs", guest, 0, 0, END, 4, 0, 0, 0, 0) == Status.OK
    assert guest.renewals == 1


def test_lazy_data_is_read_after_the_bodys_own_checks(guest: Any) -> None:
    """And shown as far as it was read."""
    assert call("lazy", guest, 9, WILD, 32) == Status.NOT_FOUND
    assert guest.record.args == {"number": 9}
    assert call("lazy", guest, 1, WILD, 32) == Status.INVALID_MEMORY_ACCESS
    assert guest.record.args == {"number": 1}
    assert call("lazy", guest, 1, *guest.put(b"x")) == Status.OK
    assert guest.record.args == {"number": 1, "value": b"x"}


# Results.


def test_data_goes_into_a_block_of_the_guests(guest: Any) -> None:
    """Address and size are written where the guest wants them, at any alignment."""
    assert call("data_out", guest, 0x101, 0x107) == Status.OK
    assert guest.data(0x101, 0x107) == b"data"
    assert guest.allocations == [4]
    assert guest.record.results == {"value": b"data"}


def test_empty_data_is_address_0_and_size_0_without_an_allocation(guest: Any) -> None:
    """Allocators of Go panic on 0."""
    guest.caller = b""
    guest.pages[OUT : OUT + 8] = b"\xaa" * 8
    assert call("data_out", guest, OUT, OUT2) == Status.OK
    assert (guest.u32(OUT), guest.u32(OUT2), guest.allocations) == (0, 0, [])
    assert guest.record.results == {"value": b""}


@pytest.mark.parametrize("pairs", [[], [(b"a", b"b"), (b"", b"")]])
def test_pairs_are_handed_over_encoded_and_no_pairs_as_nothing(pairs: Any, make_guest: Any) -> None:
    """Never as four zero bytes."""
    guest = make_guest(pairs)
    assert call("pairs_out", guest, OUT, OUT2) == Status.OK
    assert decode_pairs(guest.data(OUT, OUT2)) == pairs
    assert len(guest.allocations) == bool(pairs)
    assert guest.record.results == {"pairs": pairs}


@pytest.mark.parametrize("answer", [0, END - 3, 0xFFFFFFFF])
def test_an_allocator_that_gives_no_block_is_an_invalid_memory_access(answer: int, guest: Any) -> None:
    """0, a block that ends outside the memory, a wild one; nothing is written then."""
    guest.allocator = lambda size: answer
    guest.pages[OUT : OUT + 8] = b"\xaa" * 8
    assert call("data_out", guest, OUT, OUT2) == Status.INVALID_MEMORY_ACCESS
    assert bytes(guest.pages[OUT : OUT + 8]) == b"\xaa" * 8
    assert guest.record.results == {}


def test_a_block_in_memory_that_grew_for_it_is_fine(guest: Any) -> None:
    """Allocators grow the memory while the host waits."""

    def allocator(size: int) -> int:
        guest.grow()
        return END + 16

    guest.allocator = allocator
    assert call("data_out", guest, OUT, OUT2) == Status.OK
    assert guest.data(OUT, OUT2) == b"data"


@pytest.mark.parametrize("words", [(WILD, OUT2), (OUT, WILD), (END - 3, OUT2), (OUT, END - 3)])
def test_a_bad_out_pointer_is_noticed_after_the_allocation(words: tuple[int, int], guest: Any) -> None:
    """As in Envoy 1.40."""
    assert call("data_out", guest, *words) == Status.INVALID_MEMORY_ACCESS
    assert guest.allocations == [4]


def test_address_0_is_memory_like_any_other(guest: Any) -> None:
    """An out pointer of 0 is written to."""
    assert call("data_out", guest, 0, 4) == Status.OK
    assert guest.data(0, 4) == b"data"


def test_numbers_are_written_in_their_width(guest: Any) -> None:
    """Four and eight bytes, the last ones of the memory too."""
    assert call("words_out", guest, END - 12, END - 8) == Status.OK
    assert (guest.u32(END - 12), guest.u64(END - 8)) == (0xFFFFFFFF, 2**64 - 1)
    assert call("words_out", guest, OUT, END - 7) == Status.INVALID_MEMORY_ACCESS


def test_a_status_other_than_ok_writes_nothing(make_guest: Any) -> None:
    """Not even zeros."""
    guest = make_guest(Status.NOT_FOUND)
    assert call("data_out", guest, WILD, WILD) == Status.NOT_FOUND
    assert guest.allocations == []


@pytest.mark.parametrize("words", [(0, 0), (OUT, 0), (0, OUT2), (OUT, OUT2)])
def test_optional_outputs_may_be_unwanted_and_are_written_on_failures(words: tuple[int, int], make_guest: Any) -> None:
    """An address of 0 means so."""
    guest = make_guest(Status.BAD_ARGUMENT)
    guest.pages[0:8] = guest.pages[OUT : OUT + 8] = b"\xaa" * 8
    assert call("optional_out", guest, *words) == Status.BAD_ARGUMENT
    assert bytes(guest.pages[0:8]) == b"\xaa" * 8
    assert guest.u32(OUT) == (0 if words[0] else 0xAAAAAAAA)
    assert guest.u32(OUT2) == (0 if words[1] else 0xAAAAAAAA)


def test_an_out_pointer_that_comes_first_is_checked_before_the_body_runs(guest: Any) -> None:
    """And 0 is written there."""
    assert call("first_out", guest, WILD) == Status.INVALID_MEMORY_ACCESS
    assert seen == []
    guest.pages[OUT : OUT + 4] = b"\xaa" * 4
    assert call("first_out", guest, OUT) == Status.BAD_ARGUMENT
    assert (seen, guest.u32(OUT)) == (["ran"], 0)


def test_a_call_without_a_status_answers_nothing(guest: Any) -> None:
    """Neither to the guest nor in the trace."""
    assert call("nothing", guest, 5) is None
    assert (guest.record.args, guest.record.status) == ({"number": 5}, None)


def test_without_a_trace_nothing_is_recorded(make_guest: Any) -> None:
    """The answer is the same."""
    guest = make_guest(trace=False)
    assert call("data_out", guest, OUT, OUT2) == Status.OK
    assert call("lazy", guest, 1, *guest.put(b"x")) == Status.OK
    assert call("data_out", guest, WILD, WILD) == Status.INVALID_MEMORY_ACCESS


def test_an_error_in_a_body_is_the_hosts_and_comes_out(make_guest: Any) -> None:
    """The call stands in the trace without a status."""
    guest = make_guest(5)
    with pytest.raises(TypeError):
        call("pairs_out", guest, OUT, OUT2)
    assert (guest.record.name, guest.record.status) == ("pairs_out", None)


# Gates.


@pytest.mark.parametrize(
    ("name", "gate", "allowed"),
    [
        ("at_start", "start", True),
        ("at_start", "allocator", False),
        ("in_allocator", "start", False),
        ("in_allocator", "allocator", True),
        ("data_out", "start", False),
        ("data_out", "allocator", False),
    ],
)
def test_only_some_calls_are_allowed_while_starting_and_allocating(
    name: str, gate: str, allowed: bool, guest: Any
) -> None:
    """Others trap before anything is decoded or recorded."""
    guest.gate = gate
    words = (OUT, OUT2) if name == "data_out" else ()
    if allowed:
        assert call(name, guest, *words) == Status.OK
    else:
        with pytest.raises(PermissionError, match=name):
            call(name, guest, *words)
        assert guest.callback.hostcalls == []


# Injection.


def test_an_injected_status_replaces_the_call(guest: Any) -> None:
    """Arguments are decoded and shown, the body does not run, nothing is written, and the record says so."""
    guest.injector = lambda name, args: Status.INTERNAL_FAILURE
    guest.pages[OUT : OUT + 8] = b"\xaa" * 8
    assert call("data_out", guest, OUT, OUT2) == Status.INTERNAL_FAILURE
    assert guest.u32(OUT) == 0xAAAAAAAA
    assert guest.record.injected
    assert call("inputs", guest, *guest.put(b"t"), 0, 0, 0, 0, 0, 0) == Status.INTERNAL_FAILURE
    assert guest.record.args["text"] == "t"
    assert seen == []


def test_an_injector_sees_the_arguments_as_the_trace_shows_them(guest: Any) -> None:
    """Texts as str, paths in parts, data as bytes, also what is read late."""
    given_to: list[Any] = []
    guest.injector = lambda name, args: given_to.append((name, dict(args)))
    words = [*guest.put(b"t"), *guest.put(b"d"), 0, 0, *guest.put(b"p\0q")]
    call("inputs", guest, *words)
    call("lazy", guest, 1, *guest.put(b"x"))
    assert given_to == [
        ("inputs", {"text": "t", "data": b"d", "pairs": [], "path": ["p", "q"]}),
        ("lazy", {"number": 1, "value": b"x"}),
    ]


def test_bad_input_is_refused_before_anything_is_injected(guest: Any) -> None:
    """The host cannot decode it."""
    asked: list[str] = []
    guest.injector = lambda name, args: asked.append(name)
    assert call("inputs", guest, WILD, 32, 0, 0, 0, 0, 0, 0) == Status.INVALID_MEMORY_ACCESS
    assert asked == []


# Capabilities.


class Denier:
    """A context that notes what was denied."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def denied(self, name: str) -> None:
        """Note it."""
        self.names.append(name)


@pytest.mark.parametrize(("name", "answer"), [("data_out", Status.INTERNAL_FAILURE), ("nothing", None)])
def test_a_denied_hostcall_answers_an_internal_failure(
    name: str, answer: Status | None, make_guest: Callable[..., Any]
) -> None:
    """Nothing is decoded, nothing runs; the context says so in the log."""
    guest = make_guest(Denier())
    assert bind_denied(CALLS[name])(guest, WILD, WILD) == answer
    assert guest.caller.names == [name]
    assert guest.record.status is Status.INTERNAL_FAILURE
