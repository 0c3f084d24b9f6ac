"""CEL expressions of the foreign functions ``expr_*``: compiled, kept by token, evaluated over a context's attributes.

Knows the optional library `cel-python` and the tree of properties; knows no streams. Which functions exist, and how
failures show, are those of Envoy 1.40.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..abi.enums import Status
from ..errors import NotEmulatedError
from ..headers import to_text
from . import properties
from .extras import optional

if TYPE_CHECKING:
    from .context import Context

_GETTERS = """
getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds getMilliseconds
""".split()
_CONVERSIONS = "bool bytes double duration dyn int size string timestamp type uint".split()
_TESTS = "contains endsWith matches startsWith".split()

FUNCTIONS = {
    **{(name, False): (1,) for name in _CONVERSIONS},
    **{(name, False): (2,) for name in _TESTS},
    **{(name, True): (1,) for name in _TESTS},
    **{(name, True): (0, 1) for name in _GETTERS},
    ("size", True): (0,),
}
"""The functions Envoy has: name and whether it is called on something, to the numbers of its arguments."""

MACROS = {"all": (2,), "exists": (2,), "exists_one": (2,), "filter": (2,), "map": (2, 3)}
_TIMES: dict[tuple[str, ...], str] = {
    ("request", "time"): "timestamp",
    ("request", "duration"): "duration",
    ("response", "backend_latency"): "duration",
}


class _NotCompiled(Exception):
    """It parses, but there is no such function or type."""


class Expressions:
    """The expressions of one root context, by token. Tokens count from 0; one is used up by what does not compile."""

    def __init__(self) -> None:
        self._cel: Any = optional("celpy", needs="the foreign functions expr_create and expr_evaluate", extra="cel")
        self._environment: Any = self._cel.Environment()
        self._attributes = _Attributes(self._cel.celtypes)
        self._functions = _envoys_functions(self._cel.celtypes)
        self._programs: dict[int, tuple[Any, frozenset[str]]] = {}
        self._next = 0

    def create(self, source: bytes) -> int | None:
        """Compile an expression; its token, ``None`` when it is no expression or calls what Envoy does not have."""
        try:
            tree = self._environment.compile(source.decode())
        except (UnicodeDecodeError, self._cel.CELParseError):
            return None
        if not _has_is_right(tree):
            return None
        token, self._next = self._next, self._next + 1
        try:
            _check(tree)
        except _NotCompiled:
            return None
        names = frozenset(str(node.children[0]) for node in tree.find_data("ident"))
        self._programs[token] = self._environment.program(tree, functions=self._functions), names
        return token

    def delete(self, token: int) -> None:
        """Forget an expression."""
        self._programs.pop(token, None)

    def evaluate(self, context: Context, token: int) -> bytes | Status:
        """The value of an expression in its encoding."""
        found = self._programs.get(token)
        if found is None:
            return context.because(Status.NOT_FOUND, f"no expression has the token {token}")
        program, names = found
        variables = {}
        for name in names:
            value = properties.attribute(context, name)
            if not isinstance(value, properties.Missing):
                variables[name] = self._attributes.of(value, (name,))
        try:
            result = program.evaluate(variables)
        except (self._cel.CELEvalError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            return context.because(Status.INTERNAL_FAILURE, f"the expression failed: {error}")
        return properties.encode(_plain(result, self._cel.celtypes))


def _envoys_functions(types: Any) -> dict[str, Callable[..., Any]]:
    """Where the library and Envoy's CEL differ: numbers of all kinds compare, but are never mixed in arithmetic."""
    number = (types.IntType, types.UintType, types.DoubleType)

    def compare(name: str) -> Callable[..., Any]:
        operation = getattr(operator, name)

        def compared(left: Any, right: Any) -> Any:
            if isinstance(left, Exception) or isinstance(right, Exception):
                return left if isinstance(left, Exception) else right
            if isinstance(left, number) and isinstance(right, number):
                left, right = (float(v) if isinstance(v, float) else int(v) for v in (left, right))
            elif type(left) is not type(right) and name in ("eq", "ne"):
                return types.BoolType(name == "ne")
            return types.BoolType(bool(operation(left, right)))

        return compared

    def calculate(name: str) -> Callable[..., Any]:
        operation = getattr(operator, name)

        def calculated(left: Any, right: Any) -> Any:
            if isinstance(left, number) and isinstance(right, number) and type(left) is not type(right):
                raise TypeError(f"{name} of {type(left).__name__} and {type(right).__name__}")
            return operation(left, right)

        return calculated

    def timestamp(value: Any) -> Any:
        return _timestamp(int(value) * 10**9, types) if isinstance(value, types.IntType) else types.TimestampType(value)

    def string(value: Any) -> Any:
        return types.StringType(str(bool(value)).lower() if isinstance(value, types.BoolType) else value)

    def to_bool(value: Any) -> Any:
        if isinstance(value, (*number, types.BytesType)):
            raise TypeError("bool of a number")
        return types.BoolType(value)

    return {
        **{f"_{sign}_": compare(n) for sign, n in zip("== != < <= > >=".split(), "eq ne lt le gt ge".split())},
        **{f"_{sign}_": calculate(n) for sign, n in zip("+-*/%", "add sub mul truediv mod".split())},
        "timestamp": timestamp,
        "string": string,
        "bool": to_bool,
    }


