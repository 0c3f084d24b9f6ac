"""The recorder's copies of guests: made when needed, checked once against the untouched guest, kept on disk."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from ..announce import Report, announced
from ..engine.cache import ModuleCache
from ..engine.interface import BadModule
from ..errors import FilterStartError
from ..host.clock import START_NS
from ..model import Request, Response
from ..trace import Callback, Hostcall, Trace, WasiCall
from .client import Http1Client, connect
from .clockwork import TICK, tick_queue
from .instance import Instance
from .patience import Patience
from .process import EnvoyFailure
from .recorder import FORMAT, recorded
from .setup import CLOCKED, RECORDED, Setup

if TYPE_CHECKING:
    from ..filters import Filter

__all__ = ["Recordings", "first_difference"]

SAMPLES = (
    Request("GET", "/", {"x-sample": "1"}),
    Request("POST", "/sample?a=b", {"x-sample": "2", "x-trailer": "1"}, b"", {"x-t": "3"}, chunks=[b"one ", b"two"]),
)
ANSWER = Response(200, {"x-sample": "3"}, chunks=[b"a", b"bc"], trailers={"x-t": "4"})
SAMPLE_SECONDS = 5.0
CHANGED = {
    RECORDED: "the trace recorder changes what this guest does, so hostcalls in Envoy are shown without the bytes they "
    "pass: {problem}",
    CLOCKED: "taking its time from the test changes what this guest does, so in Envoy its time is real: {problem}",
}
"""What is said of a copy that does not do what the guest does."""
LARGE = 1 << 20
"""Bytes of a guest that takes Envoy seconds to start."""
Start = Callable[[Setup], Instance]


class Recordings:
    """Says which guests can be run with the recorder in them.

    Args:
        cache: where copies are kept that have been checked.
        version: of the Envoy they are checked in.
        start: starts an Envoy.
        report: told a line before a check.
        keep: is given every copy that is good.
    """

    def __init__(
        self,
        cache: ModuleCache,
        version: str,
        start: Start,
        report: Report | None,
        keep: Callable[[str, str, bytes], None],
    ) -> None:
        self._cache = cache
        self._version = version
        self._start = start
        self._report = report
        self._keep = keep
        self._usable: dict[tuple[str, str], bool] = {}
        self._refused: set[tuple[Filter, str]] = set()

    def apply(self, setup: Setup) -> Setup:
        """The same with the recorder, if all its guests can have it; without the clockwork, if one cannot have that.

        A guest is checked in an Envoy of its own, against the untouched guest in another, the first time it is seen
        with this version of Envoy.
        """
        for clocked in (True, False) if setup.clocked else (False,):
            copies = [(one, CLOCKED if clocked else RECORDED) for one in setup.filters]
            copies += [(one, RECORDED) for one in setup.services]
            if copies and all(self._can_be(one, variant, setup) for one, variant in copies):
                return replace(setup, recorded=True, clocked=clocked)
        return replace(setup, clocked=False)

    def _can_be(self, one: Filter, variant: str, setup: Setup) -> bool:
        if one.allowed_capabilities is not None:
            return False  # it may not be allowed to log
        usable = self._usable.get((one.sha256, variant))
        if usable is None:
            usable = (one, variant) not in self._refused and self._find_out(one, variant, setup)
        return usable

    def _find_out(self, one: Filter, variant: str, setup: Setup) -> bool:
        key = f"recorder{FORMAT}-{variant}-{self._version}-{one.sha256}"
        with self._cache.lock(key):
            copy = self._cache.get(key)
            if copy is None:
                try:
                    copy = recorded(one.wasm_bytes(), queue=tick_queue(one.sha256) if variant == CLOCKED else b"")
                except BadModule:
                    self._usable[one.sha256, variant] = False
                    return False  # the error for it is that of its start
                self._keep(one.sha256, variant, copy)
                report = self._report if len(copy) > LARGE else None
                with announced(report, f"checking the trace recorder with {one.name or 'a filter'} in Envoy, once"):
                    problem = self._check(one, variant, setup)
                if problem is None:
                    self._refused.add((one, variant))  # it does not start; with another configuration it may
                    return False
                if problem:
                    warnings.warn(CHANGED[variant].format(problem=problem), RuntimeWarning, stacklevel=2)
                    self._usable[one.sha256, variant] = False
                    return False
                self._cache.put(key, copy)
        self._keep(one.sha256, variant, copy)
        self._usable[one.sha256, variant] = True
        return True

    def _check(self, one: Filter, variant: str, setup: Setup) -> str | None:
        """What differs between the guest and its copy; ``None`` if it does not start."""
        only: Setup = replace(setup, filters=(one,), services=(), recorded=False, clocked=False)
        if one not in setup.filters:
            only = replace(only, filters=(), services=(one,))
        with contextlib.ExitStack() as running:
            instances = []
            for with_copy in (only, replace(only, recorded=True, clocked=variant == CLOCKED)):
                instance = self._start(with_copy)
                running.callback(instance.stop)
                instance.reading.keep = "worker" if only.filters else "main"
                instance.answer_upstream = lambda served: ANSWER
                instances.append(instance)
            try:
                plain, copy = [_sample(instance) for instance in instances]
            except FilterStartError:
                return None
        return first_difference(plain, copy)


def _sample(instance: Instance) -> Trace:
    """What happens while a filter starts and some traffic passes it."""
    instance.await_ready()
    if instance.metronome is not None:
        instance.metronome.set(time.time_ns() - START_NS)  # the other one has no other time
    for request in SAMPLES if instance.setup.filters else ():
        with contextlib.suppress(OSError, EnvoyFailure):  # a filter may crash Envoy, with the recorder or without
            if instance.setup.protocol == "tcp":
                with connect(instance.port) as connection:
                    connection.sendall(b"sample")
                    instance.keeper.pass_through()
            else:
                client = Http1Client(instance.port, Patience(instance, SAMPLE_SECONDS).wait_on)
                client.send(request, instance.between_chunks)
                client.receive()
                client.close()
            instance.keeper.pass_through()
    instance.read()
    return instance.reading.trace


def first_difference(plain: Trace, copy: Trace) -> str:
    """The first difference in names, order, plain integers or statuses; "" if there is none."""
    for this, other in zip_longest(_events(plain), _events(copy)):
        if this is None or other is None or this.name != other.name:
            same: set[str] = set()
        else:
            # Of a call that the host refuses the copy's trace shows no arguments, as in the mock.
            same = _numbers(this).keys() & _numbers(other).keys()
        first, second = _line(this, same), _line(other, same)
        if first != second:
            return f"{first} became {second}"
    return ""


def _events(trace: Trace) -> Iterator[Callback | Hostcall]:
    for event in trace:
        if event.name == TICK:
            continue  # one that comes meanwhile is up to chance, and with the clockwork none does
        yield event
        for call in event.hostcalls:
            if not isinstance(call, WasiCall):  # what a language's runtime asks for can depend on the time
                yield call


def _numbers(event: Callback | Hostcall) -> dict[str, int]:
    return {
        name: int(value) for name, value in event.args.items() if isinstance(value, int) and not name.endswith("_size")
    }


def _line(event: Callback | Hostcall | None, names: set[str]) -> str:
    if event is None:
        return "nothing more"
    answer = event.status if isinstance(event, Hostcall) else event.action
    numbers = [f"{name}={value}" for name, value in _numbers(event).items() if name in names]
    return " ".join([event.name, *numbers, f"-> {answer!r}"])
