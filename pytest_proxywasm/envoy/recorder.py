"""The recorder: a copy of a guest that also logs what its hostcalls read and write; runs nothing.

Envoy's ``wasm:trace`` log shows the wasm values of a hostcall, not the bytes behind an address. In the copy each import
with something to show stands behind a wrapper, which calls ``proxy_log`` at level trace straight from the guest's
memory: once for each range the hostcall reads, before it, and once for each it wrote, after it, if it answered OK.
The guest's memory, the order of its calls and what they answer are the same. `reading` takes these calls out again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..abi.hostcall import HostcallSpec
from ..engine.binary import ImportEntry, ModuleInfo, Reader, byte_vector, read_module, unsigned
from ..engine.interface import BadModule, FunctionType
from ..engine.opcodes import interesting
from ..engine.rewriting import (
    END,
    appended,
    apply_edits,
    element_segments,
    function_bodies,
    function_type,
    global_entries,
    make_section,
    vector,
)
from ..host.hostcalls import HOSTCALLS

__all__ = ["FORMAT", "Range", "ranges_read", "ranges_written", "recorded"]

FORMAT = 1
"""Version of the rewriting: part of the key under which a copy is kept."""
LOG = "proxy_log"
_LOG_TYPE = FunctionType(("i32", "i32", "i32"), ("i32",))
_KINDS = {"function": 0, "table": 1, "memory": 2, "global": 3, "tag": 4}
_WRITES = {"fd_write": 3, "fd_pwrite": 4}
"""WASI calls that log, and which argument points to the number of bytes."""
_SIZES = {"u32": 4, "u64": 8}


@dataclass(frozen=True, slots=True)
class Range:
    """A range of the guest's memory that is logged.

    Attributes:
        name: of the argument or result.
        at: which of the call's wasm values tells of it.
        size: its size; 0 if the next value tells it (of what is read), or if address and size are themselves behind
            the addresses in this value and the next (of what is written).
        optional: logged only if the address is not 0.
    """

    name: str
    at: int
    size: int = 0
    optional: bool = False


def ranges_read(spec: HostcallSpec) -> list[Range]:
    """What is logged before a hostcall."""
    found, at = [], 0
    for param in spec.params:
        if len(param.input.wasm) == 2:
            found.append(Range(param.name, at))
        at += len(param.input.wasm)
    return found


def ranges_written(spec: HostcallSpec) -> list[Range]:
    """What is logged after a hostcall that answered OK."""
    found = []
    at = sum(len(param.input.wasm) for param in spec.params)
    for out in spec.outputs:
        found.append(Range(out.name, at, _SIZES.get(out.kind, 0), out.optional))
        at += len(out.wasm)
    return found


def write_range(name: str) -> list[Range]:
    """What is logged after a WASI call that was successful: of one that logs, how many bytes it took."""
    return [Range("nwritten", _WRITES[name], 4)] if name in _WRITES else []


def recorded(wasm: bytes) -> bytes:
    """The copy of a guest.

    Raises:
        BadModule: it cannot be rewritten.
    """
    info = read_module(wasm)
    imports = info.imported_functions
    if info.memory_index not in (0, None):
        raise BadModule("it exports another memory than its first")
    log = next((n for n, one in enumerate(imports) if (one.module, one.name) == ("env", LOG)), None)
    # A guest that logs nothing gets the import, behind its own: its functions move up by one.
    moved = int(log is None)
    log = len(imports) if log is None else log
    bodies: list[bytes] = []
    types: list[bytes] = []
    wrapped: dict[int, int] = {}
    for number, entry in enumerate(imports):
        body = _wrapper(entry, info.types[entry.type_index], number, log)
        if body is not None:
            wrapped[number] = len(imports) + moved + len(info.functions) + len(bodies)
            bodies.append(byte_vector(body))
            types.append(unsigned(entry.type_index))
    if not wrapped:
        return wasm

    def function(index: int) -> int:
        return wrapped.get(index, index + moved if index >= len(imports) else index)

    return _rewritten(wasm, info, function, len(imports), moved, types, bodies)


def _wrapper(entry: ImportEntry, kind: FunctionType, number: int, log: int) -> bytes | None:
    """The body of an import's wrapper; ``None`` for one that has nothing to show."""
    if entry.module == "env":
        spec = HOSTCALLS.get(entry.name)
        if spec is None or entry.name == LOG or (spec.wasm_params, spec.wasm_results) != (kind.params, kind.results):
            return None
        before = ranges_read(spec)
        after = ranges_written(spec) if spec.returns == "status" else []
    else:
        before, after = [], write_range(entry.name)
    if not (before or after):
        return None
    count = len(kind.params)
    result = unsigned(count)
    parts = [b"\x01\x01\x7f" if kind.results else b"\x00"]
    for one in before:
        parts.append(_log(_get(one.at), _get(one.at + 1), log))
    parts += [*(_get(n) for n in range(count)), b"\x10" + unsigned(number)]
    if kind.results:
        parts.append(b"\x22" + result)
    if after:
        parts.append(b"\x45\x04\x40")  # if it answered 0
        for one in after:
            if one.size:
                logged = _log(_get(one.at), b"\x41" + unsigned(one.size), log)
            else:
                logged = _log(_load(one.at), _load(one.at + 1), log)
            parts.append(_get(one.at) + b"\x04\x40" + logged + b"\x0b" if one.optional else logged)
        parts += [b"\x0b", b"\x20" + result]
    return b"".join((*parts, END))


