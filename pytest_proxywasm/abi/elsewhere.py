"""Names of the Proxy-Wasm world that Envoy, and so the mock host, does not offer: whose they are and what they mean.

Knows names only. They come from other hosts' sources and SDKs, and from drafts of the ABI.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CALLBACKS_ELSEWHERE", "FOREIGN_FUNCTIONS_ELSEWHERE", "IMPORTS_ELSEWHERE", "NOT_EMULATED", "Elsewhere"]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A name.

    Attributes:
        hosts: who has it.
        what: what it is there.
    """

    hosts: str
    what: str


KONG, MOSN, HIGRESS = "ngx_wasm_module (Kong)", "MOSN", "Higress"
BOTH = f"{KONG} and {MOSN}"


def _draft(hosts: str, name: str) -> Elsewhere:
    return Elsewhere(hosts, f"a draft's name of {name}")


IMPORTS_ELSEWHERE = {
    "proxy_redis_init": Elsewhere(HIGRESS, "its Redis calls"),
    "proxy_redis_call": Elsewhere(HIGRESS, "its Redis calls"),
    "proxy_inject_encoded_data_to_filter_chain": Elsewhere(HIGRESS, "its out-of-band response bodies"),
    "proxy_get_upstream_hosts": Elsewhere(HIGRESS, "its upstream host list"),
    "proxy_set_upstream_override_host": Elsewhere(HIGRESS, "its upstream override"),
    "ngx_log": Elsewhere(KONG, "its own log function"),
    "proxy_send_http_response": _draft(BOTH, "proxy_send_local_response"),
    "proxy_dispatch_http_call": _draft(BOTH, "proxy_http_call"),
    "proxy_dispatch_grpc_call": _draft(BOTH, "proxy_grpc_call"),
    "proxy_open_grpc_stream": _draft(BOTH, "proxy_grpc_stream"),
    "proxy_send_grpc_stream_message": _draft(KONG, "proxy_grpc_send"),
    "proxy_send_grpc_call_message": _draft(MOSN, "proxy_grpc_send"),
    "proxy_cancel_grpc_call": _draft(BOTH, "proxy_grpc_cancel"),
    "proxy_close_grpc_call": _draft(BOTH, "proxy_grpc_close"),
    "proxy_get_buffer": _draft(KONG, "proxy_get_buffer_bytes"),
    "proxy_set_buffer": _draft(KONG, "proxy_set_buffer_bytes"),
    "proxy_resume_http_request": _draft(MOSN, "proxy_continue_stream"),
    "proxy_resume_http_response": _draft(MOSN, "proxy_continue_stream"),
    "proxy_resume_downstream": _draft(BOTH, "proxy_continue_stream"),
    "proxy_resume_upstream": _draft(BOTH, "proxy_continue_stream"),
    "proxy_create_metric": _draft(KONG, "proxy_define_metric"),
    "proxy_set_metric_value": _draft(KONG, "proxy_record_metric"),
    "proxy_increment_metric_value": _draft(KONG, "proxy_increment_metric"),
    "proxy_get_metric_value": _draft(KONG, "proxy_get_metric"),
    "proxy_context_finalize": _draft(KONG, "proxy_done"),
}
"""Imports from ``env`` that Envoy refuses to load a filter with."""

NOT_EMULATED = {"envoy_resolve_dns": "a look-up in DNS, answered by envoy_on_resolve_dns"}
"""Imports from ``env`` that Envoy offers beyond the ABI, and the mock host does not."""

CALLBACKS_ELSEWHERE = {
    "proxy_validate_configuration": Elsewhere("none", "an embedder of proxy-wasm-cpp-host may call it; Envoy does not"),
    "proxy_on_grpc_create_initial_metadata": Elsewhere("none", "in old SDKs; called by no host"),
    "proxy_on_grpc_trailing_metadata": Elsewhere("none", "in old SDKs; called by no host"),
    "envoy_on_resolve_dns": Elsewhere("Envoy", "answers envoy_resolve_dns, which is not emulated"),
    "envoy_on_stats_update": Elsewhere("Envoy", "of plugins that are stats sinks, not filters"),
    "proxy_on_redis_call_response": Elsewhere(HIGRESS, "answers its Redis calls"),
}
"""Exports that are never called here; a filter with one loads."""

FOREIGN_FUNCTIONS_ELSEWHERE = {
    "resolve_lua": Elsewhere(KONG, "a look-up in DNS"),
    "get_log_level": Elsewhere(HIGRESS, "as proxy_get_log_level"),
    "set_global_max_requests_per_io_cycle": Elsewhere(HIGRESS, "a limit of its connections"),
    "inject_encoded_data_to_filter_chain_on_header": Elsewhere(HIGRESS, "its out-of-band response bodies"),
}
"""Foreign functions that answer NOT_FOUND, as in Envoy; a test may offer its own (``host.foreign_function``)."""
