"""Two traces of the same traffic as lines that can be compared: the mock's and Envoy's; runs nothing."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from ..abi.codec import encode_pairs
from ..envoy.varying import has_varying, stable, stable_header
from ..headers import to_bytes
from ..trace import Callback, Hostcall, Trace, WasiCall
from ..trace.text import show

__all__ = ["trace_lines"]

_NUMBER = re.compile(rb"\d+")


def trace_lines(mock: Trace, envoy: Trace, *, slow: bool = False) -> tuple[list[str], list[str]]:
    """Both traces as lines with what both know.

    That is names, plain integers and statuses, and, with the recorder in Envoy's guest, texts, values and results; else
    their sizes.

    Args:
        slow: numbers in texts and sizes say nothing.
    """
    left: list[str] = []
    right: list[str] = []
    for mine, other in zip_longest(_events(mock), _events(envoy)):
        if envoy.decoded:
            left += _line(mine, _decoded(mine, slow))
            right += _line(other, _decoded(other, slow))
            continue
        first, second = _numbers(mine), _numbers(other)
        if mine is not None and other is not None and mine.name == other.name:
            # The host did not come to decode everything; sizes of what varies say nothing.
            both = first.keys() & second.keys()
            loose = _loose(mine)
            first, second = (
                {key: value for key, value in one.items() if key in both - loose} for one in (first, second)
            )
        left += _line(mine, first)
        right += _line(other, second)
    return left, right


def _events(trace: Trace) -> Iterator[Any]:
    for event in trace:
        yield event
        for call in event.hostcalls:
            if not isinstance(call, WasiCall) or call.name == "fd_write":
                yield call
        yield _End(event)


class _End:
    """The end of a callback."""

    name = "<"

    def __init__(self, callback: Callback) -> None:
        self.callback = callback


def _decoded(event: Any, slow: bool) -> dict[str, Any]:
    """All there is to say of an event, with what varies taken out."""
    if event is None or isinstance(event, _End):
        return {}
    if isinstance(event, Callback):
        return _numbers(event)
    fields = {key: _stable(value, event.args) for key, value in event.args.items()}
    if event.status is None or not event.status:
        fields.update((f"-> {key}", _stable(value, event.args)) for key, value in event.results.items())
    if slow:
        fields = {key: _without_numbers(value) for key, value in fields.items()}
    return {key: show(value) for key, value in fields.items()}


def _without_numbers(value: Any) -> Any:
    return _NUMBER.sub(b"#", value) if isinstance(value, bytes) else value


def _stable(value: Any, args: Mapping[str, Any]) -> Any:
    """A value with what varies taken out."""
    if isinstance(value, (str, bytes)):
        return stable_header(to_bytes(args.get("key", "")).lower(), to_bytes(value))
    if isinstance(value, (list, tuple)):
        return (
            [
                (name, stable_header(name, content)) if isinstance(name, bytes) else (name, content)
                for name, content in value
            ]
            if value and isinstance(value[0], tuple)
            else value
        )
    if isinstance(value, int) and not isinstance(value, enum.Enum):
        return stable(b"%d" % value).decode() if has_varying(b"%d" % value) else value
    return value


def _numbers(event: Any) -> dict[str, int]:
    if event is None or isinstance(event, _End):
        return {}
    if isinstance(event, Callback):
        return {"context": event.context_id, **{key: int(value) for key, value in event.args.items()}}
    result: dict[str, int] = {}
    for key, value in event.args.items():
        if isinstance(value, (str, bytes)):
            result[f"{key}_size"] = len(to_bytes(value))
        elif isinstance(value, int):
            result[key] = int(value)
        elif isinstance(value, (list, tuple)) and key != "path" and value:
            result[f"{key}_size"] = len(encode_pairs(value))
    if isinstance(event, WasiCall):
        result = {key: value for key, value in result.items() if key == "fd"}
    return result


def _loose(event: Any) -> set[str]:
    if not isinstance(event, Hostcall):
        return set()
    found = set()
    for key, value in event.args.items():
        if isinstance(value, (str, bytes)):
            data = to_bytes(value)
        elif isinstance(value, (list, tuple)) and key != "path":
            data = b"\0".join(b"%s\0%s" % pair for pair in value if isinstance(pair, tuple))
        else:
            continue
        if has_varying(data):
            found.add(f"{key}_size")
    return found


def _line(event: Any, numbers: Mapping[str, Any]) -> list[str]:
    if event is None:
        return []
    if isinstance(event, _End):
        action = event.callback.action
        return [f"< {'' if action is None else int(action)}".rstrip()]
    shown = "".join(f" {key}={value}" for key, value in numbers.items())
    if isinstance(event, Callback):
        return [f"> {event.name}{shown}"]
    status = "" if event.status is None else f" -> {int(event.status)}"
    return [f"    {event.name}{shown}{status}"]
