"""Turns declared hostcalls into functions over a guest's memory; knows no engine and no proxy."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Any, Protocol

from ..headers import to_text
from ..trace import Arguments, Callback, Hostcall, Why
from .codec import decode_pairs, encode_pairs, split_path
from .enums import Status
from .hostcall import Block, HostcallSpec, Input, Output, Refused, Reply

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_BAD_MEMORY = Status.INVALID_MEMORY_ACCESS
_NOT_YET = object()
_NOTHING = Arguments()
"""Of calls that have no arguments or results (yet); never written to."""


class Guest(Protocol):
    """What bound hostcalls need of the guest that calls them."""

    memory: memoryview
    callback: Callback | None
    why: Why | None
    """What the host layer says about the status of the call that runs."""

    def renew(self) -> memoryview:
        """The memory as it is now, after it may have grown."""

    def allocate(self, size: int) -> int:
        """A block from the guest's allocator; 0 when it gives none."""

    @property
    def caller(self) -> Any:
        """The context the call acts on."""

    @property
    def gate(self) -> str | None:
        """``"start"`` or ``"allocator"`` while only few hostcalls are allowed."""

    def restricted(self, name: str) -> BaseException:
        """The error to raise for a call that the gate stops."""

    def unchecked_block(self, size: int) -> BaseException:
        """The error to raise where a proxy writes to a block although the allocator gave none."""

    @property
    def injector(self) -> Callable[[str, dict[str, Any]], Status | None] | None:
        """What decides whether a test wants a call to answer another status; ``None`` when nothing is injected."""


Bound = Callable[..., "int | None"]
_Decoder = Callable[[Guest, "tuple[int, ...]", int], Any]


def read(guest: Guest, address: int, size: int) -> bytes:
    """Bytes of the guest's memory; `Refused` when the range does not lie inside it."""
    end = address + size
    memory = guest.memory
    if end > len(memory):
        memory = guest.renew()
        if end > len(memory):
            raise Refused(_BAD_MEMORY, (_outside, address, size, len(memory)))
    return bytes(memory[address:end])


def check(guest: Guest, address: int, size: int) -> memoryview:
    """The memory, if the range lies inside it."""
    memory = guest.memory
    if address + size > len(memory):
        memory = guest.renew()
        if address + size > len(memory):
            raise Refused(_BAD_MEMORY, (_outside, address, size, len(memory)))
    return memory


def _outside(address: int, size: int, memory: int) -> str:
    return f"{size} bytes at address {address:#x} do not lie in the guest's memory of {memory:#x} bytes"


def _no_block(size: int) -> str:
    return f"the guest's allocator gave no block of {size} bytes for the result"


def _unknown(number: int, known: type[enum.IntEnum]) -> str:
    members = list(known)
    first, last = members[0], members[-1]
    return f"{number} is no {known.__name__}: they are {int(first)} ({first.name}) to {int(last)} ({last.name})"


def _argument(name: str, why: Why | None) -> str:
    text = why if isinstance(why, str) else why[0](*why[1:]) if why is not None else "it cannot be read"
    return f"argument {name}: {text}"


def _result(name: str, why: Why | None) -> str:
    text = why if isinstance(why, str) else why[0](*why[1:]) if why is not None else "it cannot be written"
    return f"result {name}: {text}"


def write_data(guest: Guest, data: bytes, address_of: int, size_of: int, *, optional: bool = False) -> None:
    """Hand data over: a block from the guest's allocator, its address and size written where the guest wants them.

    Empty data is address 0 and size 0 without an allocation, unless it is a `Block`. Bad out pointers are noticed
    after the allocation (Envoy 1.40: the block is allocated first); nothing is allocated for a guest that does not want
    the address.
    """
    address = 0
    block = type(data) is Block
    if (data or block) and (address_of or not optional):
        address = guest.allocate(len(data))
        if address == 0 and block and data:
            raise guest.unchecked_block(len(data))
        if address == 0 and not block:
            raise Refused(_BAD_MEMORY, (_no_block, len(data)))
        memory = check(guest, address, len(data))
        memory[address : address + len(data)] = data
    if address_of or not optional:
        _U32.pack_into(check(guest, address_of, 4), address_of, address)
    if size_of or not optional:
        _U32.pack_into(check(guest, size_of, 4), size_of, len(data))


