"""The little of protobuf's wire format that properties and foreign functions need; knows no messages of Envoy's."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """An unsigned number of any size."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field: text, bytes or a message."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def text(number: int, value: str) -> bytes:
    """A text field; proto3 leaves an empty one out."""
    return field(number, value.encode("utf-8", "surrogateescape")) if value else b""


def struct_value(value: Any) -> bytes:
    """A ``google.protobuf.Value`` of a JSON value."""
    if value is None:
        return varint(1 << 3 | VARINT) + b"\0"
    if isinstance(value, bool):
        return varint(4 << 3 | VARINT) + bytes([value])
    if isinstance(value, (int, float)):
        return varint(2 << 3 | FIXED64) + struct.pack("<d", value)
    if isinstance(value, str):
        return field(3, value.encode("utf-8", "surrogateescape"))
    if isinstance(value, Mapping):
        return field(5, struct_message(value))
    return field(6, b"".join(field(1, struct_value(item)) for item in value))


def struct_message(value: Mapping[str, Any]) -> bytes:
    """A ``google.protobuf.Struct`` of a JSON object."""
    return map_field(1, {key: struct_value(item) for key, item in value.items()})


def map_field(number: int, entries: Mapping[str, bytes]) -> bytes:
    """A map field from text to messages."""
    return b"".join(field(number, text(1, key) + field(2, value)) for key, value in entries.items())


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a message; raises `ValueError` for what is none."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("field number 0")
        value: int | bytes
        if kind == VARINT:
            value, at = _read_varint(message, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
            value, at = _take(message, at, size), at + size
        elif kind == BYTES:
            size, at = _read_varint(message, at)
            value, at = _take(message, at, size), at + size
        else:
            raise ValueError(f"wire type {kind}")
        yield number, value


def _take(message: bytes, at: int, size: int) -> bytes:
    if at + size > len(message):
        raise ValueError("cut off")
    return message[at : at + size]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number that does not end")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
