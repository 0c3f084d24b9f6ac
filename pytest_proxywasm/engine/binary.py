"""Reads and writes the WebAssembly binary format down to function bodies; knows no instruction and no engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from .interface import BadModule, ExportType, FunctionType, ImportType

__all__ = [
    "KINDS",
    "ImportEntry",
    "MemoryType",
    "ModuleInfo",
    "Reader",
    "Section",
    "byte_vector",
    "read_module",
    "signed",
    "unsigned",
]

MAGIC = b"\0asm"
KINDS = ("function", "table", "memory", "global", "tag")
_VALUE_TYPES = {
    0x7F: "i32",
    0x7E: "i64",
    0x7D: "f32",
    0x7C: "f64",
    0x7B: "v128",
    0x70: "funcref",
    0x6F: "externref",
}
_SECTIONS = (
    "custom",
    "type",
    "import",
    "function",
    "table",
    "memory",
    "global",
    "export",
    "start",
    "element",
    "code",
    "data",
    "data count",
    "tag",
)


def unsigned(value: int) -> bytes:
    """LEB128 of an unsigned integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """LEB128 of a signed integer."""
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def byte_vector(data: bytes) -> bytes:
    """Bytes behind their length."""
    return unsigned(len(data)) + data


class Reader:
    """A position in bytes; running past ``end`` is a `BadModule` that says where and in what."""

    __slots__ = ("data", "end", "pos", "what")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None, what: str = "the module") -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end
        self.what = what

    def bad(self, problem: str, at: int | None = None) -> BadModule:
        where = self.pos if at is None else at
        return BadModule(f"corrupt WebAssembly module: {problem} in {self.what}, at offset {where:#x}")

    def byte(self) -> int:
        if self.pos >= self.end:
            raise self.bad("unexpected end")
        value = self.data[self.pos]
        self.pos += 1
        return value

    def unsigned(self, bits: int = 32) -> int:
        result = shift = 0
        start = self.pos
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                raise self.bad("an integer that is too long", start)
        if result >> bits:
            raise self.bad("an integer that is too large", start)
        return result

    def bytes(self, size: int) -> bytes:
        if size > self.end - self.pos:
            raise self.bad(f"{size} bytes announced but {self.end - self.pos} left")
        self.pos += size
        return self.data[self.pos - size : self.pos]

    def name(self) -> str:
        start = self.pos
        try:
            return self.bytes(self.unsigned()).decode("utf-8")
        except UnicodeDecodeError:
            raise self.bad("a name that is not UTF-8", start) from None

    def count(self) -> int:
        """Length of a vector, checked against what can fit."""
        start = self.pos
        count = self.unsigned()
        if count > self.end - self.pos:
            raise self.bad(f"a vector of {count} items with {self.end - self.pos} bytes left", start)
        return count


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section's payload lies; ``name`` is that of a custom section, whose payload starts behind it."""

    id: int
    start: int
    end: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class MemoryType:
    """Limits of a memory in pages."""

    minimum: int
    maximum: int | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class ImportEntry:
    """An import; ``raw`` is its encoded description without the kind byte, ``type_index`` that of a function."""

    module: str
    name: str
    kind: str
    raw: bytes
    type_index: int = -1


