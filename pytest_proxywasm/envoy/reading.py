"""Envoy's ``wasm:trace`` log as a `Trace` with raw integers, guest logs and traps; knows the ABI, and runs nothing.

Envoy writes a line for every callback and hostcall of any guest, with the wasm values it passed. Addresses are left out
here; of a text or data argument its size is kept, as ``key_size`` for ``key``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..abi.callbacks import ALLOCATORS, CALLBACKS, START_FUNCTIONS
from ..abi.enums import Errno, Status
from ..abi.wasi import WASI
from ..errors import GuestTrap
from ..headers import Headers
from ..host.hostcalls import HOSTCALLS
from ..model import Action, GuestLog, LogLevel
from ..trace import Arguments, Callback, Hostcall, Trace, WasiCall
from .configuration import OBSERVED
from .log import Record

__all__ = ["Observed", "Reading", "plain_arguments"]

_ENTER = re.compile(r"\[host->vm\] ([\w.]+)\((.*)\)", re.DOTALL)
_LEAVE = re.compile(r"\[host<-vm\] ([\w.]+) return: (.*)", re.DOTALL)
_CALL = re.compile(r"\[vm->host\] ([\w.]+)\.(\w+)\((.*)\)", re.DOTALL)
_ANSWER = re.compile(r"\[vm<-host\] ([\w.]+)\.(\w+) return: (.*)", re.DOTALL)
_OBSERVED = re.compile(rf"{OBSERVED} (\w+) (\w+) (\S*)\Z")
_TRAP = re.compile(r"Function: (\w+) failed: (.*)", re.DOTALL)
CALL_IDS = ("call_id", "call_or_stream_id")
_LEVELS = {
    "trace": LogLevel.TRACE,
    "debug": LogLevel.DEBUG,
    "info": LogLevel.INFO,
    "warning": LogLevel.WARN,
    "warn": LogLevel.WARN,
    "error": LogLevel.ERROR,
    "critical": LogLevel.CRITICAL,
}
_KINDS = (
    ("unreachable", "unreachable"),
    ("Maximum call stack", "stack_overflow"),
    ("memory access out of bounds", "memory_out_of_bounds"),
    ("table index is out of bounds", "table_out_of_bounds"),
    ("table access out of bounds", "table_out_of_bounds"),
    ("null function or function signature", "bad_signature"),
    ("divide result unrepresentable", "integer_overflow"),
    ("divide by zero", "integer_division_by_zero"),
    ("remainder by zero", "integer_division_by_zero"),
    ("float unrepresentable", "bad_conversion_to_integer"),
    ("restricted_callback", "restricted_callback"),
)


@dataclass(frozen=True, slots=True)
class Observed:
    """A header map on its way.

    Attributes:
        where: ``"first"`` or ``"last"``: before the first filter or behind the last, as requests go.
        what: ``"request"`` or ``"response"``.
    """

    where: str
    what: str
    headers: Headers


@dataclass(slots=True)
class _Thread:
    """What runs on one of Envoy's threads."""

    stack: list[Callback] = field(default_factory=list)
    calls: list[Hostcall] = field(default_factory=list)
    allocating: int = 0
    log_size: int | None = None