def _timestamp(nanoseconds: int, types: Any) -> Any:
    from datetime import datetime, timedelta, timezone

    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds, microseconds=rest // 1000)
    return types.TimestampType(moment)


class _Attributes:
    """Attributes as values of the library."""

    def __init__(self, types: Any) -> None:
        self._types = types

        class Headers(types.MapType):  # type: ignore[misc]
            """Header names are compared without their case."""

            def __getitem__(self, key: Any) -> Any:
                return super().__getitem__(types.StringType(str(key).lower()))

            def __contains__(self, key: Any) -> bool:
                return bool(super().__contains__(types.StringType(str(key).lower())))

            def get(self, key: Any, default: Any = None) -> Any:
                return super().get(types.StringType(str(key).lower()), default)

        class Whole(types.MapType):  # type: ignore[misc]
            """A group or message: as a whole it is something else than a map."""

            whole: Any = None

        self._headers, self._whole = Headers, Whole

    def of(self, value: Any, path: tuple[str, ...]) -> Any:
        types = self._types
        if callable(value):
            value = value()
        if isinstance(value, bytes):
            return types.StringType(to_text(value))
        if value is None or isinstance(value, str):
            return value if value is None else types.StringType(value)
        if isinstance(value, bool):
            return types.BoolType(value)
        if isinstance(value, int):
            return self._time(value, _TIMES.get(path))
        if isinstance(value, float):
            return types.DoubleType(value)
        if isinstance(value, Mapping):
            return self._map(value, path)
        return types.ListType([self.of(item, path) for item in value])

    def _time(self, nanoseconds: int, kind: str | None) -> Any:
        if kind is None:
            return self._types.IntType(nanoseconds)
        if kind == "duration":
            return self._types.DurationType(*divmod(nanoseconds, 10**9))
        return _timestamp(nanoseconds, self._types)

    def _map(self, value: Mapping[str, Any], path: tuple[str, ...]) -> Any:
        items = []
        for key, item in value.items():
            found = item() if callable(item) else item
            if not isinstance(found, properties.Missing):
                items.append((self._types.StringType(key), self.of(found, (*path, key))))
        if isinstance(value, properties.HeaderAttributes):
            return self._headers(items)
        if isinstance(value, (properties.Group, properties.Message)):
            whole = self._whole(items)
            whole.whole = value
            return whole
        return self._types.MapType(items)


def _plain(value: Any, types: Any) -> Any:
    """A result as `properties.encode` takes it."""
    if hasattr(value, "whole"):
        return value.whole
    if value is None or isinstance(value, type):
        return None
    if isinstance(value, types.BoolType):
        return bool(value)
    if isinstance(value, types.TimestampType):
        return round((value - types.TimestampType("1970-01-01T00:00:00Z")).total_seconds() * 1_000_000) * 1000
    if isinstance(value, types.DurationType):
        return round(value.total_seconds() * 1_000_000) * 1000
    for kind in (int, float, str, bytes):
        if isinstance(value, kind):
            return kind(value)  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return {_key(_plain(key, types)): _plain(item, types) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, types) for item in value]
    return None


def _key(value: Any) -> Any:
    return value if not isinstance(value, list) else tuple(value)


def _arguments(node: Any) -> list[Any]:
    last = node.children[-1]
    return list(last.children) if getattr(last, "data", None) == "exprlist" else []


def _only(node: Any) -> Any:
    """What an expression consists of, without the levels of precedence around it."""
    while len(node.children) == 1 and hasattr(node.children[0], "children"):
        node = node.children[0]
    return node


def _calls(tree: Any) -> Iterator[tuple[str, bool, list[Any]]]:
    for node in tree.iter_subtrees():
        if node.data in ("ident_arg", "dot_ident_arg"):
            yield str(node.children[0]), False, _arguments(node)
        elif node.data == "member_dot_arg":
            yield str(node.children[1]), True, _arguments(node)


def _has_is_right(tree: Any) -> bool:
    """Whether ``has()`` is given field selections only; the library's parser does not mind."""
    given = [arguments for name, on_something, arguments in _calls(tree) if name == "has" and not on_something]
    return all(len(arguments) == 1 and _only(arguments[0]).data == "member_dot" for arguments in given)


def _check(tree: Any) -> None:
    for name, on_something, arguments in _calls(tree):
        if name == "has" and not on_something:
            continue
        if on_something and len(arguments) in MACROS.get(name, ()):
            if _only(arguments[0]).data == "ident":
                continue
        if len(arguments) not in FUNCTIONS.get((name, on_something), ()):
            raise _NotCompiled(name)
    for node in tree.find_data("member_object"):
        if "protobuf" in [str(token) for token in node.scan_values(lambda token: token.type == "IDENT")]:
            raise NotEmulatedError("the mock host does not emulate protobuf messages in CEL expressions")
        raise _NotCompiled("types")
