"""Finds source lines in a guest's DWARF; knows no engine, and takes anything odd for "no line known"."""

from __future__ import annotations

import inspect
import io
import posixpath
from bisect import bisect_right
from typing import Any

from .binary import ModuleInfo

__all__ = ["Lines"]

_TOMBSTONE = 0xFFFFFFF0
_Row = tuple[int, "str | None"]


class Lines:
    """Lines of one module: compilation units are listed once, and each is decoded when an address lies in it."""

    def __init__(self, wasm: bytes, info: ModuleInfo) -> None:
        code = info.section(10)
        self._base = code.start if code is not None else 0
        self._dwarf = _open(wasm, info)
        self._units: list[Any] | None = None
        self._rows: dict[int, list[_Row]] = {}

    def location(self, offset: int) -> str | None:
        """``file:line`` of an offset into the module; ``None`` when there is none."""
        if self._dwarf is None:
            return None
        try:
            return self._find(offset - self._base)
        except Exception:
            # pyelftools raises whatever it likes on sections that are cut off or of a version it does not know.
            return None

    def _find(self, address: int) -> str | None:
        if self._units is None:
            self._units = list(self._dwarf.iter_CUs())
        unsure = []
        for unit in self._units:
            inside = self._contains(unit, address)
            if inside:
                found = self._line(unit, address)
                if found is not None:
                    return found
            elif inside is None:
                unsure.append(unit)
        for unit in unsure:
            found = self._line(unit, address)
            if found is not None:
                return found
        return None

    def _contains(self, unit: Any, address: int) -> bool | None:
        """Whether a unit covers an address; ``None`` when it does not say."""
        attributes = unit.get_top_DIE().attributes
        low = attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in attributes else 0
        if "DW_AT_high_pc" in attributes:
            high = attributes["DW_AT_high_pc"]
            end = high.value if high.form == "DW_FORM_addr" else low + high.value
            return bool(low <= address < end)
        if "DW_AT_ranges" not in attributes:
            return None
        try:
            return self._in_ranges(unit, attributes["DW_AT_ranges"].value, low, address)
        except Exception:
            return None

    def _in_ranges(self, unit: Any, offset: int, base: int, address: int) -> bool:
        lists = self._dwarf.range_lists()
        if lists is None:
            raise LookupError("no range lists")
        entries = lists.get_range_list_at_offset(offset, cu=unit)
        for entry in entries:
            if hasattr(entry, "base_address"):
                base = entry.base_address
                continue
            shift = 0 if getattr(entry, "is_absolute", False) else base
            if shift + entry.begin_offset <= address < shift + entry.end_offset:
                return True
        return False

    def _line(self, unit: Any, address: int) -> str | None:
        rows = self._rows.get(unit.cu_offset)
        if rows is None:
            rows = self._rows[unit.cu_offset] = _decode(self._dwarf.line_program_for_CU(unit), unit)
        index = bisect_right(rows, address, key=_address_of) - 1
        return rows[index][1] if index >= 0 else None


def _address_of(row: _Row) -> int:
    return row[0]


def _open(wasm: bytes, info: ModuleInfo) -> Any:
    if info.custom(".debug_info") is None or info.custom(".debug_line") is None:
        return None
    try:
        from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

        # The parameters differ between versions of pyelftools, but each is named after its section.
        sections: dict[str, Any] = {}
        for parameter in inspect.signature(DWARFInfo.__init__).parameters:
            if parameter.endswith("_sec"):
                name = "." + parameter.removesuffix("_sec")
                section = info.custom(name)
                data = wasm[section.start : section.end] if section is not None else b""
                sections[parameter] = DebugSectionDescriptor(io.BytesIO(data), name, 0, len(data), 0) if data else None
        config = DwarfConfig(little_endian=True, machine_arch="wasm", default_address_size=4)
        return DWARFInfo(config, **sections)
    except Exception:
        return None


def _decode(program: Any, unit: Any) -> list[_Row]:
    """Rows of a unit sorted by address; a row without text ends a sequence."""
    if program is None:
        return []
    names: dict[int, str] = {}
    rows: list[_Row] = []
    version = program.header["version"]
    directory = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
    compiled_in = directory.value.decode("utf-8", "replace") if directory is not None else ""
    for entry in program.get_entries():
        state = entry.state
        if state is None or state.address >= _TOMBSTONE:
            continue
        if state.end_sequence:
            rows.append((state.address, None))
            continue
        name = names.get(state.file)
        if name is None:
            name = names[state.file] = _file_name(program.header, version, state.file, compiled_in)
        rows.append((state.address, f"{name}:{state.line}" if state.line else name))
    # An end of one sequence must come before the start of the next one at the same address.
    rows.sort(key=lambda row: (row[0], row[1] is not None))
    return rows


def _file_name(header: Any, version: int, number: int, compiled_in: str) -> str:
    files, directories = header["file_entry"], header["include_directory"]
    entry = files[number if version >= 5 else number - 1]
    name = _text(entry.name)
    index = entry.dir_index
    if version >= 5:
        folder = _text(directories[index]) if index < len(directories) else ""
    else:
        folder = _text(directories[index - 1]) if 0 < index <= len(directories) else ""
    path = posixpath.join(folder, name)
    if compiled_in and path.startswith(compiled_in.rstrip("/") + "/"):
        path = path[len(compiled_in.rstrip("/")) + 1 :]
    return path


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
