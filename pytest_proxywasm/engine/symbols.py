"""Names and source lines of a guest's functions; knows no engine, and never fails: what it cannot read is unknown."""

from __future__ import annotations

import re

from .binary import ModuleInfo, Reader
from .dwarf import Lines
from .interface import BadModule

__all__ = ["Symbols", "demangle"]

_LONGEST = 4000
_LEGACY_HASH = re.compile(r"17h[0-9a-f]{16}E")
_V0 = re.compile(r"_R[A-Z]")
_ESCAPES = {
    "SP": "@",
    "BP": "*",
    "RF": "&",
    "LT": "<",
    "GT": ">",
    "LP": "(",
    "RP": ")",
    "C": ",",
}
_INLINE_NAMESPACE = re.compile(r"\bstd::__[0-9a-zA-Z]+::")
_STRING = re.compile(r"\bstd::basic_string<char, std::char_traits<char>, std::allocator<char> ?>")


def demangle(name: str) -> str:
    """The source's name of a Rust or C++ function; any other name, or one that cannot be read, as it is."""
    if len(name) > _LONGEST:
        return name
    try:
        if name.startswith("_ZN") and _LEGACY_HASH.search(name):
            return _rust_legacy(name) or name
        if _V0.match(name):
            return _rust_v0(name)
        if name.startswith("_Z"):
            return _cpp(name) or name
        # Linkers may have demangled the name section already.
        return _shorten(name) if "std::__" in name else name
    except Exception:
        # The demanglers raise IndexError, NotImplementedError and others of their own on names they do not know.
        return name


def _shorten(name: str) -> str:
    """Without the inline namespaces of the standard library, and with its string under its usual name."""
    return _STRING.sub("std::string", _INLINE_NAMESPACE.sub("std::", name))


def _rust_legacy(name: str) -> str | None:
    parts: list[str] = []
    pos = 3
    while pos < len(name) and name[pos].isdigit():
        start = pos
        while name[pos].isdigit():
            pos += 1
        size = int(name[start:pos])
        part = name[pos : pos + size]
        if len(part) != size:
            return None
        parts.append(part)
        pos += size
    if pos >= len(name) or name[pos] != "E" or len(parts) < 2:
        return None
    return "::".join(_unescape(part) for part in parts[:-1])


def _unescape(part: str) -> str:
    if part.startswith("_$"):
        part = part[1:]

    def replacement(match: re.Match[str]) -> str:
        code = match.group(1)
        if code.startswith("u"):
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, match.group(0))

    return re.sub(r"\$(u[0-9a-f]+|[A-Z]+)\$", replacement, part.replace("..", "::"))


def _rust_v0(name: str) -> str:
    from rust_demangler import demangle as demangle_rust

    return str(demangle_rust(name))


def _cpp(name: str) -> str:
    from itanium_demangler import parse

    tree = parse(name)
    if tree is None:
        return ""
    return _shorten(str(tree))


class Symbols:
    """Symbols of one module, read when first asked for."""

    def __init__(self, wasm: bytes, info: ModuleInfo) -> None:
        self._wasm = wasm
        self._info = info
        self._names: dict[int, str] | None = None
        self._lines: Lines | None = None

    def function(self, index: int) -> tuple[str, str]:
        """Readable and raw name of a function; ``function[17]`` and an empty one where it has none."""
        if self._names is None:
            self._names = _function_names(self._wasm, self._info)
        raw = self._names.get(index, "")
        return (demangle(raw) if raw else f"function[{index}]"), raw

    def location(self, offset: int) -> str | None:
        """``file:line`` of an offset into the module."""
        if self._lines is None:
            self._lines = Lines(self._wasm, self._info)
        return self._lines.location(offset)


def _function_names(wasm: bytes, info: ModuleInfo) -> dict[int, str]:
    """Names by function index: of the name section, else of exports and imports."""
    names: dict[int, str] = {}
    for number, entry in enumerate(info.imported_functions):
        names[number] = f"{entry.module}.{entry.name}"
    for name, kind, index in info.exports:
        if kind == "function":
            names.setdefault(index, name)
    section = info.custom("name")
    if section is None:
        return names
    reader = Reader(wasm, section.start, section.end, "the name section")
    try:
        while reader.pos < reader.end:
            subsection = reader.byte()
            size = reader.unsigned()
            if subsection != 1:
                reader.bytes(size)
                continue
            for _ in range(reader.count()):
                index = reader.unsigned()
                names[index] = reader.name()
            break
    except BadModule:
        pass
    return names