@dataclass(slots=True)
class ModuleInfo:
    """All of a module but its function bodies and segments."""

    sections: list[Section] = field(default_factory=list)
    types: list[FunctionType] = field(default_factory=list)
    imports: list[ImportEntry] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    memories: list[MemoryType] = field(default_factory=list)
    tables: list[bytes] = field(default_factory=list)
    global_count: int = 0
    exports: list[tuple[str, str, int]] = field(default_factory=list)
    start: int | None = None

    def section(self, number: int) -> Section | None:
        return next((s for s in self.sections if s.id == number), None)

    def custom(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.id == 0 and s.name == name), None)

    @property
    def imported_functions(self) -> list[ImportEntry]:
        return [entry for entry in self.imports if entry.kind == "function"]

    def function_type(self, index: int) -> FunctionType:
        """Type of a function of the whole index space, imports first."""
        imported = self.imported_functions
        if index < len(imported):
            return self.types[imported[index].type_index]
        return self.types[self.functions[index - len(imported)]]

    @property
    def memory_index(self) -> int | None:
        """Index of the memory the host works on: the export ``memory``, else any exported one, else an imported one."""
        exported = [(name, index) for name, kind, index in self.exports if kind == "memory"]
        named = [index for name, index in exported if name == "memory"]
        if named:
            return named[0]
        if exported:
            return exported[0][1]
        return 0 if any(entry.kind == "memory" for entry in self.imports) else None

    def import_types(self) -> tuple[ImportType, ...]:
        return tuple(
            ImportType(e.module, e.name, e.kind, self.types[e.type_index] if e.kind == "function" else None)
            for e in self.imports
        )

    def export_types(self) -> tuple[ExportType, ...]:
        imported = self.imported_functions
        indices = [entry.type_index for entry in imported] + self.functions
        return tuple(
            ExportType(name, kind, self.types[indices[index]] if kind == "function" else None)
            for name, kind, index in self.exports
        )


def _value_type(reader: Reader) -> str:
    at = reader.pos
    code = reader.byte()
    kind = _VALUE_TYPES.get(code)
    if kind is not None:
        return kind
    proposal = {
        0x69: "exception handling",
        0x63: "function references",
        0x64: "function references",
        0x6E: "garbage collection",
        0x6D: "garbage collection",
        0x6C: "garbage collection",
        0x6B: "garbage collection",
        0x6A: "garbage collection",
    }.get(code)
    if proposal is not None:
        raise _unsupported(proposal, f"value type {code:#04x}", at)
    raise reader.bad(f"unknown value type {code:#04x}", at)


def _unsupported(proposal: str, what: str, at: int) -> BadModule:
    return BadModule(
        f"this module uses the WebAssembly proposal '{proposal}' ({what} at offset {at:#x}), which is not supported: "
        "build the filter without it"
    )


def _limits(reader: Reader, what: str) -> tuple[int, int | None]:
    at = reader.pos
    flags = reader.byte()
    if flags & 4:
        raise _unsupported("memory64", what, at)
    if flags & 2:
        raise _unsupported("threads", f"shared {what}", at)
    if flags & 8:
        raise _unsupported("custom page sizes", what, at)
    if flags > 1:
        raise reader.bad(f"unknown limits flags {flags:#04x}", at)
    return reader.unsigned(), reader.unsigned() if flags else None


def _memory(reader: Reader) -> MemoryType:
    at = reader.pos
    minimum, maximum = _limits(reader, "memory")
    return MemoryType(minimum, maximum, reader.data[at : reader.pos])


def _table(reader: Reader) -> bytes:
    at = reader.pos
    if reader.pos < reader.end and reader.data[reader.pos] == 0x40:
        raise _unsupported("function references", "table with an initial value", at)
    _value_type(reader)
    _limits(reader, "table")
    return reader.data[at : reader.pos]


def _types(reader: Reader, info: ModuleInfo) -> None:
    for _ in range(reader.count()):
        at = reader.pos
        form = reader.byte()
        if form in (0x4E, 0x4F, 0x50, 0x5E, 0x5F):
            raise _unsupported("garbage collection", f"type form {form:#04x}", at)
        if form != 0x60:
            raise reader.bad(f"unknown type form {form:#04x}", at)
        params = tuple(_value_type(reader) for _ in range(reader.count()))
        info.types.append(FunctionType(params, tuple(_value_type(reader) for _ in range(reader.count()))))


def _imports(reader: Reader, info: ModuleInfo) -> None:
    for _ in range(reader.count()):
        module, name = reader.name(), reader.name()
        at = reader.pos
        code = reader.byte()
        if code >= len(KINDS):
            raise reader.bad(f"unknown import kind {code}", at)
        kind, raw_start, type_index = KINDS[code], reader.pos, -1
        if kind == "function":
            type_index = _type_index(reader, info)
        elif kind == "table":
            info.tables.append(_table(reader))
        elif kind == "memory":
            info.memories.append(_memory(reader))
        elif kind == "global":
            _value_type(reader)
            reader.byte()
            info.global_count += 1
        else:
            reader.byte()
            _type_index(reader, info)
        info.imports.append(ImportEntry(module, name, kind, reader.data[raw_start : reader.pos], type_index))


