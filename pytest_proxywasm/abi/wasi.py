"""The WASI functions proxies offer, deterministic, under both module names; knows memory, but no engine.

They answer what proxy-wasm-cpp-host (as built into Envoy) answers: enough for the runtimes of Go, Rust, C++ and
AssemblyScript, no files, no sockets, no arguments. Time, randomness and environment come from the host.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..errors import AbiError
from ..trace import Arguments, WasiCall
from .binder import Bound, Guest, check, read
from .enums import Errno
from .hostcall import Refused

MODULES = ("wasi_snapshot_preview1", "wasi_unstable")
MAX_RANDOM = 65536
MAX_WRITE = 64 << 20
"""Bytes of one write that this host copies; no proxy has a limit of its own."""
STDOUT, STDERR = 1, 2


class WasiGuest(Guest, Protocol):
    """What WASI functions need beside the guest's memory."""

    def wasi_log(self, fd: int, message: bytes) -> None:
        """What the guest wrote to stdout or stderr."""

    def wasi_clock_ns(self) -> int:
        """The host's clock, nanoseconds since the Unix epoch."""

    def wasi_random(self, size: int) -> bytes:
        """Bytes from the host's seed."""

    def wasi_environment(self) -> list[bytes]:
        """``KEY=VALUE`` strings."""

    def wasi_exit(self, code: int) -> None:
        """The guest called ``proc_exit``; returning goes on in the guest, as in Envoy."""


WasiFunction = Callable[..., "int | None"]


@dataclass(frozen=True, slots=True)
class WasiSpec:
    """One WASI function: its wasm types, parameter names and when it may be called."""

    name: str
    params: tuple[tuple[str, str], ...]
    body: WasiFunction
    during_start: bool
    inside_allocator: bool
    results: tuple[str, ...] = ("i32",)

    @property
    def wasm_params(self) -> tuple[str, ...]:
        """The wasm parameter types."""
        return tuple(type_ for _, type_ in self.params)


WASI: dict[str, WasiSpec] = {}


def _wasi(
    params: str, *, during_start: bool = True, inside_allocator: bool = False, returns: bool = True
) -> Callable[[WasiFunction], WasiFunction]:
    fields = []
    for word in params.split():
        name, _, type_ = word.partition(":")
        fields.append((name, type_ or "i32"))

    def add(body: WasiFunction) -> WasiFunction:
        name = body.__name__
        WASI[name] = WasiSpec(name, tuple(fields), body, during_start, inside_allocator, ("i32",) if returns else ())
        return body

    return add


def _constant(name: str, params: str, errno: Errno, *, during_start: bool = True) -> None:
    def body(guest: WasiGuest, *words: int) -> int:
        return errno

    body.__name__ = name
    _wasi(params, during_start=during_start)(body)


def _u32(guest: Guest, address: int, value: int) -> None:
    struct.pack_into("<I", check(guest, address, 4), address, value)


def _u64(guest: Guest, address: int, value: int) -> None:
    struct.pack_into("<Q", check(guest, address, 8), address, value)


@_wasi("argv_ptr argv_buf_ptr")
def args_get(guest: WasiGuest, argv: int, buffer: int) -> int:
    return Errno.SUCCESS


@_wasi("argc_ptr argv_buf_size_ptr")
def args_sizes_get(guest: WasiGuest, count: int, size: int) -> int:
    _u32(guest, count, 0)
    _u32(guest, size, 0)
    return Errno.SUCCESS


@_wasi("environ_ptr environ_buf_ptr")
def environ_get(guest: WasiGuest, array: int, buffer: int) -> int:
    for entry in guest.wasi_environment():
        _u32(guest, array, buffer)
        data = entry + b"\0"
        check(guest, buffer, len(data))[buffer : buffer + len(data)] = data
        array += 4
        buffer += len(data)
    return Errno.SUCCESS


@_wasi("count_ptr buf_size_ptr")
def environ_sizes_get(guest: WasiGuest, count: int, size: int) -> int:
    entries = guest.wasi_environment()
    _u32(guest, count, len(entries))
    _u32(guest, size, sum(len(entry) + 1 for entry in entries))
    return Errno.SUCCESS


@_wasi("clock_id resolution_ptr")
def clock_res_get(guest: WasiGuest, clock: int, out: int) -> int:
    if clock > 1:
        return Errno.NOTSUP
    _u64(guest, out, 1)
    return Errno.SUCCESS


@_wasi("clock_id precision:i64 time_ptr", inside_allocator=True)
def clock_time_get(guest: WasiGuest, clock: int, precision: int, out: int) -> int:
    if clock > 1:
        return Errno.NOTSUP
    _u64(guest, out, guest.wasi_clock_ns())
    return Errno.SUCCESS


