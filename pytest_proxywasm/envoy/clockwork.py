"""What the copy of a guest gets so that it takes its time from the test's clock, as code; runs nothing.

In Envoy time is real, and each VM of a filter ticks, that of the main thread too. In a copy with the clockwork

- a clock that is read is that of the test: the virtual clock's start plus a gauge, which `Metronome` sets;
- a tick period is told to Envoy and taken back at once. In its place a queue is registered, and what is put on it, by
  `Metronome` again, has the guest's ``proxy_on_tick`` called. A queue's callbacks come to the root context that
  registered it last, which is the worker's.

The gauge is the first of its VM; the guest's own have the ids they would have without it, as far as the guest can see.

Its own calls work on the first 16 bytes of the guest's memory, which are put back. They have values that no guest would
pass, by which `hidden` finds them in a log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..engine.binary import signed, unsigned
from ..engine.interface import FunctionType
from ..host.clock import START_NS

__all__ = [
    "BY_ID",
    "CLOCK",
    "GAUGE",
    "IMPORTS",
    "LOG_TOKEN",
    "PERIOD",
    "READY",
    "READY_TYPE",
    "TICK",
    "Clockwork",
    "hidden",
    "own_gauge",
    "tick_queue",
]

CLOCK = b"pw.clock"
"""The gauge: nanoseconds since the virtual clock's start."""
GAUGE = 5
"""Its id in every VM with the clockwork: that of the first gauge (Envoy)."""
NEXT = 4
"""By how much the ids of the guest's gauges are higher in Envoy than the guest is told."""
BY_ID = ("proxy_get_metric", "proxy_record_metric", "proxy_increment_metric")
READY, READY_TYPE = "proxy_on_queue_ready", FunctionType(("i32", "i32"), ())
TICK = "proxy_on_tick"
PERIOD = "proxy_set_tick_period_milliseconds"
DEFINE = "proxy_define_metric"
TIMES = {"proxy_get_current_time_nanoseconds": 0, "clock_time_get": 2}
"""What reads a clock, and which argument points to the time."""
IMPORTS = {
    "proxy_log": FunctionType(("i32", "i32", "i32"), ("i32",)),
    DEFINE: FunctionType(("i32", "i32", "i32", "i32"), ("i32",)),
    "proxy_get_metric": FunctionType(("i32", "i32"), ("i32",)),
    "proxy_register_shared_queue": FunctionType(("i32", "i32", "i32"), ("i32",)),
}
"""What the clockwork calls."""
LOG_TOKEN = (0, 8, 4)
"""The call of ``proxy_log`` that tells the token of the queue for ticks."""
_CALLS: Mapping[str, tuple[int, ...]] = {
    DEFINE: (1, 0, 8, 8),
    "proxy_get_metric": (GAUGE,),
    "proxy_register_shared_queue": (0, 8, 8),
    "proxy_log": LOG_TOKEN,
}
_I32, _I64 = b"\x7f\x01", b"\x7e\x01"
_DROP, _IF, _END, _ZERO = b"\x1a", b"\x04\x40", b"\x0b", b"\x41\x00"
_LOAD32, _LOAD64, _STORE64 = b"\x28\x00\x00", b"\x29\x00\x00", b"\x37\x00\x00"


def tick_queue(sha256: str) -> bytes:
    """The name of the queue for a guest's ticks, 8 bytes."""
    return b"pw" + sha256[:6].encode()


def hidden(name: str, words: Sequence[int]) -> bool:
    """Whether a hostcall is one of the clockwork's own."""
    own = _CALLS.get(name)
    return own is not None and tuple(words[: len(own)]) == own


def own_gauge(metric_id: int) -> int:
    """The id that a metric would have without the clockwork."""
    return metric_id - NEXT if metric_id & 3 == 1 and metric_id > GAUGE else metric_id