def _word(spec: Input) -> _Decoder:
    bits = 64 if spec.wasm == ("i64",) else 32
    if spec.enum is not None:
        members = {int(m): m for m in spec.enum}
        if spec.checked:

            def decode(guest: Guest, words: tuple[int, ...], i: int) -> Any:
                try:
                    return members[words[i]]
                except KeyError:
                    raise Refused(Status.BAD_ARGUMENT, (_unknown, words[i], spec.enum)) from None

            return decode
        return lambda guest, words, i: members.get(words[i], words[i])
    if spec.signed:
        half, full = 1 << (bits - 1), 1 << bits
        return lambda guest, words, i: words[i] - full if words[i] >= half else words[i]
    return lambda guest, words, i: words[i]


def _data(guest: Guest, words: tuple[int, ...], i: int) -> bytes:
    address = words[i]
    end = address + words[i + 1]
    memory = guest.memory
    if end > len(memory):
        memory = guest.renew()
        if end > len(memory):
            raise Refused(_BAD_MEMORY, (_outside, address, words[i + 1], len(memory)))
    return bytes(memory[address:end])


def _pairs(guest: Guest, words: tuple[int, ...], i: int) -> Any:
    return decode_pairs(_data(guest, words, i))


class _Lazy:
    """Bytes that are read when the body asks for them, and remembered for the trace."""

    __slots__ = ("_guest", "_i", "_words", "value")

    def __init__(self, guest: Guest, words: tuple[int, ...], i: int) -> None:
        self._guest, self._words, self._i = guest, words, i
        self.value: bytes | None = None

    def __call__(self) -> bytes:
        self.value = _data(self._guest, self._words, self._i)
        return self.value


def _decoder(spec: Input) -> _Decoder:
    if spec.lazy:
        return _Lazy
    return {"word": _word(spec), "text": _data, "bytes": _data, "path": _data, "pairs": _pairs}[spec.kind]


def _shower(spec: Input) -> Callable[[Any], Any] | None:
    if spec.kind == "text":
        return to_text
    if spec.kind == "path":
        return lambda path: [to_text(part) for part in split_path(path)]
    return None


def _put_number(packer: struct.Struct) -> Callable[[Guest, tuple[int, ...], int, Any], None]:
    size = packer.size

    def put(guest: Guest, words: tuple[int, ...], i: int, value: Any) -> None:
        address = words[i]
        packer.pack_into(check(guest, address, size), address, value)

    return put


def _writer(out: Output) -> Callable[[Guest, tuple[int, ...], int, Any], None]:
    if out.kind == "u32":
        return _put_number(_U32)
    if out.kind == "u64":
        return _put_number(_U64)
    optional = out.optional
    if out.kind == "data":
        return lambda guest, words, i, value: write_data(guest, value, words[i], words[i + 1], optional=optional)
    return lambda guest, words, i, value: write_data(
        guest, encode_pairs(value) if value else b"", words[i], words[i + 1]
    )


def _readable(name: str, lazy: _Lazy) -> dict[str, bytes]:
    """The argument by name, if it can be read."""
    try:
        return {name: lazy()}
    except Refused:
        return {}


