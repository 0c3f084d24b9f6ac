"""Envoy's ``wasm:trace`` log as a `Trace`, guest logs and traps; knows the ABI, and runs nothing.

Envoy writes a line for every callback and hostcall of any guest, with the wasm values it passed. Addresses are left out
here; of a text or data argument its size is kept, as ``key_size`` for ``key``. Of guests with the recorder in them the
log has the bytes as well, as calls of ``proxy_log`` around the hostcall that reads or writes them; see `recorder`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..abi.callbacks import ALLOCATORS, CALLBACKS, START_FUNCTIONS
from ..errors import GuestTrap
from ..headers import Headers
from ..host.hostcalls import HOSTCALLS
from ..model import Action, GuestLog, LogLevel
from ..trace import Arguments, Callback, Hostcall, Trace, WasiCall
from .calls import decoded_arguments, decoded_result, plain_arguments, status_of, wasi_arguments
from .clockwork import BY_ID, LOG_TOKEN, PERIOD, READY, TICK, hidden, own_gauge
from .configuration import OBSERVED
from .log import Record
from .recorder import LOG, Range, ranges_read, ranges_written, write_range
from .varying import Varying

__all__ = ["Observed", "Reading"]

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
class _Log:
    """A call of ``proxy_log``: what it passed, and the record it led to."""

    words: Sequence[int]
    record: Record | None = None
    status: int | None = None

    @property
    def message(self) -> bytes | None:
        """What it logged; ``None`` if it could not."""
        if self.record is None:
            return None
        size = self.words[2]
        raw = self.record.raw
        return raw[len(raw) - size :] if size <= len(raw) else raw.partition(b": ")[2]


@dataclass(slots=True)
class _Level:
    """The guest's code that runs between two calls of the host: of a callback, or of its allocator during a hostcall.

    Attributes:
        call: the hostcall that runs.
        words: what it passed.
        log: the call of ``proxy_log`` that runs.
        logs: those before it that may have been the recorder's: what the next hostcall reads.
        written: what the recorder is still to log of the last hostcall.
        record: what the last WASI call logged.
        own: the call of the clockwork that runs.
        taken_back: the clockwork is about to take back the tick period.
    """

    call: Hostcall | None = None
    words: Sequence[int] = ()
    log: _Log | None = None
    logs: list[_Log] = field(default_factory=list)
    written: list[Range] = field(default_factory=list)
    record: Record | None = None
    own: _Log | None = None
    taken_back: bool = False


@dataclass(slots=True)
class _Thread:
    """What runs on one of Envoy's threads."""

    stack: list[Callback] = field(default_factory=list)
    effective: int | None = None
    levels: list[_Level] = field(default_factory=lambda: [_Level()])
    allocating: int = 0


