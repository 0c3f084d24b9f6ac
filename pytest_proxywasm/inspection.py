"""What a guest is, for people: what it is built with, imports, exports and weighs, and whether Envoy loads it.

Knows modules and what hosts offer; runs nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .abi.callbacks import ALLOCATORS, CALLBACKS
from .abi.elsewhere import CALLBACKS_ELSEWHERE, IMPORTS_ELSEWHERE, NOT_EMULATED
from .abi.enums import ALL_VERSIONS, AbiVersion
from .abi.module import Export, Import, version_of
from .engine.binary import read_module
from .errors import FilterStartError, NotEmulatedError
from .mock.loader import OFFERED, check
from .sdk import producers

if TYPE_CHECKING:
    from .engine.binary import ModuleInfo
    from .filters import Filter

__all__ = ["Inspection", "Item", "Memory", "inspect"]

PAGE = 65536
_SECTION_NAMES = {
    1: "type",
    2: "import",
    3: "function",
    4: "table",
    5: "memory",
    6: "global",
    7: "export",
    8: "start",
    9: "element",
    10: "code",
    11: "data",
    12: "data count",
    13: "tag",
}


@dataclass(frozen=True, slots=True)
class Item:
    """An import or an export.

    Attributes:
        name: with its module, of an import.
        type: as ``i32 i32 -> i32``, ``void`` for nothing; the kind of what is no function.
        note: who offers an import, or what an export is for.
        fine: Envoy offers it (imports); always true of exports.
    """

    name: str
    type: str
    note: str
    fine: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory at the start, and at most if there is a limit."""

    initial: int
    maximum: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a guest is.

    Attributes:
        abi: its ABI version; ``None`` without a marker.
        sdk: what it seems to be built with; ``None`` if nothing tells.
        made_by: what the compilers wrote about themselves, by field.
        sections: bytes by section, custom ones as ``custom NAME``; the largest first.
        has_names: a trap can name functions.
        has_lines: a trap can name files and lines (DWARF).
        problem: why Envoy would not load it, in its words; ``None`` if it would.
        emulated: false when Envoy offers something that the mock host does not have; ``problem`` says what.
    """

    size: int
    sha256: str
    abi: str | None
    sdk: str | None
    made_by: dict[str, list[str]]
    imports: tuple[Item, ...]
    exports: tuple[Item, ...]
    memory: Memory | None
    sections: dict[str, int]
    has_names: bool
    has_lines: bool
    problem: str | None
    emulated: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def inspect(filter: Filter) -> Inspection:
    """Look into a filter's module.

    Raises:
        BadModule: it is corrupt.
    """
    wasm = filter.wasm_bytes()
    info = read_module(wasm)
    exports = info.export_types()
    version = version_of(exports)
    problem, emulated = None, True
    try:
        check(info.import_types(), exports)
    except FilterStartError as error:
        problem = str(error)
    except NotEmulatedError as error:
        problem, emulated = str(error), False
    sections: dict[str, int] = {}
    for section in info.sections:
        name = f"custom {section.name}" if section.id == 0 else _SECTION_NAMES.get(section.id, str(section.id))
        sections[name] = sections.get(name, 0) + section.end - section.start
    return Inspection(
        size=len(wasm),
        sha256=filter.sha256,
        abi=str(version) if version is not None else None,
        sdk=filter.sdk,
        made_by=producers(wasm, info),
        imports=tuple(_import(one, version) for one in info.import_types()),
        exports=tuple(Item(one.name, _type(one), _export_note(one.name, one.kind)) for one in exports),
        memory=_memory(info),
        sections=dict(sorted(sections.items(), key=lambda entry: -entry[1])),
        has_names=info.custom("name") is not None,
        has_lines=info.custom(".debug_line") is not None,
        problem=problem,
        emulated=emulated,
    )


def _type(one: Import | Export) -> str:
    if one.type is None:
        return one.kind
    return f"{' '.join(one.type.params) or 'void'} -> {' '.join(one.type.results) or 'void'}"


def _memory(info: ModuleInfo) -> Memory | None:
    if not info.memories:
        return None
    first = info.memories[0]
    return Memory(first.minimum * PAGE, first.maximum * PAGE if first.maximum is not None else None)


def _import(one: Import, version: AbiVersion | None) -> Item:
    full = f"{one.module}.{one.name}"
    type_ = _type(one)
    if one.kind in ("memory", "table"):
        return Item(full, type_, "every host")
    key = (one.module, one.name)
    having = [v for v in ALL_VERSIONS if key in OFFERED[v]]
    known = version if version is not None else (having[-1] if having else None)
    if known is not None and key in OFFERED[known]:
        wanted = OFFERED[known][key]
        if one.type is None or (one.type.params, one.type.results) != wanted:
            return Item(full, type_, "every host has it with another type", fine=False)
        return Item(full, type_, "WASI" if one.module != "env" else f"Proxy-Wasm {_range(having)}")
    if having:
        return Item(full, type_, f"Proxy-Wasm {_range(having)} only", fine=False)
    other = IMPORTS_ELSEWHERE.get(one.name) if one.module == "env" else None
    if other is not None:
        return Item(full, type_, f"{other.hosts}: {other.what}", fine=False)
    if one.module == "env" and one.name in NOT_EMULATED:
        return Item(full, type_, f"Envoy ({NOT_EMULATED[one.name]}), not the mock host", fine=False)
    return Item(full, type_, "no host known here", fine=False)


def _range(versions: list[AbiVersion]) -> str:
    return str(versions[0]) if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


def _export_note(name: str, kind: str) -> str:
    if kind != "function":
        return ""
    if name in CALLBACKS:
        return "callback"
    if name in ALLOCATORS:
        return "allocator"
    if name.startswith("proxy_abi_version_"):
        return "ABI marker"
    if name in ("_initialize", "_start", "main", "__main_void"):
        return "start function"
    other = CALLBACKS_ELSEWHERE.get(name)
    return f"never called: {other.what}" if other is not None else ""
