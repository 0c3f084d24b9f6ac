"""A guest that is a piece of memory and an allocator, for tests of what the host does to it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.trace import Arguments, Callback

ABI = json.loads((Path(__file__).resolve().parents[1] / "data" / "abi.json").read_text(encoding="utf-8"))
PAGE = 0x10000
HEAP = 0x8000


class FakeGuest:
    """What bound hostcalls and WASI functions need of a guest.

    The memory is one page; what `put` stores lies from 0x1000 on, what the host allocates from 0x8000 on.
    """

    def __init__(self, caller: Any = None, *, trace: bool = True) -> None:
        self.pages = bytearray(PAGE)
        self.memory = memoryview(self.pages)
        self.caller = caller
        self.gate: str | None = None
        self.injector: Callable[[str, dict[str, Any]], Any] | None = None
        self.callback = Callback("proxy_on_request_headers", Arguments(), 1, "", 0) if trace else None
        self.allocations: list[int] = []
        self.allocator: Callable[[int], int] | None = None
        self.renewals = 0
        self.logs: list[tuple[int, bytes]] = []
        self.exits: list[int] = []
        self.environment: list[bytes] = []
        self._next = HEAP
        self._data = 0x1000

    def renew(self) -> memoryview:
        """The memory as it is now."""
        self.renewals += 1
        self.memory = memoryview(self.pages)
        return self.memory

    def grow(self) -> None:
        """One page more, which the host has not noticed yet."""
        self.pages = bytearray(self.pages + bytes(PAGE))

    def allocate(self, size: int) -> int:
        """A block: what `allocator` gives, else the next free one."""
        self.allocations.append(size)
        if self.allocator is not None:
            return self.allocator(size)
        address, self._next = self._next, self._next + size
        return address

    def restricted(self, name: str) -> BaseException:
        """What a call that is not allowed now raises."""
        return PermissionError(name)

    def put(self, data: bytes) -> tuple[int, int]:
        """Store input; its address and size."""
        address, self._data = self._data, self._data + len(data)
        self.pages[address : address + len(data)] = data
        return address, len(data)

    def u32(self, address: int) -> int:
        """A word of the memory."""
        return int(struct.unpack_from("<I", self.pages, address)[0])

    def u64(self, address: int) -> int:
        """A double word of the memory."""
        return int(struct.unpack_from("<Q", self.pages, address)[0])

    def data(self, address_of: int, size_of: int) -> bytes:
        """What lies where the host says that it put it."""
        address, size = self.u32(address_of), self.u32(size_of)
        return bytes(self.pages[address : address + size])

    @property
    def record(self) -> Any:
        """The last hostcall in the trace."""
        assert self.callback is not None
        return self.callback.hostcalls[-1]

    # For WASI.

    def wasi_log(self, fd: int, message: bytes) -> None:
        """What was written."""
        self.logs.append((fd, message))

    def wasi_clock_ns(self) -> int:
        """Some time."""
        return 0x0102030405060708

    def wasi_random(self, size: int) -> bytes:
        """Some bytes."""
        return bytes(range(1, 256))[:size].ljust(size, b"r")

    def wasi_environment(self) -> list[bytes]:
        """Variables."""
        return self.environment

    def wasi_exit(self, code: int) -> None:
        """An exit."""
        self.exits.append(code)


@pytest.fixture
def abi() -> Any:
    """The tables of the ABI: hostcalls, wasi, callbacks, enums."""
    return ABI


@pytest.fixture
def guest() -> FakeGuest:
    """A guest of one page."""
    return FakeGuest()


@pytest.fixture(scope="session")
def make_guest() -> type[FakeGuest]:
    """To make one with a caller."""
    return FakeGuest
