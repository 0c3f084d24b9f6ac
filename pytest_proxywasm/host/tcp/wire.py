"""What one peer of a connection has sent, and how much of it the proxy has read; knows no filters."""

from __future__ import annotations

from ..buffers import Buffer

SLICE = 16_384
"""How much Envoy reads at once; it goes on until its buffer has reached the limit."""


class Wire:
    """A socket of the proxy, and the buffer it is read into.

    Attributes:
        buffer: what was read and no filter chain has taken. There is one for all filters: each sees what the ones
            before it left, and all see again what one of them held (Envoy 1.40).
        ended: the peer will send nothing more.
        end_read: the proxy knows it.
        reset: the peer has broken off.
    """

    def __init__(self, limit: int) -> None:
        self.buffer = Buffer()
        self.ended = False
        self.end_read = False
        self.reset = False
        self._unread = bytearray()
        self._limit = limit
        self._full = False

    def send(self, data: bytes, end_of_stream: bool) -> None:
        """The peer sends."""
        self._unread += data
        self.ended = self.ended or end_of_stream

    def read(self) -> bool:
        """Read once, if reading is not stopped; whether there was anything new.

        Envoy 1.40: one read takes as many slices of 16 KiB as it needs to reach the limit, and comes with the end of
        stream only if it took everything before it; a buffer above the limit stops the reading, until it has shrunk
        to half of it.
        """
        if self.stopped:
            return False
        before = len(self.buffer)
        while self._unread:
            self.buffer.data += self._unread[:SLICE]
            del self._unread[:SLICE]
            if self._limit and len(self.buffer) >= self._limit:
                self._full = len(self.buffer) > self._limit
                return True
        if self.ended and not self.end_read:
            self.end_read = True
            return True
        return len(self.buffer) > before

    @property
    def waiting(self) -> bool:
        """The peer has done something that the proxy does not know yet."""
        return bool(self._unread) or self.reset or (self.ended and not self.end_read)

    @property
    def stopped(self) -> bool:
        """The buffer is too full: not even a reset is noticed."""
        if self._full and len(self.buffer) <= self._limit // 2:
            self._full = False
        return self._full

    @property
    def reset_noticed(self) -> bool:
        """The peer has broken off, and everything before that was read."""
        return self.reset and not self._unread and not self.stopped
