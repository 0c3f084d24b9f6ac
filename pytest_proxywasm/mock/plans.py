"""Runs plans and schedules on a host: feeds streams, answers callouts, and knows when nothing moves any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import FilterError
from ..host.callouts import Cluster, PendingCallout
from ..host.headermap import HeaderMap
from ..host.http.stream import HttpStreamCore
from ..model import (
    After,
    Callout,
    ConnectionRefused,
    Exchange,
    GrpcResponse,
    Reset,
    Response,
    Timeout,
)
from ..plans import Answer, Drop, ExchangePlan, Schedule, Step, TcpPlan, Wait
from .stream import answer_with, feed_request, request_steps, response_steps

if TYPE_CHECKING:
    from .host import MockHost
    from .tcp import TcpStream

_MAX_EVENTS = 10_000
"""How many events may pass after the steps of a schedule before its streams count as stalled."""


@dataclass(slots=True)
class Run:
    """A plan that a host ran, with the exchanges it became."""

    plan: ExchangePlan | Schedule
    exchanges: tuple[Exchange, ...]


class PlannedClusters(dict[str, Cluster]):
    """The clusters of a proxy while a plan runs: all there are, those without a handler of their own with a plan's."""

    def __init__(self, declared: dict[str, Cluster], handler: Any) -> None:
        super().__init__(declared)
        self._handler = handler

    def __getitem__(self, name: str) -> Cluster:
        found = super().get(name)
        return found if found is not None and found.handler is not None else Cluster(name, self._handler)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]


class Outcomes:
    """What answers the callouts of plans, in the order they are made."""

    def __init__(self, plans: Sequence[ExchangePlan]) -> None:
        self._http = iter([one for plan in plans for one in plan.callouts])
        self._grpc = iter([one for plan in plans for one in plan.grpc_callouts])

    def __call__(self, callout: Callout) -> Any:
        """The answer of a cluster."""
        if callout.kind == "http":
            return next(self._http, Response(200))
        return next(self._grpc, GrpcResponse())


@contextmanager
def clusters_of(host: MockHost, handler: Any) -> Iterator[None]:
    """Have the proxy know every cluster."""
    proxy = host._proxy
    declared = proxy.clusters
    proxy.clusters = PlannedClusters(declared, handler)
    try:
        yield
    finally:
        proxy.clusters = declared


def run_plan(host: MockHost, plan: ExchangePlan | Schedule | TcpPlan, timeout: float) -> Any:
    """Run any plan."""
    if isinstance(plan, ExchangePlan):
        with clusters_of(host, Outcomes([plan])):
            return run_exchange(host, plan, timeout)
    if isinstance(plan, Schedule):
        with clusters_of(host, None):
            return _ScheduleRun(host, plan, timeout).run()
    with clusters_of(host, Outcomes([])):
        return run_tcp(host, plan)


def run_exchange(host: MockHost, plan: ExchangePlan, timeout: float) -> Exchange:
    """One exchange, from the client's headers to its end."""
    core = host._open(plan.http_version, None)
    core.exchange.request = plan.request
    host.runs.append(Run(plan, (core.exchange,)))
    core.on_upstream_complete = lambda: answer_with(core, plan.upstream, core.sync)
    stop_after = plan.client_resets_after
    try:
        feed_request(core, plan.request, stop_after)
        if stop_after is not None:
            core.reset("downstream")
        host._run(core, timeout)
    finally:
        exchange = host._sync(core)
    host._raise_failures(core)
    if not core.ended:
        raise host._stalled(core, timeout)
    return exchange


def run_tcp(host: MockHost, plan: TcpPlan) -> TcpStream:
    """One connection; what an end sends after it has ended, or after the connection is closed, is not sent."""
    stream = host.connect()
    ended = set()
    for peer, data in plan.steps:
        # An upstream speaks only once there is one.
        if peer in ended or stream.finished or (peer == "upstream" and not stream._core.upstream_chosen):
            continue
        send = stream.downstream_data if peer == "downstream" else stream.upstream_data
        send(data, not data)
        if not data:
            ended.add(peer)
    if not stream.finished:
        stream.close(plan.closed_by or "downstream", reset=plan.closed_by is not None)
    return stream


class _Stream:
    """A stream of a schedule: what its two ends have still to do."""

    def __init__(self, host: MockHost, plan: ExchangePlan) -> None:
        self.plan = plan
        self.core = host._open(plan.http_version, None)
        self.core.exchange.request = plan.request
        self._request: list[Callable[[], None]] = request_steps(self.core, plan.request)
        if plan.client_resets_after is not None:
            self._request = self._request[: plan.client_resets_after + 1]
            self._request.append(partial(self.core.reset, "downstream"))
        self._request.reverse()
        self._response: list[Callable[[], None]] | None = None

    def next(self) -> Callable[[], None] | None:
        """The next thing that can happen; ``None`` if nothing can."""
        core = self.core
        if core.ended:
            return None
        resetting = self.plan.client_resets_after is not None
        if self._request and (resetting or not core.request.complete):
            return self._request.pop()
        if not core.upstream_complete or core.upstream_failed:
            return None
        if self._response is None:
            self._response = _upstream_steps(core, self.plan)[::-1]
        return self._response.pop() if self._response and not core.response.complete else None


