"""The clients of the recordings on real sockets, for HTTP/1.1 and TCP; they know no filters and no Envoy."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

__all__ = ["HttpClient", "tcp_session"]

PATIENCE = 1.4
"""Seconds a client waits for what does not come; Envoy closes a connection it is done with after one second."""
FIRST_PART = 0.13
NEXT_PART = 0.08


class _TimeUp(Exception):
    pass


class _Closed(Exception):
    pass


class HttpClient:
    """One connection: writes requests, reads a response to each."""

    def __init__(self, port: int, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._deadline = 0.0

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def exchange(self, request: bytes, parts: Sequence[bytes] = ()) -> dict[str, Any]:
        """Write a request, each part a little later, and read its response."""
        self._write(request)
        for number, part in enumerate(parts):
            time.sleep(NEXT_PART if number else FIRST_PART)
            self._write(part)
        self._deadline = time.monotonic() + self._patience
        got: dict[str, Any] = {"status": "", "headers": [], "body": "", "trailers": []}
        try:
            self._read(got, head=request.startswith(b"HEAD "))
        except _TimeUp:
            got = {"status": "<timeout>", "headers": [], "body": "", "trailers": []}
        except _Closed:
            if not got["status"]:
                got = {"status": "<closed>", "headers": [], "body": "", "trailers": []}
        return got

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def _read(self, got: dict[str, Any], *, head: bool) -> None:
        while not got["status"] or got["status"].split(" ")[1:2] == ["100"]:
            got["status"] = ""
            status = self._line()
            headers = self._fields()
            got.update(status=status, headers=headers)
        if head:
            return
        fields = dict(line.split(": ", 1) for line in reversed(headers) if ": " in line)
        length = fields.get("content-length", "")
        if length.isdigit():
            while len(self._buffer) < int(length):
                got["body"] = self._buffer.decode("latin-1")
                self._more()
            got["body"] = self._take(int(length)).decode("latin-1")
        elif "transfer-encoding" in fields:
            while size := int(self._line().partition(";")[0], 16):
                while len(self._buffer) < size + 2:
                    self._more()
                got["body"] += self._take(size + 2)[:-2].decode("latin-1")
            got["trailers"] = self._fields()

    def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode("latin-1")

    def _fields(self) -> list[str]:
        fields = []
        while line := self._line():
            fields.append(line)
        return fields

    def _take(self, size: int) -> bytes:
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _more(self) -> None:
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError as error:
            raise _TimeUp from error
        except OSError as error:
            raise _Closed from error
        if not data:
            raise _Closed
        self._buffer += data


def tcp_session(port: int, actions: Sequence[Any], *, patience: float = PATIENCE) -> list[str]:
    """Do one action after the other on a connection; what was read, read by read."""
    got: list[str] = []
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.settimeout(patience)
    for action in actions:
        try:
            if isinstance(action, (int, float)):
                time.sleep(action)
            elif isinstance(action, dict):
                client.sendall(action["send"].encode("latin-1"))
            elif action == "recv":
                got.append(client.recv(1 << 16).decode("latin-1"))
            elif action == "shut":
                client.shutdown(socket.SHUT_WR)
            elif action in ("reset", "rst"):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            elif action == "close":
                client.close()
            else:
                raise ValueError(f"this recorder does not know the action {action!r}")
        except OSError as error:
            if action == "recv":
                got.append(repr(error))
    client.close()
    return got
