"""The text of a trace: stable over runs, engines and Python versions; knows only events."""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import Callback, Hostcall, Trace

HEADER = "proxy-wasm trace 1"
LONGEST = 256
SECRETS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
"""Headers whose values do not belong into messages."""
_SURROGATE = re.compile("[\udc80-\udcff]")
# What JSON leaves alone, but ends a line, is invisible or turns the reading direction.
_INVISIBLE = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_MAPS = ("headers", "trailers")


def show_bytes(value: bytes | str) -> str:
    """A JSON string; bytes that are not UTF-8 as ``\\xNN``; over 256 bytes as head, length and sha256."""
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if len(raw) > LONGEST:
        digest = hashlib.sha256(raw).hexdigest()[:16]
        return f"{quoted(raw[:32])}... ({len(raw)} bytes, sha256 {digest})"
    return quoted(raw)


def quoted(raw: bytes) -> str:
    """A JSON string of all the bytes; those that are not UTF-8 as ``\\xNN``."""
    text = json.dumps(raw.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    text = _INVISIBLE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)
    return _SURROGATE.sub(lambda m: f"\\x{ord(m[0]) - 0xDC00:02x}", text)


def show(value: Any) -> str:
    """One argument or result."""
    if isinstance(value, enum.Enum):
        return value.name
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (bytes, str)):
        return show_bytes(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_pair(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value)
    return str(value)


def _pair(item: Any) -> str:
    if isinstance(item, tuple) and len(item) == 2:
        return f"({show(item[0])}, {show(item[1])})"
    return show(item)


def _fields(items: Iterable[tuple[str, Any]]) -> str:
    return "".join(f" {name}={show(value)}" for name, value in items)


def redacted(call: Hostcall, redact: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments and results of a hostcall, with the values of these headers hidden."""

    def hide_pairs(value: Any) -> Any:
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], tuple):
            return [(name, b"<redacted>" if _name(name).lower() in redact else content) for name, content in value]
        return value

    args, results = dict(call.args), dict(call.results)
    secret = _name(args.get("key", "")).lower() in redact
    path = args.get("path")
    if isinstance(path, (list, tuple)) and path:
        # A whole map comes as one value.
        secret = secret or _name(path[-1]).lower() in (*redact, *_MAPS)
    for fields in (args, results):
        for name, value in fields.items():
            fields[name] = b"<redacted>" if secret and name == "value" else hide_pairs(value)
    return args, results


def _name(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else ""


def hostcall_line(call: Hostcall, redact: frozenset[str] = frozenset()) -> str:
    """One hostcall as one line, without indentation."""
    args, results = redacted(call, redact) if redact else (call.args, call.results)
    line = call.name + _fields(args.items())
    if call.status is not None:
        line += f" -> {show(call.status)}{_fields(results.items())}"
    elif results:
        line += f" ->{_fields(results.items())}"
    if call.injected:
        line += " (injected)"
    return line


def hostcall_lines(call: Hostcall) -> list[str]:
    """One hostcall in an error's message, and below it the reason of its status if there is one to tell.

    Messages end up in the logs of CI: what usually is secret is hidden.
    """
    line, why = hostcall_line(call, SECRETS), call.reason
    return [line, f"    ^ {why}"] if why else [line]


def callback_line(event: Callback, labelled: bool = False) -> str:
    """The opening of a callback as one line, without the arrow."""
    label = ""
    if labelled:
        label = f"[{event.filter} worker={event.worker}] "
    return f"{label}{event.name} context={event.context_id}{_fields(event.args.items())}"


def show_action(action: Any) -> str:
    """What a callback returned; a callback that returns nothing shows as ``done``."""
    if action is None:
        return "done"
    return show(action)


def _matcher(names: Iterable[str]) -> Any:
    patterns = [names] if isinstance(names, str) else list(names)
    return lambda name: any(fnmatchcase(name, pattern) for pattern in patterns)


def trace_lines(
    trace: Trace,
    *,
    wasi: bool,
    include: Iterable[str] | None,
    exclude: Iterable[str],
    redact: Iterable[str],
    reasons: bool = False,
) -> Iterator[str]:
    """The lines of a trace's text."""
    from .events import WasiCall

    included = _matcher(include) if include is not None else (lambda name: True)
    excluded = _matcher(exclude)
    hidden = frozenset(name.lower() for name in ([redact] if isinstance(redact, str) else redact))
    yield HEADER
    for event in trace:
        calls = [
            call
            for call in event.hostcalls
            if (wasi or not isinstance(call, WasiCall) or call.name == "fd_write")
            and not excluded(call.name)
            and (included(call.name) or included(event.name))
        ]
        if excluded(event.name) or not (included(event.name) or calls):
            continue
        yield f"> {callback_line(event, trace.labelled)}"
        for call in calls:
            yield f"    {hostcall_line(call, hidden)}"
            if reasons and (why := call.reason):
                yield f"        ^ {why}"
        yield f"< {show_action(event.action)}" if event.finished else "< (did not return)"


def trace_text(trace: Trace, **options: Any) -> str:
    """See `Trace.text`."""
    return "\n".join(trace_lines(trace, **options)) + "\n"
