"""What a failing ``assert`` says about our types, the cause on top; knows values, not pytest.

pytest shows the first eight lines only (all with ``-vv``), so the first lines are the ones that count.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from .errors import UsageError
from .headers import Headers, to_text
from .model import Exchange, HeaderChanges, LocalResponse, Metric, Request, Response
from .stand_ins import _Matching, same
from .trace import Trace
from .trace.diff import first_difference, unified
from .trace.text import HEADER

__all__ = ["explain_comparison"]

_MESSAGES = (Request, Response, LocalResponse, Metric)


def explain_comparison(operator: str, left: Any, right: Any) -> list[str] | None:
    """The lines for a comparison that does not hold; ``None`` where pytest's own words are as good."""
    if operator in ("in", "not in"):
        return _membership(operator, left, right)
    if operator in ("==", "is") and isinstance(left, LocalResponse) and right is None:
        who = f"filter {left.filter!r}" if left.filter else "the filter"
        return [f"{who} replied: {_brief(left)}", *_lines_of(left, ("details", "headers"))]
    if operator != "==":
        return None
    for text, other in ((left, right), (right, left)):
        if isinstance(text, str) and text.startswith(HEADER) and type(other).__name__ == "SnapshotAssertion":
            return _snapshot(text, other)
    if isinstance(left, _Matching) or isinstance(right, _Matching):
        pattern, value = (left, right) if isinstance(left, _Matching) else (right, left)
        lines = pattern.problems(value)
        if not lines or isinstance(value, (str, bytes)):
            return lines or None
        return [f"{type(value).__name__} does not fit: {lines[0]}", *lines[1:], f"wanted: {_cut(pattern)}"]
    if isinstance(left, Headers) or isinstance(right, Headers):
        return _headers(left, right)
    if isinstance(left, Trace) and isinstance(right, Trace):
        return _texts(left.text(wasi=True), right.text(wasi=True), "traces differ")
    if isinstance(left, str) and isinstance(right, str) and (left.startswith(HEADER) or right.startswith(HEADER)):
        return _texts(left, right, "texts of traces differ")
    if type(left) is type(right) and isinstance(left, _MESSAGES):
        return _fields(left, right)
    if isinstance(left, HeaderChanges) and isinstance(right, HeaderChanges):
        return _changes(left, right)
    return None


# Headers.


def _headers(left: Any, right: Any) -> list[str] | None:
    is_left = isinstance(left, Headers)
    actual, expected = (left, right) if is_left else (right, left)
    both = isinstance(left, Headers) and isinstance(right, Headers)
    is_, wanted = ("left", "right") if both else ("is", "expected")
    pairs, ordered = _pairs_of(expected)
    if pairs is None:
        return None
    lines = header_lines(actual.items(), pairs, is_, wanted)
    if not lines and ordered:
        mine, theirs = [name for name, _ in actual.items()], [name for name, _ in pairs]
        at = next((i for i, (a, b) in enumerate(zip(actual.items(), pairs)) if not _same_pair(a, b)), 0)
        lines = [
            f"the order differs, first at entry {at + 1}: {is_} {mine[at]!r}, {wanted} {theirs[at]!r}",
            f"{is_}: {', '.join(mine)}",
            f"{wanted}: {', '.join(theirs)}",
        ]
    if not lines:
        return None
    return lines if lines[0].startswith("the order") else ["headers differ:", *lines]


def _same_pair(one: tuple[str, Any], other: tuple[str, Any]) -> bool:
    return one[0] == other[0] and same(one[1], other[1])


def _pairs_of(value: Any) -> tuple[list[tuple[str, Any]] | None, bool]:
    if isinstance(value, Headers):
        return list(value.items()), True
    try:
        return list(Headers(value).items()), not isinstance(value, Mapping)
    except UsageError:
        pass
    if isinstance(value, Mapping):
        pairs: list[tuple[str, Any]] = []
        for name, item in value.items():
            several = item if isinstance(item, (list, tuple)) else (item,)
            pairs += [(_text(name).lower(), _text(one)) for one in several]
        return pairs, False
    if isinstance(value, (list, tuple)) and all(isinstance(item, (list, tuple)) and len(item) == 2 for item in value):
        return [(_text(name).lower(), _text(item)) for name, item in value], True
    return None, False


def _text(value: Any) -> Any:
    return to_text(value) if isinstance(value, bytes) else value


