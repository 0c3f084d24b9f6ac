"""Finds the few instructions a rewriting cares for, at the speed of regular expressions; knows no module around them.

A function body is a run of instructions of which nearly all are passed over unread: one pattern matches as many of
them as it can, and stops in front of the ones to look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from .interface import BadModule

__all__ = ["interesting"]

_LEB = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
# Bit 6 of the alignment announces a memory index (multi-memory).
_MEMARG = rb"(?:[\x00-\x3f]LEB|[\x40-\x7f]LEBLEB|[\x80-\xff]+[\x00-\x7f]LEB)"
_PATTERN = rb"""(?:
  [\x00\x01\x05\x0b\x0f\x1a\x1b\x45-\xc4\xd1]
| [\x20-\x25\x0c\x0d\x3f\x41\x42\xd0]LEB
| [\x02\x04](?![\x63\x64])LEB
| [\x28-\x3e]MEMARG
| CALL
| \x11LEBLEB
| \x13LEBLEB
| \x43[\x00-\xff]{4}
| \x44[\x00-\xff]{8}
| \xfc(?:[\x00-\x07]|[\x0b\x10]LEB|[\x08\x0a]LEBLEB)
| \xfd(?:
    [\x00-\x0b\x5c\x5d]MEMARG
  | [\x0c\x0d][\x00-\xff]{16}
  | [\x15-\x22][\x00-\xff]
  | [\x54-\x5b]MEMARG[\x00-\xff]
  | [\x0e-\x14\x23-\x53\x5e-\x7f]
  | [\x80-\xff]\x01
  | [\x80-\x93]\x02
  )
| \xfe(?:\x03\x00|[\x00-\x02\x10-\x4e]MEMARG)
){0,4000}"""
_PROPOSALS = {
    0x06: "exception handling",
    0x07: "exception handling",
    0x08: "exception handling",
    0x09: "exception handling",
    0x0A: "exception handling",
    0x14: "function references",
    0x15: "function references",
    0x18: "exception handling",
    0x19: "exception handling",
    0x1F: "exception handling",
    0xD3: "garbage collection",
    0xD4: "function references",
    0xD5: "function references",
    0xD6: "function references",
    0xE0: "stack switching",
    0xFB: "garbage collection",
    0xFE: "threads",
}
_ONE_LEB = re.compile(_LEB)
_STATE_CHANGE = re.compile(rb"\x26LEB|\xfc(?:[\x09\x0d\x0f\x11]LEB|[\x0c\x0e]LEBLEB)".replace(b"LEB", _LEB), re.DOTALL)
"""table.set; data.drop, elem.drop, table.grow, table.fill; table.init, table.copy."""


@lru_cache(maxsize=64)
def _pattern(imports: int) -> re.Pattern[bytes]:
    """The pattern that stops at calls of the first ``imports`` functions, and at few others."""
    if imports == 0:
        call = rb"\x10LEB"
    elif imports <= 0x7F:
        call = rb"\x10(?:[\x%02x-\x7f]|[\x80-\xff]{1,4}[\x01-\x7f])" % imports
    else:
        call = rb"\x10[\x80-\xff]{2,4}[\x01-\x7f]" if imports <= 1 << 14 else rb"\x10[\x80-\xff]{3,4}[\x01-\x7f]"
    text = _PATTERN.replace(b"CALL", call).replace(b"MEMARG", _MEMARG).replace(b"LEB", _LEB)
    return re.compile(text, re.VERBOSE | re.DOTALL)


@lru_cache(maxsize=256)
def _lebs(count: int) -> re.Pattern[bytes]:
    return re.compile(rb"(?:%s){%d}" % (_LEB, count), re.DOTALL)


def _unsigned(data: bytes, pos: int) -> int:
    result = shift = 0
    while True:
        byte = data[pos]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result
        shift += 7
        pos += 1


def interesting(data: bytes, pos: int, end: int, imports: int) -> Iterator[tuple[int, int, int, int]]:
    """``(opcode, start, end, immediate)`` of every loop, memory.grow and ref.func, of every call of one of the first
    ``imports`` functions (and some others), and of every instruction that changes tables or drops segments."""
    skip = _pattern(imports).match
    while True:
        match = skip(data, pos, end)
        assert match is not None
        if match.end() == pos and pos >= end:
            return
        start = match.end()
        if start == end:
            return
        advanced = start > pos
        code = data[start]
        if code in (0x03, 0x10, 0x12, 0x40, 0xD2):
            leb = _ONE_LEB.match(data, start + 1, end)
            if leb is None:
                raise _bad(data, start, end)
            pos = leb.end()
            yield code, start, pos, _unsigned(data, start + 1)
        elif code in (0x0E, 0x1C):
            leb = _ONE_LEB.match(data, start + 1, end)
            count = _unsigned(data, start + 1) + (code == 0x0E) if leb else 0
            if leb is None or count > end - leb.end():
                raise _bad(data, start, end)
            rest = _skip_lebs(data, leb.end(), end, count)
            if rest < 0:
                raise _bad(data, start, end)
            pos = rest
        elif code in (0x26, 0xFC) and (after := _state_change(data, start, end)) is not None:
            pos = after
            yield code, start, pos, 0
        elif advanced:
            pos = start
        else:
            raise _bad(data, start, end)


def _state_change(data: bytes, start: int, end: int) -> int | None:
    """Where an instruction ends that changes a table or drops a segment; ``None`` when it does neither."""
    match = _STATE_CHANGE.match(data, start, end)
    return match.end() if match is not None else None


def _skip_lebs(data: bytes, pos: int, end: int, count: int) -> int:
    while count:
        part = min(count, 1000)
        match = _lebs(part).match(data, pos, end)
        if match is None:
            return -1
        pos = match.end()
        count -= part
    return pos


def _bad(data: bytes, at: int, end: int) -> BadModule:
    code = data[at]
    text = f"{code:#04x}"
    if code in (0xFB, 0xFC, 0xFD, 0xFE) and at + 1 < end:
        text += f" {data[at + 1]:#04x}"
    proposal = _PROPOSALS.get(code)
    if proposal is not None:
        return BadModule(
            f"this module uses the WebAssembly proposal '{proposal}' (instruction {text} at offset {at:#x}), which is "
            "not supported: build the filter without it"
        )
    return BadModule(f"corrupt WebAssembly module: unknown or cut-off instruction {text} at offset {at:#x}")
