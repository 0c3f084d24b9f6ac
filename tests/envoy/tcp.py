"""The TCP driver: the recorded client and the echoing upstream around one connection; knows no expectations.

Both peers have a socket whose bytes the proxy reads when time passes, not when they are written: what the client
wrote before it waits for something is read at once, with the end of its stream if it has closed by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def __init__(self, host: Any, cluster: str, greet: bytes, *, patience: float = PATIENCE) -> None:
        self._host = host
        self._dead = cluster.startswith("dead")
        self._greet = greet
        self._patience = patience
        self._stream: Any = None
        self._connected = False
        self._connecting = False
        # The client's socket.
        self._unread = bytearray()
        self._fin = False
        self._fin_read = False
        self._reading = False
        self._client_seen = 0
        # The upstream's socket.
        self._upstream_seen = 0
        self._upstream_fin = False
        self._upstream_left = False
        self.client_got: list[str] = []
        self.upstream_got: list[str] = []

    def run(self, actions: Sequence[Any]) -> None:
        """Let it happen, to the end of the host."""
        self.talk(actions)
        self._host.close()
        if self._connected and not self._upstream_left:
            self._look()
            if not self._upstream_left:
                self.upstream_got.append("")

    def talk(self, actions: Sequence[Any]) -> None:
        """Let it happen; the host stays."""
        self._pass(SETTLE)
        self._stream = self._host.connect()
        self._look()
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
            self._fin = True
            self._proxy_reads_soon()
        elif action in ("reset", "rst"):
            self._later(lambda: self._stream.close(peer="downstream", reset=True))
        elif isinstance(action, dict) and set(action) == {"send"}:
            self._unread += action["send"].encode("latin-1")
            self._proxy_reads_soon()
        else:
            raise NotReplayable(f"this replay does not know the action {action!r}")

    def _proxy_reads_soon(self) -> None:
        if self._connected and not self._reading and not self._fin_read:
            self._reading = True
            self._later(self._proxy_reads)

    def _proxy_reads(self) -> None:
        self._reading = False
        data = bytes(self._unread)
        self._unread.clear()
        self._fin_read = self._fin
        self._stream.downstream_data(data, end_of_stream=self._fin)

    def _receive(self) -> None:
        clock = self._host.clock
        deadline = clock.now_ns + round(self._patience * 1e9)
        while self._client_seen == len(self._stream.sent_downstream) and not self._over:
            if not clock.step(deadline):
                clock.advance(max(0, deadline - clock.now_ns) / 1e9)
                self.client_got.append(TIMED_OUT)
                return
            self._look()
        data = bytes(self._stream.sent_downstream[self._client_seen :])
        self._client_seen += len(data)
        reset = not data and self._closed and bool(self._unread)
        self.client_got.append(RESET if reset else data.decode("latin-1"))

    @property
    def _closed(self) -> bool:
        return self._stream.closed_by is not None

    @property
    def _over(self) -> bool:
        """Nothing more will come to the client."""
        return self._closed or (self._stream.downstream_complete)

    # The upstream.

    def _look(self) -> None:
        """The upstream connects as soon as no filter holds the connection, reads what it is sent, and answers."""
        if not self._connecting and not self._stream.paused and not self._closed:
            self._connecting = True
            self._later(self._connect)
        if not self._connected or self._upstream_left:
            return
        sent = bytes(self._stream.sent_upstream[self._upstream_seen :])
        self._upstream_seen += len(sent)
        ended = self._closed or self._stream.upstream_complete
        if sent:
            self.upstream_got.append(sent.decode("latin-1"))
        if ended:
            self.upstream_got.append("")
            self._upstream_left = True
        if sent or ended:
            self._later(lambda: self._react(sent, ended))

    def _connect(self) -> None:
        if self._dead:
            self._stream.close(peer="upstream", reset=True)
            return
        self._connected = True
        if self._greet:
            self._stream.upstream_data(self._greet)
        if self._unread or self._fin:
            self._proxy_reads_soon()

    def _react(self, data: bytes, ended: bool) -> None:
        if data.strip() == b"RESET":
            self._upstream_left = True
            self._stream.close(peer="upstream", reset=True)
            return
        quits = data.strip() == b"QUIT"
        self._upstream_left = self._upstream_left or quits
        self._upstream_fin = self._upstream_fin or ended or quits
        echo = b"E:" + data if data and not quits else b""
        self._stream.upstream_data(echo, end_of_stream=self._upstream_fin)

    # Time.

    def _later(self, action: Callable[[], object]) -> None:
        """Something happens on the wire, unless the proxy has closed the connection by then."""

        def happen() -> None:
            if not self._closed:
                action()

        self._host.clock.call_later(LATENCY, happen)

    def _pass(self, seconds: float) -> None:
        clock = self._host.clock
        target = clock.now_ns + round(seconds * 1e9)
        while clock.step(target):
            if self._stream is not None:
                self._look()
        clock.advance(max(0, target - clock.now_ns) / 1e9)
