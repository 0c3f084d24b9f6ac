"""The time of a mock host in its Envoy: what happened there between exchanges, and ticks during them, happens here.

It needs the clockwork in Envoy's guests. Without it time matters to nobody as long as no guest reads a clock or ticks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..envoy.clockwork import PERIOD, TICK, TIMES, tick_queue
from ..envoy.process import EnvoyFailure
from ..host.clock import START_NS
from ..model import Callout, ConnectionRefused, Exchange, NoHosts
from ..trace import Callback, Trace
from .calls import begins_of_answers, made, phases, seconds_in_vain, ticks_while_answered
from .compare import compare_between

if TYPE_CHECKING:
    from ..envoy.host import EnvoyHost
    from ..filters import Filter
    from ..mock import MockHost
    from .clusters import Clusters

__all__ = [
    "LONGEST_WAIT",
    "MOVED",
    "TICKS",
    "TWO_DIGITS",
    "WAITS",
    "Player",
    "Timeline",
    "await_calls",
]

LATER = "a callout of an exchange before is answered during this one"
QUEUES = "filters tick and use queues, and the ticks take a queue of their own in Envoy"
MOVED = "the virtual clock was moved"
TICKS = "the filter ticks, and time is real in Envoy"
WAITS = "it waits for virtual time to pass"
RESPONSE = "proxy_on_response_headers"
QUEUE_CALLS = tuple(f"proxy_{verb}_shared_queue" for verb in ("register", "resolve", "enqueue", "dequeue"))
SECONDS = 5.0
"""How long Envoy may take for what the mock did, besides timeouts."""
TWO_DIGITS = 0.009
"""Seconds from which on x-envoy-upstream-service-time, in milliseconds, may have two digits; the mock's has one."""
LONGEST_WAIT = 1.5
"""For how many seconds of virtual time Envoy is waited for in real time."""
LONGEST_VAIN = 6.0
"""The same for callouts that nobody answers, together."""
MOST_TICKS = 1000
"""How many ticks are played before an exchange and during it."""
MANY = f"more than {MOST_TICKS} ticks before an exchange and during it"


