"""The bytes that a client of a recorded case writes; knows no host."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

__all__ = ["CaseError", "expand"]


class CaseError(Exception):
    """A case file, or a line of it, is not what this replay can read."""


def expand(value: str | Mapping[str, Any]) -> bytes:
    """The bytes of a request or a part of one.

    Text is latin-1. A shortened one gives its start, its length and a digest: the rest is the end of the headers
    and the letter x; where the digest says that the letters came before the end of the headers, they do.
    """
    if isinstance(value, str):
        return value.encode("latin-1")
    start = str(value["starts"]).encode("latin-1")
    length = int(value["length"])
    end = b"\r\n\r\n"
    room = length - len(start)
    candidates = [
        start + end + b"x" * (room - len(end)),
        start + b"x" * room,
        start + b"x" * (room - len(end)) + end,
        start + b"x" * (room - 2) + b"\r\n",
    ]
    fitting = [data for data in candidates if len(data) == length]
    digest = value.get("sha256")
    for data in fitting:
        if digest is not None and hashlib.sha256(data).hexdigest() == digest:
            return data
    if not fitting:
        raise CaseError(f"a request of {length} bytes cannot start with {len(start)} bytes")
    return fitting[0]
