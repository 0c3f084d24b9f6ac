"""Values that stand for others in comparisons: `ANY`, `matching` and `Placeholder`; knows only what it compares.

They go wherever a value goes: on either side of ``==``, inside mappings, pairs and lists, and in the steps of
``trace.contains``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import UsageError
from .headers import Headers, to_bytes, to_text

__all__ = ["ANY", "Placeholder", "matching", "same"]


class _Any:
    """Equal to everything: for the part of a value that a test does not care about."""

    __slots__ = ()
    __name__ = "ANY"

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()
"""Equal to everything."""


class Placeholder:
    """A value that is not known in advance, and is the same wherever this object stands.

    The first comparison that it is part of and that holds binds it; from then on it is equal to that value only. In
    ``trace.contains([...])`` it binds once for all steps, and only when all steps are found.

    Args:
        name: for messages.
    """

    __slots__ = ("_bound", "name", "value")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._bound = False
        self.value: Any = None

    @property
    def bound(self) -> bool:
        """Whether it stands for a value by now."""
        return self._bound

    def bind(self, value: Any) -> None:
        """Let it stand for this value."""
        self.value = value
        self._bound = True

    def unbind(self) -> None:
        """Let it stand for nothing again."""
        self.value = None
        self._bound = False

    def __eq__(self, other: object) -> bool:
        if self._bound:
            return same(other, self.value)
        self.bind(other)
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"<Placeholder{name}: {self.value!r}>" if self._bound else f"<Placeholder{name}>"


class _Matching:
    """See `matching`."""

    __slots__ = ("_fields", "_wanted")

    def __init__(self, wanted: Any, fields: dict[str, Any]) -> None:
        self._wanted = wanted
        self._fields = fields

    def __eq__(self, other: object) -> bool:
        wanted = self._wanted
        if wanted is not None and not _fits(wanted, other):
            return False
        missing = object()
        return all(_within(getattr(other, name, missing), value) for name, value in self._fields.items())

    __hash__ = None  # type: ignore[assignment]

    def problems(self, other: object) -> list[str]:
        """What of a value does not fit, one line each; for explanations."""
        lines = []
        missing = object()
        if self._wanted is not None and not _fits(self._wanted, other):
            lines += _misfits(self._wanted, other)
        for name, value in self._fields.items():
            there = getattr(other, name, missing)
            if there is missing:
                lines.append(f"{name}: there is no such attribute")
            elif not _within(there, value):
                if isinstance(there, (Mapping, Headers)) and isinstance(value, Mapping):
                    lines += [f"{name}: {line}" for line in _misfits(value, there)]
                else:
                    lines.append(f"{name} is {there!r}, expected {value!r}")
        return lines

    def __repr__(self) -> str:
        wanted = self._wanted
        parts = []
        if isinstance(wanted, re.Pattern):
            parts.append(repr(wanted.pattern))
        elif wanted is not None:
            parts.append(getattr(wanted, "__name__", None) or repr(wanted))
        parts += [f"{name}={value!r}" for name, value in self._fields.items()]
        return f"matching({', '.join(parts)})"


def matching(wanted: Any = None, /, **fields: Any) -> Any:
    """Something equal to whatever fits.

    Args:
        wanted: a regular expression (str, bytes or compiled), which has to be found in the text or bytes; a callable,
            which has to answer true; or a mapping, whose entries have to be there among others (of a mapping or of
            headers, where any value of a repeated header counts).
        fields: attributes the value has to have; mappings among them are subsets, as above.

    Raises:
        UsageError: ``wanted`` is none of these.
    """
    if wanted is None and not fields:
        raise UsageError("matching() fits everything: say what has to fit, or use pw.ANY")
    if isinstance(wanted, (str, bytes)):
        try:
            wanted = re.compile(wanted, re.DOTALL)
        except re.error as error:
            raise UsageError(f"matching({wanted!r}) is no regular expression: {error}") from None
    elif wanted is not None and not isinstance(wanted, (re.Pattern, Mapping)) and not callable(wanted):
        raise UsageError(f"matching() takes a regular expression, a callable or a mapping, not {wanted!r}")
    return _Matching(wanted, fields)


def same(value: Any, wanted: Any) -> bool:
    """Whether a value is the wanted one, text and its UTF-8 bytes being the same."""
    if isinstance(value, (str, bytes)) and isinstance(wanted, (str, bytes)) and type(value) is not type(wanted):
        return to_bytes(value) == to_bytes(wanted)
    return bool(value == wanted)


def _within(value: Any, wanted: Any) -> bool:
    return _fits(wanted, value) if isinstance(wanted, Mapping) else same(value, wanted)


def _fits(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        if not isinstance(value, (str, bytes)):
            return False
        text = to_text(to_bytes(value)) if isinstance(wanted.pattern, str) else to_bytes(value)
        return wanted.search(text) is not None
    if isinstance(wanted, Mapping):
        return not _misfits(wanted, value)
    test: Callable[[Any], Any] = wanted
    return bool(test(value))


def _misfits(wanted: Any, value: Any) -> list[str]:
    if not isinstance(wanted, Mapping):
        return [f"{value!r} does not fit {_Matching(wanted, {})!r}"]
    if isinstance(value, (list, tuple)):
        try:
            value = Headers(value)
        except UsageError:
            return [f"{value!r} is no mapping"]
    if not isinstance(value, (Mapping, Headers)):
        return [f"{value!r} is no mapping"]
    lines = []
    for key, item in wanted.items():
        if isinstance(value, Headers):
            several = value.get_all(key)
            fits = any(_within(one, item) for one in several) or (isinstance(item, list) and several == item)
            there: Any = several[0] if len(several) == 1 else several
            found = bool(several)
        else:
            found = key in value
            there = value[key] if found else None
            fits = found and _within(there, item)
        if not found:
            lines.append(f"{key!r} is missing, expected {item!r}")
        elif not fits:
            lines.append(f"{key!r} is {there!r}, expected {item!r}")
    return lines
