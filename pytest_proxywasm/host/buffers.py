"""Bodies in flight: a buffer that filters read and change, with Envoy's rules; knows no stream."""

from __future__ import annotations

from ..abi.enums import Status


class Buffer:
    """Bytes with an identity: whoever holds the buffer sees its changes."""

    __slots__ = ("data",)

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def __len__(self) -> int:
        return len(self.data)

    def read(self, start: int, length: int) -> bytes:
        """At most ``length`` bytes from ``start``; nothing beyond the end."""
        return bytes(self.data[start : start + length])

    def write(self, start: int, length: int, value: bytes) -> Status:
        """Put bytes at the front (instead of the first ``length``) or at the end.

        Envoy 1.40: from 0, the first ``length`` bytes make room; from the end or beyond, the bytes are appended;
        anything in between is refused.
        """
        if start == 0:
            self.data[: min(length, len(self.data))] = value
            return Status.OK
        if start >= len(self.data):
            self.data += value
            return Status.OK
        return Status.BAD_ARGUMENT

    def take(self) -> bytes:
        """Everything; the buffer is empty afterwards."""
        data = bytes(self.data)
        self.data.clear()
        return data

    def move_from(self, other: Buffer) -> None:
        """Append all of another buffer, which is empty afterwards."""
        self.data += other.data
        other.data.clear()


BufferView = Buffer | bytes | None
"""What a hostcall finds: a buffer, read-only bytes, or ``None`` where there is no such buffer."""


def view_size(view: Buffer | bytes) -> int:
    """How many bytes are readable."""
    return len(view)


def view_read(view: Buffer | bytes, start: int, length: int) -> bytes:
    """Bytes of a view, cut at its end."""
    return view.read(start, length) if isinstance(view, Buffer) else view[start : start + length]