class Clockwork:
    """Writes the code for one guest.

    Args:
        functions: the indices of the functions in `IMPORTS`, and of ``proxy_set_tick_period_milliseconds`` if the guest
            has it.
        variables: the index of the first of its own globals.
        queue: the name of the queue for ticks.
    """

    def __init__(self, functions: Mapping[str, int], variables: int, queue: bytes) -> None:
        self._functions = functions
        self._gauge, self._token, self._restricted, self._now = (unsigned(variables + n) for n in range(4))
        self._queue = queue

    @property
    def globals(self) -> list[bytes]:
        """Its globals, as entries.

        The gauge's id once it is defined; the token of the queue for ticks; whether Envoy allows no metrics now; the
        time that was read last.
        """
        return [_I32 + _at(0) + _END, _I32 + _at(-1) + _END, _I32 + _at(0) + _END, _I64 + _number(START_NS) + _END]

    def before(self, name: str, local: int) -> bytes:
        """What is done before a hostcall: the first gauge that is defined is the clock's, and others have higher ids.

        Args:
            local: the index of the first of two locals of type i64.
        """
        if name in BY_ID:
            # if (id & 3 == 1 && id >= GAUGE) id += NEXT
            gauge = _get(0) + _at(3) + b"\x71" + _at(1) + b"\x46" + _get(0) + _at(GAUGE) + b"\x4f\x71"
            return gauge + _IF + _get(0) + _at(NEXT) + b"\x6a\x21\x00" + _END
        return self._define(local) if name == DEFINE else b""

    def after(self, name: str, local: int) -> bytes:
        """What is done after a hostcall that was successful, with the same locals."""
        if name in TIMES:
            return self._time(TIMES[name], local)
        if name == DEFINE:
            # if (type == gauge) *id -= NEXT
            lower = _get(3) + _get(3) + _LOAD32 + _at(NEXT) + b"\x6b\x36\x00\x00"
            return _get(0) + _at(1) + b"\x46" + _IF + lower + _END
        return self._period(local) if name == PERIOD else b""

    def on_queue_ready(self, tick: int, guests: int | None) -> bytes:
        """The body of a ``proxy_on_queue_ready``: a tick, or what the guest's own does."""
        own = b"" if guests is None else _get(0) + _get(1) + b"\x10" + unsigned(guests)
        return (
            _get(1) + b"\x23" + self._token + b"\x46" + _IF + _get(0) + b"\x10" + unsigned(tick) + b"\x05" + own + _END
        )

    def during(self, function: int, kind: FunctionType) -> bytes:
        """The body of a start function or allocator, in which Envoy allows little but logging."""
        count = len(kind.params)
        return b"".join(
            (
                _at(1) + b"\x24" + self._restricted,
                *map(_get, range(count)),
                b"\x10" + unsigned(function),
                _at(0) + b"\x24" + self._restricted,
            )
        )

    def _call(self, name: str) -> bytes:
        return b"\x10" + unsigned(self._functions[name])

    def _define(self, local: int) -> bytes:
        """Define the gauge, unless that has been done."""
        name = _number(int.from_bytes(CLOCK, "little"))
        return b"".join(
            (
                b"\x23" + self._gauge + b"\x45" + _IF,
                _save(local),
                _ZERO + name + _STORE64,
                _at(8) + _number(0) + _STORE64,
                *map(_at, _CALLS[DEFINE]),
                self._call(DEFINE) + _DROP,
                _at(8) + _LOAD32 + b"\x24" + self._gauge,
                _restore(local),
                _END,
            )
        )

    def _time(self, pointer: int, local: int) -> bytes:
        """What a clock has written becomes the test's time."""
        there = _get(pointer)
        return b"".join(
            (
                b"\x23" + self._restricted + b"\x45" + _IF,
                self._define(local),
                b"\x23" + self._gauge + there + self._call("proxy_get_metric") + b"\x45" + _IF,
                there + _LOAD64 + _number(START_NS) + b"\x7c\x24" + self._now,
                _END,
                _END,
                there + b"\x23" + self._now + _STORE64,
            )
        )

    def _period(self, local: int) -> bytes:
        """Envoy does not tick on its own; the queue for ticks is registered, and its token told.

        A guest that has stopped its ticks gets none, whatever is put on the queue.
        """
        return b"".join(
            (
                _ZERO + self._call(PERIOD) + _DROP,
                _at(-1) + b"\x24" + self._token,
                _get(0) + _IF,
                _save(local),
                _ZERO + _number(int.from_bytes(self._queue, "little")) + _STORE64,
                _at(8) + _number(-1) + _STORE64,
                *map(_at, _CALLS["proxy_register_shared_queue"]),
                self._call("proxy_register_shared_queue") + _DROP,
                _at(8) + _LOAD32 + b"\x24" + self._token,
                *map(_at, LOG_TOKEN),
                self._call("proxy_log") + _DROP,
                _restore(local),
                _END,
            )
        )


def _get(local: int) -> bytes:
    return b"\x20" + unsigned(local)


def _at(number: int) -> bytes:
    return b"\x41" + signed(number)


def _number(number: int) -> bytes:
    return b"\x42" + signed(number - (1 << 64) if number >> 63 == 1 else number)


def _save(local: int) -> bytes:
    """Keep the first 16 bytes of the memory."""
    return _ZERO + _LOAD64 + b"\x21" + unsigned(local) + _at(8) + _LOAD64 + b"\x21" + unsigned(local + 1)


def _restore(local: int) -> bytes:
    return _ZERO + _get(local) + _STORE64 + _at(8) + _get(local + 1) + _STORE64
