"""Rewrites a guest so that both engines count and limit it alike; knows no engine, and nothing of what it computes.

What the rewritten module adds, all behind the guest's own functions, whose indices stay as they are:

- a budget: a counter taken down at every function entry and loop head, and `unreachable` when it runs out;
- ``memory.grow`` answers -1 beyond the cap of the instance;
- each exported function twice: ``o<n>`` fills the budget first (outermost calls), ``i<n>`` does not (nested calls);
- the start function as export ``s``, because the limits must be set before it runs;
- the values of all mutable globals, the budget's among them, from ``r`` and into ``l``, floats as their bits;
- ``memory.grow`` as export ``g``;
- imported memories and tables as definitions, because the host provides them anyway;
- with ``window``: every import becomes a function without parameters and results, behind a wrapper that stores the
  arguments in the one-page memory ``w`` and reads the result from it.

Imports are renamed ``h.<n>`` so that importing the same function twice is no special case.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass

from .binary import KINDS, ModuleInfo, Reader, byte_vector, read_module, signed, unsigned
from .interface import DEFAULT_BUDGET, DEFAULT_MAX_MEMORY, PAGE, BadModule, FunctionType
from .opcodes import interesting
from .rewriting import (
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

__all__ = [
    "ARGUMENTS",
    "FORMAT",
    "RESULT",
    "Instrumented",
    "instrument",
    "locate",
    "original_offset",
]

FORMAT = 2
"""Version of the rewriting: part of the key of cached compiled modules."""

RESULT = 8
ARGUMENTS = 16
"""Offsets in the window: a flag that the host function came back, the result, the arguments (8 bytes each)."""

_LOAD = {"i32": 0x28, "i64": 0x29, "f32": 0x2A, "f64": 0x2B}
_STORE = {"i32": 0x36, "i64": 0x37, "f32": 0x38, "f64": 0x39}


@dataclass(frozen=True, slots=True)
class Instrumented:
    """The rewritten module.

    Attributes:
        starts: where in it each of the guest's own function bodies starts (the map for offsets).
        globals: what ``r`` gives and ``l`` takes, ``"i32"`` or ``"i64"`` each.
        unsaved: what of its state memory and globals do not hold, as words for a message; "" if nothing.
    """

    wasm: bytes
    starts: array[int]
    globals: tuple[str, ...]
    unsaved: str


@dataclass(slots=True)
class _Plan:
    """Indices of what is added, and how the guest's own indices map."""

    imported: int
    window: bool
    own: int
    charge: bytes
    grow: bytes
    changes_tables: bool = False
    """Set once a body is seen that changes a table or drops a segment."""

    def function(self, index: int) -> int:
        """Index to use where the guest names a function: imports go through their wrapper."""
        return self.own + index if self.window and index < self.imported else index


def _plan(info: ModuleInfo, window: bool) -> _Plan:
    imported = len(info.imported_functions)
    own = imported + len(info.functions)
    added = own + (imported if window else 0)
    budget = unsigned(info.global_count)
    take = b"\x23" + budget + b"\x42\x01\x7d\x24" + budget
    stop_if_empty = b"\x23" + budget + b"\x42\x00\x53\x04\x40\x00\x0b"
    return _Plan(imported, window, own, take + stop_if_empty, b"\x10" + unsigned(added))


def _edits(data: bytes, start: int, end: int, plan: _Plan) -> list[tuple[int, int, bytes]]:
    """What to change in one body, which starts with its locals: (from, to, new bytes), in order."""
    reader = Reader(data, start, end, "a function body")
    for _ in range(reader.count()):
        reader.unsigned()
        reader.byte()
    edits = [(reader.pos, reader.pos, plan.charge)]
    for code, at, after, value in interesting(data, reader.pos, end, plan.imported if plan.window else 0):
        if code == 0x03:
            if data[at + 1] in (0x63, 0x64):
                raise BadModule(
                    "this module uses the WebAssembly proposal 'function references' "
                    f"(block type at offset {at:#x}), which is not supported: build the filter without it"
                )
            edits.append((after, after, plan.charge))
        elif code == 0x40:
            if value == 0:
                edits.append((at, after, plan.grow))
        elif code in (0x26, 0xFC):
            plan.changes_tables = True
        else:
            target = plan.function(value)
            if target != value:
                edits.append((at, after, bytes((code,)) + unsigned(target)))
    return edits


