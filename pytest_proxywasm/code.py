"""Values as the Python code that makes them, short enough to read; knows requests and responses, and no host."""

from __future__ import annotations

import re
from typing import Any

from .headers import Headers
from .model import Request, Response

WIDTH = 100
_RUN = 24
_REPEATED = re.compile(r"(.{1,8}?)\1{5,}", re.DOTALL)
_REPEATED_BYTES = re.compile(rb"(.{1,8}?)\1{5,}", re.DOTALL)


class Code:
    """A call: what is called, and its arguments with their names, if any."""

    def __init__(self, name: str, parts: list[tuple[str | None, Code | str]], brackets: str = "()") -> None:
        self.name = name
        self.parts = parts
        self.brackets = brackets

    def flat(self) -> str:
        """On one line."""
        inner = ", ".join(f"{name}={_flat(part)}" if name else _flat(part) for name, part in self.parts)
        if self.brackets == "()" and not self.name and len(self.parts) == 1:
            inner += ","
        return f"{self.name}{self.brackets[0]}{inner}{self.brackets[1]}"

    def lines(self, indent: str = "", prefix: str = "", end: str = "") -> list[str]:
        """On as many lines as it needs."""
        flat = f"{indent}{prefix}{self.flat()}{end}"
        if len(flat) <= WIDTH or not self.parts:
            return [flat]
        lines = [f"{indent}{prefix}{self.name}{self.brackets[0]}"]
        for name, part in self.parts:
            label = f"{name}=" if name else ""
            if isinstance(part, Code):
                lines += part.lines(indent + "    ", label, ",")
            else:
                lines.append(f"{indent}    {label}{part},")
        return [*lines, f"{indent}{self.brackets[1]}{end}"]


class ShownAsCode:
    """A value whose ``repr`` is the code that makes it, with ``import pytest_proxywasm as pw``."""

    __slots__ = ()

    def _code(self) -> Code:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._code().flat()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis prints it: over several lines where one is too long."""
        lines = self._code().lines()
        with printer.indent(0):
            for number, line in enumerate(lines):
                if number:
                    printer.break_()
                printer.text(line)


def _flat(part: Code | str) -> str:
    return part.flat() if isinstance(part, Code) else part


def code_of(value: Any) -> Code | str:
    """The code of a value; of what is not known here its ``repr``."""
    if isinstance(value, ShownAsCode):
        return value._code()
    if isinstance(value, (str, bytes)):
        return text_code(value)
    if isinstance(value, Headers):
        return Code("", [(None, Code("", [(None, _shown(n)), (None, _shown(v))])) for n, v in value.raw], "[]")
    if isinstance(value, Request):
        return _message("pw.Request", value, Request())
    if isinstance(value, Response):
        code = _message("pw.Response", value, Response())
        code.parts = [(None, str(value.status)), *((n, part) for n, part in code.parts if n != "status")]
        return code
    if isinstance(value, tuple):
        return Code("", [(None, code_of(one)) for one in value])
    if type(value).__module__ == "pytest_proxywasm.model" and hasattr(value, "__dataclass_fields__"):
        return fields_code(value)
    return repr(value)


def fields_code(value: Any) -> Code:
    """A dataclass with the fields that are not as usual; the first ones without their names."""
    fields = type(value).__dataclass_fields__.values()
    empty = (Headers(), ())
    parts: list[tuple[str | None, Code | str]] = []
    named = False
    for field in fields:
        one = getattr(value, field.name)
        if one == field.default or (one in empty and field.default in empty):
            named = True
            continue
        named = named or field.kw_only or isinstance(one, bool)
        parts.append((field.name if named else None, code_of(one)))
    return Code(f"pw.{type(value).__name__}", parts)


def _message(name: str, value: Request | Response, default: Request | Response) -> Code:
    """The parts that are not as usual; pseudo headers stand for the arguments they replace."""
    parts: list[tuple[str | None, Code | str]] = []
    for field in type(value).__dataclass_fields__:
        one = getattr(value, field)
        if one == getattr(default, field) or (field == "body" and value.chunks is not None):
            continue
        if field == "chunks":
            parts.append((field, Code("", [(None, text_code(chunk)) for chunk in one], "[]")))
        else:
            parts.append((field, code_of(one)))
    return Code(name, parts)


def _shown(value: bytes) -> str:
    """Header bytes as a str where that is the same."""
    try:
        return text_code(value.decode("utf-8"))
    except UnicodeDecodeError:
        return text_code(value)


def text_code(value: str | bytes) -> str:
    """A literal; what repeats itself often as a product."""
    if len(value) <= 2 * _RUN:
        return repr(value)
    pieces: list[str] = []
    start = 0
    for found in (_REPEATED if isinstance(value, str) else _REPEATED_BYTES).finditer(value):  # type: ignore[arg-type]
        unit = found[1]
        times = len(found[0]) // len(unit)
        if len(found[0]) < _RUN:
            continue
        if start < found.start():
            pieces.append(repr(value[start : found.start()]))
        pieces.append(f"{unit!r} * {times}")
        start = found.start() + times * len(unit)
    if start < len(value):
        pieces.append(repr(value[start:]))
    return " + ".join(pieces)
