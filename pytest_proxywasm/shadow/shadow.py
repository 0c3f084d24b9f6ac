"""The Envoy beside one mock host: started when it is needed, answered as the mock's peers answered, and compared.

Knows when nothing can be compared any more, and says why.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..checks import Checks
from ..envoy.host import EnvoyHost
from ..envoy.setup import NODE
from ..errors import (
    AbiError,
    EnvoyCrashError,
    EnvoyDiffersError,
    FilterError,
    FilterStartError,
    GuestTrap,
    StreamStalled,
)
from ..model import Callout, ConnectionRefused, Exchange, Metric, NoHosts, Reset, Timeout
from .compare import compare_exchanges, compare_metrics
from .races import answers_race, calls_in_response, several_wait
from .scene import Scene
from .sendable import problem_with_answer, problem_with_request, problem_with_result

if TYPE_CHECKING:
    from ..envoy.pool import Pool
    from ..envoy.tcp import EnvoyTcpStream
    from ..filters import Filter
    from ..mock import MockHost

__all__ = ["Shadow"]

IN_BOTH = ("protocol", "services", "clusters", "node", "routes", "buffer_limit")
"""Options that Envoy gets as well."""
START_EFFECTS = ("proxy_http_call", "proxy_grpc_call", "proxy_grpc_stream")
UNDER_WAY = "a callout is still under way when the exchange ends"
MERGE_SECONDS = 5.0
TWO_DIGITS = 0.009
"""Seconds from which on x-envoy-upstream-service-time, in milliseconds, may have two digits; the mock's has one."""
BROKEN = "the filter does what breaks the stream in Envoy in no defined way"
EARLY = "a callout is refused before the request's body has arrived"
LATE = "the filter replies to a stream that has ended, which Envoy sometimes survives"
RACE = "a callout is answered while the request or the upstream's answer is under way as well"
SEVERAL = "several callouts wait at a time, and what differs may be the order of their answers"
TICKS = "the filter ticks, and time is real in Envoy"