def _only_stdio(name: str, params: str) -> None:
    def body(guest: WasiGuest, fd: int, *rest: int) -> int:
        return Errno.SUCCESS if fd in (STDOUT, STDERR) else Errno.BADF

    body.__name__ = name
    _wasi(params)(body)


_constant("fd_advise", "fd offset:i64 len:i64 advice", Errno.SUCCESS)
_only_stdio("fd_allocate", "fd offset:i64 len:i64")
_constant("fd_close", "fd", Errno.SUCCESS, during_start=False)
_only_stdio("fd_datasync", "fd")


@_wasi("fd stat_ptr")
def fd_fdstat_get(guest: WasiGuest, fd: int, out: int) -> int:
    if fd not in (STDOUT, STDERR):
        return Errno.BADF
    stat = struct.pack("<HHIQQ", 0, 0, 0, 64, 0)
    try:
        check(guest, out, len(stat))[out : out + len(stat)] = stat
    except Refused:
        return Errno.SUCCESS  # proxy-wasm-cpp-host does not look whether the write succeeded
    return Errno.SUCCESS


_constant("fd_fdstat_set_flags", "fd flags", Errno.NOSYS)
_only_stdio("fd_fdstat_set_rights", "fd rights_base:i64 rights_inheriting:i64")
_constant("fd_filestat_get", "fd stat_ptr", Errno.BADF)
_only_stdio("fd_filestat_set_size", "fd size:i64")
_only_stdio("fd_filestat_set_times", "fd atim:i64 mtim:i64 fst_flags")
_constant("fd_pread", "fd iovs_ptr iovs_len offset:i64 nread_ptr", Errno.NOSYS)
_constant("fd_prestat_get", "fd prestat_ptr", Errno.BADF)
_constant("fd_prestat_dir_name", "fd path_ptr path_len", Errno.NOSYS)
_constant("fd_read", "fd iovs_ptr iovs_len nread_ptr", Errno.NOSYS, during_start=False)


@_wasi("fd buf_ptr buf_len cookie:i64 nread_ptr")
def fd_readdir(guest: WasiGuest, fd: int, buffer: int, size: int, cookie: int, nread: int) -> int:
    _u32(guest, nread, 0)
    return Errno.EXIST  # the number proxy-wasm-cpp-host answers under the name ENOTDIR


@_wasi("fd to")
def fd_renumber(guest: WasiGuest, fd: int, to: int) -> int:
    return Errno.NOTSUP if fd in (STDOUT, STDERR) and to in (STDOUT, STDERR) else Errno.BADF


_constant("fd_seek", "fd offset:i64 whence newoffset_ptr", Errno.SUCCESS, during_start=False)
_only_stdio("fd_sync", "fd")


@_wasi("fd offset_ptr")
def fd_tell(guest: WasiGuest, fd: int, out: int) -> int:
    if fd not in (STDOUT, STDERR):
        return Errno.BADF
    _u64(guest, out, 0)
    return Errno.SUCCESS


def _pieces(guest: WasiGuest, iovs: int, count: int) -> Iterator[bytes]:
    """What the iovecs describe; they may overlap, and so name far more than there is memory."""
    table = read(guest, iovs, 8 * count)
    total = 0
    for at in range(0, len(table), 8):
        address, size = struct.unpack_from("<II", table, at)
        if not size:
            continue
        piece = read(guest, address, size)
        total += size
        if total > MAX_WRITE:
            raise AbiError(
                f"the guest writes more than {MAX_WRITE >> 20} MiB to stdout or stderr in one call: {count} iovecs, "
                f"overlapping or covering all of its {len(guest.memory) >> 10} KiB of memory. Envoy joins them to one "
                "log record, until the process runs out of memory.\n"
                "Look for a wrong length in what the guest prints."
            )
        yield piece


def _write(guest: WasiGuest, fd: int, iovs: int, count: int, nwritten: int) -> int:
    if fd not in (STDOUT, STDERR):
        return Errno.BADF
    data = b"".join(_pieces(guest, iovs, count))
    if guest.callback is not None:
        guest.callback.hostcalls[-1].args["data"] = data
    if data:
        guest.wasi_log(fd, data[:-1] if data.endswith(b"\n") else data)
    _u32(guest, nwritten, len(data))
    return Errno.SUCCESS


@_wasi("fd iovs_ptr iovs_len nwritten_ptr", inside_allocator=True)
def fd_write(guest: WasiGuest, fd: int, iovs: int, count: int, nwritten: int) -> int:
    return _write(guest, fd, iovs, count, nwritten)


@_wasi("fd iovs_ptr iovs_len offset:i64 nwritten_ptr")
def fd_pwrite(guest: WasiGuest, fd: int, iovs: int, count: int, offset: int, nwritten: int) -> int:
    return _write(guest, fd, iovs, count, nwritten)


