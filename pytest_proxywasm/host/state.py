"""The state of a proxy at one moment: put back into the same objects, or given to new ones; knows no guest.

The state is that of every object that can be reached from those that are captured: all attributes of the classes of
the host, all of their lists and dicts. Nothing is listed by hand, so nothing can be left out. What happened (traces,
logs) is kept by entry, for entries do not change.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from enum import Enum
from types import FunctionType, MappingProxyType, MethodType
from typing import Any, ClassVar, Protocol

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..trace import Trace
from .grpc_script import Script
from .history import History

__all__ = ["Captured", "Keeper", "Running", "capture"]

_PACKAGES = tuple(f"{__name__.split('.')[0]}.{layer}." for layer in ("host", "mock"))
_ATOMS = (int, str, bytes, float, type(None), Enum, type, frozenset)
_CONTAINERS = (list, dict, deque, set, bytearray)


class Running(Exception):
    """Something is going on that has no state to save: a generator."""


class Keeper(Protocol):
    """An object that saves part of its state itself: what of it is not plain data.

    Attributes:
        KEPT: the attributes that this part is in.
    """

    KEPT: ClassVar[tuple[str, ...]]

    def keep(self) -> Any:
        """That part as it is now."""

    def put_back(self, kept: Any) -> None:
        """Have it again as it was."""

    def revive(self, kept: Any) -> None:
        """Have it, in a new object."""


class _Node:
    """One object: what does not change in it, and where it leads."""

    __slots__ = ("attributes", "items", "kept", "kind", "leads", "links", "make", "thing")

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.kind: Any = type(thing)
        self.make = _maker(thing)
        self.attributes: dict[str, Any] | None = None
        self.items: Any = None
        self.links: list[tuple[Any, int]] = []
        """Key or place of an item, and the number of the node there."""
        self.leads: list[tuple[str, int]] = []
        """The same of attributes."""
        self.kept: Any = None


class Captured:
    """The state of some objects and all they lead to.

    Attributes:
        uncopied: what keeps it from being given to new objects, in words; "" if nothing does.
    """

    def __init__(self, *things: Any) -> None:
        self.uncopied = ""
        self._nodes: list[_Node] = []
        self._keeping: list[int] = []
        self._known: dict[int, int] = {}
        self._roots = [self._visit(thing) for thing in things]
        self._known.clear()

    # Capturing.

    def _visit(self, value: Any, shallow: bool = False) -> int:
        """The number of the node of a value; -1 for one that cannot change."""
        known = self._known.get(id(value))
        if known is not None:
            return known
        kind = type(value)
        if isinstance(value, _ATOMS) or _is_frozen(kind):
            return -1
        if isinstance(value, Script) and not value.ended:
            raise Running(f"a generator answers {value.what}")
        if isinstance(value, tuple):
            return self._tuple(value)
        ours = kind.__module__.startswith(_PACKAGES) or isinstance(value, Trace)
        if ours or isinstance(value, (_CONTAINERS, random.Random)) or _is_callout(value):
            return self._object(value, shallow or isinstance(value, History))
        if isinstance(value, MethodType):
            of = self._visit(value.__self__)
            if of >= 0:
                self._add(value).links = [("__self__", of)]
                return self._known[id(value)]
            self.uncopied = self.uncopied or f"a method of a {type(value.__self__).__name__}"
            return -1
        if isinstance(value, FunctionType) and value.__closure__ is None:
            return -1
        if not isinstance(value, MappingProxyType) or value:
            self.uncopied = self.uncopied or f"a {kind.__name__}"
        return -1

    def _tuple(self, value: tuple[Any, ...]) -> int:
        """Tuples cannot change, but may lead to what can."""
        links = [(place, number) for place, item in enumerate(value) if (number := self._visit(item)) >= 0]
        if not links:
            return -1
        if type(value) is not tuple:
            self.uncopied = self.uncopied or f"a {type(value).__name__}"
        node = self._add(value)
        node.links = links
        return self._known[id(value)]

    def _add(self, value: Any) -> _Node:
        node = _Node(value)
        self._known[id(value)] = len(self._nodes)
        self._nodes.append(node)
        return node

    def _object(self, value: Any, shallow: bool) -> int:
        kind = type(value)
        node = self._add(value)
        if isinstance(value, random.Random):
            node.items = value.getstate()
            return self._known[id(value)]
        if isinstance(value, _CONTAINERS):
            node.items = value.copy() if kind in _CONTAINERS else _plain(value)
            if not shallow and not isinstance(value, (set, bytearray)):
                for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                    self._link(node, key, item)
        attributes = _attributes(value)
        if attributes:
            kept = getattr(kind, "KEPT", ())
            node.attributes = {name: item for name, item in attributes.items() if name not in kept}
            for name, item in node.attributes.items():
                number = self._visit(item, isinstance(value, Trace))
                if number >= 0:
                    node.leads.append((name, number))
        if hasattr(kind, "KEPT"):
            node.kept = value.keep()
            self._keeping.append(self._known[id(value)])
        return self._known[id(value)]

    def _link(self, node: _Node, key: Any, item: Any) -> None:
        number = self._visit(item)
        if number >= 0:
            node.links.append((key, number))

    # Giving back.

    def put_back(self) -> None:
        """All is as it was, in the same objects."""
        for node in self._nodes:
            thing = node.thing
            if isinstance(thing, (tuple, MethodType)):
                continue
            if isinstance(thing, random.Random):
                thing.setstate(node.items)
                continue
            if node.attributes is not None:
                _set_attributes(thing, node.attributes)
            if node.items is not None:
                _refill(thing, node.items)
        for number in self._keeping:
            node = self._nodes[number]
            node.thing.put_back(node.kept)

    def copies(self) -> list[Any]:
        """New objects with this state, one for each that was captured; they share nothing that can change.

        Raises:
            ValueError: it cannot be given to new objects (`uncopied`).
        """
        if self.uncopied:
            raise ValueError(f"this state holds {self.uncopied}, which cannot be copied")
        made: list[Any] = []
        for node in self._nodes:
            # What tuples and methods lead to, as far as it is a tuple or method itself, was found before them.
            made.append(node.make(node, made))
        for number, node in enumerate(self._nodes):
            if node.leads or node.links:
                new = made[number]
                for name, other in node.leads:
                    setattr(new, name, made[other])
                if node.make is not _make_tuple and node.make is not _make_method:
                    for key, other in node.links:
                        new[key] = made[other]
        for number in self._keeping:
            made[number].revive(self._nodes[number].kept)
        return [made[number] for number in self._roots]


def capture(*things: Any) -> Captured:
    """The state of these objects and all they lead to.

    Raises:
        Running: something is going on that has no state to save.
    """
    return Captured(*things)


def _is_frozen(kind: type) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _is_callout(value: Any) -> bool:
    from ..model import Callout

    return isinstance(value, Callout)


def _attributes(value: Any) -> dict[str, Any]:
    found = dict(vars(value)) if hasattr(value, "__dict__") else {}
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name) and name != "__weakref__":
                found[name] = getattr(value, name)
    return found


def _set_attributes(thing: Any, attributes: dict[str, Any]) -> None:
    kept = getattr(thing, "KEPT", ())
    if hasattr(thing, "__dict__"):
        for name in [name for name in vars(thing) if name not in attributes and name not in kept]:
            delattr(thing, name)
    for name, value in attributes.items():
        setattr(thing, name, value)


def _plain(value: Any) -> Any:
    kind: Any = next(kind for kind in _CONTAINERS if isinstance(value, kind))
    return kind(value)


def _refill(thing: Any, items: Any) -> None:
    thing.clear()
    if isinstance(thing, (dict, set)):
        thing.update(items)
    else:
        thing.extend(items)


# The new objects: with what does not change in them, and with the old ones' parts in the place of those that are
# linked afterwards.


def _make_container(node: _Node, made: list[Any]) -> Any:
    return node.items.copy()


def _make_random(node: _Node, made: list[Any]) -> Any:
    new = random.Random.__new__(random.Random)
    new.setstate(node.items)
    return new


def _make_plain(node: _Node, made: list[Any]) -> Any:
    new = node.kind.__new__(node.kind)
    new.__dict__.update(node.attributes)
    return new


def _make_other(node: _Node, made: list[Any]) -> Any:
    """With slots, or a container with attributes."""
    new = node.kind.__new__(node.kind)
    if node.items is not None:
        _refill(new, node.items)
    for name, value in (node.attributes or {}).items():
        setattr(new, name, value)
    return new


def _make_tuple(node: _Node, made: list[Any]) -> Any:
    items = list(node.thing)
    for place, number in node.links:
        items[place] = made[number]
    return tuple(items)


def _make_method(node: _Node, made: list[Any]) -> Any:
    return MethodType(node.thing.__func__, made[node.links[0][1]])


def _maker(thing: Any) -> Callable[[_Node, list[Any]], Any]:
    kind = type(thing)
    if kind in _CONTAINERS:
        return _make_container
    if isinstance(thing, tuple):
        return _make_tuple
    if isinstance(thing, MethodType):
        return _make_method
    if isinstance(thing, random.Random):
        return _make_random
    slots = any("__slots__" in vars(base) for base in kind.__mro__[:-1])
    return _make_other if slots or isinstance(thing, _CONTAINERS) else _make_plain
