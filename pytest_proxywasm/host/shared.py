"""What all VMs of a proxy share: shared data, queues and metrics; knows no VM."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..abi.enums import MetricType, Status

WRAP = 1 << 64


class SharedData:
    """Values by vm_id and key, with compare-and-set numbers from one counter of the whole process.

    Envoy 1.40: the counter starts at 1 and grows with each successful set, over all keys and vm_ids.
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[bytes, tuple[bytes, int]]] = {}
        self._cas = 0

    def get(self, vm_id: str, key: bytes) -> tuple[bytes, int] | None:
        """Value and cas."""
        return self._values.get(vm_id, {}).get(key)

    def set(self, vm_id: str, key: bytes, value: bytes, cas: int) -> Status:
        """Store a value; a cas of 0, or of a key that is not there, is not looked at."""
        scope = self._values.setdefault(vm_id, {})
        if cas and key in scope and scope[key][1] != cas:
            return Status.CAS_MISMATCH
        self._cas = (self._cas + 1) % (1 << 32) or 1
        scope[key] = (value, self._cas)
        return Status.OK

    def scope(self, vm_id: str) -> dict[bytes, tuple[bytes, int]]:
        """Everything under a vm_id."""
        return self._values.setdefault(vm_id, {})


@dataclass(slots=True)
class Queue:
    """One shared queue and whom to tell."""

    id: int
    vm_id: str
    name: bytes
    items: deque[bytes] = field(default_factory=deque)
    notify: Callable[[int], None] | None = None


class Queues:
    """Queues by vm_id and name; ids count from 1 over the whole process."""

    def __init__(self) -> None:
        self.by_id: dict[int, Queue] = {}
        self._by_name: dict[tuple[str, bytes], Queue] = {}

    def register(self, vm_id: str, name: bytes, notify: Callable[[int], None] | None) -> Queue:
        """The queue of a name; the last to register is told of new items."""
        queue = self._by_name.get((vm_id, name))
        if queue is None:
            queue = Queue(len(self.by_id) + 1, vm_id, name)
            self.by_id[queue.id] = queue
            self._by_name[vm_id, name] = queue
        queue.notify = notify
        return queue

    def resolve(self, vm_id: str, name: bytes) -> Queue | None:
        """The queue of a name, if there is one."""
        return self._by_name.get((vm_id, name))

    def enqueue(self, queue_id: int, item: bytes) -> Status:
        """Put an item at the end and tell the registrant."""
        queue = self.by_id.get(queue_id)
        if queue is None:
            return Status.NOT_FOUND
        queue.items.append(item)
        if queue.notify is not None:
            queue.notify(queue_id)
        return Status.OK

    def dequeue(self, queue_id: int) -> bytes | Status:
        """Take the first item."""
        queue = self.by_id.get(queue_id)
        if queue is None:
            return Status.NOT_FOUND
        return queue.items.popleft() if queue.items else Status.EMPTY


@dataclass(slots=True)
class Stat:
    """One metric of the process."""

    kind: MetricType
    value: int = 0
    samples: list[int] = field(default_factory=list)


class Metrics:
    """Metrics by kind and name; ids are each VM's own."""

    def __init__(self) -> None:
        self.stats: dict[tuple[MetricType, bytes], Stat] = {}

    def define(self, kind: MetricType, name: bytes) -> Stat:
        """The metric of a kind and name."""
        return self.stats.setdefault((kind, name), Stat(kind))


class MetricIds:
    """The metric ids of one VM: 4, 8, ... for counters, 5, 9, ... for gauges, 6, 10, ... for histograms (Envoy)."""

    def __init__(self) -> None:
        self._next = {kind: 4 + int(kind) for kind in MetricType}
        self._stats: dict[int, Stat] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(self._stats)

    def add(self, stat: Stat) -> int:
        """A new id, even of a metric that has one."""
        new = self._next[stat.kind]
        self._next[stat.kind] += 4
        self._stats[new] = stat
        return new

    def increment(self, metric_id: int, delta: int) -> Status:
        """Counters only go up, and not by 0; gauges wrap around below 0; histograms cannot."""
        kind = metric_id & 3
        if kind > MetricType.GAUGE:
            return Status.BAD_ARGUMENT
        stat = self._stats.get(metric_id)
        if stat is None:
            return Status.NOT_FOUND
        if kind == MetricType.COUNTER and delta <= 0:
            return Status.BAD_ARGUMENT
        stat.value = (stat.value + delta) % WRAP
        return Status.OK

    def record(self, metric_id: int, value: int) -> Status:
        """Adds to a counter, sets a gauge, takes a sample into a histogram."""
        stat = self._stats.get(metric_id)
        if stat is None:
            return Status.NOT_FOUND
        if stat.kind is MetricType.COUNTER:
            stat.value = (stat.value + value) % WRAP
        elif stat.kind is MetricType.GAUGE:
            stat.value = value
        else:
            stat.samples.append(value)
        return Status.OK

    def get(self, metric_id: int) -> int | Status:
        """The value of a counter or gauge."""
        if metric_id & 3 > MetricType.GAUGE:
            return Status.BAD_ARGUMENT
        stat = self._stats.get(metric_id)
        return Status.NOT_FOUND if stat is None else stat.value