_constant("path_create_directory", "fd path_ptr path_len", Errno.NOTSUP)
_constant("path_filestat_get", "fd flags path_ptr path_len stat_ptr", Errno.NOTSUP)
_constant("path_filestat_set_times", "fd flags path_ptr path_len atim:i64 mtim:i64 fst_flags", Errno.NOTSUP)
_constant("path_link", "old_fd old_flags old_path_ptr old_path_len new_fd new_path_ptr new_path_len", Errno.NOTSUP)
_constant(
    "path_open",
    "fd dirflags path_ptr path_len oflags rights_base:i64 rights_inheriting:i64 fdflags opened_fd_ptr",
    Errno.NOENT,
    during_start=False,
)


@_wasi("fd path_ptr path_len buf_ptr buf_len nread_ptr")
def path_readlink(guest: WasiGuest, fd: int, path: int, size: int, buffer: int, room: int, nread: int) -> int:
    _u32(guest, nread, 0)
    return Errno.NOTSUP


_constant("path_remove_directory", "fd path_ptr path_len", Errno.NOTSUP)
_constant("path_rename", "fd old_path_ptr old_path_len new_fd new_path_ptr new_path_len", Errno.NOTSUP)
_constant("path_symlink", "old_path_ptr old_path_len fd new_path_ptr new_path_len", Errno.NOTSUP)
_constant("path_unlink_file", "fd path_ptr path_len", Errno.NOTSUP)


@_wasi("in_ptr out_ptr nsubscriptions nevents_ptr", inside_allocator=True)
def poll_oneoff(guest: WasiGuest, events: int, out: int, count: int, nevents: int) -> int:
    _u32(guest, nevents, 0)
    return Errno.SUCCESS


@_wasi("exit_code", during_start=False, returns=False)
def proc_exit(guest: WasiGuest, code: int) -> None:
    guest.wasi_exit(code)


@_wasi("buf_ptr buf_len")
def random_get(guest: WasiGuest, buffer: int, size: int) -> int:
    if size > MAX_RANDOM:
        return Errno.INVAL
    if size:
        check(guest, buffer, size)[buffer : buffer + size] = guest.wasi_random(size)
    return Errno.SUCCESS


_constant("sched_yield", "", Errno.SUCCESS, during_start=False)


@_wasi("fd flags fd_out_ptr")
def sock_accept(guest: WasiGuest, fd: int, flags: int, out: int) -> int:
    _u64(guest, out, 0)  # eight bytes, although the field has four: so does proxy-wasm-cpp-host
    return Errno.NOTSUP


@_wasi("fd ri_data_ptr ri_data_len ri_flags nread_ptr roflags_ptr")
def sock_recv(guest: WasiGuest, fd: int, data: int, size: int, flags: int, nread: int, roflags: int) -> int:
    _u32(guest, nread, 0)
    struct.pack_into("<H", check(guest, roflags, 2), roflags, 0)
    return Errno.NOTSUP


@_wasi("fd si_data_ptr si_data_len si_flags nwritten_ptr")
def sock_send(guest: WasiGuest, fd: int, data: int, size: int, flags: int, nwritten: int) -> int:
    _u32(guest, nwritten, 0)
    return Errno.NOTSUP


_constant("sock_shutdown", "fd how", Errno.NOTSUP)


def bind_wasi(spec: WasiSpec) -> Bound:
    """A function ``(guest, *wasm arguments) -> errno`` that runs and records one WASI call."""
    names = tuple(name for name, _ in spec.params)
    body, name, returns = spec.body, spec.name, bool(spec.results)

    def call(guest: WasiGuest, *words: int) -> int | None:
        gate = guest.gate
        if gate is not None and not (spec.during_start if gate == "start" else spec.inside_allocator):
            raise guest.restricted(name)
        record = None
        if guest.callback is not None:
            record = WasiCall(name, Arguments(zip(names, words)), None, Arguments(), guest.callback)
            guest.callback.hostcalls.append(record)
        try:
            errno = body(guest, *words)
        except Refused:
            errno = Errno.FAULT
        if record is not None:
            record.args = shown_arguments(record.args)
            record.status = Errno(errno) if errno is not None else None
        return int(errno) if returns and errno is not None else None

    call.__name__ = call.__qualname__ = name
    return call


def bind_denied_wasi(spec: WasiSpec) -> Bound:
    """The stub of a function that ``allowed_capabilities`` leaves out: it answers NOTCAPABLE."""

    def call(guest: WasiGuest, *words: int) -> int | None:
        guest.caller.denied(spec.name)
        return int(Errno.NOTCAPABLE) if spec.results else None

    return call


def shown_arguments(args: Arguments) -> Arguments:
    """Only plain numbers: addresses differ between builds and say nothing."""
    return Arguments((k, v) for k, v in args.items() if not k.endswith("_ptr") and k != "iovs_len")
