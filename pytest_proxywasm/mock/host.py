"""`MockHost`: a proxy with filters in it, as tests use it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..engine import BadModule, Engine, Limits
from ..engine.interface import DEFAULT_BUDGET, DEFAULT_MAX_MEMORY
from ..errors import FilterError, StreamStalled, StrictError, UsageError
from ..headers import HeadersLike, Text, to_bytes
from ..host.callouts import Cluster, PendingCallout
from ..host.clock import Clock
from ..host.grpc import GrpcPendingCallout
from ..host.http.context import HttpContext
from ..host.http.router import Routes
from ..host.http.stream import HttpStreamCore
from ..host.options import check_options, check_protocol, one_of
from ..host.plugin import PluginConfig
from ..host.proxy import Proxy
from ..host.state import Captured
from ..host.tcp.stream import TcpStreamCore
from ..model import Callout, Exchange, GuestLog, LogLevel, Request, Response, Upstream
from ..plans import ExchangePlan, Schedule, TcpPlan
from ..trace import Trace
from ..trace.search import Step
from .checkpoint import Checkpoint, restore_checkpoint, take_checkpoint
from .configs import plugin_config
from .explain import explain_stall, with_later
from .injection import Injector
from .loader import load_guests
from .plans import Run, run_plan
from .plugins import Worker, start_like_envoy
from .stream import HttpStream, answer_with, feed_request
from .strict import Strict, Watcher
from .tcp import TcpStream
from .views import MetricsView, PropertiesView, QueuesView, SharedDataView, VmView

if TYPE_CHECKING:
    from ..filters import Filter


class MockHost:
    """A mock of a proxy: filters, their VMs, and everything they call.

    See ``proxywasm.host`` for the options. One host, one thread; a context manager.

    Attributes:
        protocol: ``"http"`` or ``"tcp"``.
        exchanges: every exchange so far, newest last, at most the last 1000.
        runs: the plans that were run so far with what came of each, whole requests among them; at most the last 1000.
        closed: `close` has been called.
    """

    def __init__(
        self,
        filters: Sequence[Filter] = (),
        *,
        engine: Engine,
        protocol: str = "http",
        services: Sequence[Filter] = (),
        workers: int = 1,
        starts: str = "once",
        upstream: Upstream | None = None,
        clusters: Mapping[str, Any] | None = None,
        envoy_headers: bool = True,
        node: Mapping[str, Any] | None = None,
        routes: Sequence[dict[str, Any]] | None = None,
        buffer_limit: int = 1 << 20,
        on_trap: str = "raise",
        strict: bool | str | Iterable[str] | Strict = False,
        trace: bool = True,
        seed: int = 0,
        guest_budget: int = DEFAULT_BUDGET,
        max_memory: int = DEFAULT_MAX_MEMORY,
        on_log: Callable[[GuestLog], None] | None = None,
        started: Captured | None = None,
    ) -> None:
        check_options(filters, services, protocol, starts, on_trap, workers, upstream, routes)
        self._made_with: dict[str, Any] = {
            "protocol": protocol,
            "services": tuple(services),
            "workers": workers,
            "starts": starts,
            "upstream": upstream,
            "clusters": dict(clusters or {}),
            "envoy_headers": envoy_headers,
            "node": node,
            "routes": routes,
            "buffer_limit": buffer_limit,
            "on_trap": on_trap,
            "seed": seed,
            "guest_budget": guest_budget,
            "max_memory": max_memory,
        }
        self.start_another: Callable[..., MockHost] = lambda filters, options: MockHost(
            filters, engine=engine, **options
        )
        self.filters = tuple(filters)
        self.closed = False
        self.protocol = protocol
        self.exchanges: list[Exchange] = []
        self.runs: deque[Run] = deque(maxlen=1000)
        self._on_trap = on_trap
        self._upstream: Upstream = upstream if upstream is not None else Response(200)
        self._routes = Routes(routes or ())
        self._streams: list[HttpStreamCore] = []
        self._connections: list[TcpStreamCore] = []
        self._next_worker = 0
        self._steps = 0
        """How many requests and steps of streams are going on: more than none only inside of handlers."""
        self._starts_at: dict[int, tuple[int, int, int]] = {}
        self._configs = [plugin_config(one) for one in filters]
        self._services = [plugin_config(one) for one in services]
        if started is not None:
            self._resume(started, on_log)
            self._declare(clusters)
            return
        proxy = self._proxy = Proxy(seed=seed, tracing=trace, buffer_limit=buffer_limit)
        self._adopt(proxy, on_log)
        chosen = Strict.of(strict)
        if chosen is not None and not trace:
            raise UsageError("strict= looks at the trace, so it needs trace=True (the default)")
        self._watcher = proxy.watcher = Watcher(chosen) if chosen is not None else None
        proxy.clock.after_advance = proxy.test_acted
        proxy.envoy_headers = envoy_headers
        proxy.node = dict(node or {})
        self._declare(clusters)
        proxy.trace.labelled = len(self._configs) + len(self._services) > 1 or workers > 1
        guests = load_guests((*filters, *services), engine)
        limits = Limits(max_memory=max_memory, budget=guest_budget)
        self._main = Worker(proxy, -1, guests, limits)
        self._workers = [Worker(proxy, index, guests, limits) for index in range(workers)]
        try:
            if starts == "envoy":
                start_like_envoy(proxy, self._configs, self._main, Worker(proxy, -1, guests, limits))
            for config in self._services:
                self._main.start(config)
            for worker in self._workers:
                for config in self._configs:
                    worker.start(config)
            self._pump()
            self._raise_failures(None)
        except BadModule as error:
            self._abandon()
            raise UsageError(str(error)) from error
        except BaseException:
            self._abandon()
            raise

    def _resume(self, started: Captured, on_log: Callable[[GuestLog], None] | None) -> None:
        """Be as after the start that was captured, as far as a start leaves anything behind."""
        self._proxy, self._main, self._workers = started.copies()
        try:
            self._adopt(self._proxy, on_log)
            watcher = self._proxy.watcher
            self._watcher = watcher if isinstance(watcher, Watcher) else None
            if on_log is not None:
                for log in self._proxy.logs:
                    on_log(log)
        except BaseException:
            self._abandon()
            raise

    def _adopt(self, proxy: Proxy, on_log: Callable[[GuestLog], None] | None) -> None:
        proxy.on_log = on_log
        proxy.on_test_acted = self._tell_test

    # What tests do.

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        headers: HeadersLike = (),
        body: Text = b"",
        chunks: Sequence[Text] | None = None,
        trailers: HeadersLike = (),
        authority: str = "example.com",
        scheme: str = "http",
        http_version: str = "1.1",
        upstream: Upstream | None = None,
        properties: Mapping[Any, Any] | None = None,
        worker: int | None = None,
        timeout: float = 300,
    ) -> Exchange:
        """Send a request through the chain and run it to its end.

        Time moves only while the stream waits, to the next due event, for at most ``timeout`` virtual seconds.

        Args:
            chunks: the body in pieces: one body callback each.
            upstream: what answers; the host's ``upstream`` by default.
            properties: what filters find under these paths during this exchange.
            worker: the index of the worker it goes to; round robin by default.

        Raises:
            StreamStalled: a filter holds the stream and nothing is due that could resume it.
            FilterError: the guest failed (with ``on_trap="raise"``).
        """
        self._check_usable()
        check_protocol(self.protocol, "http")
        request = Request(method, path, headers, body, trailers, chunks=chunks, authority=authority, scheme=scheme)
        overrides = self._proxy.overrides
        kept = dict(overrides)
        core = self._open(http_version, worker)
        core.exchange.request = request
        chosen: Upstream = upstream if upstream is not None else self._upstream
        if not properties:
            plan = ExchangePlan(request=request, upstream=chosen, http_version=http_version)
            self.runs.append(Run(plan, (core.exchange,)))
        core.on_upstream_complete = lambda: answer_with(core, chosen, core.sync)
        self._steps += 1
        try:
            PropertiesView(self._proxy).update(properties or {})
            feed_request(core, request)
            self._run(core, timeout)
        finally:
            self._steps -= 1
            overrides.clear()
            overrides.update(kept)
            exchange = self._sync(core)
        self._raise_failures(core)
        if not core.ended:
            raise self._stalled(core, timeout)
        return exchange

    def get(self, path: str = "/", **options: Any) -> Exchange:
        """A GET request; see `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str = "/", **options: Any) -> Exchange:
        """A POST request; see `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str = "/", **options: Any) -> Exchange:
        """A PUT request; see `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str = "/", **options: Any) -> Exchange:
        """A PATCH request; see `request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str = "/", **options: Any) -> Exchange:
        """A DELETE request; see `request`."""
        return self.request("DELETE", path, **options)

    def head(self, path: str = "/", **options: Any) -> Exchange:
        """A HEAD request; see `request`."""
        return self.request("HEAD", path, **options)

    def stream(
        self, *, http_version: str = "1.1", worker: int | None = None, upstream: Upstream | None = None
    ) -> HttpStream:
        """A stream to drive step by step; several may be open at a time."""
        self._check_usable()
        check_protocol(self.protocol, "http")
        return HttpStream(self, self._open(http_version, worker), upstream)

    def connect(self, *, worker: int | None = None) -> TcpStream:
        """A client connects to a host with ``protocol="tcp"``; several connections may be open at a time.

        Raises:
            FilterError: the guest failed while it was told of the connection (with ``on_trap="raise"``).
        """
        self._check_usable()
        check_protocol(self.protocol, "tcp")
        return TcpStream(self, self._choose_worker(worker))

    @overload
    def run(self, plan: ExchangePlan, *, timeout: float = ...) -> Exchange: ...
    @overload
    def run(self, plan: Schedule, *, timeout: float = ...) -> list[Exchange]: ...
    @overload
    def run(self, plan: TcpPlan, *, timeout: float = ...) -> TcpStream: ...
    def run(
        self, plan: ExchangePlan | Schedule | TcpPlan, *, timeout: float = 300
    ) -> Exchange | list[Exchange] | TcpStream:
        """Run what a strategy drew, to its end.

        While it runs, every cluster exists: callouts to one without a handler of its own are answered by the plan.

        Returns:
            The exchange of an `ExchangePlan`; those of a `Schedule`, in the order of its streams; the connection of a
            `TcpPlan`.

        Raises:
            StreamStalled: a filter holds a stream and nothing is due that could resume it.
            FilterError: the guest failed (with ``on_trap="raise"``).
        """
        self._check_usable()
        check_protocol(self.protocol, "tcp" if isinstance(plan, TcpPlan) else "http")
        self._steps += 1
        try:
            result: Exchange | list[Exchange] | TcpStream = run_plan(self, plan, timeout)
        finally:
            self._steps -= 1
        return result

    def checkpoint(self) -> Checkpoint:
        """Remember everything: guest memory and globals, and what the host knows; for `restore`.

        Raises:
            UsageError: a callback is running, a stream is open, a gRPC call is answered by a generator, or a guest has
                state that cannot be saved.
        """
        self._check_usable()
        return take_checkpoint(self)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Be as at a checkpoint of this host; as often as wanted.

        Guests, contexts and their ids, clock, ticks, pending callouts, shared data, queues, metrics, properties, logs,
        trace, exchanges, clusters and injections are as they were. Streams that were opened since then are gone,
        without another callback. What a handler of the test remembers is the test's.

        Raises:
            UsageError: it is of another host, or a callback is running.
        """
        if self.closed:
            raise UsageError("this host is closed")
        restore_checkpoint(self, checkpoint)

    def _declare(self, clusters: Mapping[str, Any] | None) -> None:
        for name, handler in (clusters or {}).items():
            self.cluster(name, handler)

    def sibling(self, **changes: Any) -> MockHost:
        """A new host, started like this one with some options changed; clusters, functions and properties as now."""
        options = {**self._made_with, **changes}
        options["clusters"] = {name: cluster.handler for name, cluster in self._proxy.clusters.items()}
        other = self.start_another(self.filters, options)
        other._proxy.foreign_functions.update(self._proxy.foreign_functions)
        other._proxy.overrides.update(self._proxy.overrides)
        return other

    def cluster(self, name: str, handler: Any = None) -> None:
        """Declare a cluster that filters can call, and what answers (see ``Cluster``).

        Without a handler calls wait in `pending_callouts`.
        """
        self._proxy.clusters[name] = Cluster(name, handler)

    def foreign_function(self, name: str, function: Callable[[bytes], bytes]) -> None:
        """Offer a function to ``proxy_call_foreign_function``: bytes to bytes."""
        self._proxy.foreign_functions[to_bytes(name)] = function

    def inject(
        self,
        hostcall: str,
        status: Any,
        *,
        times: int = 1,
        when: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> None:
        """Have the next matching hostcalls answer this status instead of running.

        Args:
            hostcall: its name.
            status: a `Status`, its number or its name.
            when: gets the arguments as the trace shows them, and says whether the call matches.
        """
        if self._proxy.injector is None:
            self._proxy.injector = Injector()
        assert isinstance(self._proxy.injector, Injector)
        self._proxy.injector.add(hostcall, status, times, when)

    def allow(self, *steps: Step) -> None:
        """Let these happen although ``strict=`` forbids them: steps as of ``trace.contains``.

        Raises:
            UsageError: the host is not strict.
        """
        if self._watcher is None:
            raise UsageError("host.allow() is for strict hosts: proxywasm.host(..., strict=True)")
        self._watcher.allow(steps)

    def restart(self) -> None:
        """New VMs everywhere, as after a crash; shared data, queues and metrics stay."""
        self._check_usable()
        for worker in self._workers:
            for config in self._configs:
                worker.restart(config)
        for config in self._services:
            self._main.restart(config)
        self._raise_failures(None)

    # What tests look at.

    @property
    def clock(self) -> Clock:
        """Virtual time; moving it fires ticks, callout answers and timeouts."""
        return self._proxy.clock

    @property
    def trace(self) -> Trace:
        """Everything that happened, in order."""
        return self._proxy.trace

    @property
    def logs(self) -> list[GuestLog]:
        """Everything the guests logged, in order; without a trace only the newest, at least a thousand."""
        return self._proxy.logs

    @property
    def callouts(self) -> list[Callout]:
        """Every callout made, in order; without a trace only the newest, at least a thousand."""
        return self._proxy.callouts

    @property
    def pending_callouts(self) -> list[PendingCallout | GrpcPendingCallout]:
        """Callouts that wait for an answer, oldest first."""
        return list(self._proxy.pending_callouts)

    @property
    def metrics(self) -> MetricsView:
        """Metrics by name."""
        return MetricsView(self._proxy)

    @property
    def shared_data(self) -> SharedDataView:
        """Shared data of the first filter's vm_id."""
        return SharedDataView(self._proxy, self._first_vm_id)

    @property
    def queues(self) -> QueuesView:
        """Queues of the first filter's vm_id."""
        return QueuesView(self._proxy, self._first_vm_id)

    @property
    def properties(self) -> PropertiesView:
        """Properties that the test sets for all streams."""
        return PropertiesView(self._proxy)

    def vm_id(self, vm_id: str) -> VmView:
        """Shared data and queues of one vm_id."""
        return VmView(self._proxy, vm_id)

    @property
    def workers(self) -> list[Worker]:
        """The workers, each with its VMs."""
        return list(self._workers)

    @property
    def last_exchange(self) -> Exchange | None:
        """The newest exchange, also one that failed."""
        return self.exchanges[-1] if self.exchanges else None

    @property
    def log_level(self) -> LogLevel:
        """The level the guests are told (``proxy_get_log_level``); everything is kept whatever it is."""
        return self._proxy.log_level

    @log_level.setter
    def log_level(self, level: int) -> None:
        self._proxy.log_level = LogLevel(level)

    # The end.

    def close(self) -> None:
        """End open streams, run done and delete of the root contexts, and free the VMs."""
        if self.closed:
            return
        self.closed = True
        try:
            if self._proxy.crashed is None:
                for core in list(self._streams):
                    core.reset("downstream")
                for connection in reversed(list(self._connections)):  # the newest first (Envoy 1.40)
                    connection.stop()
                for worker in (*self._workers, self._main):
                    worker.finish()
                self._take_failures()
            unanswered = self._watcher.unanswered(self._proxy) if self._watcher is not None else None
            if unanswered is not None:
                raise unanswered
        finally:
            self._free()

    def _free(self) -> None:
        for worker in (*self._workers, self._main):
            worker.close()

    def _abandon(self) -> None:
        self.closed = True
        self._free()

    def __enter__(self) -> MockHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except FilterError as second:
            # The test's own error is what counts; the one from closing goes along with it.
            if hasattr(error, "add_note"):
                error.add_note(f"closing the host also failed: {second}")

    def __repr__(self) -> str:
        names = ", ".join(config.name or "(unnamed)" for config in (*self._configs, *self._services))
        return f"<MockHost with {names}{', closed' if self.closed else ''}>"

    # For streams.

    @property
    def _first_vm_id(self) -> str:
        return (self._configs or self._services)[0].vm_id

    def _choose_worker(self, worker: int | None) -> Worker:
        if not self._configs:
            raise UsageError("this host has only services: there is no chain to send a request through")
        if worker is None:
            worker = self._next_worker
            self._next_worker = (worker + 1) % len(self._workers)
        if not 0 <= worker < len(self._workers):
            raise UsageError(f"worker={worker}: this host has workers 0 to {len(self._workers) - 1}")
        return self._workers[worker]

    def _track(self, connection: TcpStreamCore) -> None:
        self._connections.append(connection)
        connection.on_finished = lambda: self._connections.remove(connection)

    def _open(self, http_version: str, worker: int | None) -> HttpStreamCore:
        one_of("http_version", http_version, ("1.1", "2"))
        chosen = self._choose_worker(worker)
        exchange = Exchange()
        exchange.trace = Trace(labelled=self._proxy.trace.labelled)
        starts = len(self._proxy.trace), self._proxy.logs.mark(), self._proxy.callouts.mark()

        def maker(config: PluginConfig) -> Callable[[HttpStreamCore], Any]:
            return lambda stream: chosen.context(config, HttpContext, stream)

        core = HttpStreamCore(
            self._proxy,
            [maker(config) for config in self._configs],
            exchange,
            http_version=http_version,
            routes=self._routes,
        )
        self._starts_at[id(core)] = starts
        self._streams.append(core)
        self.exchanges.append(exchange)
        del self.exchanges[:-1000]
        return core

    def _sync(self, core: HttpStreamCore) -> Exchange:
        exchange = core.sync()
        starts = self._starts_at.get(id(core))
        if starts is not None:
            proxy = self._proxy
            exchange.trace = proxy.trace[starts[0] :]
            exchange.logs = proxy.logs.since(starts[1])
            exchange.callouts = proxy.callouts.since(starts[2])
            if core.finished:
                del self._starts_at[id(core)]
                self._streams.remove(core)
        return exchange

    def _run(self, core: HttpStreamCore, timeout: float) -> None:
        clock = self._proxy.clock
        deadline = clock.now_ns + round(timeout * 1e9)
        while not core.finished:
            due = clock.next_due_ns
            if due is not None and due > clock.now_ns and self._needs_test(core):
                break
            if not clock.step(deadline):
                break
        self._pump()

    def _needs_test(self, core: HttpStreamCore) -> bool:
        """Whether a filter holds the stream and has made a callout that only the test can answer."""
        if core.request.held_by is None and core.response.held_by is None:
            return False
        mine = {context.id for context in core.contexts}
        return any(pending.by_hand and pending.callout.context_id in mine for pending in self._proxy.pending_callouts)

    def _pump(self) -> None:
        clock = self._proxy.clock
        while clock.step(clock.now_ns):
            pass

    def _check_usable(self, stream: HttpStreamCore | TcpStreamCore | None = None) -> None:
        if self.closed:
            raise UsageError("this host is closed")
        if stream is not None and stream.undone:
            raise UsageError("this stream is gone: its host was restored to a checkpoint while it was open")
        if self._proxy.crashed is not None:
            raise self._proxy.crashed

    def _take_failures(self) -> list[FilterError]:
        failures, self._proxy.failures[:] = list(self._proxy.failures), []
        if failures:
            self._raise(failures)
        return failures

    def _raise(self, failures: list[FilterError]) -> None:
        """Raise what a test has to hear of: the first failure, or with ``on_trap="continue"`` the first strict one."""
        heard = [error for error in failures if self._on_trap == "raise" or isinstance(error, StrictError)]
        if heard:
            raise with_later(heard)

    def _raise_failures(self, core: HttpStreamCore | None) -> None:
        failures = self._proxy.failures
        if not failures:
            return
        mine = list(failures)
        failures.clear()
        if core is None:
            raise with_later(mine)
        exchange = self._sync(core)
        for error in mine:
            error.exchange = exchange
        if self._on_trap == "continue":
            exchange.errors.extend(mine)
        self._raise(mine)

    def _tell_test(self) -> None:
        """Time moved, or a callout was answered: raise what went wrong; else the next step of a stream tells of it."""
        if self._on_trap == "raise":
            self._raise_failures(self._streams[0] if len(self._streams) == 1 else None)

    def _stalled(self, core: HttpStreamCore, timeout: float) -> StreamStalled:
        exchange = self._sync(core)
        message, callback = explain_stall(self._proxy, core, timeout)
        error = StreamStalled(message, callback=callback)
        error.exchange = exchange
        error.trace = exchange.trace
        core.reset("downstream")
        self._sync(core)
        return error