class Shadow:
    """One mock host's Envoy."""

    def __init__(self, filters: Sequence[Filter], options: Mapping[str, Any], *, pool: Pool, checks: Checks) -> None:
        self._filters = filters
        self._options = dict(options)
        self._pool = pool
        self._checks = checks
        self._host: EnvoyHost | None = None
        self._closed = False
        self._reason = ""
        self._handlers: dict[str, Any] = dict(options.get("clusters") or {})
        self._answers: dict[str, deque[Any]] = {}
        self._unexpected: list[str] = []
        self._callouts_seen = 0
        self._grpc: dict[str, bool] = {}
        self._mock_start: dict[str, Metric] = {}
        self._envoy_start: dict[str, Metric] = {}
        self.node = {**NODE, **(options.get("node") or {})}
        self._worker: int | None = None
        if not options.get("envoy_headers", True):
            self.taint("envoy_headers=False")
        if not options.get("trace", True):
            self.taint("trace=False")

    @property
    def version(self) -> str:
        """The version of the Envoy."""
        return self._checks.envoy

    # What cannot be compared.

    def taint(self, reason: str) -> None:
        """From now on the two hosts are not in the same state any more."""
        self._reason = self._reason or reason

    def skip(self, reason: str) -> None:
        """An exchange that is not run in Envoy."""
        self.taint(reason)
        self._checks.skip(self._reason)

    def uses(self, worker: int) -> None:
        """An exchange or connection on a worker; Envoy's one worker stands for the first that is used."""
        if self._worker not in (None, worker):
            self.taint("several workers are used")
        self._worker = worker

    # The start.

    def started(self, mock: MockHost) -> None:
        """The mock has started its filters."""
        self._mock_start = dict(mock.metrics)
        if any(mock.trace.hostcalls(name) for name in START_EFFECTS):
            self.taint("the filter calls out while it starts, which each of Envoy's VMs does")
        if mock.trace.hostcalls("proxy_set_shared_data") or mock.trace.hostcalls("proxy_enqueue_shared_queue"):
            if self._options.get("starts", "once") == "once":
                self.taint("the filter writes shared data or queues while it starts, which each of Envoy's VMs does")

    def start_must_fail(self, error: FilterStartError) -> None:
        """The mock refused to start a filter: so must Envoy.

        Raises:
            EnvoyDiffersError: it starts it.
        """
        if self._reason:
            self._checks.skip(self._reason)
            return
        try:
            self._open()
        except FilterStartError:
            self._checks.agreed += 1
            return
        finally:
            self.close()
        self._checks.differed += 1
        raise EnvoyDiffersError(
            f"the mock refuses to start this filter, and Envoy {self.version} starts it. The mock said:\n{error}"
        ) from error

    def _open(self) -> EnvoyHost:
        if self._host is None:
            options = {name: self._options[name] for name in IN_BOTH if name in self._options}
            options["clusters"] = {name: self._handler(name) for name in self._handlers}
            self._host = EnvoyHost(self._filters, pool=self._pool, on_trap="continue", **options)
            self._envoy_start = self._host.metrics.all()
        return self._host

    # Clusters.

    def declare(self, name: str, handler: Any) -> None:
        """A cluster, in Envoy as in the mock."""
        self._handlers[name] = handler
        if self._host is not None:
            self._host.cluster(name, self._handler(name))

    def _handler(self, name: str) -> Any:
        """What answers in Envoy: what answered in the mock, in the same order."""
        handler = self._handlers[name]
        if isinstance(handler, (ConnectionRefused, NoHosts)) or _is_script(handler):
            return handler
        return Replay(self, name, handler, self._grpc.get(name))

    def next_answer(self, name: str, callout: Callout) -> Any:
        """What the mock's call was answered with; ``None`` for nothing."""
        answers = self._answers.get(name)
        if not answers:
            self._unexpected.append(
                f"a call to cluster {name!r} that only Envoy's filter made: {callout.method} {callout.path}"
            )
            return Reset()
        return answers.popleft()

    # A connection.

    def reason(self, mock: MockHost) -> str:
        """Why nothing can be compared any more; "" if it can."""
        if not self._reason and _ticks(mock):
            self.taint(TICKS)
        if not self._reason and mock.callouts:
            self.taint("connections with callouts are driven by hand")
        return self._reason

    def connect(self) -> EnvoyTcpStream:
        """The same connection in Envoy."""
        return self._open().connect()

    def count_connection(self, reason: str) -> None:
        """A connection is over, or cannot be compared any more."""
        if reason:
            self._checks.skip(reason)
        else:
            self._checks.agreed += 1

    def connection_differs(self, what: str, found: list[str]) -> EnvoyDiffersError:
        """The error for a connection that is not the same in both."""
        self._checks.differed += 1
        self.taint("a connection before it was not the same")
        lines = [f"the connection is not the same in the mock and in Envoy {self.version} after {what}:", ""]
        for paragraph in found:
            lines += [*paragraph.splitlines(), ""]
        lines.append("The test saw the mock's result. What Envoy does counts.")
        return EnvoyDiffersError("\n".join(lines))

    # Streams by hand.

    def play(self, scene: Scene) -> list[str]:
        """Do in Envoy what the test has done by hand; what differs, in words."""
        mock = scene.mock
        if _ticks(mock):
            self.taint(TICKS)
        problem = scene.problem()
        if problem:
            self.taint(problem)
        if self._reason:
            for _ in scene.parts:
                self._checks.skip(self._reason)
            return []
        for call in scene.calls:
            self._learn_protocol(call)
        host = self._open()
        found = scene.play(host)
        self._callouts_seen = len(mock.callouts)
        found += self._compare_metrics(mock, host)
        if found:
            self._checks.differed += len(scene.parts)
            self.taint("streams before it were not the same")
        else:
            self._checks.agreed += len(scene.parts)
        if any(call.outcome is None for call in scene.calls):
            self.taint(UNDER_WAY)
        return found

    # An exchange.

    def check(
        self, mock: MockHost, exchange: Exchange, http_version: str, upstream: Any, error: FilterError | None
    ) -> list[str]:
        """Run the exchange in Envoy as well; what differs, in words."""
        self._look_for_reasons(mock, exchange, http_version, upstream, error)
        if self._reason:
            self._checks.skip(self._reason)
            return []
        assert exchange.request is not None
        self._queue_answers(mock)
        try:
            host = self._open()
            envoy, failure = self._run(host, exchange, http_version, upstream)
        except FilterStartError as refused:
            self._checks.differed += 1
            self.taint("Envoy does not start the filter")
            return [f"the mock starts this filter, and Envoy does not:\n{refused}"]
        late = isinstance(error, EnvoyCrashError) and error.callback in ("proxy_on_log", "proxy_on_done")
        if late and not isinstance(failure, EnvoyCrashError):
            self.skip(LATE)
            return []
        found = [*self._unexpected, *self._compare_ends(error, failure)]
        self._unexpected.clear()
        if not isinstance(failure, EnvoyCrashError):
            if not isinstance(error, EnvoyCrashError):
                found += self._compare_exchange(exchange, envoy, host)
                found += self._compare_metrics(mock, host)
        if found and any(event.name == "proxy_on_tick" for event in host.trace):
            self.skip(TICKS)
            return []
        if found and several_wait(exchange.trace):
            self.skip(SEVERAL)
            return []
        if found and calls_in_response(exchange.trace):
            self.skip(RACE)
            return []
        if isinstance(failure, EnvoyCrashError):
            self.taint("Envoy has crashed, as the mock said")
        if found:
            self._checks.differed += 1
            self.taint("an exchange before it was not the same")
        else:
            self._checks.agreed += 1
        return found

    def _run(
        self, host: EnvoyHost, exchange: Exchange, http_version: str, upstream: Any
    ) -> tuple[Exchange, Exception | None]:
        assert exchange.request is not None
        failure: Exception | None = None
        try:
            host.send(exchange.request, http_version, upstream if upstream is not None else Timeout(), 60)
        except (StreamStalled, EnvoyCrashError) as caught:
            failure = caught
        envoy = host.last_exchange
        assert envoy is not None
        if failure is None and envoy.errors:
            failure = envoy.errors[0]
        return envoy, failure

    def _compare_exchange(self, exchange: Exchange, envoy: Exchange, host: EnvoyHost) -> list[str]:
        def compare(slow: bool) -> list[str]:
            return compare_exchanges(
                exchange,
                envoy,
                partial=not host.upstream_complete,
                services=bool(self._options.get("services")),
                slow=slow,
            )

        found = compare(False)
        return compare(True) if found and host.seconds >= TWO_DIGITS else found

    def _compare_metrics(self, mock: MockHost, host: EnvoyHost) -> list[str]:
        """What differs in metrics; Envoy merges the histograms of its workers a little later."""
        deadline = time.monotonic() + MERGE_SECONDS
        while True:
            found = compare_metrics(mock.metrics, self._mock_start, host.metrics.all(), self._envoy_start)
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def _compare_ends(self, error: FilterError | None, failure: Exception | None) -> list[str]:
        def kind(one: Exception | None) -> str:
            if isinstance(one, GuestTrap):
                return f"a trap in {one.callback}"
            return type(one).__name__ if one is not None else "no error"

        ours, theirs = kind(error), kind(failure)
        if ours == theirs:
            return []
        if error is None and isinstance(failure, GuestTrap):
            # With on_trap="continue" the mock keeps its errors in the exchange.
            return []
        return [f"it ends with {ours} in the mock, and with {theirs} in Envoy:\n    {failure or error}"]

    def _look_for_reasons(
        self, mock: MockHost, exchange: Exchange, http_version: str, upstream: Any, error: FilterError | None
    ) -> None:
        if self._reason:
            return
        if exchange.request is not None:
            request = exchange.request
            problem = problem_with_request(request, http_version) or problem_with_answer(upstream, request)
            problem = problem or problem_with_result(exchange, http_version)
            if problem:
                self.taint(problem)
        if _ticks(mock):
            self.taint(TICKS)
        if answers_race(exchange.trace):
            self.taint(RACE)
        if isinstance(error, AbiError) or any(isinstance(one, AbiError) for one in exchange.errors):
            self.taint(BROKEN)
        has_body = exchange.request is not None and (exchange.request.body or exchange.request.chunks is not None)
        for one in mock.callouts[self._callouts_seen :]:
            answer = one.outcome
            if isinstance(answer, ConnectionRefused) and has_body:
                self.taint(EARLY)
            handler = self._handlers.get(one.cluster)
            if isinstance(answer, (ConnectionRefused, NoHosts)) and not isinstance(
                handler, (ConnectionRefused, NoHosts)
            ):
                self.taint("a callout is refused by a cluster that accepts others")
            elif answer is None and handler is not None and not isinstance(handler, Timeout):
                self.taint(UNDER_WAY)
        if error is not None and any(one.failure_policy == "fail_reload" for one in self._filters):
            self.taint("the VM is replaced after a while, in real time in Envoy")

    def _queue_answers(self, mock: MockHost) -> None:
        callouts = mock.callouts
        for one in callouts[self._callouts_seen :]:
            self._learn_protocol(one)
            answer = one.outcome if one.outcome is not None else Timeout()
            if one.outcome is None and self._handlers.get(one.cluster) is None:
                answer = None
            self._answers.setdefault(one.cluster, deque()).append(answer)
        self._callouts_seen = len(callouts)

    def _learn_protocol(self, callout: Callout) -> None:
        """A cluster that is called by gRPC speaks HTTP/2, whatever it answers."""
        name, grpc = callout.cluster, callout.kind != "http"
        if self._grpc.get(name) != grpc and name in self._handlers:
            self._grpc[name] = grpc
            if self._host is not None:
                self._host.cluster(name, self._handler(name))

    # The end.

    def close(self) -> None:
        """End the Envoy."""
        if not self._closed:
            self._closed = True
            if self._host is not None:
                self._host.close()


class Replay:
    """A cluster's handler in Envoy that answers as the mock's calls were answered.

    It shows what the real one answers, by which the cluster's protocol is chosen.
    """

    def __init__(self, shadow: Shadow, name: str, handler: Any, grpc: bool | None) -> None:
        self._shadow = shadow
        self._name = name
        self.handler = handler
        self.grpc = grpc

    def __call__(self, callout: Callout) -> Any:
        return self._shadow.next_answer(self._name, callout)


def _is_script(handler: Any) -> bool:
    import inspect

    return inspect.isgeneratorfunction(handler)


def _ticks(mock: MockHost) -> bool:
    calls = mock.trace.hostcalls("proxy_set_tick_period_milliseconds")
    return any(call.args.get("tick_period", call.args.get("period", 1)) for call in calls)
