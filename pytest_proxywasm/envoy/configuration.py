"""Pieces of Envoy's configuration: listeners, filters, clusters, plugins; starts nothing and knows no test."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..filters import Filter

__all__ = [
    "TYPE",
    "address",
    "cluster",
    "connection_manager",
    "listener",
    "network_wasm",
    "observer",
    "plugin",
    "service",
    "tcp_proxy",
]

TYPE = "type.googleapis.com/"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_POLICIES: dict[str, dict[str, Any]] = {
    "fail_closed": {"failure_policy": "FAIL_CLOSED"},
    "fail_open": {"failure_policy": "FAIL_OPEN"},
    "fail_reload": {"failure_policy": "FAIL_RELOAD"},
    "fail_open_legacy": {"fail_open": True},
}
OBSERVED = "proxywasm"
"""How an observer's line begins: then its name, what it saw, and names and values in hexadecimal."""
_OBSERVER = """
local function hex(text)
  return (text:gsub('.', function(c) return string.format('%02x', string.byte(c)) end))
end
local function show(handle, what)
  local parts = {}
  for name, value in pairs(handle:headers()) do parts[#parts + 1] = hex(name) .. '=' .. hex(value) end
  handle:logErr('proxywasm NAME ' .. what .. ' ' .. table.concat(parts, ','))
end
function envoy_on_request(handle) show(handle, 'request') end
function envoy_on_response(handle) show(handle, 'response') end
"""


def address(port: int) -> dict[str, Any]:
    """A port of the loopback interface."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, port: int | None, *, http2: bool = False) -> dict[str, Any]:
    """A cluster with one host, or none."""
    endpoints = [] if port is None else [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]
    explicit: dict[str, Any] = (
        {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {"enable_trailers": True}}
    )
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {"@type": TYPE + _HTTP_OPTIONS, "explicit_http_config": explicit}
        },
    }


def wasm_config(code: Path, *, name: str = "") -> dict[str, Any]:
    """A PluginConfig for code in a file, with everything else as it is by itself."""
    config: dict[str, Any] = {
        "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(code)}}}
    }
    return {**config, "name": name} if name else config


def plugin(one: Filter, code: Path) -> dict[str, Any]:
    """A filter as Envoy's PluginConfig; its guest is in the file ``code``."""
    result = wasm_config(code, name=one.name)
    vm = result["vm_config"]
    if one.vm_id:
        vm["vm_id"] = one.vm_id
    if one.environment:
        vm["environment_variables"] = {"key_values": dict(one.environment)}
    if one.vm_configuration:
        vm["configuration"] = _bytes(one.vm_configuration)
    result.update(_POLICIES[one.failure_policy])
    if one.root_id:
        result["root_id"] = one.root_id
    if one.configuration:
        result["configuration"] = _bytes(one.configuration)
    if one.allow_on_headers_stop_iteration:
        result["allow_on_headers_stop_iteration"] = True
    if one.allowed_capabilities is not None:
        allowed: dict[str, Any] = {name: {} for name in sorted(one.allowed_capabilities)}
        result["capability_restriction_config"] = {"allowed_capabilities": allowed}
    return result


def _bytes(value: bytes) -> dict[str, str]:
    return {"@type": TYPE + "google.protobuf.BytesValue", "value": base64.b64encode(value).decode()}


def http_wasm(config: Mapping[str, Any]) -> dict[str, Any]:
    """An HTTP filter that runs a plugin."""
    return {
        "name": "envoy.filters.http.wasm",
        "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.wasm.v3.Wasm", "config": config},
    }


def network_wasm(config: Mapping[str, Any]) -> dict[str, Any]:
    """A network filter that runs a plugin."""
    return {
        "name": "envoy.filters.network.wasm",
        "typed_config": {"@type": TYPE + "envoy.extensions.filters.network.wasm.v3.Wasm", "config": config},
    }


def service(config: Mapping[str, Any]) -> dict[str, Any]:
    """A Wasm service with a plugin."""
    return {
        "name": "envoy.bootstrap.wasm",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.wasm.v3.WasmService",
            "singleton": True,
            "config": config,
        },
    }


def observer(name: str) -> dict[str, Any]:
    """A filter that logs header maps and touches nothing."""
    code = _OBSERVER.replace("NAME", name)
    return {
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": code},
        },
    }


def access_log(path: Path, fields: Mapping[str, str]) -> dict[str, Any]:
    """A line of JSON for every stream that has ended."""
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": dict(fields)},
        },
    }


def connection_manager(
    filters: Sequence[Mapping[str, Any]], routes: Sequence[Any], *, any_cluster: bool = False, **options: Any
) -> dict[str, Any]:
    """The HTTP connection manager with these filters and the router behind them.

    Args:
        any_cluster: routes may lead to clusters that are not there yet.
    """
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"},
    }
    manager = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "s",
        "route_config": {
            "name": "r",
            "virtual_hosts": [{"name": "vh", "domains": ["*"], "routes": list(routes)}],
            **({"validate_clusters": False} if any_cluster else {}),
        },
        "http_filters": [*filters, router],
        **options,
        "http_protocol_options": {"enable_trailers": True, **options.get("http_protocol_options", {})},
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def tcp_proxy(cluster_name: str) -> dict[str, Any]:
    """The end of a chain of network filters."""
    config = {
        "@type": TYPE + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "t",
        "cluster": cluster_name,
    }
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def listener(name: str, filters: Sequence[Mapping[str, Any]], **options: Any) -> dict[str, Any]:
    """A listener on a port that the system chooses."""
    return {"name": name, "address": address(0), "filter_chains": [{"filters": list(filters)}], **options}
