"""The Envoy beside one mock host: started when it is needed, answered as the mock's peers answered, and compared.

Knows when nothing can be compared any more, and says why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from ..model import After, ConnectionRefused, Exchange, Metric, Request, Timeout
from .calls import seconds_in_vain
from .clusters import Clusters
from .compare import compare_exchanges, compare_metrics
from .races import answers_race, calls_in_response, closes_and_replies, several_wait
from .scene import Scene
from .sendable import problem_with_answer, problem_with_request, problem_with_result
from .timeline import LONGEST_WAIT, TICKS, TWO_DIGITS, WAITS, Player, Timeline, await_calls

if TYPE_CHECKING:
    from ..envoy.pool import Pool
    from ..envoy.tcp import EnvoyTcpStream
    from ..filters import Filter
    from ..mock import MockHost

__all__ = ["Played", "Shadow"]

IN_BOTH = ("protocol", "services", "clusters", "node", "routes", "buffer_limit")
"""Options that Envoy gets as well."""
START_EFFECTS = ("proxy_http_call", "proxy_grpc_call", "proxy_grpc_stream")
UNDER_WAY = "a gRPC stream is still under way when the exchange ends"
MERGE_SECONDS = 5.0
TICKS_SECONDS = 20.0
BROKEN = "the filter does what breaks the stream in Envoy in no defined way"
EARLY = "a callout is refused before the request's body has arrived"
LATE = "the filter replies to a stream that has ended, or closes it again, which Envoy sometimes survives"
ENDED = ("proxy_on_log", "proxy_on_done", "proxy_on_context_create")
"""Where it does."""
CLOSED = "the filter replies to a stream that it has closed"
BODILESS = "a filter holds the body of a response whose status allows none: the client has all of it"
RACE = "a callout is answered while the request or the upstream's answer is under way as well"
SEVERAL = "several callouts wait at a time, and what differs may be the order of their answers"


@dataclass(frozen=True, slots=True)
class Played:
    """An exchange of the mock that is over.

    Attributes:
        upstream: what answered it; ``None`` if it did not get there.
        error: what it raises.
        before: how many events there were in the mock before it.
        began_ns: when it began there.
    """

    exchange: Exchange
    http_version: str
    upstream: Any
    error: FilterError | None
    before: int
    began_ns: int


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
        self._timeline = Timeline(filters)
        self._clusters = Clusters(options.get("clusters") or {}, self._set_time)
        self._callouts_seen = 0
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
        self._timeline.done(mock)
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
            options["clusters"] = self._clusters.all()
            clocked = self._timeline.matters
            self._host = EnvoyHost(self._filters, pool=self._pool, on_trap="continue", clocked=clocked, **options)
            self._envoy_start = self._host.metrics.all()
        return self._host

    def declare(self, name: str, handler: Any) -> None:
        """A cluster, in Envoy as in the mock."""
        self._clusters.declare(name, handler, self._host)

    def _set_time(self, now_ns: int) -> None:
        if self._host is not None:
            self._timeline.set_time(self._host, now_ns)

    # A connection.

    def reason(self, mock: MockHost, *, connected: bool = True) -> str:
        """Why nothing can be compared any more; "" if it can.

        Args:
            connected: connections are open, in which Envoy's filters cannot be made to tick.
        """
        self._timeline.look(mock)
        if not self._reason and connected and self._timeline.ticked(mock):
            self.taint(TICKS)
        if not self._reason and mock.callouts:
            self.taint("connections with callouts are driven by hand")
        return self._reason

    def connect(self, mock: MockHost, before: int, now_ns: int) -> tuple[EnvoyTcpStream | None, list[str]]:
        """The same connection in Envoy, or none if it cannot be made there; and what differed before it, in words.

        Args:
            before: how many events there were before it.
            now_ns: when it begins.
        """
        host = self._open()
        problem = self._problem(mock, host, before)
        if problem:
            self.taint(problem)
            return None, []
        found = self._timeline.catch_up(mock, host, self._clusters, before, now_ns)
        return (None if found else host.connect()), found

    def caught_up(self, mock: MockHost) -> None:
        """All that happened in the mock has happened in Envoy."""
        self._timeline.done(mock)

    def _problem(self, mock: MockHost, host: EnvoyHost, before: int) -> str:
        """Why what has happened since the last time cannot be played.

        Args:
            before: how many events there were before the exchange.
        """
        clocked = host.instance.setup.clocked
        return self._timeline.problem(mock, self._clusters, before, clocked=clocked, worker=self._worker)

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
        self._timeline.look(mock)
        problem = scene.problem()
        if problem:
            self.taint(problem)
        if not self._reason:
            problem = self._problem(mock, self._open(), scene.events_at)
            if problem:
                self.taint(problem)
        if self._reason:
            for _ in scene.parts:
                self._checks.skip(self._reason)
            return []
        self._queue_answers(mock, scene.calls_at, scene.events_at)
        for call in scene.calls:
            self._clusters.learn_protocol(call, self._host)
        host = self._open()
        found = self._timeline.catch_up(mock, host, self._clusters, scene.events_at, scene.began_ns)
        found = found or scene.play(host, self._clusters)
        self._callouts_seen = len(mock.callouts)
        self._timeline.done(mock)
        found += self._compare_metrics(mock, host)
        if any(call.outcome is None and call.kind == "grpc_stream" for call in scene.calls):
            self.taint(UNDER_WAY)
        if found:
            self._checks.differed += len(scene.parts)
            self.taint("streams before it were not the same")
        else:
            self._checks.agreed += len(scene.parts)
        return found

    # An exchange.

    def check(self, mock: MockHost, played: Played) -> list[str]:
        """Run an exchange in Envoy as well; what differs, in words."""
        exchange, upstream, error, before = played.exchange, played.upstream, played.error, played.before
        self._timeline.look(mock)
        self._look_for_reasons(played, mock.clock.now_ns - played.began_ns)
        if self._reason:
            self._checks.skip(self._reason)
            return []
        assert exchange.request is not None
        self._queue_answers(mock, len(mock.callouts), before)
        try:
            host = self._open()
            problem = self._problem(mock, host, before)
            if problem:
                self.skip(problem)
                return []
            found = self._timeline.catch_up(mock, host, self._clusters, before, played.began_ns)
            if found:
                self._checks.differed += 1
                self.taint("what happened before it was not the same")
                return found
            player = self._timeline.player(host, mock.trace[before:])
            with self._clusters.refusing(exchange.callouts, host):
                envoy, failure = self._run(host, exchange, played.http_version, upstream, player)
            self._timeline.done(mock)
        except FilterStartError as refused:
            self._checks.differed += 1
            self.taint("Envoy does not start the filter")
            return [f"the mock starts this filter, and Envoy does not:\n{refused}"]
        late = isinstance(error, EnvoyCrashError) and error.callback in ENDED
        if late and not isinstance(failure, EnvoyCrashError):
            self.skip(LATE)
            return []
        found = [*self._clusters.unexpected, *self._compare_ends(error, failure)]
        self._clusters.unexpected.clear()
        if not isinstance(failure, EnvoyCrashError):
            if not isinstance(error, EnvoyCrashError):
                found += self._compare_exchange(exchange, envoy, host)
                found += self._compare_metrics(mock, host)
        if found and closes_and_replies(exchange.trace):
            self.skip(CLOSED)
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

    def _queue_answers(self, mock: MockHost, until: int, before: int) -> None:
        """Have the callouts up to this one answered in Envoy as they were in the mock.

        Args:
            before: how many events there were before the exchange.
        """
        calls = mock.callouts[self._callouts_seen : until]
        between = self._timeline.between(mock, before)
        self._clusters.queue(calls, self._timeline.times_of_answers(mock), between, self._host)
        self._callouts_seen = until

    def _run(
        self, host: EnvoyHost, exchange: Exchange, http_version: str, upstream: Any, player: Player | None
    ) -> tuple[Exchange, Exception | None]:
        assert exchange.request is not None
        failure: Exception | None = None
        answer = upstream if upstream is not None else Timeout()

        def after_ticks(request: Request) -> Any:
            assert player is not None
            player.await_response(TICKS_SECONDS)
            return answer

        served = len(host.instance.served)
        waits = player is not None and not isinstance(answer, ConnectionRefused)
        host.instance.while_waiting = player.play if player is not None else None
        try:
            host.send(exchange.request, http_version, after_ticks if waits else answer, 60)
        except (StreamStalled, EnvoyCrashError) as caught:
            failure = caught
        finally:
            host.instance.while_waiting = None
        envoy = host.last_exchange
        assert envoy is not None
        envoy.callouts = await_calls(host, served, exchange.callouts)
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

    def _look_for_reasons(self, played: Played, waited_ns: int) -> None:
        exchange, upstream, error = played.exchange, played.upstream, played.error
        if self._reason:
            return
        if self._timeline.ticked_in(exchange):
            # The ticks take no time in Envoy.
            waited_ns = round(1e9 * (seconds_in_vain(exchange.callouts) + _seconds(upstream)))
        if waited_ns > LONGEST_WAIT * 1e9 and not isinstance(error, StreamStalled):
            self.taint(WAITS)
        if exchange.request is not None:
            request = exchange.request
            problem = problem_with_request(request, played.http_version) or problem_with_answer(upstream, request)
            problem = problem or problem_with_result(exchange, played.http_version)
            if problem:
                self.taint(problem)
        if answers_race(exchange.trace):
            self.taint(RACE)
        if isinstance(error, AbiError) or any(isinstance(one, AbiError) for one in exchange.errors):
            self.taint(BROKEN)
        has_body = exchange.request is not None and (exchange.request.body or exchange.request.chunks is not None)
        if has_body and any(isinstance(one.outcome, ConnectionRefused) for one in exchange.callouts):
            self.taint(EARLY)
        response = exchange.response
        if isinstance(error, StreamStalled) and response is not None and response.status in (204, 304):
            self.taint(BODILESS)
        if any(one.outcome is None and one.kind == "grpc_stream" for one in exchange.callouts):
            self.taint(UNDER_WAY)
        problem = self._clusters.problem(exchange.callouts)
        if problem:
            self.taint(problem)
        if error is not None and any(one.failure_policy == "fail_reload" for one in self._filters):
            self.taint("the VM is replaced after a while, in real time in Envoy")

    # The end.

    def close(self) -> None:
        """End the Envoy."""
        if not self._closed:
            self._closed = True
            self._clusters.close()
            if self._host is not None:
                self._host.close()


def _seconds(upstream: Any) -> float:
    """How long an upstream takes."""
    return upstream.seconds if isinstance(upstream, After) else 0