def original_offset(wasm: bytes, info: ModuleInfo, window: bool, function: int, body_offset: int) -> tuple[int, int]:
    """Offset in the original module of an offset into the rewritten body of a function, and where that body starts."""
    plan = _plan(info, window)
    section = info.section(10)
    if section is None:
        raise IndexError(function)
    reader = Reader(wasm, section.start, section.end, "the code section")
    reader.unsigned()
    for _ in range(function - plan.imported):
        skipped = reader.unsigned()
        reader.pos += skipped
    size = reader.unsigned()
    start, end = reader.pos, reader.pos + size
    shift = 0
    for low, high, new in _edits(wasm, start, end, plan):
        new_low = low - start + shift
        if body_offset < new_low:
            break
        if body_offset < new_low + len(new):
            return low, start
        shift += len(new) - (high - low)
    return min(start + body_offset - shift, end), start


def locate(starts: array[int], offset: int) -> tuple[int, int]:
    """Which of the guest's own functions an offset of the rewritten module lies in, and how far into its body."""
    index = bisect_right(starts, offset) - 1
    return index, offset - starts[index] if index >= 0 else -1


def _imports(info: ModuleInfo, retyped: int | None) -> bytes:
    """Functions renamed; globals and tags, which no host offers, only to keep indices; memories and tables left out."""
    items = []
    functions = 0
    for entry in info.imports:
        if entry.kind == "function":
            index = entry.type_index if retyped is None else retyped
            items.append(b"\x01h" + byte_vector(str(functions).encode()) + b"\x00" + unsigned(index))
            functions += 1
        elif entry.kind in ("global", "tag"):
            items.append(b"\x01h\x01-" + bytes((KINDS.index(entry.kind),)) + entry.raw)
    return vector(items)


def _wrapper(kind: FunctionType, target: int, memory: int) -> bytes:
    """Body that hands one import its arguments through the window."""

    def access(code: int, offset: int) -> bytes:
        return (
            bytes((code, 0x40)) + unsigned(memory) + unsigned(offset) if memory else bytes((code, 0)) + unsigned(offset)
        )

    if len(kind.results) > 1 or not _LOAD.keys() >= {*kind.params, *kind.results}:
        # No host function can be linked here, so this never runs.
        return b"\x00\x00" + END
    out = [b"\x00\x41\x00\x41\x00", access(0x36, 0)]
    for number, param in enumerate(kind.params):
        out += [b"\x41\x00\x20", unsigned(number), access(_STORE[param], ARGUMENTS + 8 * number)]
    out += [b"\x10", unsigned(target), b"\x41\x00", access(0x28, 0), b"\x45\x04\x40\x00\x0b"]
    for result in kind.results:
        out += [b"\x41\x00", access(_LOAD[result], RESULT)]
    return b"".join((*out, END))


def _thunk(parameters: int, target: int, budget: int) -> bytes:
    """Body that fills the budget and calls on."""
    fill = b"\x00\x23" + unsigned(budget + 1) + b"\x24" + unsigned(budget)
    return fill + b"".join(b"\x20" + unsigned(n) for n in range(parameters)) + b"\x10" + unsigned(target) + END


_AS_BITS = {"i32": b"", "i64": b"", "f32": b"\xbc", "f64": b"\xbd"}
_FROM_BITS = {"i32": b"", "i64": b"", "f32": b"\xbe", "f64": b"\xbf"}
_MOST_VALUES = 64
"""How many parameters and results every engine can pass between Python and a guest; SDKs make a dozen globals."""


