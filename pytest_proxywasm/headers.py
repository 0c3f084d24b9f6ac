"""`Headers`: an ordered multimap of bytes with a text view; knows nothing of proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, overload

from ._tracebacks import hide_missing_names
from .errors import UsageError

Text: TypeAlias = "str | bytes"
HeadersLike: TypeAlias = (
    "Headers | Mapping[str, Text | Sequence[Text]] | Mapping[bytes, Text | Sequence[Text]] "
    "| Iterable[tuple[Text, Text]]"
)
T = TypeVar("T")


def to_bytes(value: Text, what: str = "value") -> bytes:
    """UTF-8 of a str (surrogateescape, so that a decoded header goes back unchanged), bytes as they are."""
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise UsageError(f"{what} has a character that is not UTF-8, give bytes instead: {value!r}") from error
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise UsageError(f"{what} must be str or bytes, not {type(value).__name__}: {value!r}")


def to_text(value: bytes) -> str:
    """The str view of header bytes; bytes that are not UTF-8 become lone surrogates and survive the way back."""
    return value.decode("utf-8", "surrogateescape")


def to_number(value: bytes) -> int | None:
    """A decimal number of at most 64 bits in a header; ``None`` if it is none."""
    if not value.isdigit() or len(value) > 20:
        return None
    number = int(value)
    return number if number < 1 << 64 else None


def _pairs(items: HeadersLike) -> Iterator[tuple[bytes, bytes]]:
    if isinstance(items, Headers):
        yield from items.raw
        return
    if isinstance(items, Mapping):
        for name, value in items.items():
            key = to_bytes(name, "a header name").lower()
            several = isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, memoryview))
            values: Iterable[Text] = value if several else (value,)  # type: ignore[assignment]
            for one in values:
                yield key, to_bytes(one, f"the value of header {name!r}")
        return
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        raise UsageError(f"headers must be a mapping, pairs or Headers, not {items!r}")
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise UsageError(f"headers must be a mapping, pairs or Headers; this item is not a pair: {item!r}")
        name, value = item
        yield to_bytes(name, "a header name").lower(), to_bytes(value, f"the value of header {name!r}")


def _alike(mine: bytes, theirs: Any) -> bool:
    if isinstance(theirs, (str, bytes)):
        return mine == to_bytes(theirs)
    return bool(to_text(mine) == theirs)


class Headers:
    """An immutable, ordered multimap of header names and values, pseudo headers included.

    Names are lower-cased, as Envoy does on input. Values are bytes; indexing gives text (UTF-8 with
    surrogateescape). ``headers["x"]`` is the first value of ``x``. Compares equal to pairs (same order) and
    to mappings (same names and values, order of different names aside).
    """

    __slots__ = ("raw",)

    raw: tuple[tuple[bytes, bytes], ...]

    def __init__(self, items: HeadersLike = ()) -> None:
        object.__setattr__(self, "raw", tuple(_pairs(items)))

    @classmethod
    def from_raw(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Headers of pairs that are known to be bytes with lower-case names."""
        self = cls.__new__(cls)
        object.__setattr__(self, "raw", tuple(pairs))
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Headers cannot be changed; make new ones: Headers([*headers.raw, ...])")

    def __reduce__(self) -> tuple[Callable[..., Headers], tuple[tuple[tuple[bytes, bytes], ...]]]:
        return Headers.from_raw, (self.raw,)

    def __getitem__(self, name: Text) -> str:
        __tracebackhide__ = hide_missing_names
        key = to_bytes(name, "a header name").lower()
        for k, v in self.raw:
            if k == key:
                return to_text(v)
        names = ", ".join(dict.fromkeys(to_text(k) for k, _ in self.raw)) or "none at all"
        raise KeyError(f"no header {to_text(key)!r}; there are: {names}")

    @overload
    def get(self, name: Text) -> str | None: ...
    @overload
    def get(self, name: Text, default: T) -> str | T: ...
    def get(self, name: Text, default: T | None = None) -> str | T | None:
        """The first value of a header as text, or the default."""
        key = to_bytes(name, "a header name").lower()
        return next((to_text(v) for k, v in self.raw if k == key), default)

    def get_all(self, name: Text) -> list[str]:
        """All values of a header as text, in order."""
        key = to_bytes(name, "a header name").lower()
        return [to_text(v) for k, v in self.raw if k == key]

    def items(self) -> list[tuple[str, str]]:
        """All entries as text, in order."""
        return [(to_text(k), to_text(v)) for k, v in self.raw]

    def keys(self) -> list[str]:
        """The names, each once, in order of first appearance."""
        return list(dict.fromkeys(to_text(k) for k, _ in self.raw))

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, (str, bytes)):
            return False
        key = to_bytes(name).lower()
        return any(k == key for k, _ in self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def _grouped(self) -> dict[bytes, list[bytes]]:
        grouped: dict[bytes, list[bytes]] = {}
        for k, v in self.raw:
            grouped.setdefault(k, []).append(v)
        return grouped

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self.raw == other.raw
        if not isinstance(other, (Mapping, list, tuple)):
            return NotImplemented
        try:
            theirs = Headers(other)
        except UsageError:
            return self._fits(other)
        if isinstance(other, Mapping):
            return self._grouped() == theirs._grouped()
        return self.raw == theirs.raw

    def _fits(self, other: Any) -> bool:
        """Compared with something that holds more than text: stand-ins, such as ``ANY``, see values as text."""
        if not isinstance(other, Mapping):
            return len(other) == len(self.raw) and all(
                isinstance(theirs, (tuple, list))
                and len(theirs) == 2
                and _alike(mine[0], theirs[0])
                and _alike(mine[1], theirs[1])
                for mine, theirs in zip(self.raw, other)
            )
        wanted = {to_bytes(name).lower(): value for name, value in other.items() if isinstance(name, (str, bytes))}
        mine = self._grouped()
        if len(wanted) != len(other) or wanted.keys() != mine.keys():
            return False
        for name, value in wanted.items():
            values = value if isinstance(value, (list, tuple)) else (value,)
            if len(values) != len(mine[name]) or not all(map(_alike, mine[name], values)):
                return False
        return True

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        def show(value: bytes) -> str:
            try:
                return repr(value.decode("utf-8"))
            except UnicodeDecodeError:
                return repr(value)

        return "Headers([" + ", ".join(f"({show(k)}, {show(v)})" for k, v in self.raw) + "])"
