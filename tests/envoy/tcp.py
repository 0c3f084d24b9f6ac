"""The TCP driver: the recorded client and the echoing upstream around one connection; knows no expectations.

Both peers have a socket whose bytes the proxy reads when time passes, not when they are written: what the client wrote
before it waits for something is read at once, with the end of its stream if it has closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .configuration import NotReplayable

__all__ = ["TcpConversation"]

LATENCY = 0.001
SETTLE = 0.05
PATIENCE = 1.0
"""Seconds the client waits in a read."""
AFTERWARDS = 1.5

TIMED_OUT = "TimeoutError('timed out')"
RESET = "ConnectionResetError(104, 'Connection reset by peer')"


class TcpConversation:
    """One connection: the client's actions one after the other, and the upstream's reactions.

    Attributes:
        client_got, upstream_got: what either side read, read by read; ``""`` is the end of the stream.
    """

    def __init__(self, host: Any, cluster: str, greet: bytes) -> None:
        self._host = host
        self._dead = cluster.startswith("dead")
        self._greet = greet
        self._stream: Any = None
        self._unread = bytearray()
        self._fin = False
        self._due = False
        self._client_seen = 0
        self._upstream_seen = 0
        self._upstream_fin = False
        self._upstream_open = False
        self.client_got: list[str] = []
        self.upstream_got: list[str] = []

    def run(self, actions: Sequence[Any]) -> None:
        """Let it happen."""
        self._pass(SETTLE)
        self._stream = self._host.connect()
        self._later(LATENCY, self._upstream_connects)
        for action in actions:
            self._act(action)
        self._pass(AFTERWARDS)

    # The client.

    def _act(self, action: Any) -> None:
        if isinstance(action, (int, float)):
            self._pass(action)
        elif action == "recv":
            self._receive()
        elif action in ("shut", "close"):
            self._client_ends()
        elif action in ("reset", "rst"):
            self._stream.close(peer="downstream", reset=True)
        elif isinstance(action, dict) and set(action) == {"send"}:
            self._unread += action["send"].encode("latin-1")
            self._proxy_reads_soon()
        else:
            raise NotReplayable(f"this replay does not know the action {action!r}")

    def _client_ends(self) -> None:
        if not self._fin:
            self._fin = True
            self._proxy_reads_soon()

    def _proxy_reads_soon(self) -> None:
        if not self._due:
            self._due = True
            self._later(LATENCY, self._proxy_reads)

    def _proxy_reads(self) -> None:
        self._due = False
        if self._closed:
            return
        data = bytes(self._unread)
        self._unread.clear()
        self._stream.downstream_data(data, end_of_stream=self._fin)

    def _receive(self) -> None:
        clock = self._host.clock
        deadline = clock.now_ns + round(PATIENCE * 1e9)
        while self._client_seen == len(self._stream.sent_downstream) and not self._over:
            if not clock.step(deadline):
                clock.advance(max(0, deadline - clock.now_ns) / 1e9)
                self.client_got.append(TIMED_OUT)
                return
            self._look()
        data = bytes(self._stream.sent_downstream[self._client_seen :])
        self._client_seen += len(data)
        self.client_got.append(RESET if not data and self._unread else data.decode("latin-1"))

    @property
    def _closed(self) -> bool:
        return self._stream.closed_by is not None

    @property
    def _over(self) -> bool:
        """Nothing more will come to the client."""
        return self._closed or self._upstream_fin

    # The upstream.

    def _upstream_connects(self) -> None:
        if self._closed:
            return
        if self._dead:
            self._stream.close(peer="upstream", reset=True)
            return
        self._upstream_open = True
        if self._greet:
            self._stream.upstream_data(self._greet)

    def _look(self) -> None:
        """The upstream reads what the proxy has sent it, and answers."""
        if not self._upstream_open or self._upstream_fin:
            return
        sent = bytes(self._stream.sent_upstream[self._upstream_seen :])
        self._upstream_seen += len(sent)
        ended = self._closed or getattr(self._stream, "upstream_ended", False)
        if sent:
            self.upstream_got.append(sent.decode("latin-1"))
            self._later(LATENCY, lambda: self._react(sent, ended))
        if ended:
            self.upstream_got.append("")
            self._upstream_fin = True
            if not sent:
                self._later(LATENCY, lambda: self._answer(b"", True))

    def _react(self, data: bytes, ended: bool) -> None:
        if data.strip() == b"RESET":
            self._stream.close(peer="upstream", reset=True)
        elif data.strip() == b"QUIT":
            self._answer(b"", True)
        else:
            self._answer(b"E:" + data, ended)

    def _answer(self, data: bytes, ended: bool) -> None:
        self._upstream_fin = self._upstream_fin or ended
        if not self._closed:
            self._stream.upstream_data(data, end_of_stream=ended)

    # Time.

    def _later(self, seconds: float, action: Any) -> None:
        self._host.clock.call_later(seconds, action)

    def _pass(self, seconds: float) -> None:
        clock = self._host.clock
        target = clock.now_ns + round(seconds * 1e9)
        while clock.step(target):
            if self._stream is not None:
                self._look()
        clock.advance(max(0, target - clock.now_ns) / 1e9)
