"""The clusters of a host beside its Envoy: they answer there as they answered in the mock, in the same order."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..model import Callout, ConnectionRefused, NoHosts, Reset, Timeout

if TYPE_CHECKING:
    from ..envoy.host import EnvoyHost

__all__ = ["Clusters"]

REFUSED = (ConnectionRefused, NoHosts)


class Clusters:
    """What answers the filters' calls in one Envoy.

    Args:
        handlers: what the test declared.
        set_time: told when a call was answered in the mock, before it is in Envoy.

    Attributes:
        unexpected: calls that only Envoy's filters have made, in words.
    """

    def __init__(self, handlers: Mapping[str, Any], set_time: Callable[[int], None]) -> None:
        self.unexpected: list[str] = []
        self._handlers = dict(handlers)
        self._set_time = set_time
        self._answers: dict[str, deque[tuple[Any, int | None]]] = {}
        self._grpc: dict[str, bool] = {}

    def all(self) -> dict[str, Any]:
        """All handlers for Envoy."""
        return {name: self._replay(name) for name in self._handlers}

    def declare(self, name: str, handler: Any, host: EnvoyHost | None) -> None:
        """A cluster that the test declares."""
        self._handlers[name] = handler
        if host is not None:
            host.cluster(name, self._replay(name))

    def _replay(self, name: str) -> Any:
        handler = self._handlers[name]
        if isinstance(handler, REFUSED) or inspect.isgeneratorfunction(handler):
            return handler
        return Replay(self, name, handler, self._grpc.get(name))

    # What the mock's calls were answered with.

    def problem(self, calls: Iterable[Callout]) -> str:
        """Why calls cannot be answered so in Envoy; "" if they can."""
        accepted: dict[str, set[bool]] = {}
        for one in calls:
            if not isinstance(self._handlers.get(one.cluster), REFUSED):
                accepted.setdefault(one.cluster, set()).add(isinstance(one.outcome, REFUSED))
        if any(len(both) > 1 for both in accepted.values()):
            return "a callout is refused by a cluster that accepts others at that time"
        return ""

    def unanswered(self, calls: Iterable[Callout]) -> bool:
        """Whether one of the calls still waits for an answer that will come."""
        return any(
            one.outcome is None and not isinstance(self._handlers.get(one.cluster), (Timeout, type(None)))
            for one in calls
        )

    def queue(self, calls: Iterable[Callout], times: Mapping[int, int], host: EnvoyHost | None) -> None:
        """Have calls answered as they were.

        Args:
            times: when, by the calls' ids.
        """
        for one in calls:
            self.learn_protocol(one, host)
            answer = one.outcome if one.outcome is not None else Timeout()
            if one.outcome is None and self._handlers.get(one.cluster) is None:
                answer = None
            if not isinstance(answer, REFUSED):
                self._answers.setdefault(one.cluster, deque()).append((answer, times.get(one.id)))

    def next_answer(self, name: str, callout: Callout) -> Any:
        """What the mock's call was answered with; ``None`` for nothing."""
        answers = self._answers.get(name)
        if not answers:
            self.unexpected.append(
                f"a call to cluster {name!r} that only Envoy's filter made: {callout.method} {callout.path}"
            )
            return Reset()
        answer, when = answers.popleft()
        if when is not None:
            self._set_time(when)
        return answer

    def learn_protocol(self, callout: Callout, host: EnvoyHost | None) -> None:
        """A cluster that is called by gRPC speaks HTTP/2, whatever it answers."""
        name, grpc = callout.cluster, callout.kind != "http"
        if self._grpc.get(name) != grpc and name in self._handlers:
            self._grpc[name] = grpc
            if host is not None:
                host.cluster(name, self._replay(name))

    @contextmanager
    def refusing(self, calls: Iterable[Callout], host: EnvoyHost) -> Iterator[None]:
        """While these calls are made in Envoy, clusters that refused them in the mock refuse them there."""
        refused = {one.cluster: one.outcome for one in calls if isinstance(one.outcome, REFUSED)}
        refused = {
            name: how
            for name, how in refused.items()
            if name in self._handlers and not isinstance(self._handlers[name], REFUSED)
        }
        for name, how in refused.items():
            host.cluster(name, how)
        if refused:
            host.instance.keeper.pass_through()
        try:
            yield
        finally:
            for name in refused:
                host.cluster(name, self._replay(name))


class Replay:
    """A cluster's handler in Envoy that answers as the mock's calls were answered.

    It shows what the real one answers, by which the cluster's protocol is chosen.
    """

    def __init__(self, clusters: Clusters, name: str, handler: Any, grpc: bool | None) -> None:
        self._clusters = clusters
        self._name = name
        self.handler = handler
        self.grpc = grpc

    def __call__(self, callout: Callout) -> Any:
        return self._clusters.next_answer(self._name, callout)
