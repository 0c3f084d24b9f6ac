"""Envoy's bootstrap for a case: one listener with the case's filters, and the clusters of the recordings.

Knows Envoy's configuration; starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..envoy.configuration import (
    TYPE,
    address,
    cluster,
    connection_manager,
    http_wasm,
    listener,
    network_wasm,
    tcp_proxy,
)

__all__ = ["Ports", "bootstrap"]

STRING = TYPE + "google.protobuf.StringValue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the upstream listens; ``dead`` is a port that nobody listens on, ``grpc`` speaks HTTP/2."""

    http: int
    tcp: int
    dead: int
    grpc: int | None = None


def bootstrap(case: Mapping[str, Any], ports: Ports, guests: Path) -> dict[str, Any]:
    """The bootstrap of a case that has not been recorded yet; guests are found in ``guests``."""
    envoy = case.get("envoy") or {}
    plugins = [_plugin(spec, guests) for spec in case["filters"]]
    if case["kind"] == "tcp":
        chain = [network_wasm(plugin) for plugin in plugins]
        chain.append(tcp_proxy("dead" if str(case.get("cluster") or "").startswith("dead") else "tcp"))
    else:
        routes = envoy.get("routes") or [{"match": {"prefix": "/"}, "route": {"cluster": "web"}}]
        chain = [connection_manager([http_wasm(plugin) for plugin in plugins], routes, **envoy.get("hcm_extra", {}))]
    config: dict[str, Any] = {
        "admin": {"address": address(0)},
        "static_resources": {
            "listeners": [listener("l", chain, **envoy.get("listener_extra", {}))],
            "clusters": [
                cluster("web", ports.http),
                cluster("aux", ports.http),
                cluster("dead", ports.dead),
                cluster("nohosts", None),
                cluster("tcp", ports.tcp),
            ],
        },
    }
    if ports.grpc is not None:
        config["static_resources"]["clusters"].append(cluster("grpc", ports.grpc, http2=True))
    if "node" in envoy:
        config["node"] = envoy["node"]
    return config


def _plugin(spec: Mapping[str, Any], guests: Path) -> dict[str, Any]:
    vm: dict[str, Any] = {
        "runtime": "envoy.wasm.runtime.v8",
        "code": {"local": {"filename": str(guests / spec.get("wasm", "probe.wasm"))}},
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