def header_lines(
    actual: list[tuple[str, str]], expected: list[tuple[str, Any]], is_: str = "is", wanted: str = "expected"
) -> list[str]:
    """One line for each name whose values differ, aligned: what changed first, then what is missing, then extra."""
    mine, theirs = _grouped(actual), _grouped(expected)
    names = list(dict.fromkeys([*theirs, *mine]))
    changed, missing, extra = [], [], []
    for name in names:
        have, want = mine.get(name), theirs.get(name)
        if have is None:
            near = difflib.get_close_matches(name, [n for n in mine if n not in theirs], n=1, cutoff=0.7)
            there = f" (near it: {near[0]!r})" if near else ""
            missing.append((name, f"{is_} missing{there}, {wanted} {_values(want)}"))
        elif want is None:
            extra.append(
                (name, f"{is_} {_values(have)}, {'not ' + wanted if wanted == 'expected' else wanted + ' missing'}")
            )
        elif len(have) != len(want) or not all(same(a, b) for a, b in zip(have, want)):
            changed.append((name, f"{is_} {_values(have)}, {wanted} {_values(want)}"))
    rows = [*changed, *missing, *extra]
    if not rows:
        return []
    width = min(max(len(name) for name, _ in rows), 30)
    lines = [f"{name:<{width}}  {text}" for name, text in rows]
    equal = len(names) - len(rows)
    if equal:
        lines.append(f"({equal} other{'s are' if equal > 1 else ' is'} equal)")
    if extra and not changed and not missing and wanted == "expected":
        lines.append("(to compare some of them only: headers == pw.matching({...}))")
    return lines


def _grouped(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _values(values: list[Any] | None) -> str:
    values = values or []
    return repr(values[0]) if len(values) == 1 else repr(values)


def _membership(operator: str, left: Any, right: Any) -> list[str] | None:
    if not isinstance(right, Headers) or not isinstance(left, (str, bytes)):
        return None
    name = _text(left).lower()
    if operator == "not in":
        return [f"the header {name!r} is there: {_values(right.get_all(name))}"]
    near = difflib.get_close_matches(name, right.keys(), n=3, cutoff=0.7)
    lines = [f"there is no header {name!r}" + (f"; near it: {', '.join(near)}" if near else "")]
    return [*lines, f"there are: {', '.join(right.keys()) or 'none at all'}"]


# Traces.


def _texts(left: str, right: str, title: str) -> list[str] | None:
    top = first_difference(left, right, "left", "right")
    if not top:
        return None
    return [f"{title}: {top[0]}", *top[1:], *unified(left, right, "left", "right").splitlines()[2:]]


def _snapshot(text: str, snapshot: Any) -> list[str] | None:
    """What differs from a snapshot of syrupy, as for two texts."""
    result = snapshot.executions.get(snapshot.num_executions - 1)
    recalled = getattr(result, "recalled_data", None)
    if not isinstance(recalled, str):
        return None
    # A text of several lines stands between lines of quotes.
    kept = "\n".join(recalled.splitlines()[1:-1]).rstrip("\n")
    if not kept.startswith(HEADER):
        return None
    now = text.rstrip("\n")
    top = first_difference(now, kept, "now", "snapshot")
    if not top:
        return None
    diff = unified(kept, now, "snapshot", "now").splitlines()[2:]
    return [f"the trace is not that of the snapshot: {top[0]}", *top[1:], *diff]


# Messages, field by field.


def _fields(left: Any, right: Any) -> list[str]:
    lines: list[str] = []
    equal = []
    for field in dataclasses.fields(left):
        mine, theirs = getattr(left, field.name), getattr(right, field.name)
        if mine == theirs:
            equal.append(field.name)
        elif isinstance(mine, Headers) and isinstance(theirs, Headers):
            found = header_lines(mine.items(), theirs.items(), "left", "right") or ["the order differs"]
            lines += [f"{field.name}: {line}" for line in found]
        else:
            lines.append(f"{field.name}: left {_cut(mine)}, right {_cut(theirs)}")
    title = f"{type(left).__name__} differs"
    return [f"{title}: {lines[0]}", *lines[1:], *([f"(equal: {', '.join(equal)})"] if equal else [])]


def _lines_of(value: Any, names: tuple[str, ...]) -> list[str]:
    return [f"{name}: {_cut(getattr(value, name))}" for name in names if getattr(value, name)]


def _changes(left: HeaderChanges, right: HeaderChanges) -> list[str]:
    lines = []
    for field in ("added", "removed", "replaced"):
        mine, theirs = getattr(left, field), getattr(right, field)
        for name in dict.fromkeys([*theirs, *mine]):
            if mine.get(name) != theirs.get(name):
                lines.append(f"{field} {name!r}: left {mine.get(name, 'nothing')}, right {theirs.get(name, 'nothing')}")
    return [f"header changes differ: {lines[0]}", *lines[1:]] if lines else []


def _brief(value: Any) -> str:
    if isinstance(value, LocalResponse):
        return f"{value.status} {_cut(value.body, 40)}"
    if isinstance(value, (Response, Request, Exchange)):
        return _cut(value, 70)
    return _cut(value, 70)


def _cut(value: Any, width: int = 100) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 20]}...{text[-15:]}"
