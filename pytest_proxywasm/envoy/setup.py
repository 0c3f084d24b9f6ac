"""What is asked of one Envoy, as a value, and the bootstrap that follows from it; starts nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .configuration import (
    access_log,
    address,
    cluster,
    connection_manager,
    http_wasm,
    listener,
    network_wasm,
    observer,
    plugin,
    service,
    tcp_proxy,
    wasm_config,
)

if TYPE_CHECKING:
    from ..filters import Filter
    from .metronome import Metronome

__all__ = [
    "ACCESS_LOG",
    "CHAIN",
    "CLOCKED",
    "FLUSH_MS",
    "KEEPER",
    "METRONOME",
    "NODE",
    "RECORDED",
    "UPSTREAM",
    "Setup",
    "cluster_file",
]

UPSTREAM = "web"
"""The cluster that requests go to."""
CHAIN = "chain"
"""The listener with the filters."""
KEEPER = "keeper"
"""The listener whose answers tell that the worker has done all it had to do."""
METRONOME = "proxywasm-metronome"
"""The Wasm service that moves the guests' clock, and the cluster it asks."""
RECORDED, CLOCKED = "recorded", "clocked"
"""Copies of guests: with the recorder, and with the clockwork as well."""
ACCESS_LOG = "access"
FLUSH_MS = 5
NODE = {"id": "proxywasm", "cluster": "proxywasm"}
"""Envoy reads no clusters from a file without these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Filters and everything about a host that Envoy has to know when it starts.

    Attributes:
        node: Envoy's node, as JSON.
        routes: Envoy's routes, as JSON; "" for one to the upstream.
        recorded: the guests are run with the recorder in them.
        clocked: those of the filters have the clockwork in them as well, and their time is the test's.
    """

    filters: tuple[Filter, ...] = ()
    services: tuple[Filter, ...] = ()
    protocol: str = "http"
    buffer_limit: int = 1 << 20
    node: str = ""
    routes: str = ""
    recorded: bool = False
    clocked: bool = False

    @property
    def guests(self) -> tuple[Filter, ...]:
        """Everything whose code has to be there."""
        return (*self.filters, *self.services)

    @property
    def route_list(self) -> list[dict[str, Any]]:
        """The routes of the one virtual host."""
        given: list[dict[str, Any]] = json.loads(self.routes) if self.routes else []
        return given or [{"match": {"prefix": "/"}, "route": {"cluster": UPSTREAM}}]

    @property
    def routed_clusters(self) -> set[str]:
        """The clusters that routes lead to."""
        names = {route.get("route", {}).get("cluster", "") for route in self.route_list}
        return {UPSTREAM, *names} - {""}

    def bootstrap(
        self, folder: Path, code: Callable[[Filter, str], Path], upstream_port: int, metronome: Metronome | None = None
    ) -> dict[str, Any]:
        """Envoy's bootstrap.

        Args:
            folder: where Envoy's files are; clusters are read from ``cds.json`` there.
            code: gives the file of a guest, or of one of its copies.
            upstream_port: where the upstream listens.
            metronome: what moves the guests' clock.
        """
        copy = RECORDED if self.recorded else ""
        plugins = [plugin(one, code(one, CLOCKED if self.clocked else copy)) for one in self.filters]
        keeper = connection_manager([], [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}])
        listeners = [listener(KEEPER, [keeper])]
        if self.filters:
            listeners.append(
                listener(CHAIN, self._chain(plugins, folder), per_connection_buffer_limit_bytes=self.buffer_limit)
            )
        clusters = [cluster(name, upstream_port) for name in sorted(self.routed_clusters)]
        services = [service(plugin(one, code(one, copy))) for one in self.services]
        if metronome is not None:
            clusters.append(cluster(METRONOME, metronome.port))
            services.append(service(wasm_config(metronome.file, name=METRONOME)))
        config: dict[str, Any] = {
            "admin": {"address": address(0)},
            "stats_flush_on_admin": True,
            "dynamic_resources": {
                "cds_config": {"path_config_source": {"path": str(folder / "cds.json")}, "resource_api_version": "V3"}
            },
            "static_resources": {
                "listeners": listeners,
                "clusters": clusters,
            },
        }
        if services:
            config["bootstrap_extensions"] = services
        config["node"] = {**NODE, **(json.loads(self.node) if self.node else {})}
        return config

    def _chain(self, plugins: Iterable[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
        if self.protocol == "tcp":
            return [*map(network_wasm, plugins), tcp_proxy(UPSTREAM)]
        filters = [observer("first"), *map(http_wasm, plugins), observer("last")]
        log = access_log(folder / ACCESS_LOG, {"details": "%RESPONSE_CODE_DETAILS%", "flags": "%RESPONSE_FLAGS%"})
        return [connection_manager(filters, self.route_list, any_cluster=True, access_log=[log])]


def cluster_file(clusters: Iterable[dict[str, Any]]) -> str:
    """The file that Envoy reads clusters from."""
    kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    return json.dumps({"version_info": "1", "resources": [{"@type": kind, **one} for one in clusters]})
