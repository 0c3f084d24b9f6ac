"""The recorder: a copy of a guest that also logs what its hostcalls read and write; runs nothing.

Envoy's ``wasm:trace`` log shows the wasm values of a hostcall, not the bytes behind an address. In the copy each import
with something to show stands behind a wrapper, which calls ``proxy_log`` at level trace straight from the guest's
memory: once for each range the hostcall reads, before it, and once for each it wrote, after it, if it answered OK.
The guest's memory, the order of its calls and what they answer are the same. `reading` takes these calls out again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..abi.callbacks import ALLOCATORS, START_FUNCTIONS
from ..abi.hostcall import HostcallSpec
from ..abi.wasi import WASI
from ..engine.binary import ImportEntry, ModuleInfo, Reader, Section, byte_vector, read_module, unsigned
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
from .clockwork import IMPORTS as CLOCK_IMPORTS
from .clockwork import PERIOD, READY, READY_TYPE, TICK, Clockwork

__all__ = ["FORMAT", "Range", "ranges_read", "ranges_written", "recorded"]

FORMAT = 2
"""Version of the rewriting: part of the key under which a copy is kept."""
LOG = "proxy_log"
_LOG_TYPE = FunctionType(("i32", "i32", "i32"), ("i32",))
_KINDS = {"function": 0, "table": 1, "memory": 2, "global": 3, "tag": 4}
_WRITES = {"fd_write": 3, "fd_pwrite": 4}
"""WASI calls that log, and which argument points to the number of bytes."""
_SIZES = {"u32": 4, "u64": 8}
_ORDER = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11)
"""Sections in the order the format wants."""


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


def recorded(wasm: bytes, *, queue: bytes = b"") -> bytes:
    """The copy of a guest.

    Args:
        queue: the name of its queue for ticks: it takes its time from the test's clock, see `clockwork`.

    Raises:
        BadModule: it cannot be rewritten.
    """
    info = read_module(wasm)
    if info.memory_index not in (0, None):
        raise BadModule("it exports another memory than its first")
    return _Copy(wasm, info, queue).rewritten()


class _Copy:
    """One guest that is rewritten.

    Imports that it lacks come behind its own: its functions move up. Behind them come wrappers.
    """

    def __init__(self, wasm: bytes, info: ModuleInfo, queue: bytes) -> None:
        self._wasm = wasm
        self._info = info
        imports = info.imported_functions
        self._imports = len(imports)
        known = {one.name: n for n, one in enumerate(imports) if one.module == "env"}
        needed = {LOG: _LOG_TYPE, **(CLOCK_IMPORTS if queue else {})}
        self._added = {name: kind for name, kind in needed.items() if name not in known}
        functions = {**known, **{name: self._imports + n for n, name in enumerate(self._added)}}
        self._new_types = [*self._added.values(), *([READY_TYPE] if queue else [])]
        self._log = functions[LOG]
        self._clock = Clockwork(functions, info.global_count, queue) if queue else None
        self._types: list[bytes] = []
        self._bodies: list[bytes] = []
        self._wrapped: dict[int, int] = {}
        for number, entry in enumerate(imports):
            body = self._wrapper(entry, info.types[entry.type_index], number)
            if body is not None:
                self._wrapped[number] = self._append(entry.type_index, body)
        self._exports = [
            (name, kind, self._function(index) if kind == "function" else index) for name, kind, index in info.exports
        ]
        if self._clock is not None:
            self._restrict(self._clock)
            if PERIOD in known:
                self._tick_on_demand(self._clock)

    def _append(self, type_index: int, body: bytes) -> int:
        """Add a function behind the guest's; its index."""
        self._types.append(unsigned(type_index))
        self._bodies.append(byte_vector(body))
        return self._imports + len(self._added) + len(self._info.functions) + len(self._bodies) - 1

    def _function(self, index: int) -> int:
        """The index to use in place of a function's."""
        return self._wrapped.get(index, index + len(self._added) if index >= self._imports else index)

    def _restrict(self, clock: Clockwork) -> None:
        """Start functions and allocators say when they run."""
        for n, (name, kind, index) in enumerate(self._exports):
            if kind == "function" and name in (*START_FUNCTIONS, *ALLOCATORS):
                original = next(at for known, _, at in self._info.exports if known == name)
                declared = self._info.function_type(original)
                body = b"\x00" + clock.during(index, declared) + END
                self._exports[n] = (name, kind, self._append(self._type_of(original), body))

    def _type_of(self, index: int) -> int:
        """The index of a function's type."""
        info = self._info
        if index < self._imports:
            return info.imported_functions[index].type_index
        return info.functions[index - self._imports]

    def _tick_on_demand(self, clock: Clockwork) -> None:
        """The guest's callback for queues is the one for ticks as well."""
        exported = {
            name: self._info.function_type(index) for name, kind, index in self._info.exports if kind == "function"
        }
        if exported.get(TICK) != FunctionType(("i32",), ()):
            return
        if exported.get(READY, READY_TYPE) != READY_TYPE:
            raise BadModule(f"its {READY} has another type than that of the ABI")
        at = {name: index for name, kind, index in self._exports if kind == "function"}
        body = b"\x00" + clock.on_queue_ready(at[TICK], at.get(READY)) + END
        own = self._append(len(self._info.types) + self._new_types.index(READY_TYPE), body)
        self._exports = [one for one in self._exports if one[0] != READY] + [(READY, "function", own)]

    def _wrapper(self, entry: ImportEntry, kind: FunctionType, number: int) -> bytes | None:
        """The body of an import's wrapper; ``None`` for one that has nothing to show."""
        first = last = b""
        count = len(kind.params)
        before: list[Range] = []
        if entry.module == "env":
            spec = HOSTCALLS.get(entry.name)
            declared = (spec.wasm_params, spec.wasm_results) if spec is not None else None
            if spec is None or entry.name == LOG or declared != (kind.params, kind.results):
                return None
            before = ranges_read(spec)
            after = ranges_written(spec) if spec.returns == "status" else []
        else:
            after = write_range(entry.name)
            if entry.name in WASI and WASI[entry.name].wasm_params != kind.params:
                return None
        if self._clock is not None and kind.results:
            first, last = self._clock.before(entry.name, count + 1), self._clock.after(entry.name, count + 1)
        if not (before or after or first or last):
            return None
        result = unsigned(count)
        parts = [(b"\x02\x01\x7f\x02\x7e" if first or last else b"\x01\x01\x7f") if kind.results else b"\x00", first]
        for one in before:
            parts.append(_log(_get(one.at), _get(one.at + 1), self._log))
        parts += [*(_get(n) for n in range(count)), b"\x10" + unsigned(number)]
        if kind.results:
            parts.append(b"\x22" + result)
        if after or last:
            parts.append(b"\x45\x04\x40" + last)  # if it answered 0
            for one in after:
                if one.size:
                    logged = _log(_get(one.at), b"\x41" + unsigned(one.size), self._log)
                else:
                    logged = _log(_load(one.at), _load(one.at + 1), self._log)
                parts.append(_get(one.at) + b"\x04\x40" + logged + b"\x0b" if one.optional else logged)
            parts += [b"\x0b", b"\x20" + result]
        return b"".join((*parts, END))

    def rewritten(self) -> bytes:
        """The module with functions renamed and wrappers behind its own."""
        if not self._bodies:
            return self._wasm
        out = {part.id: self._section(part) for part in self._info.sections if part.id}
        if self._clock is not None and 6 not in out:
            out[6] = make_section(6, vector(self._clock.globals))
        parts = [b"\0asm\x01\0\0\0"]
        place = {number: n for n, number in enumerate(_ORDER)}
        waiting = sorted(out, key=place.__getitem__)
        for part in self._info.sections:
            # Custom sections stay where they were.
            while waiting and part.id and place[waiting[0]] <= place[part.id]:
                parts.append(out[waiting.pop(0)])
            if not part.id:
                parts.append(self._section(part))
        return b"".join(parts)

    def _section(self, part: Section) -> bytes:
        wasm, function = self._wasm, self._function
        payload = wasm[part.start : part.end]
        reader = Reader(wasm, part.start, part.end, "a section")
        if part.id == 0:
            moved = self._added and part.name == "name"
            payload = byte_vector(part.name.encode()) + (_renamed_names(reader, function) if moved else payload)
        elif part.id == 1:
            payload = appended(wasm, part, [function_type(kind) for kind in self._new_types])
        elif part.id == 2:
            entries = [
                byte_vector(b"env") + byte_vector(name.encode()) + b"\x00" + unsigned(len(self._info.types) + n)
                for n, name in enumerate(self._added)
            ]
            payload = appended(wasm, part, entries)
        elif part.id == 3:
            payload = appended(wasm, part, self._types)
        elif part.id == 6:
            own = global_entries(reader, function)[0]
            payload = vector(own + (self._clock.globals if self._clock is not None else []))
        elif part.id == 7:
            payload = vector(
                [
                    byte_vector(name.encode()) + bytes((_KINDS[kind],)) + unsigned(index)
                    for name, kind, index in self._exports
                ]
            )
        elif part.id == 8 and self._info.start is not None:
            payload = unsigned(function(self._info.start))
        elif part.id == 9:
            payload = vector(element_segments(reader, function))
        elif part.id == 10:
            scanned = self._imports + len(self._info.functions) if self._added else self._imports
            bodies = [
                byte_vector(_body(wasm, *where, function, scanned)) for where in function_bodies(wasm, self._info)
            ]
            payload = vector(bodies + self._bodies)
        return make_section(part.id, payload)


def _get(parameter: int) -> bytes:
    return b"\x20" + unsigned(parameter)


def _load(parameter: int) -> bytes:
    return _get(parameter) + b"\x28\x00\x00"


def _log(address: bytes, size: bytes, log: int) -> bytes:
    return b"\x41\x00" + address + size + b"\x10" + unsigned(log) + b"\x1a"


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