def _get(parameter: int) -> bytes:
    return b"\x20" + unsigned(parameter)


def _load(parameter: int) -> bytes:
    return _get(parameter) + b"\x28\x00\x00"


def _log(address: bytes, size: bytes, log: int) -> bytes:
    return b"\x41\x00" + address + size + b"\x10" + unsigned(log) + b"\x1a"


def _rewritten(
    wasm: bytes,
    info: ModuleInfo,
    function: Callable[[int], int],
    imports: int,
    moved: int,
    types: list[bytes],
    bodies: list[bytes],
) -> bytes:
    """The module with functions renamed and wrappers behind its own."""
    out = [b"\0asm\x01\0\0\0"]
    for part in info.sections:
        payload = wasm[part.start : part.end]
        reader = Reader(wasm, part.start, part.end, "a section")
        if part.id == 0:
            payload = byte_vector(part.name.encode()) + (
                _renamed_names(reader, function) if moved and part.name == "name" else payload
            )
        elif part.id == 1 and moved:
            payload = appended(wasm, part, [function_type(_LOG_TYPE)])
        elif part.id == 2 and moved:
            entry = byte_vector(b"env") + byte_vector(LOG.encode()) + b"\x00" + unsigned(len(info.types))
            payload = appended(wasm, part, [entry])
        elif part.id == 3:
            payload = appended(wasm, part, types)
        elif part.id == 6:
            payload = vector(global_entries(reader, function)[0])
        elif part.id == 7:
            payload = vector(
                [
                    byte_vector(name.encode())
                    + bytes((_KINDS[kind],))
                    + unsigned(function(index) if kind == "function" else index)
                    for name, kind, index in info.exports
                ]
            )
        elif part.id == 8 and info.start is not None:
            payload = unsigned(function(info.start))
        elif part.id == 9:
            payload = vector(element_segments(reader, function))
        elif part.id == 10:
            scanned = imports + len(info.functions) if moved else imports
            own = [byte_vector(_body(wasm, *where, function, scanned)) for where in function_bodies(wasm, info)]
            payload = vector(own + bodies)
        out.append(make_section(part.id, payload))
    return b"".join(out)


def _body(wasm: bytes, start: int, end: int, function: Callable[[int], int], scanned: int) -> bytes:
    reader = Reader(wasm, start, end, "a function body")
    for _ in range(reader.count()):
        reader.unsigned()
        reader.byte()
    edits = []
    for code, at, after, value in interesting(wasm, reader.pos, end, scanned):
        if code in (0x10, 0x12, 0xD2) and (target := function(value)) != value:
            edits.append((at, after, bytes((code,)) + unsigned(target)))
    return apply_edits(wasm, start, end, edits)


def _renamed_names(reader: Reader, function: Callable[[int], int]) -> bytes:
    """The names of functions that have moved; names of locals and labels are left out."""
    out = []
    while reader.pos < reader.end:
        kind, size = reader.byte(), reader.unsigned()
        end = reader.pos + size
        if kind == 1:
            names = [(reader.unsigned(), reader.bytes(reader.unsigned())) for _ in range(reader.count())]
            names = sorted((function(index), name) for index, name in names)
            out.append(make_section(1, vector([unsigned(index) + byte_vector(name) for index, name in names])))
        elif kind not in (2, 3):
            out.append(make_section(kind, reader.data[reader.pos : end]))
        reader.pos = end
    return b"".join(out)