def bind(spec: HostcallSpec) -> Bound:
    """A function ``(guest, *wasm arguments) -> status`` that decodes, runs, encodes and records one hostcall."""
    decoders: list[tuple[_Decoder, int]] = []
    position = 0
    for param in spec.params:
        decoders.append((_decoder(param.input), position))
        position += len(param.input.wasm)
    writers = []
    for out in spec.outputs:
        writers.append((_writer(out), position, out.name, _result_shower(out)))
        position += len(out.wasm)
    first = [(_put_number(_U32), at) for (_, at, _, _), out in zip(writers, spec.outputs) if out.first]
    always = any(out.always for out in spec.outputs)
    names = tuple(param.name for param in spec.params)
    showers = tuple((p.name, s) for p in spec.params if (s := _shower(p.input)) is not None)
    eager = tuple((p.name, at) for at, p in enumerate(spec.params) if not p.input.lazy)
    lazies = tuple((p.name, at) for at, p in enumerate(spec.params) if p.input.lazy)
    body, name = spec.body, spec.name
    single = len(writers) == 1
    plain = spec.returns != "status"

    def shown(values: list[Any]) -> Arguments:
        args = Arguments(zip(names, values)) if not lazies else Arguments((key, values[at]) for key, at in eager)
        for key, show in showers:
            args[key] = show(args[key])
        return args

    def call(guest: Guest, *words: int) -> int | None:
        if guest.gate is not None and not _open(spec, guest.gate):
            raise guest.restricted(name)
        values: list[Any] = []
        callback = guest.callback
        record = None
        if callback is not None:
            record = Hostcall(name, _NOTHING, None, _NOTHING, callback)
            callback.hostcalls.append(record)
        results: Any = ()
        status: Any
        guest.why = None
        answer: Any = _NOT_YET
        done = 0
        try:
            for decode, at in decoders:
                values.append(decode(guest, words, at))
            if record is not None:
                record.args = shown(values)
            for put, at in first:
                put(guest, words, at, 0)
            injector = guest.injector
            injected = None
            if injector is not None:
                args = shown(values)
                for key, at in lazies:
                    args.update(_readable(key, values[at]))
                injected = injector(name, args)
            if injected is None:
                answer = body(guest.caller, *values)
            else:
                answer = injected
                if record is not None:
                    record.injected = True
            if plain:
                if record is not None:
                    record.status = answer
                return None if answer is None else int(answer)
            if type(answer) is Status:
                status = answer
            else:
                if type(answer) is Reply:
                    status, results = answer
                else:
                    status, results = Status.OK, ((answer,) if single else answer)
                if status is Status.OK or always:
                    for (write, at, _, _), value in zip(writers, results):
                        write(guest, words, at, value)
                        done += 1
        except Refused as refusal:
            status = refusal.status
            results = ()
            # What could not be decoded is the argument after those that were; a lazy one is decoded by the body.
            if len(values) < len(names):
                guest.why = (_argument, names[len(values)], refusal.why)
            elif answer is _NOT_YET:
                guest.why = (_argument, lazies[0][0], refusal.why) if lazies else refusal.why
            else:
                guest.why = (_result, writers[done][2], refusal.why)
        if record is not None:
            record.status = status
            if guest.why is not None:
                record.because(guest.why)
            if lazies and len(values) == len(names):
                for key, at in lazies:
                    record.args.update(_readable(key, values[at]))
            if status is Status.OK:
                record.results = Arguments(
                    (key, value if shown is None else shown(value))
                    for (_, _, key, shown), value in zip(writers, results)
                )
        return int(status)

    call.__name__ = call.__qualname__ = name
    return call


def _result_shower(out: Output) -> Callable[[Any], Any] | None:
    if out.text:
        return to_text
    if out.enum is not None:
        return out.enum
    return None


def _open(spec: HostcallSpec, gate: str) -> bool:
    return spec.during_start if gate == "start" else spec.inside_allocator


def bind_denied(spec: HostcallSpec) -> Bound:
    """The stub of a hostcall that ``allowed_capabilities`` leaves out: it answers INTERNAL_FAILURE."""

    def call(guest: Guest, *words: int) -> int | None:
        guest.caller.denied(spec.name)
        if guest.callback is not None:
            record = Hostcall(spec.name, Arguments(), Status.INTERNAL_FAILURE, Arguments(), guest.callback)
            record.because(f"{spec.name} is not among the filter's allowed_capabilities")
            guest.callback.hostcalls.append(record)
        return None if spec.returns == "none" else Status.INTERNAL_FAILURE

    return call
