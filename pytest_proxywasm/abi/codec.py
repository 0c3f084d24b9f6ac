"""Header pairs and property paths as bytes; knows nothing of memory or maps."""

from __future__ import annotations

import struct
from collections.abc import Iterable

Pair = tuple[bytes, bytes]

MAX_SIZE = 1 << 20
MAX_COUNT = 1024
_U32 = struct.Struct("<I")


def encode_pairs(pairs: Iterable[Pair]) -> bytes:
    """Count, sizes, then every name and value with a NUL behind it.

    The caller hands an empty map over as "no data", never as four zero bytes (seen in Envoy 1.40).
    """
    items = list(pairs)
    sizes = [len(items)]
    parts: list[bytes] = []
    for name, value in items:
        sizes += (len(name), len(value))
        parts += (name, b"\0", value, b"\0")
    return struct.pack(f"<{len(sizes)}I", *sizes) + b"".join(parts)


def decode_pairs(data: bytes) -> list[Pair]:
    """Pairs from the guest. What breaks the format or its limits counts as no pairs at all, as in proxy-wasm-cpp-host.

    Limits: 1 MiB, 1024 pairs, no bytes left over, a NUL behind every name and value.
    """
    if len(data) < 4 or len(data) > MAX_SIZE:
        return []
    (count,) = _U32.unpack_from(data)
    position = 4 + 8 * count
    if count > MAX_COUNT or position > len(data):
        return []
    sizes = struct.unpack_from(f"<{2 * count}I", data, 4)
    fields = []
    for size in sizes:
        end = position + size
        if end >= len(data) or data[end] != 0:
            return []
        fields.append(data[position:end])
        position = end + 1
    if position != len(data):
        return []
    return list(zip(fields[::2], fields[1::2]))


def split_path(path: bytes) -> list[bytes]:
    """The parts of a property path; one NUL at the end is allowed (C++ and Zig send it)."""
    if not path:
        return []
    parts = path.split(b"\0")
    if parts[-1] == b"":
        parts.pop()
    return parts
