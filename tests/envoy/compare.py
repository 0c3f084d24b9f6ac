"""Holds a result against a recording, with the one table of what is compared loosely; runs nothing."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from .case import Case
from .result import Result

__all__ = ["LOOSELY", "Loosely", "compare", "normalised", "waits_in_vain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loosely:
    """Something that is not compared to the letter.

    Attributes:
        what: what it is.
        why: why it cannot be exact.
        rewrite: applied to every line of both sides before they are compared; ``None`` where the comparison
            itself knows (it names the row it follows).
    """

    what: str
    why: str
    rewrite: Callable[[str], str] | None = None


def _sub(pattern: str, replacement: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)
    return lambda line: compiled.sub(replacement, line)


def _on(pattern: str, rewrite: Callable[[str], str]) -> Callable[[str], str]:
    """Rewrite only lines that the pattern is found in."""
    compiled = re.compile(pattern)
    return lambda line: rewrite(line) if compiled.search(line) else line


_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CLOCK_PATHS = (
    r"OP r?prop (?:\S*\\x00)?(?:request[.]time|request\\x00time|request[.]duration|response[.]backend_latency"
    r"|upstream[.]cx_pool_ready_duration) "
)
_PORT_PATHS = r"OP r?prop (?:source|destination|upstream)[.](?:port|address|local_address) "
_ADDRESS = r"\d+[.]\d+[.]\d+[.]\d+:(?:\d+|<port>)"
_BIG = 1_000_000


def _pairs_sorted(line: str) -> str:
    """A property that is a map, its entries sorted."""
    match = re.fullmatch(r"(.* -> 0 ptr=nz n=\S+ d=)(.*?)((?: \[allocs=.*\])?)", line)
    if match is None:
        return line
    text = match[2].replace("<uuid>", "0" * 36).replace("<date>", "0" * 29)
    for digits in range(1, 6) if "<ms>" in text else (1,):
        given = text.replace("<ms>", "0" * digits)
        data = re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), given).encode("latin-1", "replace")
        entries = _entries(data)
        if entries is not None:
            shown = [(name, 0 if name == "x-envoy-upstream-service-time" else value) for name, value in entries]
            return f"{match[1]}{shown}{match[3]}"
    return line


def _entries(data: bytes) -> list[Any] | None:
    count = int.from_bytes(data[:4], "little")
    if len(data) < 4 or not 0 < count <= len(data) // 10:
        return None
    sizes = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "little") for i in range(2 * count)]
    texts, at = [], 4 + 8 * count
    for size in sizes:
        texts.append(data[at : at + size])
        at += size + 1
    if at != len(data):
        return None
    pairs = [
        (name.decode("latin-1"), _entries(value) or value.decode("latin-1"))
        for name, value in zip(texts[::2], texts[1::2])
    ]
    return sorted(pairs, key=repr)


def _variables_sorted(line: str) -> str:
    return line.partition(" {")[0] + "".join(sorted(re.findall(r" \{.*?\}", line)))


def _big_sizes(line: str) -> str:
    return re.sub(r"\d{7,}", lambda m: "<big>" if int(m[0]) > _BIG else m[0], line)


ENVOYS_OWN = Loosely(
    what="lines that Envoy logged, not a guest: those that begin with HOST(, and refused capabilities",
    why="they hold addresses of the recorded process, and depend on the build and the log level",
)
LATE = Loosely(
    what="further callbacks of root contexts (ticks, call answers, queues) when streams have only their end left",
    why="how long the recorder waited before it stopped Envoy is in no case; the replay waits for seconds",
)
TICKS = Loosely(
    what="where ticks stand, and how many there are, when the period is set at the start",
    why="they run by the wall clock from before Envoy is ready until it is stopped; what they do, and in what "
    "order, is compared",
)
PATIENCE = Loosely(
    what="how long a client waits in vain",
    why="each recorded client had its own patience (fact U3), which is in no case; one of several must fit",
)
HUNG_UP = Loosely(
    what="<timeout> that was recorded where the replay's connection is closed without a byte",
    why="Envoy closes about a second after it resets a stream (fact E23), and some recorded clients left before",
)
SHORT = Loosely(
    what="bodies from the 1500th byte on",
    why="the recorder kept no more of what the client received",
)
CRASH = Loosely(
    what="the rest of the callback in which Envoy crashes, its repetitions, and what a stream's end says when that "
    "is what kills Envoy",
    why="Envoy dies a little after the fatal hostcall, in some cases by endless recursion; the mock raises at once",
)
TRUNCATED = Loosely(
    what="everything after a line that ends in ...truncated",
    why="the recorder kept no more",
)

LOOSELY: tuple[Loosely, ...] = (
    Loosely(what="request ids", why="random", rewrite=_sub(_UUID, "<uuid>")),
    Loosely(
        what="dates",
        why="wall time",
        rewrite=_sub(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "<date>"),
    ),
    Loosely(
        what="x-envoy-upstream-service-time",
        why="wall time",
        rewrite=_sub(r"(x-envoy-upstream-service-time(?:=|: |\\x00))\d+", r"\1<ms>"),
    ),
    Loosely(
        what="the same, read on its own",
        why="wall time, and its number of digits",
        rewrite=_on(r"OP get \d x-envoy-upstream-service-time ", _sub(r"n=\d+ d=\d+ \[.*\]", "n=<n> d=<ms>")),
    ),
    Loosely(
        what="sizes of what contains x-envoy-upstream-service-time",
        why="its number of digits is wall time",
        rewrite=_on(r"<ms>", _sub(r"\b(n|last)=\d+", r"\1=<n>")),
    ),
    Loosely(
        what="the bytes of the maps that contain x-envoy-upstream-service-time",
        why="its number of digits is wall time",
        rewrite=_on(r"OP size [26] ", _sub(r"v=\d+", "v=<n>")),
    ),
    Loosely(
        what="the size of the last allocation where an operation allocated nothing",
        why="it is left from an earlier operation, whose size may be one of those above",
        rewrite=_sub(r"\[allocs=0 last=\d+\]", "[allocs=0]"),
    ),
    Loosely(what="times", why="wall time", rewrite=_sub(r"\bt=\d{4,}", "t=<t>")),
    Loosely(
        what="properties that are points or spans of time",
        why="wall time; that they are there, and how they are encoded, is compared",
        rewrite=_on(_CLOCK_PATHS, _sub(r" d=.*? \[", " d=<t> [")),
    ),
    Loosely(
        what="addresses and ports",
        why="the system chose the ports",
        rewrite=_on(_PORT_PATHS, _sub(r" n=\d+ d=.*", " d=<port>")),
    ),
    Loosely(what="ports in text", why="the system chose them", rewrite=_sub(_ADDRESS, "127.0.0.1:<port>")),
    Loosely(
        what="random bytes",
        why="random; bytes that were left alone are compared",
        rewrite=_sub(r"first8=(?!a{16})[0-9a-f]{16}", "first8=<random>"),
    ),
    Loosely(
        what="the order of the entries of properties that are maps",
        why="Envoy has them in the order of a hash table",
        rewrite=_on(r"OP r?prop ", _pairs_sorted),
    ),
    Loosely(
        what="the order of environment variables",
        why="Envoy has them in the order of a hash table",
        rewrite=_on(
            r"OP w_env ", lambda line: line.partition(" {")[0] + "".join(sorted(re.findall(r" \{.*?\}", line)))
        ),
    ),
    Loosely(
        what="xds.node as a whole",
        why="60 kB that list the extensions of the recorded Envoy's build",
        rewrite=_on(r"OP prop xds[.]node ", _sub(r" n=\d+ d=.*", " d=<node>")),
    ),
    Loosely(
        what="body sizes over a million bytes",
        why="such bodies arrive by socket reads, whose sizes are the system's",
        rewrite=_on(r"CB \w+_(?:body|data) ", _big_sizes),
    ),
    ENVOYS_OWN,
    LATE,
    TICKS,
    PATIENCE,
    HUNG_UP,
    SHORT,
    CRASH,
    TRUNCATED,
)

_CALLBACK = re.compile(r"(?:\[[^\]]*\] )?CB (?:\(nested \d+\) )?(\w+) ctx=(\d+)")
_RESULT = re.compile(r"(?:\[[^\]]*\] )?RET \w+ = ")
_ROOT_CALLBACKS = {"tick", "queue_ready", "http_call_response"}
_END = {"", "log", "done", "delete"}
_TICKS_FROM_START = re.compile(r"^(?:start|cfg)(?:#\d+)? tick [1-9]", re.MULTILINE)
_OWN_LINE = re.compile(r"HOST\(|(?:\[[^\]]*\] )?Attempted call to restricted proxy-wasm capability")


def normalised(line: str) -> str:
    """A line with everything that is compared loosely put out of the way."""
    for row in LOOSELY:
        if row.rewrite is not None:
            line = row.rewrite(line)
    return line


def compare(case: Case, result: Result) -> str:
    """A readable account of every difference; empty when the result is what was recorded."""
    expected = case.expected
    parts = [result.problem] if result.problem else []
    if expected.ready != result.ready:
        parts.append(f"the configuration is {_accepted(result.ready)}; Envoy {_accepted(expected.ready)} it")
    if expected.crashed and not result.crashed:
        parts.append("expected EnvoyCrashError, as Envoy crashed; nothing was raised")
    parts.append(_guest_log(case, result))
    parts.append(_client(expected.client, result.client))
    for want, got in zip_longest(expected.more_clients or (), result.more_clients or ()):
        parts.append(_client(want, got))
    for name, want, got in (
        ("upstream", expected.upstream, result.upstream),
        ("client_got", expected.client_got, result.client_got),
        ("upstream_got", expected.upstream_got, result.upstream_got),
    ):
        if want is not None:
            parts.append(_diff(name, _lines(list(want)), _lines(got)))
    return "\n".join(part for part in parts if part)


def waits_in_vain(case: Case) -> bool:
    """PATIENCE: the recorded client gave up."""
    client = case.expected.client or {}
    return client.get("status") == "<timeout>" or any(
        got.startswith("TimeoutError") for got in case.expected.client_got or ()
    )


def _accepted(ready: bool) -> str:
    return "accepted" if ready else "refused"


def _lines(value: Any) -> list[str]:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return [normalised(line) for line in text.split("\n")]


def _diff(name: str, want: Sequence[str], got: Sequence[str]) -> str:
    return "\n".join(difflib.unified_diff(want, got, f"{name}: expected", f"{name}: got", lineterm="", n=4))


def _client(want: Mapping[str, Any] | None, got: Mapping[str, Any] | None) -> str:
    if want is None:
        return ""
    shown = dict(got or {})
    if want["status"] == "<timeout>" and shown.get("status") == "<closed>":  # HUNG_UP
        shown["status"] = want["status"]
    kept = normalised(want["body"])
    if len(kept) >= _KEPT:  # SHORT
        shown["body"] = normalised(shown.get("body", ""))[: len(kept)]
    return _diff("client", _lines(want), _lines(shown))


_KEPT = 1500


def _guest_log(case: Case, result: Result) -> str:
    want = [normalised(line) for line in case.expected.guest_log if not _OWN_LINE.match(line)]
    got = [normalised(line) for line in result.guest_log if not _OWN_LINE.match(line)]
    if not case.expected.ready and not want:
        return ""
    truncated = bool(want) and want[-1].endswith("...truncated")
    if truncated:  # TRUNCATED
        want = want[:-1]
        got = got[: len(want)]
    if case.expected.crashed and _stops_in_callback(want, got):
        return ""
    if _agree(_blocks(want), _blocks(got)):
        return ""
    if any(_TICKS_FROM_START.search(text) for text in _scripts(case)) and _agree_without_ticks(want, got):
        return ""
    return _diff("guest_log", want, got)


def _scripts(case: Case) -> list[str]:
    values = [spec.get(key) for spec in case.filters for key in ("configuration", "vm_configuration")]
    return [value for value in values if isinstance(value, str)]


def _stops_in_callback(want: Sequence[str], got: Sequence[str]) -> bool:
    """CRASH: what was got is what was recorded up to somewhere in its last callback, or in repetitions of that."""
    calls = [index for index, line in enumerate(want) if _CALLBACK.match(line)]
    reached = [index for index in calls if index < len(got)]
    if list(want[: len(got)]) != list(got) or not reached:
        return False
    start = reached[-1]
    following = next((index for index in calls if index > start), len(want))
    callback = want[start:following]
    repeated = all(line == callback[index % len(callback)] for index, line in enumerate(want[start:]))
    return repeated or all(_name([want[index]]) in _END for index in calls if index >= start)


def _blocks(lines: Sequence[str]) -> list[tuple[str, ...]]:
    """The lines by callback, where its result was recorded; the others one by one."""
    blocks: list[tuple[str, ...]] = []
    start: int | None = None
    for index, line in enumerate(lines):
        if _CALLBACK.match(line):
            if start is not None:
                blocks += [(lone,) for lone in lines[start:index]]
            start = index
        elif start is not None and _RESULT.match(line):
            blocks.append(tuple(lines[start : index + 1]))
            start = None
        elif start is None:
            blocks.append((line,))
    if start is not None:
        blocks += [(lone,) for lone in lines[start:]]
    return blocks


def _name(block: Sequence[str]) -> str:
    match = _CALLBACK.match(block[0])
    return match[1] if match else ""


def _is_root(block: Sequence[str]) -> bool:
    name = _name(block)
    return name in _ROOT_CALLBACKS or name.startswith("grpc_")


def _agree(want: Sequence[tuple[str, ...]], got: Sequence[tuple[str, ...]]) -> bool:
    """Equal, but for LATE."""
    at = 0
    for block in got:
        if at < len(want) and want[at] == block:
            at += 1
        elif not _is_root(block) or not all(_is_root(left) or _name(left) in _END for left in want[at:]):
            return False
    return at == len(want)


def _agree_without_ticks(want: Sequence[str], got: Sequence[str]) -> bool:
    """TICKS: everything else agrees, and the ticks of the one side begin with those of the other."""
    sides = [_blocks(want), _blocks(got)]
    ticks = [[block for block in side if _name(block) == "tick"] for side in sides]
    others = [[block for block in side if _name(block) != "tick"] for side in sides]
    shared = min(len(side) for side in ticks)
    happened = bool(shared) or not ticks[0]
    return happened and ticks[0][:shared] == ticks[1][:shared] and _agree(*others)