def _read_all(saved: dict[int, str]) -> bytes:
    """Body that gives the values of globals."""
    return b"\x00" + b"".join(b"\x23" + unsigned(n) + _AS_BITS[t] for n, t in saved.items()) + END


def _write_all(saved: dict[int, str]) -> bytes:
    """Body that takes them back."""
    parts = [
        b"\x20" + unsigned(place) + _FROM_BITS[t] + b"\x24" + unsigned(n) for place, (n, t) in enumerate(saved.items())
    ]
    return b"\x00" + b"".join(parts) + END


def _unsaved(info: ModuleInfo, mutable: dict[int, str]) -> str:
    """What of a guest's state memory and globals do not hold, as far as its declarations show."""
    strange = [kind for kind in mutable.values() if kind not in _AS_BITS]
    if strange:
        return f"globals of type {strange[0]}"
    if len(mutable) >= _MOST_VALUES:
        return f"{len(mutable)} globals"
    if len(info.memories) > 1 or (info.memories and info.memory_index is None):
        return "a memory that it does not export"
    return ""


def instrument(wasm: bytes, info: ModuleInfo | None = None, *, window: bool = False) -> Instrumented:
    """Rewrite a module as the docstring of this file says; `BadModule` names what cannot be rewritten."""
    info = read_module(wasm) if info is None else info
    plan = _plan(info, window)
    imports = info.imported_functions
    import_types = [info.types[entry.type_index] for entry in imports]
    has_memory = bool(info.memories)
    types = len(info.types)
    nothing, grow_type, configure_type, left_type = types, types + 1, types + 2, types + 3
    read_type, write_type = types + 4, types + 5
    budget = info.global_count
    window_index = len(info.memories)
    own_globals, mutable = _own_globals(wasm, info, plan)
    unsaved = _unsaved(info, mutable)
    imported_globals = info.global_count - len(own_globals)
    saved = {} if unsaved else {imported_globals + number: kind for number, kind in mutable.items()}
    saved[budget] = "i64"
    bits = tuple({"f32": "i32", "f64": "i64"}.get(kind, kind) for kind in saved.values())

    new_functions: list[int] = []
    bodies: list[bytes] = []
    exports: list[bytes] = []

    def add(type_index: int, body: bytes) -> int:
        new_functions.append(type_index)
        bodies.append(byte_vector(body))
        return plan.own + len(new_functions) - 1

    def export(name: str, kind: int, index: int) -> None:
        exports.append(byte_vector(name.encode()) + bytes((kind,)) + unsigned(index))

    if window:
        for number, (entry, kind) in enumerate(zip(imports, import_types)):
            add(entry.type_index, _wrapper(kind, number, window_index))
        export("w", 2, window_index)
    if has_memory:
        # -1 when delta > cap - size, which never underflows: instances whose memory starts above the cap are refused.
        room = b"\x20\x00\x23" + unsigned(budget + 2) + b"\x3f\x00\x6b\x4b"
        grow = add(grow_type, b"\x00" + room + b"\x04\x7f\x41\x7f\x05\x20\x00\x40\x00\x0b" + END)
    else:
        grow = add(grow_type, b"\x00\x41\x7f" + END)
    export("g", 0, grow)
    export("r", 0, add(read_type, _read_all(saved)))
    export("l", 0, add(write_type, _write_all(saved)))
    sets = b"\x20\x00\x24" + unsigned(budget + 1) + b"\x20\x00\x24" + unsigned(budget)
    export("c", 0, add(configure_type, b"\x00" + sets + b"\x20\x01\x24" + unsigned(budget + 2) + END))
    export("b", 0, add(left_type, b"\x00\x23" + unsigned(budget) + END))
    memory = info.memory_index
    if memory is not None:
        export("m", 2, memory)
    type_indices = [entry.type_index for entry in imports] + info.functions
    for number, (_, kind_name, index) in enumerate(info.exports):
        if kind_name == "function":
            target = plan.function(index)
            export(f"i{number}", 0, target)
            type_index = type_indices[index]
            export(f"o{number}", 0, add(type_index, _thunk(len(info.types[type_index].params), target, budget)))
    if info.start is not None:
        export("s", 0, add(nothing, _thunk(0, plan.function(info.start), budget)))

    rewritten, starts = _assemble(
        wasm,
        info,
        plan,
        own_globals,
        make_section(
            1,
            appended(
                wasm,
                info.section(1),
                [
                    function_type(FunctionType((), ())),
                    function_type(FunctionType(("i32",), ("i32",))),
                    function_type(FunctionType(("i64", "i32"), ())),
                    function_type(FunctionType((), ("i64",))),
                    function_type(FunctionType((), bits)),
                    function_type(FunctionType(bits, ())),
                ],
            ),
        ),
        make_section(
            2,
            _imports(info, nothing if window else None),
        ),
        [unsigned(index) for index in new_functions],
        bodies,
        exports,
    )
    if not unsaved and plan.changes_tables:
        unsaved = "tables or segments that it changes"
    return Instrumented(rewritten, starts, bits, unsaved)


