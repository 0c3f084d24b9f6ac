"""The little of protobuf's wire format that properties and foreign functions need; knows no messages of Envoy's."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = range(6)


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


def flag(number: int, value: bool) -> bytes:
    """A bool field; proto3 leaves false out."""
    return varint(number << 3 | VARINT) + b"\1" if value else b""


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


TEXT, DATA, NUMBER = "text", "data", "number"
Fields: TypeAlias = "Mapping[int, str | Fields]"
"""What a message is read as: for each field `TEXT`, `DATA`, `NUMBER` or the fields of a message in it."""


def read(message: bytes, wanted: Fields) -> dict[int, Any]:
    """The wanted fields that are in a message, by number; `ValueError` for bytes that are no such message.

    As protobuf parses proto3: of repeated values the last counts, messages are merged, text is UTF-8, and a field of
    another wire type than declared is an unknown one.
    """
    found: dict[int, Any] = {}
    for number, kind, value in fields(message):
        what = wanted.get(number)
        if what == NUMBER and kind == VARINT:
            found[number] = value
        elif what is not None and what != NUMBER and kind == BYTES:
            assert isinstance(value, bytes)
            if what == TEXT:
                value.decode()
                found[number] = value
            elif what == DATA:
                found[number] = value
            elif isinstance(what, Mapping):
                found[number] = {**found.get(number, {}), **read(value, what)}
    return found


def fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of the fields of a message; raises `ValueError` for what is none."""
    at = 0
    while at < len(message):
        number, kind, value, at = _field(message, at)
        yield number, kind, value


def _field(message: bytes, at: int) -> tuple[int, int, int | bytes, int]:
    key, at = _read_varint(message, at)
    number, kind = key >> 3, key & 7
    if not 0 < number < 1 << 29:
        raise ValueError(f"field number {number}")
    if kind == VARINT:
        value, at = _read_varint(message, at)
        return number, kind, value, at
    if kind in (FIXED64, FIXED32):
        size = 8 if kind == FIXED64 else 4
        return number, kind, _take(message, at, size), at + size
    if kind == BYTES:
        size, at = _read_varint(message, at)
        return number, kind, _take(message, at, size), at + size
    if kind == GROUP:
        start = at
        while True:
            end, after = _read_varint(message, at)
            if end == number << 3 | GROUP_END:
                return number, kind, message[start:at], after
            _, _, _, at = _field(message, at)
    raise ValueError(f"wire type {kind}")


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
