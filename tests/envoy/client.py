"""The client of the recordings: what Envoy's codec sends of a response, and what that client made of it.

Knows responses as the connection manager hands them to the codec; knows neither host nor upstream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from .front import reason_phrase

__all__ = ["ClientReader", "encoded_head"]

Pair: TypeAlias = "tuple[bytes, bytes]"

CLOSED = "<closed>"
TIMEOUT = "<timeout>"


def encoded_head(headers: Sequence[Pair], *, has_body: bool, head_request: bool) -> tuple[str, list[Pair]]:
    """Status line and headers as Envoy's HTTP/1.1 codec writes them: its own framing comes last."""
    status = next((value.decode("latin-1") for name, value in headers if name == b":status"), "")
    lines = [(n, v) for n, v in headers if not n.startswith(b":") and n != b"transfer-encoding"]
    code = int(status) if status.isdigit() else 0
    if not any(name == b"content-length" for name, _ in lines):
        if not has_body:
            if not head_request and code >= 200 and code != 204:
                lines.append((b"content-length", b"0"))
        elif not (code < 200 or code == 204):
            lines.append((b"transfer-encoding", b"chunked"))
    return f"HTTP/1.1 {status} {reason_phrase(status)}", lines


class ClientReader:
    """Reads a response as the recorded client did: head, then a body by content-length or by chunks.

    It waits for a final response after ``100``, and for the rest of a body that is too short.
    """

    def __init__(self, *, head_request: bool = False) -> None:
        self._head_request = head_request
        self._status = ""
        self._headers: list[Pair] = []
        self._body = b""
        self._trailers: list[Pair] = []
        self._ended = False
        self.closed = False

    def head(self, headers: Sequence[Pair], *, has_body: bool, wants_close: bool = False) -> None:
        """The response's headers were sent."""
        if wants_close and not any(name == b"connection" for name, _ in headers):
            headers = [*headers, (b"connection", b"close")]
        status, lines = encoded_head(headers, has_body=has_body, head_request=self._head_request)
        if status.split(" ")[1] != "100":
            self._status, self._headers = status, lines

    def body(self, data: bytes) -> None:
        """The body so far."""
        self._body = data

    def end(self, trailers: Sequence[Pair] = ()) -> None:
        """Envoy sent all there is."""
        self._ended = True
        self._trailers = list(trailers)

    @property
    def _length(self) -> int | None:
        value = next((v for n, v in self._headers if n == b"content-length"), None)
        return int(value) if value is not None and value.isdigit() else None

    @property
    def _chunked(self) -> bool:
        return any(name == b"transfer-encoding" for name, _ in self._headers)

    @property
    def complete(self) -> bool:
        """The client has got all it waits for."""
        if not self._status:
            return False
        if self._head_request:
            return True
        if self._length is not None:
            return len(self._body) >= self._length
        return self._ended if self._chunked else True

    def view(self) -> dict[str, Any]:
        """What was recorded of it."""
        if not self.complete and not (self.closed and self._status):
            return {"status": CLOSED if self.closed else TIMEOUT, "headers": [], "body": "", "trailers": []}
        body = self._body if self._length is None else self._body[: self._length]
        return {
            "status": self._status,
            "headers": [_line(pair) for pair in self._headers],
            "body": body.decode("latin-1"),
            "trailers": [_line(pair) for pair in self._trailers] if self._chunked else [],
        }


def _line(pair: Pair) -> str:
    name, value = pair
    return f"{name.decode('latin-1')}: {value.decode('latin-1')}"
