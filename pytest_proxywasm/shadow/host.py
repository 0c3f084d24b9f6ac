"""`ShadowedHost`: a mock host whose exchanges are also run in a real Envoy, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..checks import Checks
from ..envoy.binary import envoy_version
from ..errors import (
    EnvoyDiffersError,
    FilterError,
    FilterStartError,
    GuestBudgetExceeded,
)
from ..headers import HeadersLike, Text
from ..host.options import check_protocol
from ..mock import MockHost
from ..mock.stream import HttpStream
from ..mock.tcp import TcpStream
from ..mock.views import PropertiesView, QueuesView, SharedDataView, VmView
from ..model import Exchange, LogLevel, Request, Upstream
from .scene import BY_HAND, Part, Scene
from .shadow import Played, Shadow
from .stream import ShadowedStream
from .tcp import ShadowedTcpStream
from .timeline import MOVED

if TYPE_CHECKING:
    from ..engine import Engine
    from ..envoy.pool import Pool
    from ..filters import Filter
    from ..mock.plugins import Worker
    from ..model import GuestLog

__all__ = ["ShadowedHost", "open_shadowed"]


def open_shadowed(
    filters: Sequence[Filter],
    options: Mapping[str, Any],
    *,
    engine: Engine,
    pool: Pool,
    checks: Checks,
    on_log: Callable[[GuestLog], None],
) -> ShadowedHost:
    """A started host; a filter that does not start must not start in Envoy either.

    Raises:
        FilterStartError: a filter does not load or start.
        EnvoyDiffersError: it does in Envoy.
    """
    checks.envoy = checks.envoy or envoy_version(pool.binary)
    shadow = Shadow(filters, options, pool=pool, checks=checks)
    try:
        return ShadowedHost(filters, shadow=shadow, engine=engine, on_log=on_log, **options)
    except FilterStartError as error:
        shadow.start_must_fail(error)
        raise


class ShadowedHost(MockHost):
    """The mock host of ``--proxywasm-host=both``: the test sees the mock's results."""

    def __init__(self, filters: Sequence[Filter], *, shadow: Shadow, **options: Any) -> None:
        self._shadow = shadow
        self._shadowed: list[ShadowedTcpStream] = []
        self._scene: Scene | None = None
        super().__init__(filters, **{**options, "node": shadow.node})
        clock = self._proxy.clock
        after_advance = clock.after_advance

        def advanced() -> None:
            if self._scene is not None and clock.now_ns != self._scene.began_ns:
                self._scene.reason = MOVED
            if any(stream.compared for stream in self._shadowed):
                shadow.taint(MOVED)
            if after_advance is not None:
                after_advance()

        clock.after_advance = advanced
        shadow.started(self)

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
        """Send a request in the mock, then in Envoy; see ``MockHost.request``.

        Raises:
            EnvoyDiffersError: Envoy does something else.
        """
        shadow = self._shadow
        self._end_scene(BY_HAND)
        if properties:
            shadow.taint("properties are set by the test")
        answers: list[Any] = []
        chosen: Upstream = upstream if upstream is not None else self._upstream

        def answer(request: Request) -> Any:
            answers.append(chosen(request) if callable(chosen) else chosen)
            return answers[-1]

        began, before = self.clock.now_ns, len(self.trace)
        error: FilterError | None = None
        known = len(self.exchanges)
        try:
            exchange = super().request(
                method,
                path,
                headers=headers,
                body=body,
                chunks=chunks,
                trailers=trailers,
                authority=authority,
                scheme=scheme,
                http_version=http_version,
                upstream=answer,
                properties=properties,
                worker=worker,
                timeout=timeout,
            )
        except FilterError as caught:
            error = caught
            last = self.last_exchange if len(self.exchanges) > known or known == 1000 else None
            if last is None:
                raise
            exchange = last
        except BaseException:
            shadow.taint("an exchange before it was refused")
            raise
        if isinstance(error, GuestBudgetExceeded):
            shadow.taint("the filter does not come back")
        upstream_answer = answers[0] if answers else None
        found = shadow.check(self, Played(exchange, http_version, upstream_answer, error, before, began))
        if found:
            raise self._differs(exchange, found) from error
        if error is not None:
            raise error
        return exchange

    def _differs(self, exchange: Exchange, found: list[str]) -> EnvoyDiffersError:
        request = exchange.request
        what = f"{request.method} {request.path}" if request is not None else "the exchange"
        lines = [f"{what} is not the same in the mock and in Envoy {self._shadow.version}:", ""]
        for paragraph in found:
            lines += [*paragraph.splitlines(), ""]
        lines.append(
            "The test saw the mock's result. What Envoy does counts: the filter may not work there as this test says. "
            "Run the test with --proxywasm-host=envoy to see it in Envoy alone."
        )
        error = EnvoyDiffersError("\n".join(lines))
        error.__dict__["exchange"] = exchange
        return error

    # What cannot be shadowed.

    def stream(
        self, *, http_version: str = "1.1", worker: int | None = None, upstream: Upstream | None = None
    ) -> HttpStream:
        """A stream to drive step by step; it is played in Envoy when it and those beside it have ended."""
        self._check_usable()
        check_protocol(self.protocol, "http")
        if self._scene is None:
            self._scene = Scene(self)
        if http_version != "1.1":
            self._scene.reason = BY_HAND
        part = Part(self._open(http_version, worker))

        def answer(request: Request) -> Any:
            part.answer = upstream(request) if callable(upstream) else upstream
            return part.answer

        self._scene.parts.append(part)
        return ShadowedStream(self, part, answer if upstream is not None else None)

    def _note(self, kind: str = "", part: Part | None = None) -> None:
        """Something has happened to a stream that the test drives."""
        scene = self._scene
        if scene is None:
            return
        scene.note(kind, part)
        if scene.over:
            self._end_scene()

    def _end_scene(self, reason: str = "") -> None:
        scene, self._scene = self._scene, None
        if scene is None:
            return
        scene.reason = scene.reason or reason
        found = self._shadow.play(scene)
        if found:
            raise self._differs(scene.parts[0].core.exchange, found)

    def _tell_test(self) -> None:
        try:
            super()._tell_test()
        except FilterError:
            if self._scene is not None:
                self._scene.reason = BY_HAND
            raise
        self._note()

    def connect(self, *, worker: int | None = None) -> TcpStream:
        """A connection, in both."""
        self._check_usable()
        check_protocol(self.protocol, "tcp")
        stream = ShadowedTcpStream(self, self._choose_worker(worker), self._shadow, self._shadowed)
        self._shadowed.append(stream)
        return stream

    def cluster(self, name: str, handler: Any = None) -> None:
        """Declare a cluster, in both."""
        super().cluster(name, handler)
        self._shadow.declare(name, handler)

    def foreign_function(self, name: str, function: Callable[[bytes], bytes]) -> None:
        """Offer a foreign function, in the mock only."""
        self._shadow.taint("the test offers a foreign function")
        super().foreign_function(name, function)

    def inject(self, hostcall: str, status: Any, **options: Any) -> None:
        """Inject a status, in the mock only."""
        self._shadow.taint("the test injects statuses")
        super().inject(hostcall, status, **options)

    def restart(self) -> None:
        """New VMs, in the mock only."""
        self._shadow.taint("the test restarts the VMs")
        super().restart()

    def restore(self, checkpoint: Any) -> None:
        """Go back to a checkpoint, in the mock only."""
        self._shadow.taint("the test goes back to a checkpoint")
        super().restore(checkpoint)

    @property
    def properties(self) -> PropertiesView:
        """Properties; one that is set is set in the mock only."""
        return _Properties(self._proxy, self._shadow)

    @property
    def shared_data(self) -> SharedDataView:
        """Shared data; what is written is written in the mock only."""
        return _SharedData(self._proxy, self._first_vm_id, self._shadow)

    @property
    def queues(self) -> QueuesView:
        """Queues; an item is put on the mock's only."""
        return _Queues(self._proxy, self._first_vm_id, self._shadow)

    def vm_id(self, vm_id: str) -> VmView:
        """Shared data and queues of one vm_id."""
        view = super().vm_id(vm_id)
        view.shared_data = _SharedData(self._proxy, vm_id, self._shadow)
        view.queues = _Queues(self._proxy, vm_id, self._shadow)
        return view

    @property
    def log_level(self) -> LogLevel:
        """The level the guests are told."""
        return self._proxy.log_level

    @log_level.setter
    def log_level(self, level: int) -> None:
        self._shadow.taint("the test sets the log level")
        self._proxy.log_level = LogLevel(level)

    def close(self) -> None:
        """Close the mock and end the Envoy."""
        try:
            self._end_scene()
            for stream in self._shadowed:
                stream.finish_comparing()
            self._shadowed.clear()
        finally:
            try:
                super().close()
            finally:
                self._shadow.close()

    def _choose_worker(self, worker: int | None) -> Worker:
        chosen = super()._choose_worker(worker)
        self._shadow.uses(self._workers.index(chosen))
        return chosen

    def _abandon(self) -> None:
        super()._abandon()
        self._shadow.close()


class _Properties(PropertiesView):
    def __init__(self, proxy: Any, shadow: Shadow) -> None:
        super().__init__(proxy)
        self._shadow = shadow

    def __setitem__(self, path: str | tuple[str, ...], value: Any) -> None:
        self._shadow.taint("properties are set by the test")
        super().__setitem__(path, value)


class _SharedData(SharedDataView):
    def __init__(self, proxy: Any, vm_id: str, shadow: Shadow) -> None:
        super().__init__(proxy, vm_id)
        self._shadow = shadow

    def __setitem__(self, key: Text, value: Text) -> None:
        self._shadow.taint("the test writes shared data")
        super().__setitem__(key, value)

    def __delitem__(self, key: Text) -> None:
        self._shadow.taint("the test writes shared data")
        super().__delitem__(key)


class _Queues(QueuesView):
    def __init__(self, proxy: Any, vm_id: str, shadow: Shadow) -> None:
        super().__init__(proxy, vm_id)
        self._shadow = shadow

    def enqueue(self, name: str, data: Text) -> None:
        """Put an item on a queue."""
        self._shadow.taint("the test puts items on a queue")
        super().enqueue(name, data)
