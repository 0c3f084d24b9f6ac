"""The clusters of a host beside its Envoy: they answer there as they answered in the mock, in the same order."""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..envoy.servers import ANSWERING, SILENT, Served
from ..model import Callout, ConnectionRefused, NoHosts, Reset, Timeout
from .calls import answer_to

if TYPE_CHECKING:
    from ..envoy.host import EnvoyHost
    from ..trace import Callback

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
        self._answers: dict[str, deque[tuple[Callout, int | None] | Held]] = {}
        self._held: dict[tuple[str, int], Held] = {}
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
        if isinstance(handler, REFUSED) or _is_script(handler):
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
        if any(isinstance(held.callout.outcome, REFUSED) for held in self._held.values()):
            return "a callout is refused that has reached its cluster"
        return ""

    def queue(
        self,
        calls: Iterable[Callout],
        times: Mapping[tuple[str, int], int],
        held: Iterable[Callout],
        host: EnvoyHost | None,
    ) -> None:
        """Have calls answered as they were.

        Args:
            times: when, by filter and id.
            held: which of them are answered when they are released, as those are that have not been answered yet.
        """
        later = {id(one) for one in held}
        for one in calls:
            self.learn_protocol(one, host)
            if not isinstance(one.outcome, REFUSED) and not _is_script(self._handlers.get(one.cluster)):
                known = one.outcome is not None and id(one) not in later
                answer = (one, times.get((one.filter, one.id))) if known else self.hold(one)
                self._answers.setdefault(one.cluster, deque()).append(answer)

    def next_answer(self, name: str, callout: Callout, served: Served) -> Any:
        """What the mock's call was answered with; waits for an answer that is not known yet."""
        answers = self._answers.get(name)
        if not answers:
            self.unexpected.append(
                f"a call to cluster {name!r} that only Envoy's filter made: {callout.method} {callout.path}"
            )
            return Reset()
        answer = answers.popleft()
        if isinstance(answer, Held):
            return answer.wait(served)
        one, when = answer
        if when is not None:
            self._set_time(when)
        return one.outcome if one.outcome != "cancelled" else Timeout()

    def hold(self, one: Callout) -> Held:
        """A call that the mock has not answered yet; Envoy's waits until it has, and Envoy has come as far."""
        held = self._held[one.filter, one.id] = Held(one)
        return held

    def holds(self, event: Callback) -> bool:
        """Whether a callback of the mock is the answer to a call that still waits in Envoy."""
        return answer_to(event) in self._held

    def release(self, event: Callback, now_ns: int) -> None:
        """Answer a call that waits, as the mock did."""
        call = answer_to(event)
        assert call is not None
        self._set_time(now_ns)
        self._held.pop(call).released.set()

    def close(self) -> None:
        """Nothing waits any more."""
        for held in self._held.values():
            held.released.set()

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


def _is_script(handler: Any) -> bool:
    return inspect.isgeneratorfunction(handler)


class Held:
    """A call whose answer is still to come."""

    def __init__(self, callout: Callout) -> None:
        self.callout = callout
        self.released = threading.Event()

    def wait(self, served: Served) -> Any:
        """Wait for it, in a server; nothing if it never came."""
        served.state = SILENT
        self.released.wait()
        served.state = ANSWERING
        return self.callout.outcome if self.callout.outcome not in (None, "cancelled") else Timeout()


class Replay:
    """A cluster's handler in Envoy that answers as the mock's calls were answered.

    It shows what the real one answers, by which the cluster's protocol is chosen.
    """

    def __init__(self, clusters: Clusters, name: str, handler: Any, grpc: bool | None) -> None:
        self._clusters = clusters
        self._name = name
        self.handler = handler
        self.grpc = grpc

    def __call__(self, callout: Callout, served: Served) -> Any:
        return self._clusters.next_answer(self._name, callout, served)
