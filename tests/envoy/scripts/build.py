"""What cases are made of: requests as bytes on the wire, and a case with its filters; knows no area."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["FULL", "GET", "GRPC", "HEAD", "PARTS", "POST", "Case", "case", "chunked", "more", "request", "script"]

Case = dict[str, Any]


def request(method: str, path: str, *fields: str, body: str | None = None, host: str = "example.com") -> str:
    """A request, its length given where it has a body."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines) + "\r\n\r\n" + (body or "")


def chunked(path: str, *chunks: str, fields: Sequence[str] = (), trailers: Sequence[str] = ()) -> str:
    """A POST with a chunked body, written at once."""
    lines = [f"POST {path} HTTP/1.1", "Host: example.com", "Transfer-Encoding: chunked", *fields]
    body = "".join(f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in chunks)
    return "\r\n".join(lines) + "\r\n\r\n" + body + "0\r\n" + "".join(f"{line}\r\n" for line in trailers) + "\r\n"


GET = request("GET", "/fixed")
HEAD = request("HEAD", "/fixed")
POST = request("POST", "/fixed", body="hello")
GRPC = request("POST", "/fixed", "content-type: application/grpc", body="hello")
FULL = chunked("/chunked?n=2&sz=3&d=0&tr=1", "hello", trailers=("X-T: v", "x-t2: v2"))
"""Everything an exchange can have: bodies and trailers both ways."""
PARTS = (request("POST", "/fixed", "content-length: 15"), ("aaaaa", "bbbbb", "ccccc"))
"""A body in three parts, with its time between them."""


def script(event: str, *operations: str) -> str:
    """Lines that do these operations at an event."""
    return "\n".join(f"{event} {operation}" for operation in operations)


def more(wire: str, after: float = 0.05, *, same: bool = False) -> dict[str, Any]:
    """A further request."""
    return {"request": wire, "after": after, "same_connection": same}


def case(
    id: str,
    area: str,
    title: str,
    *scripts: str,
    wire: str = GET,
    parts: Sequence[str] = (),
    more: Sequence[dict[str, Any]] = (),
    filters: Sequence[dict[str, Any]] | None = None,
    envoy: dict[str, Any] | None = None,
    **options: Any,
) -> Case:
    """A case of one filter with these scripts and options, or of the filters given."""
    if filters is None:
        filters = [{"wasm": "probe.wasm", "configuration": "\n".join(scripts), **options}]
    made: Case = {"id": id, "area": area, "title": title, "kind": "http"}
    made["filters"] = [{"wasm": "probe.wasm", **spec} for spec in filters]
    made["request"] = wire
    if parts:
        made["request_parts"] = list(parts)
    if more:
        made["more_requests"] = list(more)
    if envoy:
        made["envoy"] = envoy
    return made
