"""Ends of TCP connections that a test drives: the client, and the upstream's server; they know no filters."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

from .servers import Server

__all__ = ["Peer", "TcpServer"]


class Peer:
    """One end of a TCP connection. Nothing is read before `pump` is called.

    Attributes:
        received: everything that was read.
        ended: the other side has ended its half.
        broken: the connection was reset, or is closed on our side.
        sent_end: we have ended our half.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self.received = bytearray()
        self.ended = False
        self.broken = False
        self.sent_end = False
        self.closed = threading.Event()

    def pump(self) -> None:
        """Read what has come."""
        while not (self.ended or self.broken):
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                self.broken = True
                return
            self.received += data
            self.ended = not data

    def send(self, data: bytes, end: bool) -> None:
        """Write data, and end our half."""
        with contextlib.suppress(OSError):
            if data and end and hasattr(socket, "TCP_CORK"):
                # Data and end in one segment, so that they are read at once.
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            self._socket.settimeout(30)
            if data:
                self._socket.sendall(data)
            if end:
                self.sent_end = True
                self._socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            self._socket.setblocking(False)

    def close(self, *, reset: bool = False) -> None:
        """Close the connection, in good order or with a reset."""
        if reset:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.broken = True
        self.closed.set()
        self._socket.close()


class TcpServer(Server):
    """Accepts connections and leaves them to the test."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        super().__init__()

    def serve(self, connection: socket.socket) -> None:
        """One connection to its end."""
        peer = Peer(connection)
        self.peers.append(peer)
        peer.closed.wait()

    def next_peer(self, known: int, seconds: float) -> Peer | None:
        """The connection after the first ``known`` ones, if it comes in time."""
        deadline = time.monotonic() + seconds
        while len(self.peers) <= known:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.001)
        return self.peers[known]

    def drop(self) -> None:
        """Close the connections that are open."""
        for peer in self.peers:
            if not peer.closed.is_set():
                peer.close()
