"""The client of the recordings: what Envoy's codec sends of a response, and what that client made of it.

Knows responses as the connection manager hands them to the codec; knows neither host nor upstream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        if not has_body and not head_request:
            if code >= 200 and code not in (204, 304):
                lines.append((b"content-length", b"0"))
        elif not (code < 200 or code in (204, 304)):
            lines.append((b"transfer-encoding", b"chunked"))
    shown = str(int(status)) if status.strip().removeprefix("+").isdigit() else status
    return f"HTTP/1.1 {shown} {reason_phrase(shown)}", lines


class ClientReader:
    """Reads a response as the recorded client did: head, then a body by content-length or by chunks.

    It waits for a final response after ``100``, and for the rest of a body that is too short. What Envoy has written
    reaches it with `deliver`.
    """

    def __init__(self, *, head_request: bool = False) -> None:
        self._head_request = head_request
        self._written = _Received()
        self._received = _Received()

    def head(self, headers: Sequence[Pair], *, has_body: bool, wants_close: bool = False) -> None:
        """Envoy writes the response's headers."""
        if wants_close and not any(name == b"connection" for name, _ in headers):
            headers = [*headers, (b"connection", b"close")]
        status, lines = encoded_head(headers, has_body=has_body, head_request=self._head_request)
        if status.split(" ")[1] != "100":
            self._written = replace(self._written, status=status, headers=tuple(lines))

    def body(self, data: bytes) -> None:
        """Envoy has written this much of the body."""
        self._written = replace(self._written, body=data)

    def end(self, trailers: Sequence[Pair] = ()) -> None:
        """Envoy has written all there is."""
        self._written = replace(self._written, ended=True, trailers=tuple(trailers))

    def close(self) -> None:
        """Envoy closes the connection."""
        self._written = replace(self._written, closed=True)

    def deliver(self) -> None:
        """What was written arrives."""
        self._received = self._written

    def crash(self) -> None:
        """Envoy dies: what has not arrived never will."""
        self._received = replace(self._received, closed=True)

    @property
    def closing(self) -> bool:
        """Envoy closes the connection after this response, or has closed it."""
        return self._written.closed or (b"connection", b"close") in self._written.headers

    @property
    def served(self) -> bool:
        """The client has got all it waits for, or nothing more will come."""
        return self._complete or self._received.closed

    @property
    def _complete(self) -> bool:
        got = self._received
        if not got.status:
            return False
        if self._head_request:
            return True
        if got.length is not None:
            return len(got.body) >= got.length
        return got.ended if got.chunked else True

    def view(self) -> dict[str, Any]:
        """What was recorded of it."""
        got = self._received
        if not self._complete and not (got.closed and got.status):
            return {"status": CLOSED if got.closed else TIMEOUT, "headers": [], "body": "", "trailers": []}
        return {
            "status": got.status,
            "headers": [line for pair in got.headers for line in _line(pair).split("\r\n")],
            "body": got.body[: got.length].decode("latin-1") if got.chunked or got.length is not None else "",
            "trailers": [_line(pair) for pair in got.trailers] if got.chunked else [],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    """A response as far as it got."""

    status: str = ""
    headers: tuple[Pair, ...] = ()
    body: bytes = b""
    trailers: tuple[Pair, ...] = ()
    ended: bool = False
    closed: bool = False

    @property
    def length(self) -> int | None:
        """The content-length."""
        value = next((v for n, v in self.headers if n == b"content-length"), None)
        return int(value) if value is not None and value.isdigit() else None

    @property
    def chunked(self) -> bool:
        """The body comes in chunks."""
        return any(name == b"transfer-encoding" for name, _ in self.headers)


def _line(pair: Pair) -> str:
    name, value = pair
    return f"{name.decode('latin-1')}: {value.decode('latin-1')}"
