"""Streams that a test drives by hand, several at a time: what happened in the mock, played again in Envoy.

A scene lasts from the first stream until all its streams have ended. It can be played if each client sends its whole
request at once, over HTTP/1.1 and without a body, and then waits or goes away; callouts and upstreams are answered in
the order the test chose.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ..envoy.client import Http1Client
from ..envoy.host import EnvoyHost
from ..envoy.servers import Served
from ..model import After, Callout, ConnectionRefused, GrpcResponse, Request, Reset, Response, Timeout
from .compare import compare_scenes
from .sendable import problem_with_answer, problem_with_request

if TYPE_CHECKING:
    from ..host.http.stream import HttpStreamCore
    from ..mock import MockHost
    from .clusters import Clusters

__all__ = ["BY_HAND", "Part", "Scene"]

BY_HAND = "streams are driven by hand"
ANSWERS = (Response, GrpcResponse, Reset)
"""What a callout of a scene can be answered with."""
RESPONSE = "proxy_on_response_headers"
SECONDS = 5.0
"""How long Envoy may take for what the mock did in one step."""


@dataclass(slots=True, eq=False)
class Part:
    """One stream of a scene.

    Attributes:
        answer: what its upstream answered.
        told: a response has come from the upstream.
        arrived: the request has reached Envoy's upstream.
    """

    core: HttpStreamCore
    request: Request | None = None
    answer: Any = None
    told: bool = False
    arrived: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """Something that happened, and how many callbacks and callouts there had been then."""

    kind: str
    which: int
    events: int
    calls: int


@dataclass(slots=True)
class Scene:
    """What the test has done so far.

    Attributes:
        events_at: how many events there were before it.
        calls_at: how many callouts.
        began_ns: when it began.
    """

    mock: MockHost
    parts: list[Part] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)
    reason: str = ""
    events_at: int = 0
    began_ns: int = 0
    calls_at: int = 0
    _logs_at: int = 0
    _answered: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.events_at = len(self.mock.trace)
        self.began_ns = self.mock.clock.now_ns
        self.calls_at = len(self.mock.callouts)
        self._logs_at = len(self.mock.logs)

    @property
    def calls(self) -> list[Callout]:
        """The callouts since it began."""
        return self.mock.callouts[self.calls_at :]

    @property
    def over(self) -> bool:
        """Whether all streams have ended."""
        return all(part.core.finished for part in self.parts)

    def problem(self) -> str:
        """Why it cannot be played; "" if it can."""
        for part in self.parts:
            if part.request is None or isinstance(part.answer, (After, ConnectionRefused)):
                return BY_HAND
            problem = problem_with_request(part.request, "1.1") or problem_with_answer(part.answer, part.request)
            if problem:
                return problem
        if not all(call.outcome is None or isinstance(call.outcome, ANSWERS) for call in self.calls):
            return BY_HAND
        return self.reason

    def note(self, kind: str = "", part: Part | None = None) -> None:
        """Something has happened: a step of the test, and what followed from it."""
        told = [one for one in self.parts if one.core.answered and not one.told]
        told.sort(key=self._response_at)
        until = self._response_at(told[0]) if told else None
        if part is not None:
            self._step(kind, self.parts.index(part), until)
        for number, call in enumerate(self.calls):
            if call.outcome is not None and number not in self._answered:
                self._answered.add(number)
                self._step("answer", number, until)
        for one, after in zip_longest(told, told[1:]):
            one.told = True
            self._step("upstream", self.parts.index(one), self._response_at(after) if after is not None else None)

    def _response_at(self, part: Part) -> int:
        """Which callback since it began is the first of a stream's response."""
        mine = {context.id for context in part.core.contexts}
        events = self.mock.trace[self.events_at :]
        found = (at for at, event in enumerate(events) if event.name == RESPONSE and event.context_id in mine)
        return next(found, len(events))

    def _step(self, kind: str, which: int, events: int | None = None) -> None:
        events = len(self.mock.trace) - self.events_at if events is None else events
        self.steps.append(_Step(kind, which, events, len(self.calls)))

    # In Envoy.

    def play(self, host: EnvoyHost, clusters: Clusters) -> list[str]:
        """Do the same in Envoy; what differs, in words.

        Args:
            clusters: keeps calls that are answered later.
        """
        instance = host.instance
        instance.read()
        start = host.mark()
        first = instance.reading.varying.count + 1
        asked = [threading.Event() for _ in self.parts]
        answered = [threading.Event() for _ in self.calls]
        instance.answer_upstream = lambda served: self._upstream(host, served, first, asked)
        arrived: list[Served] = []
        held = {number: clusters.hold(call) for number, call in enumerate(self.calls) if call.outcome is None}

        def answer(served: Served) -> Any:
            arrived.append(served)
            number = len(arrived) - 1
            if number >= len(answered):
                return Reset()
            if number in held:
                return held[number].wait(served)
            answered[number].wait(SECONDS * (len(self.steps) + 1))
            return self.calls[number].outcome

        instance.answer_call = answer
        clients: dict[int, Http1Client] = {}
        try:
            for step in self.steps:
                if step.kind == "request":
                    clients[step.which] = self._send(host, step.which)
                elif step.kind == "gone":
                    clients[step.which].close()
                elif step.kind == "answer":
                    answered[step.which].set()
                else:
                    asked[step.which].set()
                self._await(host, start, step, arrived)
            for number, client in clients.items():
                part = self.parts[number]
                if part.core.finished and not part.gone:
                    client.receive()
            instance.keeper.pass_through()
            instance.read()
            # Streams that are still open leave more behind when they are given up.
            trace, logs = instance.reading.trace[start["trace"] :], instance.reading.logs[start["logs"] :]
        finally:
            for event in (*asked, *answered):
                event.set()
            for client in clients.values():
                client.close()
            instance.answer_call = None
            host.finish(start, len(clients))
        varying = instance.reading.varying
        got = [clients[number].response() for number in range(len(self.parts))]
        served = [instance.callout(one) for one in arrived]
        routed = instance.setup.routed_clusters
        requests = [
            varying.arrived(one.request()) for one in instance.served[start["served"] :] if one.cluster in routed
        ]
        return compare_scenes(
            [part.core.sync() for part in self.parts],
            [varying.answered(one) if one is not None else None for one in got],
            requests,
            (self.calls, served),
            (self.mock.logs[self._logs_at :], logs),
            (self.mock.trace[self.events_at :], trace),
        )

    def _send(self, host: EnvoyHost, number: int) -> Http1Client:
        request = self.parts[number].request
        assert request is not None
        client = Http1Client(host.instance.port, host.patience())
        host.instance.reading.varying.begin(client.port)
        client.send(request, host.instance.between_chunks)
        return client

    def _upstream(self, host: EnvoyHost, served: Served, first: int, asked: list[threading.Event]) -> Any:
        """The upstream's answer to a request, when the mock's upstream gave it.

        Args:
            first: the number of the first stream's request id.
        """
        part = self._part_of(host, served.request().headers.get("x-request-id", ""), first)
        if part is None:
            return Timeout()
        part.arrived = True
        asked[self.parts.index(part)].wait(SECONDS * (len(self.steps) + 1))
        return part.answer if part.answer is not None else Timeout()

    def _part_of(self, host: EnvoyHost, request_id: str, first: int) -> Part | None:
        """Whose request has reached the upstream: by its id, which the log tells, or as the only one that has not."""
        waiting = [part for part in self.parts if not part.arrived]
        varying = host.instance.reading.varying
        deadline = time.monotonic() + SECONDS
        while len(waiting) > 1 and request_id and time.monotonic() < deadline:
            known = varying.text(request_id)
            for number, part in enumerate(self.parts):
                given = part.request.headers.get("x-request-id") if part.request is not None else None
                if given == request_id or known == varying.request_id(first + number):
                    return part
            time.sleep(0.002)
        return waiting[0] if len(waiting) == 1 else None

    def _await(self, host: EnvoyHost, start: dict[str, int], step: _Step, arrived: list[Served]) -> None:
        """Wait until Envoy has come as far as the mock had."""
        instance = host.instance
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            instance.keeper.pass_through()
            instance.read()
            if len(instance.reading.trace) - start["trace"] >= step.events and len(arrived) >= step.calls:
                return