@dataclass(slots=True)
class Reading:
    """What the log of one Envoy says; `feed` it records.

    Attributes:
        names: the names of the plugins.
        keep: whose events are kept: ``"worker"``, ``"main"`` or ``"all"``.
        on_log: told of every guest log that is kept.
        main: Envoy's main thread, which logs first.
        trace: callbacks with their hostcalls.
        logs: what guests logged.
        traps: failures of guests.
        tick_ms: the tick period a guest asked for last; 0 for none.
        others: errors and warnings of Envoy itself.
        observed: header maps as they came to the first filter and left the last.
    """

    names: Sequence[str] = ()
    keep: str = "worker"
    on_log: Callable[[GuestLog], None] | None = None
    main: str = ""
    trace: Trace = field(default_factory=Trace)
    logs: list[GuestLog] = field(default_factory=list)
    traps: list[GuestTrap] = field(default_factory=list)
    tick_ms: int = 0
    others: list[str] = field(default_factory=list)
    observed: list[Observed] = field(default_factory=list)
    _threads: dict[str, _Thread] = field(default_factory=dict)
    _started: tuple[int, int, int] | None = None
    _contexts: dict[int, int] | None = None
    _calls: dict[int, int] = field(default_factory=dict)

    def begin(self) -> None:
        """The start of the filters is over."""
        self._started = len(self.trace), len(self.logs), self.tick_ms

    def begin_again(self) -> None:
        """As after the start, in an Envoy that has been used: contexts and calls are numbered anew."""
        assert self._started is not None
        events, logs, self.tick_ms = self._started
        labelled = self.trace.labelled
        self.trace = Trace(self.trace[:events], labelled=labelled)
        self.logs = self.logs[:logs]
        self.traps, self.observed, self.others = [], [], []
        roots = {event.context_id for event in self.trace}
        self._contexts = {one: one for one in roots}
        self._calls = {}

    def _context(self, number: int) -> int:
        """A context's id, by first appearance in an Envoy that has been used."""
        if self._contexts is None:
            return number
        return self._contexts.setdefault(number, max(self._contexts.values(), default=0) + 1)

    def _call_id(self, number: int) -> int:
        """The id of a callout, by first appearance; its lowest bits say what kind of call it is."""
        if self._contexts is None:
            return number
        kind = number & 3
        same = sum(1 for known in self._calls if known & 3 == kind)
        return self._calls.setdefault(number, 4 * (same + 1) + kind)

    def feed(self, records: Iterable[Record]) -> None:
        """Take in what was logged since the last time."""
        for record in records:
            if not self.main:
                self.main = record.thread
            if record.component == "wasm":
                if self._keeps(record.thread):
                    self._wasm(record, self._threads.setdefault(record.thread, _Thread()))
            elif record.component == "lua":
                if match := _OBSERVED.search(record.text):
                    self.observed.append(Observed(match[1], match[2], _pairs(match[3])))
            elif _LEVELS.get(record.level, LogLevel.INFO) >= LogLevel.WARN:
                self.others.append(record.text)

    def _keeps(self, thread: str) -> bool:
        return self.keep == "all" or (thread == self.main) == (self.keep == "main")

    def _wasm(self, record: Record, thread: _Thread) -> None:
        raw = record.raw
        if raw.startswith(b"wasm log"):
            self._log(record, thread)
        elif raw.startswith(b"["):
            text = record.text
            if match := _ENTER.fullmatch(text):
                self._enter(match[1], _numbers(match[2]), thread, record.thread)
            elif match := _LEAVE.fullmatch(text):
                self._leave(match[1], match[2], thread)
            elif match := _CALL.fullmatch(text):
                self._call(match[1], match[2], _numbers(match[3]), thread)
            elif match := _ANSWER.fullmatch(text):
                self._answer(match[3], thread)
        elif match := _TRAP.match(record.text):
            self._trap(match[1], match[2], thread)
        elif record.level in ("error", "critical", "warning"):
            self.others.append(record.text)

    def _enter(self, name: str, words: list[int], thread: _Thread, thread_id: str) -> None:
        if name in ALLOCATORS:
            thread.allocating += 1
            return
        spec = CALLBACKS.get(name)
        if spec is None and name not in START_FUNCTIONS:
            thread.allocating += 1  # a helper of the runtime; it makes no hostcalls that count
            return
        args = Arguments()
        context_id = 0
        if spec is not None and words:
            context_id = self._context(words[0])
            for key, value in zip(spec.params, words[1:]):
                if key in CALL_IDS:
                    value = self._call_id(value)
                args[key] = bool(value) if key in spec.booleans else value
        label = self.names[0] if len(self.names) == 1 else ""
        event = Callback(name, args, context_id, label, -1 if thread_id == self.main else 0)
        self.trace.add(event)
        thread.stack.append(event)

    def _leave(self, name: str, result: str, thread: _Thread) -> None:
        if thread.allocating and name not in CALLBACKS and name not in START_FUNCTIONS:
            thread.allocating -= 1
            return
        while thread.stack:
            event = thread.stack.pop()
            if event.name == name:
                event.finished = True
                number = _number(result)
                spec = CALLBACKS.get(name)
                if spec is not None and number is not None and spec.result:
                    event.action = Action(number) if spec.result == "action" else bool(number)
                break

    def _call(self, module: str, name: str, words: list[int], thread: _Thread) -> None:
        callback = thread.stack[-1] if thread.stack else None
        wasi = module != "env"
        kind = WasiCall if wasi else Hostcall
        args = _wasi_arguments(name, words) if wasi else _arguments(name, words)
        call = kind(name, args, None, Arguments(), callback)
        if callback is not None:
            callback.hostcalls.append(call)
        thread.calls.append(call)
        thread.log_size = words[2] if name == "proxy_log" and len(words) == 3 else None
        if name == "proxy_set_tick_period_milliseconds" and words:
            self.tick_ms = words[0]

    def _answer(self, result: str, thread: _Thread) -> None:
        if not thread.calls:
            return
        call = thread.calls.pop()
        number = _number(result)
        enum = Errno if isinstance(call, WasiCall) else Status
        known = {int(member) for member in enum}
        spec = HOSTCALLS.get(call.name)
        plain = spec is not None and spec.returns != "status" and not isinstance(call, WasiCall)
        call.status = enum(number) if number in known and not plain else number
        thread.log_size = None

    def _log(self, record: Record, thread: _Thread) -> None:
        raw = record.raw
        if thread.log_size is not None and thread.log_size <= len(raw):
            message = raw[len(raw) - thread.log_size :]
        else:
            message = raw.partition(b": ")[2]
        event = thread.stack[-1] if thread.stack else None
        label = self.names[0] if len(self.names) == 1 else _label(raw, self.names)
        log = GuestLog(_LEVELS.get(record.level, LogLevel.INFO), message, event.context_id if event else 0, label)
        self.logs.append(log)
        if self.on_log is not None:
            self.on_log(log)

    def _trap(self, function: str, words: str, thread: _Thread) -> None:
        reason, _, backtrace = words.partition("\nProxy-Wasm plugin in-VM backtrace:\n")
        event = thread.stack.pop() if thread.stack else None
        thread.calls.clear()
        thread.allocating = 0
        kind = next((name for part, name in _KINDS if part in reason), "other")
        frames = [line.strip() for line in backtrace.splitlines() if line.strip()]
        lines = [f"the filter trapped in {function} (in a real Envoy): {reason.strip()}"]
        if frames:
            lines += ["", "guest backtrace, innermost first:", *(f"    {frame}" for frame in frames)]
        name = event.name if event is not None else function
        error = GuestTrap("\n".join(lines), callback=name, kind=kind, frames=frames)
        error.trace = self.trace
        self.traps.append(error)


