"""Hosts that start as others did before: from the state right after the start, instead of running it again.

Knows what a start depends on, and what the two ways cost; how a state is taken and given is the host's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..engine.state import seconds
from ..host.state import Captured
from ..model import GuestLog, NoHosts
from .checkpoint import capture_start
from .host import MockHost

if TYPE_CHECKING:
    from ..engine import Engine
    from ..filters import Filter

__all__ = ["Starts"]

_KEPT = 16
"""How many started states are remembered, the last used ones."""

_SAMPLES = 5
_INDEPENDENT = ("upstream", "routes", "clusters")
"""Options that a start does not depend on, except for which clusters there are."""


class _Start:
    """What is known of one way to start."""

    __slots__ = ("again", "captured", "started")

    def __init__(self) -> None:
        self.captured: Captured | None = None
        self.started: list[float] = []
        """Seconds that starts took."""
        self.again: list[float] = []
        """Seconds that it took from the captured state."""

    @property
    def worth_it(self) -> bool:
        return len(self.again) < _SAMPLES or min(self.again) < min(self.started)


class Starts:
    """Starts hosts over one engine.

    A start that has happened twice is captured, and later ones begin with what was captured: whatever can be seen of
    the host is the same, log records included. A host is started truly whenever that is not certain: when its start
    fails, calls other services, or leaves behind what cannot be saved; and when it is no dearer.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: OrderedDict[object, _Start] = OrderedDict()

    def host(
        self,
        filters: Sequence[Filter],
        options: Mapping[str, Any],
        on_log: Callable[[GuestLog], None] | None = None,
    ) -> MockHost:
        """A started host; see `MockHost` for options and errors."""
        host = self._host(filters, options, on_log)
        host.start_another = self.host
        return host

    def _host(
        self, filters: Sequence[Filter], options: Mapping[str, Any], on_log: Callable[[GuestLog], None] | None
    ) -> MockHost:
        key = _key(filters, options)
        start = self._known.get(key) if key is not None else None
        begin = seconds()
        if start is not None and start.captured is not None and start.worth_it:
            self._known.move_to_end(key)
            host = MockHost(filters, engine=self._engine, on_log=on_log, started=start.captured, **options)
            if len(start.again) < _SAMPLES:
                start.again.append(seconds() - begin)
            return host
        host = MockHost(filters, engine=self._engine, on_log=on_log, **options)
        if key is None:
            return host
        took = seconds() - begin
        if start is None:
            start = self._known[key] = _Start()
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        elif len(start.started) == 1:
            start.captured = capture_start(host)
        if len(start.started) < 2:
            start.started.append(took)
        return host


def _key(filters: Sequence[Filter], options: Mapping[str, Any]) -> object:
    """Everything that a start depends on; ``None`` when that cannot be compared."""
    rest = {name: value for name, value in options.items() if name not in _INDEPENDENT}
    clusters = options.get("clusters") or {}
    try:
        services = tuple(rest.pop("services", ()))
        there = frozenset((name, isinstance(handler, NoHosts)) for name, handler in clusters.items())
        key = tuple(filters), services, there, _frozen(rest)
        hash(key)
    except (TypeError, AttributeError):
        return None
    return key


def _frozen(value: Any) -> object:
    """A value to compare by; equal values of different types are told apart."""
    if isinstance(value, Mapping):
        return "map", tuple((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(_frozen, value))
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return type(value), value
    raise TypeError(f"a {type(value).__name__} cannot be compared")