def _upstream_steps(core: HttpStreamCore, plan: ExchangePlan) -> list[Callable[[], None]]:
    answer: Any = plan.upstream
    if callable(answer):
        answer = answer(core.sync().upstream_request)
    if isinstance(answer, After):
        answer = answer.answer
    if isinstance(answer, Response):
        return response_steps(core, answer)
    if isinstance(answer, ConnectionRefused):
        return [partial(core.upstream_reset, "remote_connection_failure", "delayed connect error: Connection refused")]
    if isinstance(answer, Reset):
        begun = HeaderMap.response([(b":status", b"200"), (b"transfer-encoding", b"chunked")])
        first: list[Callable[[], None]] = [partial(core.response_headers, begun, False)]
        return [*(first if answer.after_headers else []), core.upstream_reset]
    return []


class _ScheduleRun:
    """One run of a schedule."""

    def __init__(self, host: MockHost, schedule: Schedule, timeout: float) -> None:
        self._host = host
        self._schedule = schedule
        self._timeout = timeout
        self._streams: list[_Stream | None] = [None] * len(schedule.streams)
        self._outcomes = [Outcomes([plan]) for plan in schedule.streams]

    def run(self) -> list[Exchange]:
        """All steps, and then what is left of the streams."""
        exchanges: list[Exchange] = []
        record = Run(self._schedule, ())
        self._host.runs.append(record)
        try:
            for step in self._schedule.steps:
                self._take(step)
            self._finish()
        finally:
            exchanges = [self._host._sync(stream.core) for stream in self._streams if stream is not None]
            record.exchanges = tuple(exchanges)
        return exchanges

    def _take(self, step: Step | Wait | Answer | Drop) -> None:
        host = self._host
        if isinstance(step, Step):
            self._advance(self._stream(step.stream))
        elif isinstance(step, Wait):
            host.clock.advance(step.seconds)
        elif isinstance(step, Answer):
            pending = host.pending_callouts
            if step.callout < len(pending):
                self._answer(pending[step.callout], step.outcome)
        else:
            core = self._stream(step.stream).core
            if step.by == "downstream":
                core.reset("downstream")
            elif core.upstream_headers is not None:
                core.upstream_reset()
            self._settle(core)

    def _stream(self, number: int) -> _Stream:
        stream = self._streams[number]
        if stream is None:
            stream = self._streams[number] = _Stream(self._host, self._schedule.streams[number])
        return stream

    def _advance(self, stream: _Stream) -> bool:
        """Take the next step of a stream, if there is one."""
        self._host._pump()
        action = stream.next()
        if action is not None:
            action()
        self._settle(stream.core)
        return action is not None

    def _settle(self, core: HttpStreamCore) -> None:
        self._host._pump()
        self._host._raise_failures(core)

    def _answer(self, pending: Any, outcome: Any) -> None:
        seconds = outcome.seconds if isinstance(outcome, After) else 0
        if isinstance(outcome, After):
            outcome = outcome.answer
        if not isinstance(pending, PendingCallout) and isinstance(outcome, Response):
            outcome = GrpcResponse()

        def settle() -> None:
            if pending not in self._host.pending_callouts:
                return
            if isinstance(outcome, Timeout):
                pending.time_out()
            else:
                pending.settle(outcome)

        if seconds:
            self._host.clock.call_later(seconds, settle)
        else:
            settle()

    def _finish(self) -> None:
        """Run all streams to their ends."""
        host = self._host
        clock = host.clock
        deadline = clock.now_ns + round(self._timeout * 1e9)
        promised: list[Any] = []
        for _ in range(_MAX_EVENTS):
            streams = [self._stream(number) for number in range(len(self._streams))]
            if any(self._advance(stream) for stream in streams):
                continue
            waiting = [one for one in host.pending_callouts if one not in promised]
            if waiting:
                promised.append(waiting[0])
                self._answer(waiting[0], self._outcomes[self._owner(waiting[0].callout)](waiting[0].callout))
                continue
            running = [stream.core for stream in streams if not stream.core.finished]
            if not running:
                return
            if not clock.step(deadline):
                raise self._stalled(running[0])
        raise self._stalled(running[0])

    def _owner(self, callout: Callout) -> int:
        """The number of the stream a callout was made for; that of the first, for one of a root context."""
        for number, stream in enumerate(self._streams):
            if stream is not None and any(context.id == callout.context_id for context in stream.core.contexts):
                return number
        return 0

    def _stalled(self, core: HttpStreamCore) -> FilterError:
        return self._host._stalled(core, self._timeout)
