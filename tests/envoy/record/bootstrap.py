"""Envoy's bootstrap for a case: one listener with the case's filters, and the clusters of the recordings.

Knows Envoy's configuration; starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Ports", "bootstrap"]

TYPE = "type.googleapis.com/"
STRING = TYPE + "google.protobuf.StringValue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the upstream listens; ``dead`` is a port that nobody listens on, ``grpc`` speaks HTTP/2."""

    http: int
    tcp: int
    dead: int
    grpc: int | None = None


def bootstrap(case: Mapping[str, Any], ports: Ports, probe: Path) -> dict[str, Any]:
    """The bootstrap of a case that has not been recorded yet; guests are found in ``probe``."""
    envoy = case.get("envoy") or {}
    plugins = [_plugin(spec, probe) for spec in case["filters"]]
    if case["kind"] == "tcp":
        chain = [_network_filter(plugin) for plugin in plugins]
        chain.append(_tcp_proxy("dead" if str(case.get("cluster") or "").startswith("dead") else "tcp"))
    else:
        chain = [_connection_manager(envoy, plugins)]
    listener = {"name": "l", "address": _address(0), "filter_chains": [{"filters": chain}]}
    config: dict[str, Any] = {
        "admin": {"address": _address(0)},
        "static_resources": {
            "listeners": [{**listener, **envoy.get("listener_extra", {})}],
            "clusters": [
                _cluster("web", ports.http),
                _cluster("aux", ports.http),
                _cluster("dead", ports.dead),
                _cluster("nohosts", None),
                _cluster("tcp", ports.tcp),
            ],
        },
    }
    if ports.grpc is not None:
        config["static_resources"]["clusters"].append(_cluster("grpc", ports.grpc, http2=True))
    if "node" in envoy:
        config["node"] = envoy["node"]
    return config


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int | None, *, http2: bool = False) -> dict[str, Any]:
    endpoints = [] if port is None else [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    protocol: dict[str, Any] = {"http_protocol_options": {"enable_trailers": True}}
    options = {
        "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}} if http2 else protocol,
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _plugin(spec: Mapping[str, Any], probe: Path) -> dict[str, Any]:
    vm: dict[str, Any] = {
        "runtime": "envoy.wasm.runtime.v8",
        "code": {"local": {"filename": str(probe / spec.get("wasm", "probe.wasm"))}},
    }
    for key in ("vm_id", "environment_variables"):
        if key in spec:
            vm[key] = spec[key]
    if spec.get("vm_configuration"):
        vm["configuration"] = _any(spec["vm_configuration"])
    plugin: dict[str, Any] = {"vm_config": vm}
    for key in (
        "name",
        "root_id",
        "fail_open",
        "failure_policy",
        "allow_on_headers_stop_iteration",
        "capability_restriction_config",
    ):
        if key in spec:
            plugin[key] = spec[key]
    if spec.get("configuration"):
        plugin["configuration"] = _any(spec["configuration"])
    return plugin


def _any(value: Any) -> Any:
    if isinstance(value, str):
        return {"@type": STRING, "value": value}
    return value.get("protobuf", value)


def _connection_manager(envoy: Mapping[str, Any], plugins: list[dict[str, Any]]) -> dict[str, Any]:
    filters = [
        {
            "name": "envoy.filters.http.wasm",
            "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin},
        }
        for plugin in plugins
    ]
    router = {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"}
    filters.append({"name": "envoy.filters.http.router", "typed_config": router})
    routes = envoy.get("routes") or [{"match": {"prefix": "/"}, "route": {"cluster": "web"}}]
    extra = dict(envoy.get("hcm_extra", {}))
    protocol = {"enable_trailers": True, **extra.pop("http_protocol_options", {})}
    manager = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "s",
        "http_protocol_options": protocol,
        "route_config": {"name": "r", "virtual_hosts": [{"name": "vh", "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
        **extra,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _network_filter(plugin: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "envoy.filters.network.wasm",
        "typed_config": {"@type": TYPE + "envoy.extensions.filters.network.wasm.v3.Wasm", "config": plugin},
    }


def _tcp_proxy(cluster: str) -> dict[str, Any]:
    config = {
        "@type": TYPE + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "t",
        "cluster": cluster,
    }
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}
