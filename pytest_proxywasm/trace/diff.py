"""Where two traces part, and a line diff of their texts; knows only texts of traces."""

from __future__ import annotations

import difflib
import re
from itertools import zip_longest

_CONTEXT = re.compile(r"\b((?:parent_)?context(?:_id)?=)(\d+)")


def unified(this: str, other: str, this_name: str = "this", other_name: str = "other") -> str:
    """A unified diff, as of ``diff -u``; empty when they agree."""
    lines = difflib.unified_diff(this.splitlines(), other.splitlines(), this_name, other_name, lineterm="")
    return "\n".join(lines)


def first_difference(this: str, other: str, this_name: str = "this", other_name: str = "other") -> list[str]:
    """The first line that differs, both ways, and the callback it is in; nothing when they agree."""
    if this == other:
        return []
    mine, theirs = _renumbered(this), _renumbered(other)
    if mine == theirs:
        return ["only the ids of contexts differ, as between two exchanges of one host"]
    at = next(i for i, (a, b) in enumerate(zip_longest(mine, theirs)) if a != b)
    width = max(len(this_name), len(other_name))
    lines = [f"first difference, {_where(mine if at < len(mine) else theirs, at)}:"]
    for name, shown in ((this_name, this.splitlines()), (other_name, other.splitlines())):
        lines.append(f"  {name:<{width}}  {shown[at].strip() if at < len(shown) else '(ends here)'}")
    sizes = difflib.SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes()
    gone = sum(i2 - i1 for tag, i1, i2, _, _ in sizes if tag != "equal")
    new = sum(j2 - j1 for tag, _, _, j1, j2 in sizes if tag != "equal")
    lines.append(f"{gone} of {len(mine)} lines only in {this_name}, {new} of {len(theirs)} only in {other_name}")
    return lines


def _renumbered(text: str) -> list[str]:
    """The lines, with the ids of contexts counted by first appearance: they tell streams apart and mean no more."""
    known: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return match[1] + known.setdefault(match[2], str(len(known) + 1))

    return [_CONTEXT.sub(number, line) if line.startswith("> ") else line for line in text.splitlines()]


def _where(lines: list[str], at: int) -> str:
    number = 0
    name = ""
    for line in lines[: at + 1]:
        if line.startswith("> "):
            number += 1
            name = line[2:].partition(" context=")[0]
    if not name:
        return "before the first callback"
    return f"in {name}, callback {number}"
