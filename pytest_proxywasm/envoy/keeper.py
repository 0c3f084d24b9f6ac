"""Tells when Envoy's worker has done all it had to do: it answers a request of its own in turn."""

from __future__ import annotations

import socket
import threading

from .client import connect
from .process import EnvoyFailure

__all__ = ["Keeper"]

SECONDS = 60.0
_REQUEST = b"GET / HTTP/1.1\r\nhost: keeper\r\n\r\n"


class Keeper:
    """A connection to a listener without filters, on the same worker as the one with them.

    Envoy's worker reads what its sockets have for it round by round. When it has answered a second request here,
    everything that was written to it before the first has been read, and what followed from it has been done.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def pass_through(self, rounds: int = 2) -> None:
        """Wait until the worker has done what there was.

        Raises:
            EnvoyFailure: it does not answer: it is gone, or a guest keeps it busy.
        """
        with self._lock:
            for _ in range(rounds):
                self._round()

    def _round(self) -> None:
        try:
            if self._socket is None:
                self._socket = connect(self._port)
                self._socket.settimeout(SECONDS)
            self._socket.sendall(_REQUEST)
            data = b""
            while b"\r\n\r\n" not in data:
                more = self._socket.recv(4096)
                if not more:
                    raise EnvoyFailure("Envoy has closed the connection that asks whether it is alive")
                data += more
        except TimeoutError as error:
            raise EnvoyFailure(
                f"Envoy's worker has not answered for {SECONDS:g} seconds: a filter keeps it busy (an endless loop?)"
            ) from error
        except OSError as error:
            raise EnvoyFailure(f"Envoy is gone: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
