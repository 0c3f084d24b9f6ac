"""`EnvoyHost`: a real Envoy with filters in it, with the surface of the mock host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..backends import refuse, refuse_member, refuse_options
from ..errors import EnvoyCrashError, FilterError, GuestTrap, StreamStalled, UsageError
from ..headers import HeadersLike, Text, to_bytes
from ..host.options import check_options, check_protocol, one_of
from ..model import Callout, ConnectionRefused, Exchange, GuestLog, Request, Response, Upstream
from ..trace import Trace
from .client import Client, Http1Client, Http2Client
from .exchange import assemble
from .instance import Instance
from .metrics import EnvoyMetrics
from .patience import Patience
from .pool import Pool
from .process import EnvoyFailure
from .setup import Setup
from .tcp import EnvoyTcpStream

if TYPE_CHECKING:
    from ..filters import Filter

__all__ = ["EnvoyHost"]

END_SECONDS = 20.0


class EnvoyHost:
    """A real Envoy: filters, their VMs, real sockets around them, and real time.

    It has the members of `MockHost`. What Envoy cannot do raises `UsageError` naming it; see the table of backends in
    the documentation. Callables of the test that answer requests and callouts run in a thread of their own.

    Attributes:
        protocol: ``"http"`` or ``"tcp"``.
        exchanges: every exchange so far, newest last, at most the last 1000.
        closed: `close` has been called.
    """

    def __init__(
        self,
        filters: Sequence[Filter] = (),
        *,
        pool: Pool,
        protocol: str = "http",
        services: Sequence[Filter] = (),
        workers: int = 1,
        starts: str = "once",
        upstream: Upstream | None = None,
        clusters: Mapping[str, Any] | None = None,
        node: Mapping[str, Any] | None = None,
        routes: Sequence[dict[str, Any]] | None = None,
        buffer_limit: int = 1 << 20,
        on_trap: str = "raise",
        trace: bool = True,
        on_log: Callable[[GuestLog], None] | None = None,
        clocked: bool = False,
        **others: Any,
    ) -> None:
        check_options(filters, services, protocol, starts, on_trap, workers, upstream, routes)
        refuse_options({"workers": workers, **others})
        self.closed = False
        self.protocol = protocol
        self.exchanges: list[Exchange] = []
        self._on_trap = on_trap
        self._upstream: Upstream = upstream if upstream is not None else Response(200)
        self._upstream_complete = True
        self._seconds = 0.0
        self._crash: FilterError | None = None
        self._connections: list[EnvoyTcpStream] = []
        setup = Setup(
            filters=tuple(filters),
            services=tuple(services),
            protocol=protocol,
            buffer_limit=buffer_limit,
            node=json.dumps(node) if node else "",
            routes=json.dumps(list(routes)) if routes else "",
            clocked=clocked,
        )
        self._pool = pool
        setup = pool.recorded(setup)
        instance = self._instance = pool.take(setup, dict(clusters or {}))
        instance.reading.keep = "all" if starts == "envoy" else "worker" if filters else "main"
        instance.reading.on_log = on_log
        instance.reading.trace.labelled = len(setup.guests) > 1
        try:
            instance.await_ready()
        except BaseException:
            self.closed = True
            pool.give_back(instance)
            raise
        self._traps_seen = len(instance.reading.traps)

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
        """Send a request through the chain and run it to its end; see ``MockHost.request``.

        Time is real: what the request waits for takes its time, and ``timeout`` is in real seconds. A request that
        nothing will resume is given up at once.

        Raises:
            StreamStalled: a filter holds the stream and nothing is due that could resume it.
            FilterError: the guest failed (with ``on_trap="raise"``), or Envoy crashed.
            UsageError: an argument asks for what a real Envoy cannot do.
        """
        self._check_usable("http")
        if properties:
            refuse("Host.properties")
        if worker not in (None, 0):
            refuse("Host.workers")
        request = Request(method, path, headers, body, trailers, chunks=chunks, authority=authority, scheme=scheme)
        return self.send(request, http_version, upstream if upstream is not None else self._upstream, timeout)

    def send(self, request: Request, http_version: str, upstream: Upstream, timeout: float) -> Exchange:
        """Send a request; see `request`."""
        one_of("http_version", http_version, ("1.1", "2"))
        instance = self._instance
        instance.read()
        start = self.mark()
        refusing = isinstance(upstream, ConnectionRefused)
        varying = instance.reading.varying
        instance.answer_upstream = lambda served: (
            upstream(varying.arrived(served.request())) if callable(upstream) else upstream
        )
        client: Client | None = None
        stalled = sent = False
        began = time.monotonic()
        exchange = Exchange()
        exchange.request = request
        try:
            if refusing:
                instance.upstream.refuse()
                instance.keeper.pass_through()
            patience = Patience(instance, timeout)
            client = (Http2Client if http_version == "2" else Http1Client)(instance.port, patience.wait_on)
            given = request.headers.get("x-request-id", "")
            varying.begin(client.port, to_bytes(given))
            sent = True
            instance.client_sends(True)
            client.send(request, instance.between_chunks)
            instance.between_chunks()
            instance.client_sends(False)
            client.receive()
            if patience.failure is not None:
                raise patience.failure
            stalled = not (client.complete or client.closed or patience.stream_ended)
        except UsageError:
            sent = False  # refused by the client
            raise
        except (EnvoyFailure, OSError) as error:
            self._died(error)
        finally:
            instance.client_sends(False)
            if client is not None:
                client.close()
            try:
                self.finish(start, int(sent), refusing=refusing)
            except EnvoyFailure as error:
                self._died(error)
            self._seconds = time.monotonic() - began
            self._upstream_complete = assemble(exchange, start, instance, client)
            self.exchanges.append(exchange)
            del self.exchanges[:-1000]
        self._raise_failures(exchange)
        if stalled:
            raise self._stalled(exchange)
        return exchange

    def mark(self) -> dict[str, int]:
        """How far everything has come."""
        instance = self._instance
        reading = instance.reading
        return {
            "trace": len(reading.trace),
            "logs": len(reading.logs),
            "observed": len(reading.observed),
            "served": len(instance.served),
            "streams": len(instance.ended_streams()),
        }

    def finish(self, start: Mapping[str, int], streams: int, *, refusing: bool = False) -> None:
        """Wait until so many streams have ended, and close the connections to the upstream: others get new ones."""
        instance = self._instance
        deadline = time.monotonic() + END_SECONDS
        while len(instance.ended_streams()) < start["streams"] + streams:
            if time.monotonic() > deadline or instance.process.ended:
                break
            time.sleep(0.002)
        instance.keeper.pass_through()
        if refusing:
            instance.upstream.listen()
        else:
            instance.upstream.drop()
        instance.keeper.pass_through()
        instance.read()

    def patience(self) -> Callable[[], bool]:
        """Says whether a client should wait on for a response."""
        return Patience(self._instance, 60).wait_on

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

    def connect(self, *, worker: int | None = None) -> EnvoyTcpStream:
        """A client connects to a host with ``protocol="tcp"``; several connections may be open at a time."""
        self._check_usable("tcp")
        if worker not in (None, 0):
            refuse("Host.workers")
        stream = EnvoyTcpStream(self, self._instance)
        self._connections.append(stream)
        return stream

    def cluster(self, name: str, handler: Any = None) -> None:
        """Declare a cluster that filters can call, and what answers: a server of ours on a port of its own."""
        self._check_usable(self.protocol)
        self._instance.declare(name, handler)

    # What tests look at.

    @property
    def trace(self) -> Trace:
        """Everything that happened on the worker, in order, with raw integers."""
        self._read()
        return self._instance.reading.trace

    @property
    def logs(self) -> list[GuestLog]:
        """Everything the guests logged on the worker, in order."""
        self._read()
        return list(self._instance.reading.logs)

    @property
    def callouts(self) -> list[Callout]:
        """Every callout that reached a cluster, in order."""
        routed = self._instance.setup.routed_clusters
        return [self._instance.callout(served) for served in self._instance.served if served.cluster not in routed]

    @property
    def metrics(self) -> EnvoyMetrics:
        """Metrics by name, from Envoy's admin listener; start callbacks have run on several VMs."""
        return EnvoyMetrics(self._instance)

    @property
    def last_exchange(self) -> Exchange | None:
        """The newest exchange, also one that failed."""
        return self.exchanges[-1] if self.exchanges else None

    @property
    def seconds(self) -> float:
        """How long the last exchange took."""
        return self._seconds

    @property
    def upstream_complete(self) -> bool:
        """Whether the last request that reached the upstream was complete."""
        return self._upstream_complete

    @property
    def instance(self) -> Instance:
        """The Envoy behind it."""
        return self._instance

    # What only the mock can do is refused by name, see `backends`.

    def __getattr__(self, name: str) -> Any:
        refuse_member("Host", name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            refuse_member("Host", name, missing_is_fine=True)
        object.__setattr__(self, name, value)

    # The end.

    def close(self) -> None:
        """End the Envoy."""
        if self.closed:
            return
        self.closed = True
        for connection in self._connections:
            connection._hang_up()
        self._pool.give_back(self._instance)

    def __enter__(self) -> EnvoyHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(one.name or "(unnamed)" for one in self._instance.setup.guests)
        return f"<EnvoyHost with {names}{', closed' if self.closed else ''}>"

    # What went wrong.

    def _read(self) -> None:
        if not self.closed:
            self._instance.read()

    def _check_usable(self, protocol: str) -> None:
        if self.closed:
            raise UsageError("this host is closed")
        if self._crash is not None:
            raise self._crash
        check_protocol(self.protocol, protocol)
        if protocol == "http" and not self._instance.setup.filters:
            raise UsageError("this host has only services: there is no chain to send a request through")

    def _died(self, cause: BaseException) -> None:
        """Note that Envoy has crashed; anything else is raised."""
        process = self._instance.process
        deadline = time.monotonic() + 2
        while not process.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        if not process.ended or process.exit is None:
            raise cause

    def _raise_failures(self, exchange: Exchange | None) -> None:
        instance = self._instance
        reading = instance.reading
        if instance.process.ended:
            words = "\n".join(f"    {line}" for line in reading.others[-5:]) or "    (nothing)"
            code = instance.process.exit
            crash = EnvoyCrashError(f"Envoy has ended (exit status {code}). It logged last:\n{words}")
            crash.exchange, crash.trace = exchange, reading.trace
            if len(reading.trace):
                crash.callback = reading.trace[-1].name
            self._crash = crash
            raise crash
        if instance.errors:
            raise instance.errors.pop(0)
        failures = self._new_traps()
        for error in failures:
            error.exchange = exchange
        if failures and self._on_trap == "raise":
            raise failures[0]
        if exchange is not None:
            exchange.errors.extend(failures)

    def _new_traps(self) -> list[GuestTrap]:
        traps = self._instance.reading.traps
        new, self._traps_seen = traps[self._traps_seen :], len(traps)
        return new

    def _take_failures(self) -> list[FilterError]:
        """Failures of guests since the last time, for connections; raises with ``on_trap="raise"``."""
        failures: list[FilterError] = list(self._new_traps())
        if failures and self._on_trap == "raise":
            raise failures[0]
        return failures

    def _stalled(self, exchange: Exchange) -> StreamStalled:
        held = [
            event for event in exchange.trace if event.action is not None and event.action is not True and event.action
        ]
        callback = held[-1].name if held else None
        request = exchange.request
        assert request is not None
        error = StreamStalled(
            f"{request.method} {request.path} stalled in a real Envoy: {callback or 'nothing'} paused it, and nothing "
            "is due that could resume it",
            callback=callback,
        )
        error.exchange, error.trace = exchange, exchange.trace
        return error
