"""Pieces of the WebAssembly binary format, written or rewritten; knows no engine and no purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .binary import ModuleInfo, Reader, Section, byte_vector, unsigned
from .interface import FunctionType

__all__ = [
    "CODES",
    "END",
    "appended",
    "apply_edits",
    "element_segments",
    "expression",
    "function_bodies",
    "function_type",
    "global_entries",
    "make_section",
    "vector",
]

Renamed = Callable[[int], int]
"""Gives the index to use where a module names a function."""

CODES = {
    "i32": 0x7F,
    "i64": 0x7E,
    "f32": 0x7D,
    "f64": 0x7C,
    "v128": 0x7B,
    "funcref": 0x70,
    "externref": 0x6F,
}
END = b"\x0b"


def vector(items: list[bytes]) -> bytes:
    """Encoded items behind their number."""
    return unsigned(len(items)) + b"".join(items)


def make_section(number: int, payload: bytes) -> bytes:
    """A whole section."""
    return bytes((number,)) + byte_vector(payload)


def function_type(kind: FunctionType) -> bytes:
    """An entry of the type section."""
    return (
        b"\x60" + byte_vector(bytes(CODES[t] for t in kind.params)) + byte_vector(bytes(CODES[t] for t in kind.results))
    )


def appended(wasm: bytes, section: Section | None, items: list[bytes]) -> bytes:
    """A section's vector with items added behind."""
    if section is None:
        return vector(items)
    reader = Reader(wasm, section.start, section.end)
    count = reader.unsigned()
    return unsigned(count + len(items)) + wasm[reader.pos : section.end] + b"".join(items)


def apply_edits(data: bytes, start: int, end: int, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes from ``start`` to ``end`` with edits made: (from, to, new bytes), in order."""
    parts: list[bytes] = []
    pos = start
    for low, high, new in edits:
        parts.append(data[pos:low])
        parts.append(new)
        pos = high
    parts.append(data[pos:end])
    return b"".join(parts)


_CONSTANT_ONE = {0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E}


def expression(reader: Reader, function: Renamed) -> bytes:
    """A constant expression, with functions renamed."""
    out: list[bytes] = []
    while True:
        at = reader.pos
        code = reader.byte()
        if code == 0x0B:
            return b"".join((*out, END))
        if code == 0xD2:
            out.append(b"\xd2" + unsigned(function(reader.unsigned())))
            continue
        if code in (0x41, 0x42, 0x23, 0xD0):
            while reader.byte() > 0x7F:
                pass
        elif code == 0x43:
            reader.bytes(4)
        elif code == 0x44:
            reader.bytes(8)
        elif code == 0xFD and reader.unsigned() == 12:
            reader.bytes(16)
        elif code not in _CONSTANT_ONE:
            raise reader.bad(f"unknown instruction {code:#04x} of a constant expression", at)
        out.append(reader.data[at : reader.pos])


def global_entries(reader: Reader, function: Renamed) -> tuple[list[bytes], dict[int, str]]:
    """The guest's own globals, and the types of the mutable ones by their place among them."""
    out = []
    mutable = {}
    names = {code: name for name, code in CODES.items()}
    for number in range(reader.count()):
        at = reader.pos
        kind = names.get(reader.byte())
        if kind is None:
            raise reader.bad("a global of an unknown type", at)
        if reader.byte():
            mutable[number] = kind
        head = reader.data[at : reader.pos]
        out.append(head + expression(reader, function))
    return out, mutable


def element_segments(reader: Reader, function: Renamed) -> list[bytes]:
    """The segments of the element section, with functions renamed."""
    out = []
    for _ in range(reader.count()):
        at = reader.pos
        flags = reader.unsigned()
        if flags > 7:
            raise reader.bad(f"unknown flags {flags} of a segment", at)
        parts = [unsigned(flags)]
        if not flags & 1:
            if flags & 2:
                parts.append(unsigned(reader.unsigned()))
            parts.append(expression(reader, function))
        if flags & 3:
            parts.append(reader.bytes(1))
        count = reader.count()
        parts.append(unsigned(count))
        if flags & 4:
            parts += [expression(reader, function) for _ in range(count)]
        else:
            parts += [unsigned(function(reader.unsigned())) for _ in range(count)]
        out.append(b"".join(parts))
    return out


def function_bodies(wasm: bytes, info: ModuleInfo) -> Iterator[tuple[int, int]]:
    """Where each function body begins, with its locals, and where it ends."""
    section = info.section(10)
    if section is None:
        return
    reader = Reader(wasm, section.start, section.end, "the code section")
    count = reader.count()
    if count != len(info.functions):
        raise reader.bad(f"{count} function bodies for {len(info.functions)} functions")
    for _ in range(count):
        size = reader.unsigned()
        start = reader.pos
        if size > reader.end - start:
            raise reader.bad(f"a function body of {size} bytes with {reader.end - start} left")
        reader.pos = start + size
        yield start, reader.pos
    if reader.pos != reader.end:
        raise reader.bad(f"{reader.end - reader.pos} bytes too many")