@dataclass(slots=True)
class Reading:
    """What the log of one Envoy says; `feed` it records.

    Attributes:
        names: the names of the plugins.
        keep: whose events are kept: ``"worker"``, ``"main"`` or ``"all"``.
        recorded: the guests have the recorder in them.
        clocked: those of the filters have the clockwork in them; it does not show.
        varying: what becomes of values that differ by nature.
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
    recorded: bool = False
    clocked: bool = False
    varying: Varying = field(default_factory=lambda: Varying(0, 0))
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
    _tick_queues: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.trace.decoded = self.recorded

    def begin(self) -> None:
        """The start of the filters is over."""
        self._started = len(self.trace), len(self.logs), self.tick_ms

    def begin_again(self) -> None:
        """As after the start, in an Envoy that has been used: contexts and calls are numbered anew."""
        assert self._started is not None
        events, logs, self.tick_ms = self._started
        self.trace = self.trace[:events]
        self.logs = self.logs[:logs]
        self.traps, self.observed, self.others = [], [], []
        roots = {event.context_id for event in self.trace}
        self._contexts = {one: one for one in roots}
        self._calls = {}
        self.varying.begin_again()

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
                    self._observe(match[1], match[2], _pairs(match[3]))
            elif _LEVELS.get(record.level, LogLevel.INFO) >= LogLevel.WARN:
                self.others.append(record.text)

    def _observe(self, where: str, what: str, headers: Headers) -> None:
        if (where, what) == ("first", "request"):
            self.varying.request(headers)
        self.observed.append(Observed(where, what, self.varying.headers(headers)))

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
        thread.levels.append(_Level())
        if name == READY and len(words) == 2 and words[1] in self._tick_queues:
            name = TICK
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
        thread.effective = None

    def _leave(self, name: str, result: str, thread: _Thread) -> None:
        self._guest_logs(thread, thread.levels[-1])
        if len(thread.levels) > 1:
            thread.levels.pop()
        if thread.allocating and name not in CALLBACKS and name not in START_FUNCTIONS:
            thread.allocating -= 1
            return
        while thread.stack:
            event = thread.stack.pop()
            if event.name == name or (self.clocked and (name, event.name) == (READY, TICK)):
                name = event.name
                event.finished = True
                thread.effective = None
                number = _number(result)
                spec = CALLBACKS.get(name)
                if spec is not None and number is not None and spec.result:
                    event.action = Action(number) if spec.result == "action" else bool(number)
                break

    def _call(self, module: str, name: str, words: list[int], thread: _Thread) -> None:
        level = thread.levels[-1]
        if self.clocked and module == "env":
            if hidden(name, words) or (level.taken_back and name == PERIOD):
                level.own, level.taken_back = _Log(words), False
                return
            if name in BY_ID:
                words[0] = own_gauge(words[0])
        if module == "env" and name == LOG and len(words) == 3:
            level.log = _Log(words)
            return
        reads: list[Range] = []
        if module == "env":
            spec = HOSTCALLS.get(name)
            reads = ranges_read(spec) if self.recorded and spec is not None else []
            known = len(level.logs) - len(reads)
            self._guest_logs(thread, level, keep=len(reads))
            if reads and spec is not None and known >= 0:
                args = decoded_arguments(spec, words, [log.message for log in level.logs], self.varying)
            else:
                args = plain_arguments(name, words)
            level.call = Hostcall(name, args, None, Arguments(), None)
        else:
            self._guest_logs(thread, level)
            level.call = WasiCall(name, wasi_arguments(name, words), None, Arguments(), None)
        level.logs, level.written, level.words, level.record = [], [], words, None
        self._made(level.call, thread)
        if name == PERIOD and words:
            self.tick_ms = words[0]

    def _made(self, call: Hostcall, thread: _Thread) -> None:
        """A hostcall belongs to the callback that runs."""
        if thread.stack:
            call.callback = thread.stack[-1]
            call.callback.hostcalls.append(call)

    def _answer(self, result: str, thread: _Thread) -> None:
        level = thread.levels[-1]
        number = _number(result)
        if level.own is not None:
            own, level.own = level.own, None
            if tuple(own.words) == LOG_TOKEN and own.message is not None:
                self._tick_queues.add(int.from_bytes(own.message, "little"))
            return
        if level.log is not None:
            log, level.log = level.log, None
            log.status = number
            if level.written:
                self._result(level, level.written.pop(0), log, thread)
            elif self.recorded:
                level.logs.append(log)
            else:
                self._guest_log(thread, log)
            return
        call = level.call
        if call is None:
            return
        call.status = status_of(call, number)
        if call.name == "proxy_set_effective_context" and number == 0:
            thread.effective = self._context(call.args["context_id"])
        if self.clocked and call.name == PERIOD and number == 0:
            level.taken_back = True
        if self.recorded and number == 0:
            level.written = _to_come(call, level.words)
        if not level.written:
            self._wasi_log(level, thread)

    def _result(self, level: _Level, what: Range, log: _Log, thread: _Thread) -> None:
        """The recorder has logged something that the last hostcall wrote."""
        call, raw = level.call, log.message
        if call is None:
            return
        if isinstance(call, WasiCall):
            self._wasi_log(level, thread, int.from_bytes(raw, "little") if raw is not None else None)
        elif raw is not None or not log.words[2]:
            call.results[what.name] = decoded_result(call, what.name, raw or b"", self.varying)

    # What guests log.

    def _log(self, record: Record, thread: _Thread) -> None:
        level = thread.levels[-1]
        if level.own is not None:
            level.own.record = record
        elif level.log is not None:
            level.log.record = record
        else:
            level.record = record

    def _guest_logs(self, thread: _Thread, level: _Level, *, keep: int = 0) -> None:
        """All but the last few calls of ``proxy_log`` were the guest's own."""
        while len(level.logs) > keep:
            self._guest_log(thread, level.logs.pop(0))

    def _guest_log(self, thread: _Thread, log: _Log) -> None:
        spec, message = HOSTCALLS[LOG], log.message
        if self.recorded:
            args = decoded_arguments(spec, log.words, [message], self.varying)
        else:
            args = plain_arguments(LOG, log.words)
        call = Hostcall(LOG, args, None, Arguments(), None)
        call.status = status_of(call, log.status) if log.status is not None else None
        self._made(call, thread)
        if log.record is not None and message is not None:
            self._said(log.record, message, thread)

    def _wasi_log(self, level: _Level, thread: _Thread, written: int | None = None) -> None:
        """What a WASI call has logged.

        Args:
            written: how many bytes the guest wrote; Envoy leaves out a line's end.
        """
        call, record, level.record = level.call, level.record, None
        if record is None:
            if written == 0 and call is not None:
                call.args["data"] = b""
            return
        message = record.raw.partition(b": ")[2]
        if written is not None and call is not None:
            ended = not record.raw[: len(record.raw) - written].endswith(b": ")
            message = record.raw[len(record.raw) - written + ended :]
            call.args["data"] = self.varying.data(message) + b"\n" * ended
        self._said(record, message, thread)

    def _said(self, record: Record, message: bytes, thread: _Thread) -> None:
        event = thread.stack[-1] if thread.stack else None
        label = self.names[0] if len(self.names) == 1 else _label(record.raw, self.names)
        level = _LEVELS.get(record.level, LogLevel.INFO)
        context = thread.effective if thread.effective is not None else event.context_id if event else 0
        log = GuestLog(level, self.varying.data(message), context, label)
        self.logs.append(log)
        if self.on_log is not None:
            self.on_log(log)

    def _trap(self, function: str, words: str, thread: _Thread) -> None:
        if function == READY and thread.stack and thread.stack[-1].name == TICK:
            function = TICK
        reason, _, backtrace = words.partition("\nProxy-Wasm plugin in-VM backtrace:\n")
        for level in thread.levels:
            self._guest_logs(thread, level)
            self._wasi_log(level, thread)
        event = thread.stack.pop() if thread.stack else None
        thread.levels = [_Level()]
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


def _to_come(call: Hostcall, words: Sequence[int]) -> list[Range]:
    """What the recorder will log of a hostcall that was successful."""
    if isinstance(call, WasiCall):
        return write_range(call.name)
    spec = HOSTCALLS.get(call.name)
    if spec is None or spec.returns != "status":
        return []
    return [one for one in ranges_written(spec) if not one.optional or words[one.at]]


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


def _label(raw: bytes, names: Sequence[str]) -> str:
    """The plugin's name in a log line; root contexts leave it out."""
    head = raw.partition(b": ")[0].removeprefix(b"wasm log").strip().decode("utf-8", "replace")
    return next((name for name in names if name and (head == name or head.startswith(f"{name} "))), "")
