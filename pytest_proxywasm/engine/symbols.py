"""Names and source lines of a guest's functions; knows no engine, and never fails: what it cannot read is unknown."""

from __future__ import annotations

from .binary import ModuleInfo, Reader
from .interface import BadModule

__all__ = ["Symbols", "demangle"]


def demangle(name: str) -> str:
    return name


class Symbols:
    """Symbols of one module, read when first asked for."""

    def __init__(self, wasm: bytes, info: ModuleInfo) -> None:
        self._wasm = wasm
        self._info = info
        self._names: dict[int, str] | None = None

    def function(self, index: int) -> tuple[str, str]:
        """Readable and raw name of a function; ``function[17]`` and an empty one where it has none."""
        if self._names is None:
            self._names = _function_names(self._wasm, self._info)
        raw = self._names.get(index, "")
        return (demangle(raw) if raw else f"function[{index}]"), raw

    def location(self, offset: int) -> str | None:
        """``file:line`` of an offset into the module."""
        return None


def _function_names(wasm: bytes, info: ModuleInfo) -> dict[int, str]:
    names: dict[int, str] = {}
    number = 0
    for entry in info.imports:
        if entry.kind == "function":
            names[number] = f"{entry.module}.{entry.name}"
            number += 1
    for name, kind, index in info.exports:
        if kind == "function":
            names.setdefault(index, name)
    section = info.custom("name")
    if section is None:
        return names
    reader = Reader(wasm, section.start, section.end, "the name section")
    try:
        while reader.pos < reader.end:
            kind_of_names = reader.byte()
            size = reader.unsigned()
            if kind_of_names != 1:
                reader.bytes(size)
                continue
            for _ in range(reader.count()):
                index = reader.unsigned()
                names[index] = reader.name()
            break
    except BadModule:
        pass
    return names
