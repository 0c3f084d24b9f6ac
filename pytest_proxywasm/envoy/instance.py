"""An Envoy with the servers around it: clusters, upstream, keeper; knows no exchange and no test's view of it."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import FilterStartError
from ..headers import Headers
from ..host.callouts import Cluster
from ..model import After, Callout, ConnectionRefused, GrpcResponse, Metric, NoHosts
from .code import CodeStore
from .configuration import cluster
from .grpc_server import GrpcServer
from .keeper import Keeper
from .metrics import read_metrics
from .metronome import Metronome
from .process import EnvoyFailure, EnvoyProcess
from .reading import Reading
from .servers import ANSWERING, HttpServer, Served, Server
from .setup import ACCESS_LOG, CHAIN, FLUSH_MS, KEEPER, UPSTREAM, Setup, cluster_file
from .tcp_server import TcpServer
from .varying import Varying

__all__ = ["Instance"]

CLUSTER_SECONDS = 30.0
HELD_SECONDS = 3.0
"""How long the answer to a callout is held back at most while the client sends."""
LEAVES_STATE = (
    "proxy_set_shared_data",
    "proxy_get_shared_data",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_enqueue_shared_queue",
)
GRPC_CALLS = ("proxy_grpc_call", "proxy_grpc_stream")


class Instance:
    """One Envoy process with its surroundings. It is started by making it; `await_ready` waits for it.

    Attributes:
        served: the requests that reached a server, in order.
        errors: what went wrong in servers, such as an assertion of a test's callable.
        answer_upstream: says what answers a request that reaches the upstream.
        answer_call: says what answers the filters' calls, instead of the clusters' handlers.
        while_waiting: called again and again while a client waits.
        at_start: the metrics when the filters had started.
        before: the metrics when it was taken for another test; none for a fresh one.
        reading: what Envoy's log says so far.
        metronome: moves the guests' clock, if that is the test's.
    """

    def __init__(self, binary: Path, setup: Setup, clusters: Mapping[str, Any], code: CodeStore) -> None:
        self.setup = setup
        self.binary = binary
        self.served: list[Served] = []
        self.errors: list[BaseException] = []
        self.answer_upstream: Callable[[Served], Any] = lambda served: None
        self.reading = Reading(names=[one.name for one in setup.guests], recorded=setup.recorded, clocked=setup.clocked)
        self.answer_call: Callable[[Served], Any] | None = None
        self.while_waiting: Callable[[], None] | None = None
        self.handlers: dict[str, Cluster] = {}
        self.streams: list[dict[str, str]] = []
        self.at_start: dict[str, Metric] = {}
        self.before: dict[str, Metric] = {}
        self._servers: dict[str, Server | None] = {}
        self._over = threading.Event()
        self._sent = threading.Event()
        self._sent.set()
        self._lock = threading.Lock()
        self._access_offset = 0
        self._updates = 1
        self._folder = tempfile.TemporaryDirectory(prefix="envoy-", dir=code.folder, ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.upstream: Server = TcpServer() if setup.protocol == "tcp" else HttpServer(UPSTREAM, self)
        for name, handler in clusters.items():
            self._declare(name, handler)
        self._write_clusters()
        self.metronome = Metronome(self.folder) if setup.clocked else None
        config = setup.bootstrap(self.folder, code.file, self.upstream.port, self.metronome)
        options = ("--file-flush-interval-msec", str(FLUSH_MS))
        self.process = EnvoyProcess(binary, config, self.folder, options=options)
        self.keeper: Keeper
        self.port = 0

    # The start.

    def await_ready(self) -> None:
        """Wait until it can take requests.

        Raises:
            FilterStartError: Envoy refuses its configuration, because of a filter as a rule.
            EnvoyFailure: it does not come up.
        """
        if self.port:
            return
        self.process.await_ready()
        if not self.process.ready:
            raise self._start_error()
        ports = self.process.listener_ports()
        self.keeper = Keeper(ports[KEEPER])
        self.keeper.pass_through()
        self.port = ports.get(CHAIN, ports[KEEPER])
        self.reading.varying = Varying(self.port, self.upstream.port)
        self.read()
        self.reading.begin()
        self.at_start = self.metrics()

    def _start_error(self) -> FilterStartError:
        reading = Reading(
            names=self.reading.names, keep="all", recorded=self.setup.recorded, clocked=self.setup.clocked
        )
        reading.feed(self.process.records())
        words = [text for text in reading.others if text.strip()]
        said = [f"    {log.message}" for log in reading.logs[-6:] if log.level >= 3]
        lines = ["Envoy does not start with this filter. Its own words:", *(f"    {text}" for text in words)]
        lines += [str(trap) for trap in reading.traps[:1]]
        if said:
            lines += ["what the guest logged last:", *said]
        callback = reading.traps[0].callback if reading.traps else None
        error = FilterStartError("\n".join(lines), callback=callback)
        error.trace = reading.trace
        return error

    # Clusters.

    def declare(self, name: str, handler: Any) -> None:
        """A cluster that filters can call; of a running Envoy when this returns."""
        before = self._servers.get(name), name in self._servers
        self._declare(name, handler)
        if before == (self._servers.get(name), True):
            return
        self._write_clusters()
        if self.port:
            self._await_update()

    def _declare(self, name: str, handler: Any) -> None:
        self.handlers[name] = Cluster(name, handler)
        if name in self.setup.routed_clusters:
            return
        old = self._servers.get(name)
        if isinstance(handler, NoHosts):
            self._servers[name] = None
            if old is not None:
                old.close()
            return
        kind = GrpcServer if self._is_grpc(handler) else HttpServer
        server = old if type(old) is kind else kind(name, self)
        self._servers[name] = server
        if isinstance(handler, ConnectionRefused):
            server.refuse()
        else:
            server.listen()

    def _is_grpc(self, handler: Any) -> bool:
        """Whether a cluster speaks HTTP/2: by what it answers, or else by what the filters can call."""
        known = getattr(handler, "grpc", None)
        if known is not None:
            return bool(known)
        handler = getattr(handler, "handler", handler)  # of one that replays another's answers
        answers = handler if isinstance(handler, list) else [handler]
        if any(
            isinstance(getattr(one, "answer", one), GrpcResponse) or inspect.isgeneratorfunction(one) for one in answers
        ):
            return True
        imports = {imported.name for one in self.setup.guests for imported in one.imports}
        return "proxy_http_call" not in imports and any(name in imports for name in GRPC_CALLS)

    def _write_clusters(self) -> None:
        entries = [
            cluster(name, server.port if server is not None else None, http2=isinstance(server, GrpcServer))
            for name, server in self._servers.items()
        ]
        new = self.folder / "cds.new"
        new.write_text(cluster_file(entries), encoding="utf-8")
        os.replace(new, self.folder / "cds.json")

    def _await_update(self) -> None:
        self._updates += 1
        deadline = time.monotonic() + CLUSTER_SECONDS
        while self._stat("cluster_manager.cds.update_success") < self._updates:
            if time.monotonic() > deadline or self.process.ended:
                raise EnvoyFailure("Envoy did not take in a new cluster in time")
            time.sleep(0.002)
        self.keeper.pass_through()

    def _stat(self, name: str) -> int:
        for line in self.process.admin(f"/stats?filter=^{name}$").splitlines():
            return int(line.rpartition(": ")[2])
        return 0

    # What servers ask.

    def begin(self, name: str, port: int) -> Served:
        """A request begins to arrive, from this port."""
        served = Served(name)
        if name == UPSTREAM:
            self.reading.varying.upstream_connection(port)
        with self._lock:
            self.served.append(served)
        return served

    def answer(self, served: Served) -> Any:
        """What a server answers."""
        if served.cluster == UPSTREAM:
            answer = self.answer_upstream(served)
            if isinstance(answer, After):
                self.reading.varying.service_ms = int(answer.seconds * 1000)
            return answer
        if self.answer_call is not None:
            return self.answer_call(served)
        self._sent.wait(HELD_SECONDS)
        handler = self.handlers[served.cluster]
        callout = self.callout(served)
        chosen = handler.choose(callout)
        if chosen is None:
            return None
        if hasattr(chosen, "handler"):
            return chosen(callout, served)
        if inspect.isgeneratorfunction(chosen):
            return chosen(callout)
        return handler.resolve(chosen, callout)

    def callout(self, served: Served) -> Callout:
        """A call of a filter as a server has seen it."""
        return _callout(served, self.reading.varying)

    def client_sends(self, sending: bool) -> None:
        """While the client sends its request, callouts are not answered: as in the mock, where no time passes then."""
        if sending:
            self._sent.clear()
        else:
            self._sent.set()

    def failed(self, error: BaseException) -> None:
        """A server failed."""
        self.errors.append(error)

    def between_chunks(self) -> None:
        """Wait until Envoy has taken in what was written."""
        if not self._over.is_set():
            self.keeper.pass_through()

    def wait(self, seconds: float) -> bool:
        """Let time pass."""
        return not self._over.wait(seconds)

    @property
    def busy(self) -> bool:
        """Whether a server is about to answer."""
        return any(served.state == ANSWERING for served in self.served)

    # What it says.

    def read(self) -> None:
        """Take in what was logged since the last time."""
        self.reading.feed(self.process.log.new())

    def ended_streams(self) -> list[dict[str, str]]:
        """What the access log says of the streams that have ended, in that order."""
        path = self.folder / ACCESS_LOG
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._access_offset)
                data = file.read()
            end = data.rfind(b"\n") + 1
            self._access_offset += end
            self.streams += [json.loads(line) for line in data[:end].splitlines() if line.strip()]
        return self.streams

    def metrics(self) -> dict[str, Metric]:
        """Every metric of the filters."""
        return read_metrics(self.process)

    # Another use.

    @property
    def reusable(self) -> bool:
        """Whether another test may have it: nothing has failed, and nothing is left that a filter could find."""
        left = any(self.reading.trace.hostcalls(name) for name in LEAVES_STATE)
        return bool(self.port) and not (left or self.reading.traps or self.errors or self.process.ended)

    def begin_again(self) -> None:
        """As fresh as it can be made: clusters are gone, and everything counts from here."""
        if self._servers or self.handlers:
            for server in self._servers.values():
                if server is not None:
                    server.close()
            had = bool(self._servers)
            self._servers, self.handlers = {}, {}
            if had:
                self._write_clusters()
                self._await_update()
        self.upstream.drop()
        self.keeper.pass_through()
        self.read()
        self.reading.begin_again()
        self.served.clear()
        self.ended_streams()
        self.streams.clear()
        self.before = self.metrics()

    # The end.

    def begin_stop(self) -> None:
        """Ask it to end, and do not wait."""
        if self._over.is_set():
            return
        self._over.set()
        if self.port:
            self.keeper.close()
        self.process.begin_stop()

    def stop(self) -> None:
        """End it with everything around it."""
        self.begin_stop()
        self.process.stop()
        self.upstream.close()
        if self.metronome is not None:
            self.metronome.close()
        for server in self._servers.values():
            if server is not None:
                server.close()
        self._folder.cleanup()


def _callout(served: Served, varying: Varying) -> Callout:
    """A server's view of a call; context and id are not known there."""
    request = varying.arrived(served.request())
    grpc = any(name == b"content-type" and value.startswith(b"application/grpc") for name, value in request.headers.raw)
    kind = "http" if not grpc else "grpc_call" if served.message.complete else "grpc_stream"
    expected = request.headers.get("x-envoy-expected-rq-timeout-ms", "")
    return Callout(
        kind=kind,
        cluster=served.cluster,
        method=request.method,
        path=request.path,
        headers=Headers.from_raw(request.headers.raw),
        body=request.body,
        trailers=request.trailers,
        timeout=int(expected) / 1000 if expected.isdigit() else None,
        filter="",
        context_id=0,
        id=0,
        outcome=served.answer,
        messages=list(served.messages),
    )
