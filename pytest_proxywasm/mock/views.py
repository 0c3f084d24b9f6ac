"""Mappings over a host's shared state, as tests see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from .._tracebacks import hide_missing_names
from ..abi.enums import MetricType, Status
from ..errors import UsageError
from ..headers import Text, to_bytes, to_text
from ..host.proxy import Proxy
from ..model import Metric


def _nearest(name: str, names: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, n=3)
    if near:
        return f"; near it: {', '.join(near)}"
    return f"; there are: {', '.join(sorted(names)) or 'none'}"


class MetricsView(Mapping[str, Metric]):
    """Metrics by name, as the filters named them."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __getitem__(self, name: str) -> Metric:
        __tracebackhide__ = hide_missing_names
        raw = to_bytes(name)
        for kind in MetricType:
            stat = self._proxy.metrics.stats.get((kind, raw))
            if stat is not None:
                value = len(stat.samples) if kind is MetricType.HISTOGRAM else stat.value
                return Metric(kind.name.lower(), value, tuple(stat.samples))
        raise KeyError(f"no metric {name!r}{_nearest(name, list(self))}")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(to_text(name) for _, name in self._proxy.metrics.stats))

    def __len__(self) -> int:
        return len({name for _, name in self._proxy.metrics.stats})

    def __repr__(self) -> str:
        return repr(dict(self))


class SharedDataView(MutableMapping[Text, bytes]):
    """Shared data of one vm_id by key."""

    def __init__(self, proxy: Proxy, vm_id: str) -> None:
        self._proxy = proxy
        self._vm_id = vm_id

    def __getitem__(self, key: Text) -> bytes:
        __tracebackhide__ = hide_missing_names
        return self._find(key)[0]

    def _find(self, key: Text) -> tuple[bytes, int]:
        __tracebackhide__ = hide_missing_names
        raw = to_bytes(key, "a key")
        found = self._proxy.shared_data.get(self._vm_id, raw)
        if found is None:
            raise KeyError(f"no shared data under {key!r}{_nearest(to_text(raw), [to_text(k) for k in self])}")
        return found

    def __setitem__(self, key: Text, value: Text) -> None:
        self._proxy.shared_data.set(self._vm_id, to_bytes(key, "a key"), to_bytes(value), 0)

    def __delitem__(self, key: Text) -> None:
        self._find(key)
        del self._proxy.shared_data.scope(self._vm_id)[to_bytes(key, "a key")]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._proxy.shared_data.scope(self._vm_id))

    def __len__(self) -> int:
        return len(self._proxy.shared_data.scope(self._vm_id))

    def cas(self, key: Text) -> int:
        """The compare-and-set number of a key."""
        return self._find(key)[1]

    def __repr__(self) -> str:
        return repr(dict(self))


class QueuesView(Mapping[str, "list[bytes]"]):
    """Queues of one vm_id by name: the items waiting in them."""

    def __init__(self, proxy: Proxy, vm_id: str) -> None:
        self._proxy = proxy
        self._vm_id = vm_id

    def __getitem__(self, name: str) -> list[bytes]:
        __tracebackhide__ = hide_missing_names
        queue = self._proxy.queues.resolve(self._vm_id, to_bytes(name))
        if queue is None:
            raise KeyError(f"no queue {name!r}{_nearest(name, list(self))}")
        return list(queue.items)

    def __iter__(self) -> Iterator[str]:
        return iter(to_text(q.name) for q in self._proxy.queues.by_id.values() if q.vm_id == self._vm_id)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def enqueue(self, name: str, data: Text) -> None:
        """Put an item on a queue, as another VM would."""
        queue = self._proxy.queues.resolve(self._vm_id, to_bytes(name))
        if queue is None:
            raise UsageError(f"no filter has registered a queue {name!r}{_nearest(name, list(self))}")
        status = self._proxy.queues.enqueue(queue.id, to_bytes(data, "data"))
        assert status is Status.OK

    def __repr__(self) -> str:
        return repr(dict(self))


class PropertiesView(MutableMapping["str | tuple[str, ...]", Any]):
    """Properties that a test sets: dotted or tuple paths to Python values, which win over those of the stream."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    @staticmethod
    def _key(path: str | tuple[str, ...]) -> tuple[bytes, ...]:
        parts = tuple(path.split(".")) if isinstance(path, str) else tuple(path)
        if not parts or not all(parts):
            raise UsageError(f"a property path has parts that are not empty: {path!r}")
        return tuple(to_bytes(part, "a part of a property path") for part in parts)

    def __getitem__(self, path: str | tuple[str, ...]) -> Any:
        __tracebackhide__ = hide_missing_names
        return self._proxy.overrides[self._known(path)]

    def _known(self, path: str | tuple[str, ...]) -> tuple[bytes, ...]:
        __tracebackhide__ = hide_missing_names
        key = self._key(path)
        if key not in self._proxy.overrides:
            dotted = ".".join(to_text(part) for part in key)
            known = [".".join(other) for other in self]
            raise KeyError(f"no property {dotted!r} was set here{_nearest(dotted, known)}")
        return key

    def __setitem__(self, path: str | tuple[str, ...], value: Any) -> None:
        self._proxy.overrides[self._key(path)] = value

    def __delitem__(self, path: str | tuple[str, ...]) -> None:
        del self._proxy.overrides[self._known(path)]

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(tuple(to_text(part) for part in key) for key in self._proxy.overrides)

    def __len__(self) -> int:
        return len(self._proxy.overrides)


class VmView:
    """What belongs to one vm_id."""

    def __init__(self, proxy: Proxy, vm_id: str) -> None:
        self.shared_data = SharedDataView(proxy, vm_id)
        self.queues = QueuesView(proxy, vm_id)