def _pairs(text: str) -> Headers:
    pairs = [part.split("=") for part in text.split(",") if part]
    return Headers.from_raw([(bytes.fromhex(name), bytes.fromhex(value)) for name, value in pairs])


def _numbers(text: str) -> list[int]:
    return [number for part in text.split(", ") if (number := _number(part)) is not None]


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _arguments(name: str, words: list[int]) -> Arguments:
    """A hostcall's plain numbers, and the sizes of what it passes by address."""
    spec = HOSTCALLS.get(name)
    args = Arguments()
    if spec is None:
        return args
    at = 0
    for param in spec.params:
        source = param.input
        width = len(source.wasm)
        values = words[at : at + width]
        at += width
        if len(values) < width:
            break
        if width == 2:
            args[f"{param.name}_size"] = values[1] & 0xFFFFFFFF
        else:
            args[param.name] = _word(values[0], source)
    return args


def _word(value: int, source: Any) -> Any:
    bits = 64 if source.wasm == ("i64",) else 32
    if source.signed:
        half = 1 << (bits - 1)
        value = (value + half) % (1 << bits) - half
    else:
        value %= 1 << bits
    if source.enum is not None and value in {int(member) for member in source.enum}:
        return source.enum(value)
    return value


def _wasi_arguments(name: str, words: list[int]) -> Arguments:
    spec = WASI.get(name)
    pairs = zip(spec.params, words) if spec is not None else ()
    return Arguments((key, value) for (key, _), value in pairs if not key.endswith(("_ptr", "_buf", "size")))


def _label(raw: bytes, names: Sequence[str]) -> str:
    """The plugin's name in a log line; root contexts leave it out."""
    head = raw.partition(b": ")[0].removeprefix(b"wasm log").strip().decode("utf-8", "replace")
    return next((name for name in names if name and (head == name or head.startswith(f"{name} "))), "")


def plain_arguments(call: Hostcall) -> dict[str, int]:
    """The plain numbers of a hostcall, of the mock or of Envoy: what both know of it."""
    from ..abi.codec import encode_pairs
    from ..headers import to_bytes

    result: dict[str, int] = {}
    for key, value in call.args.items():
        if isinstance(value, (str, bytes)):
            result[f"{key}_size"] = len(to_bytes(value))
        elif isinstance(value, int):
            result[key] = int(value)
        elif isinstance(value, (list, tuple)) and key != "path":
            if value:
                result[f"{key}_size"] = len(encode_pairs(value))
    return result