def _type_index(reader: Reader, info: ModuleInfo) -> int:
    at = reader.pos
    index = reader.unsigned()
    if index >= len(info.types):
        raise reader.bad(f"type {index} of {len(info.types)}", at)
    return index


def _exports(reader: Reader, info: ModuleInfo) -> None:
    functions = len(info.imported_functions) + len(info.functions)
    counts = {"function": functions, "memory": len(info.memories), "table": len(info.tables)}
    seen: set[str] = set()
    for _ in range(reader.count()):
        at = reader.pos
        name, code = reader.name(), reader.byte()
        if code >= len(KINDS):
            raise reader.bad(f"unknown export kind {code}", at)
        index = reader.unsigned()
        if index >= counts.get(KINDS[code], index + 1):
            raise reader.bad(f"export {name!r} of a {KINDS[code]} {index} that does not exist", at)
        if name in seen:
            raise reader.bad(f"a second export {name!r}", at)
        seen.add(name)
        info.exports.append((name, KINDS[code], index))


def read_module(wasm: bytes) -> ModuleInfo:
    """Read all of a module but its code and segments; `BadModule` says what is wrong, and where."""
    if wasm[:4] != MAGIC:
        if not wasm:
            raise BadModule("not a WebAssembly module: it is empty")
        raise BadModule(f"not a WebAssembly module: it starts with {bytes(wasm[:4])!r} instead of b'\\x00asm'")
    if wasm[4:8] != b"\x01\0\0\0":
        if wasm[4:8] == b"\x0d\0\x01\0":
            raise BadModule(
                "this is a WebAssembly component, not a core module: build for wasm32-wasip1, not wasm32-wasip2"
            )
        raise BadModule(f"unknown WebAssembly version {bytes(wasm[4:8]).hex()}: only version 1 modules can be run")
    info = ModuleInfo()
    reader = Reader(wasm, 8)
    seen: set[int] = set()
    while reader.pos < reader.end:
        reader.what = "the module"
        at = reader.pos
        number = reader.byte()
        if number >= len(_SECTIONS):
            raise reader.bad(f"unknown section {number}", at)
        reader.what = f"the {_SECTIONS[number]} section"
        size = reader.unsigned()
        start = reader.pos
        if size > reader.end - start:
            raise reader.bad(f"{size} bytes announced but {reader.end - start} left: is the file cut off?", at)
        body = Reader(wasm, start, start + size, reader.what)
        reader.pos = start + size
        if number == 0:
            name = body.name()
            info.sections.append(Section(0, body.pos, body.end, name))
            continue
        if number in seen:
            raise body.bad("a second one of its kind", at)
        seen.add(number)
        info.sections.append(Section(number, start, body.end))
        _section(body, number, info)
    _check(info, Reader(wasm))
    return info


def _section(body: Reader, number: int, info: ModuleInfo) -> None:
    if number == 1:
        _types(body, info)
    elif number == 2:
        _imports(body, info)
    elif number == 3:
        info.functions.extend(_type_index(body, info) for _ in range(body.count()))
    elif number == 4:
        info.tables.extend(_table(body) for _ in range(body.count()))
    elif number == 5:
        info.memories.extend(_memory(body) for _ in range(body.count()))
    elif number == 6:
        info.global_count += body.count()
        return
    elif number == 7:
        _exports(body, info)
    elif number == 8:
        info.start = body.unsigned()
    else:
        return
    if body.pos != body.end:
        raise body.bad(f"{body.end - body.pos} bytes too many")


def _check(info: ModuleInfo, reader: Reader) -> None:
    code = info.section(10)
    if info.functions and code is None:
        raise reader.bad(f"{len(info.functions)} functions but no code section")
    functions = len(info.imported_functions) + len(info.functions)
    if info.start is not None and info.start >= functions:
        raise reader.bad(f"start function {info.start} that does not exist")
