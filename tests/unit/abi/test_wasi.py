"""WASI as proxies offer it: enough for the runtimes of guests, no files, no sockets."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm.abi.enums import Errno
from pytest_proxywasm.abi.wasi import WASI, bind_denied_wasi, bind_wasi

OUT, OUT2 = 0x100, 0x108
WILD = 0xFFFFFFF0


def call(name: str, guest: Any, *words: int) -> int | None:
    """Make a call."""
    return bind_wasi(WASI[name])(guest, *words)


def iovecs(guest: Any, *parts: bytes) -> tuple[int, int]:
    """The address and number of iovecs with these parts."""
    table = b"".join(struct.pack("<II", *guest.put(part)) for part in parts)
    return guest.put(table)[0], len(parts)


@pytest.mark.parametrize(
    ("name", "words", "errno"),
    [
        ("args_get", (WILD, WILD), 0),
        ("fd_advise", (9, 0, 0, 0), 0),
        ("fd_allocate", (1, 0, 0), 0),
        ("fd_allocate", (3, 0, 0), 8),
        ("fd_close", (1,), 0),
        ("fd_close", (99,), 0),
        ("fd_datasync", (2,), 0),
        ("fd_datasync", (0,), 8),
        ("fd_fdstat_get", (3, OUT), 8),
        ("fd_fdstat_get", (1, WILD), 0),
        ("fd_fdstat_set_flags", (1, 4), 52),
        ("fd_fdstat_set_rights", (1, 0, 0), 0),
        ("fd_fdstat_set_rights", (5, 0, 0), 8),
        ("fd_filestat_get", (1, OUT), 8),
        ("fd_filestat_set_size", (1, 0), 0),
        ("fd_filestat_set_size", (3, 0), 8),
        ("fd_filestat_set_times", (2, 0, 0, 0), 0),
        ("fd_filestat_set_times", (3, 0, 0, 0), 8),
        ("fd_pread", (0, OUT, 1, 0, OUT), 52),
        ("fd_prestat_get", (3, OUT), 8),
        ("fd_prestat_dir_name", (3, OUT, 16), 52),
        ("fd_read", (0, OUT, 1, OUT), 52),
        ("fd_readdir", (3, OUT, 16, 0, OUT), 20),
        ("fd_renumber", (1, 2), 58),
        ("fd_renumber", (1, 3), 8),
        ("fd_seek", (1, 0, 0, WILD), 0),
        ("fd_sync", (1,), 0),
        ("fd_sync", (3,), 8),
        ("fd_tell", (3, OUT), 8),
        ("path_create_directory", (3, OUT, 1), 58),
        ("path_filestat_get", (3, 0, OUT, 1, OUT), 58),
        ("path_filestat_set_times", (3, 0, OUT, 1, 0, 0, 0), 58),
        ("path_link", (3, 0, OUT, 1, 3, OUT, 1), 58),
        ("path_open", (3, 0, OUT, 1, 0, 0, 0, 0, OUT), 44),
        ("path_readlink", (3, OUT, 1, OUT, 1, OUT), 58),
        ("path_remove_directory", (3, OUT, 1), 58),
        ("path_rename", (3, OUT, 1, 3, OUT, 1), 58),
        ("path_symlink", (OUT, 1, 3, OUT, 1), 58),
        ("path_unlink_file", (3, OUT, 1), 58),
        ("sched_yield", (), 0),
        ("sock_accept", (3, 0, OUT), 58),
        ("sock_recv", (3, OUT, 1, 0, OUT, OUT2), 58),
        ("sock_send", (3, OUT, 1, 0, OUT), 58),
        ("sock_shutdown", (3, 0), 58),
    ],
)
def test_a_function_without_a_service_behind_it_answers(name: str, words: Any, errno: int, guest: Any) -> None:
    """What Envoy 1.40 was seen to answer, or its source says."""
    assert call(name, guest, *words) == errno
    assert guest.record.status is Errno(errno)


def test_there_are_no_arguments(guest: Any) -> None:
    """A count of 0, and no bytes."""
    guest.pages[OUT : OUT + 12] = b"\xaa" * 12
    assert call("args_sizes_get", guest, OUT, OUT2) == 0
    assert (guest.u32(OUT), guest.u32(OUT2)) == (0, 0)


@pytest.mark.parametrize("environment", [[], [b"A=1", b"LONG=" + b"x" * 300, b"EMPTY="]])
def test_the_environment_is_what_was_configured(environment: list[bytes], guest: Any) -> None:
    """Sizes count the NUL of each; the pointers come in the same order."""
    guest.environment = environment
    assert call("environ_sizes_get", guest, OUT, OUT2) == 0
    count, size = guest.u32(OUT), guest.u32(OUT2)
    assert (count, size) == (len(environment), sum(len(entry) + 1 for entry in environment))
    assert call("environ_get", guest, 0x200, 0x400) == 0
    addresses = [guest.u32(0x200 + 4 * i) for i in range(count)]
    assert [bytes(guest.pages[at : guest.pages.index(0, at)]) for at in addresses] == environment
    assert addresses[:1] in ([], [0x400])


@pytest.mark.parametrize("clock", [0, 1])
def test_both_clocks_are_the_hosts(clock: int, guest: Any) -> None:
    """In nanoseconds, with a resolution of one."""
    assert call("clock_time_get", guest, clock, 1, OUT + 1) == 0
    assert guest.u64(OUT + 1) == 0x0102030405060708
    assert call("clock_res_get", guest, clock, OUT) == 0
    assert guest.u64(OUT) == 1


@pytest.mark.parametrize("name", ["clock_time_get", "clock_res_get"])
def test_other_clocks_do_not_exist(name: str, guest: Any) -> None:
    """Nothing is written for them."""
    guest.pages[OUT : OUT + 8] = b"\xaa" * 8
    words = (2, 1, OUT) if name == "clock_time_get" else (2, OUT)
    assert call(name, guest, *words) == 58
    assert bytes(guest.pages[OUT : OUT + 8]) == b"\xaa" * 8


def test_random_bytes_come_up_to_65536_at_a_time(guest: Any) -> None:
    """A larger request is invalid whatever its address; none at all is fine."""
    assert call("random_get", guest, OUT, 4) == 0
    assert bytes(guest.pages[OUT : OUT + 5]) == b"\1\2\3\4\0"
    assert call("random_get", guest, 0, 65536) == 0
    assert call("random_get", guest, WILD, 65537) == 28
    assert call("random_get", guest, WILD, 0) == 0
    assert call("random_get", guest, 1, 65536) == 21


def test_the_state_of_the_standard_streams_says_that_they_can_be_written(guest: Any) -> None:
    """24 bytes: no file type, the right to write."""
    assert call("fd_fdstat_get", guest, 2, OUT) == 0
    assert bytes(guest.pages[OUT : OUT + 24]) == bytes(8) + b"\x40" + bytes(15)


@pytest.mark.parametrize(
    ("parts", "logged"),
    [
        ([b"hello"], [b"hello"]),
        ([b"hel", b"", b"lo\n"], [b"hello"]),
        ([b"a\nb\n\n"], [b"a\nb\n"]),
        ([b"\n"], [b""]),
        ([b""], []),
        ([], []),
        ([b"\xff\0"], [b"\xff\0"]),
    ],
)
@pytest.mark.parametrize("fd", [1, 2])
def test_a_write_is_one_log_message_without_its_last_newline(
    parts: list[bytes], logged: list[bytes], fd: int, guest: Any
) -> None:
    """The pieces are put together; what was written counts the newline; the trace shows the bytes."""
    assert call("fd_write", guest, fd, *iovecs(guest, *parts), OUT) == 0
    assert guest.logs == [(fd, message) for message in logged]
    assert guest.u32(OUT) == len(b"".join(parts))
    assert guest.record.args == {"fd": fd, "data": b"".join(parts)}


def test_a_positioned_write_is_a_write(guest: Any) -> None:
    """The offset does not matter."""
    assert call("fd_pwrite", guest, 1, *iovecs(guest, b"hi"), 99, OUT) == 0
    assert guest.logs == [(1, b"hi")]


def test_only_the_standard_streams_can_be_written(guest: Any) -> None:
    """A bad descriptor comes before bad memory."""
    assert call("fd_write", guest, 3, WILD, 1, WILD) == 8
    assert call("fd_write", guest, 0, WILD, 1, WILD) == 8


def test_a_write_with_a_bad_counter_has_been_logged(guest: Any) -> None:
    """The counter is written last."""
    assert call("fd_write", guest, 1, *iovecs(guest, b"hi"), WILD) == 21
    assert guest.logs == [(1, b"hi")]


@pytest.mark.parametrize(("iovs", "count"), [(WILD, 1), (0, 0xFFFFFFFF), (0xFFF9, 1)])
def test_a_write_from_bad_memory_is_a_fault(iovs: int, count: int, guest: Any) -> None:
    """Nothing is logged."""
    assert call("fd_write", guest, 1, iovs, count, OUT) == 21
    table = guest.put(struct.pack("<II", WILD, 32))[0]
    assert call("fd_write", guest, 1, table, 1, OUT) == 21
    assert guest.logs == []


def test_waiting_is_over_at_once(guest: Any) -> None:
    """No event, no error: Go throws on anything else."""
    guest.pages[OUT : OUT + 4] = b"\xaa" * 4
    assert call("poll_oneoff", guest, 0x200, 0x300, 1, OUT) == 0
    assert guest.u32(OUT) == 0


def test_an_exit_returns_to_the_guest(guest: Any) -> None:
    """As in Envoy."""
    assert call("proc_exit", guest, 3) is None
    assert guest.exits == [3]
    assert (guest.record.args, guest.record.status) == ({"exit_code": 3}, None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("args_sizes_get", (WILD, OUT)),
        ("environ_sizes_get", (OUT, WILD)),
        ("clock_res_get", (0, WILD)),
        ("clock_time_get", (0, 0, 0x10000 - 7)),
        ("fd_tell", (1, WILD)),
        ("fd_readdir", (3, OUT, 16, 0, WILD)),
        ("path_readlink", (3, OUT, 1, OUT, 1, WILD)),
        ("poll_oneoff", (0, 0, 1, WILD)),
        ("sock_accept", (3, 0, 0x10000 - 7)),
        ("sock_recv", (3, OUT, 1, 0, OUT, WILD)),
        ("sock_send", (3, OUT, 1, 0, WILD)),
    ],
)
def test_a_bad_out_pointer_is_a_fault(name: str, words: Any, guest: Any) -> None:
    """Not a trap."""
    assert call(name, guest, *words) == 21


@given(st.data())
def test_no_input_raises(make_guest: Any, data: st.DataObject) -> None:
    """Every function answers an errno for any arguments."""
    spec = WASI[data.draw(st.sampled_from(sorted(WASI)))]
    small = st.integers(0, 3) | st.integers(0, 0xFFFFFFFF)
    words = [data.draw(st.integers(0, 2**64 - 1) if kind == "i64" else small) for kind in spec.wasm_params]
    guest = make_guest()
    guest.environment = [b"A=1"]
    answer = bind_wasi(spec)(guest, *words)
    assert answer is None if spec.name == "proc_exit" else answer in list(Errno)


@pytest.mark.parametrize("gate", ["start", "allocator"])
@pytest.mark.parametrize("name", sorted(WASI))
def test_only_some_functions_are_allowed_while_starting_and_allocating(
    name: str, gate: str, guest: Any, abi: Any
) -> None:
    """The others trap."""
    row = abi["wasi"][name]
    guest.gate = gate
    words = [OUT] * len(row["params"])
    if row["during_start" if gate == "start" else "inside_allocator"]:
        call(name, guest, *words)
    else:
        with pytest.raises(PermissionError, match=name):
            call(name, guest, *words)


def test_addresses_are_not_shown(guest: Any) -> None:
    """They differ between builds and say nothing."""
    call("path_open", guest, 3, 0, OUT, 1, 0, 0, 0, 0, OUT)
    assert guest.record.args == {
        "fd": 3,
        "dirflags": 0,
        "path_len": 1,
        "oflags": 0,
        "rights_base": 0,
        "rights_inheriting": 0,
        "fdflags": 0,
    }


@pytest.mark.parametrize(("name", "answer"), [("sched_yield", 76), ("fd_write", 76), ("proc_exit", None)])
def test_a_denied_function_is_not_capable(name: str, answer: int | None, make_guest: Any) -> None:
    """And does nothing else."""
    names: list[str] = []

    class Caller:
        denied = staticmethod(names.append)

    guest = make_guest(Caller())
    assert bind_denied_wasi(WASI[name])(guest, *[WILD] * len(WASI[name].params)) == answer
    assert (names, guest.logs, guest.exits) == ([name], [], [])