def _own_globals(wasm: bytes, info: ModuleInfo, plan: _Plan) -> tuple[list[bytes], dict[int, str]]:
    section = info.section(6)
    if section is None:
        return [], {}
    return global_entries(Reader(wasm, section.start, section.end, "the global section"), plan.function)


def _assemble(
    wasm: bytes,
    info: ModuleInfo,
    plan: _Plan,
    own_globals: list[bytes],
    type_section: bytes,
    import_section: bytes,
    functions: list[bytes],
    bodies: list[bytes],
    exports: list[bytes],
) -> tuple[bytes, array[int]]:
    memories = [memory.raw for memory in info.memories]
    if plan.window:
        memories.append(b"\x01\x01\x01")
    added_globals = [
        b"\x7e\x01\x42" + signed(DEFAULT_BUDGET) + END,
        b"\x7e\x01\x42" + signed(DEFAULT_BUDGET) + END,
        b"\x7f\x01\x41" + signed(DEFAULT_MAX_MEMORY // PAGE) + END,
    ]
    head = [
        b"\0asm\x01\0\0\0",
        type_section,
        import_section,
        make_section(3, appended(wasm, info.section(3), functions)),
    ]
    if info.tables:
        head.append(make_section(4, vector(info.tables)))
    if memories:
        head.append(make_section(5, vector(memories)))
    tags = info.section(13)
    if tags is not None:
        head.append(make_section(13, wasm[tags.start : tags.end]))
    head.append(make_section(6, vector(own_globals + added_globals)))
    head.append(make_section(7, vector(exports)))
    elements = info.section(9)
    if elements is not None:
        segments = element_segments(Reader(wasm, elements.start, elements.end, "the element section"), plan.function)
        head.append(make_section(9, vector(segments)))
    count = info.section(12)
    if count is not None:
        head.append(make_section(12, wasm[count.start : count.end]))
    code, starts = _code(wasm, info, plan, bodies, sum(map(len, head)))
    head.append(code)
    data = info.section(11)
    if data is not None:
        head.append(make_section(11, wasm[data.start : data.end]))
    return b"".join(head), starts


def _code(wasm: bytes, info: ModuleInfo, plan: _Plan, added: list[bytes], offset: int) -> tuple[bytes, array[int]]:
    """The code section, and where its first bodies (the guest's own) start in the whole module."""
    parts = [unsigned(len(info.functions) + len(added))]
    starts = array("I")
    pos = len(parts[0])
    for start, end in function_bodies(wasm, info):
        body = apply_edits(wasm, start, end, _edits(wasm, start, end, plan))
        length = unsigned(len(body))
        starts.append(pos + len(length))
        parts += (length, body)
        pos += len(length) + len(body)
    payload = b"".join(parts + added)
    prefix = b"\x0a" + unsigned(len(payload))
    base = offset + len(prefix)
    return prefix + payload, array("I", [base + start for start in starts])