class Timeline:
    """How far one mock host has come, and how far its Envoy.

    Attributes:
        ticking: the names of filters that have asked for ticks.
        reads: whether a filter has read a clock.
    """

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = filters
        self._seen = 0
        self._played = 0
        self._calls = 0
        self._offset = 0
        self.ticking: set[str] = set()
        self.reads = False
        self._queues = False
        self._services: set[str] = set()

    def look(self, mock: MockHost) -> None:
        """Take note of what the mock's filters have asked for."""
        trace = mock.trace
        for event in trace[self._seen :]:
            for call in event.hostcalls:
                ticks = call.name == PERIOD and bool(call.args.get("period"))
                if event.worker < 0 and (ticks or call.name in TIMES):
                    self._services.add(TICKS if ticks else MOVED)
                elif ticks:
                    self.ticking.add(event.filter)
                self.reads = self.reads or call.name in TIMES
                self._queues = self._queues or call.name in QUEUE_CALLS
        self._seen = len(trace)

    def done(self, mock: MockHost) -> None:
        """Everything so far has happened in Envoy as well."""
        self._played = len(mock.trace)
        self._calls = len(mock.callouts)

    def ticked_in(self, exchange: Exchange) -> bool:
        """Whether a filter has ticked during an exchange."""
        return any(event.name == TICK for event in exchange.trace)

    def between(self, mock: MockHost, before: int) -> list[Callout]:
        """The callouts that were made since the last time, before so many events."""
        return made(mock.trace[self._played : before], mock.callouts[self._calls :])

    def times_of_answers(self, mock: MockHost) -> dict[tuple[str, int], int]:
        """When callouts have begun to be answered since the last time, by filter and id."""
        return begins_of_answers(mock.trace[self._played :])

    def ticked(self, mock: MockHost) -> bool:
        """Whether a filter has ticked since the last time."""
        return any(event.name == TICK for event in mock.trace[self._played :])

    @property
    def matters(self) -> bool:
        """Whether a filter would notice another time."""
        return bool(self.ticking) or self.reads

    def problem(self, mock: MockHost, clusters: Clusters, before: int, *, clocked: bool, worker: int | None) -> str:
        """Why what happened since the last time cannot be played; "" if it can.

        Args:
            clusters: what answers there.
            before: how many events there were before what comes next.
            clocked: the clockwork is in Envoy's guests.
            worker: the mock's worker that Envoy's stands for.
        """
        if TICKS in self._services or (self.ticking and not clocked):
            return TICKS
        if self.ticking and self._queues:
            return QUEUES
        if mock.clock.now_ns != START_NS and (MOVED in self._services or (self.reads and not clocked)):
            return MOVED
        events = mock.trace[self._played :]
        ticks = [event for event in events if event.name == TICK]
        if any(event.worker != (worker or 0) for event in ticks):
            return "several workers are used"
        if any(self._queue(event) is None for event in ticks):
            return TICKS
        if len(ticks) > MOST_TICKS:
            return MANY
        if any(clusters.holds(event) for event in mock.trace[before:]):
            return LATER
        calls = mock.callouts[self._calls :]
        if ticks and seconds_in_vain(calls) > LONGEST_VAIN:
            return WAITS
        for tick in phases(events):
            problem = clusters.problem(made(tick, calls))
            if problem:
                return problem
        if ticks_while_answered(mock.trace[before:], calls):
            return "a filter ticks while an answer to it is under way"
        return ""

    def _queue(self, tick: Callback) -> tuple[str, bytes] | None:
        """The queue of the filter that ticks; ``None`` if it may be another's as well."""
        found = [one for one in self._filters if one.name == tick.filter]
        guests = [one.sha256 for one in self._filters if one.name in self.ticking]
        if len(found) != 1 or guests.count(found[0].sha256) != 1:
            return None
        return found[0].vm_id, tick_queue(found[0].sha256)

    # In Envoy.

    def catch_up(self, mock: MockHost, host: EnvoyHost, clusters: Clusters, until: int, now_ns: int) -> list[str]:
        """Let happen in Envoy what has happened in the mock since the last time; what differs, in words.

        Args:
            clusters: what answers there.
            until: the number of events up to which it is played.
            now_ns: when what comes next begins.
        """
        try:
            found = self._play(mock, host, clusters, until, now_ns)
            self.set_time(host, now_ns)
        except EnvoyFailure as error:
            return [f"before it, {error}"]
        return found

    def _play(self, mock: MockHost, host: EnvoyHost, clusters: Clusters, until: int, now_ns: int) -> list[str]:
        events = [event for event in mock.trace[self._played : until] if event.worker >= 0]
        found: list[str] = []
        if events:
            host.instance.read()
            start = host.mark()
            calls = mock.callouts[self._calls :]
            waits = seconds_in_vain(calls)
            began = time.monotonic()
            count = 0
            late = False
            for phase in phases(events, clusters.holds):
                with clusters.refusing(made(phase, calls), host):
                    if phase and phase[0].name == TICK:
                        self._tick(host, phase[0])
                    elif phase and clusters.holds(phase[0]):
                        late = True
                        clusters.release(phase[0], phase[0].time_ns or now_ns)
                    count += len(phase)
                    self._await(host, start["trace"], count, waits)
            instance = host.instance
            ours = made(events, calls)
            served = await_calls(host, start["served"], ours)
            other = Trace(instance.reading.trace[start["trace"] :], decoded=instance.reading.trace.decoded)
            both = (ours, served), (Trace(events), other)
            found = compare_between(*both)
            if found and (late or time.monotonic() - began >= TWO_DIGITS):
                found = compare_between(*both, slow=True)
        return found

    def set_time(self, host: EnvoyHost, now_ns: int) -> None:
        """Tell Envoy's guests what time it is."""
        metronome = host.instance.metronome
        if metronome is not None and now_ns - START_NS != self._offset:
            self._offset = now_ns - START_NS
            metronome.set(self._offset)

    def player(self, host: EnvoyHost, events: Sequence[Callback]) -> Player | None:
        """Has Envoy tick as the mock did during an exchange; ``None`` if the mock did not."""
        mine = [event for event in events if event.worker >= 0]
        ticks = [(number, event) for number, event in enumerate(mine) if event.name == TICK]
        if not ticks:
            return None
        response = next((number for number, event in enumerate(mine) if event.name == RESPONSE), len(mine))
        return Player(host, ticks, response, self._tick)

    def _tick(self, host: EnvoyHost, event: Callback) -> None:
        metronome = host.instance.metronome
        assert metronome is not None
        assert event.time_ns is not None
        self._offset = event.time_ns - START_NS
        metronome.set(self._offset, self._queue(event))

    def _await(self, host: EnvoyHost, start: int, count: int, waits: float) -> None:
        """Wait until Envoy has come as far as the mock had; for a filter that does something else not for ever."""
        instance = host.instance
        deadline = time.monotonic() + SECONDS + waits
        there = False
        while time.monotonic() < deadline and not there:
            # The log may have been read while the last callback ran: once more.
            there = len(instance.reading.trace) - start >= count
            instance.keeper.pass_through()
            instance.read()


class Player:
    """The ticks of one exchange.

    Args:
        ticks: each with the number of callbacks before it.
        response: how many callbacks there are before the first of the response.
        tick: has Envoy tick.
    """

    def __init__(
        self,
        host: EnvoyHost,
        ticks: list[tuple[int, Callback]],
        response: int,
        tick: Callable[[EnvoyHost, Callback], None],
    ) -> None:
        self._host = host
        self._waiting = ticks
        self._response = response
        self._tick = tick
        self._start = host.mark()["trace"]
        self._response_is_due = threading.Event()
        self._look()

    def play(self) -> None:
        """Tick, if Envoy has come as far as the mock had when it did."""
        instance = self._host.instance
        while self._waiting and len(instance.reading.trace) - self._start >= self._waiting[0][0]:
            self._tick(self._host, self._waiting.pop(0)[1])
            instance.keeper.pass_through()
            instance.read()
            self._look()

    def _look(self) -> None:
        if not self._waiting or self._waiting[0][0] >= self._response:
            self._response_is_due.set()

    def await_response(self, seconds: float) -> None:
        """Wait until the upstream may answer: the ticks before that have come."""
        self._response_is_due.wait(seconds)


def await_calls(host: EnvoyHost, since: int, calls: Sequence[Callout]) -> list[Callout]:
    """The callouts that have reached servers in Envoy; nobody need wait for them, so they may still be on their way.

    Args:
        since: how many requests servers had got before.
        calls: those of the mock.
    """
    instance = host.instance
    routed = instance.setup.routed_clusters
    count = sum(not isinstance(one.outcome, (ConnectionRefused, NoHosts)) for one in calls)
    deadline = time.monotonic() + SECONDS
    while True:
        served = [one for one in instance.served[since:] if one.cluster not in routed]
        if len(served) >= count or time.monotonic() > deadline or instance.process.ended:
            return [instance.callout(one) for one in served]
        time.sleep(0.002)
