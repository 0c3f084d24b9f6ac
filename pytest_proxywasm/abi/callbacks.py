"""The functions a guest exports for the host: names, signatures, parameters and what their results mean.

Knows the tables only; who calls them, and when, is the host's business.
"""

from __future__ import annotations

from dataclasses import dataclass

from .enums import ALL_VERSIONS, AbiVersion

START_FUNCTIONS = ("_initialize", "main", "__main_void", "_start")
ALLOCATORS = ("malloc", "proxy_on_memory_allocate")


@dataclass(frozen=True, slots=True)
class CallbackSpec:
    """One callback.

    Attributes:
        params: names after the context id; a name in ``booleans`` is shown as true or false.
        result: ``""`` for none, ``"action"``, or ``"bool"``.
        context: ``"root"``, ``"stream"`` or ``"any"``.
        shorter: number of parameters (without the context id) the 0.1.0 form of it has, where that differs.
        when: when the host calls it.
    """

    name: str
    params: tuple[str, ...]
    result: str
    context: str
    when: str
    shorter: int | None = None
    booleans: frozenset[str] = frozenset({"end_of_stream"})
    versions: tuple[AbiVersion, ...] = ALL_VERSIONS

    @property
    def wasm_results(self) -> tuple[str, ...]:
        """The wasm result types."""
        return ("i32",) if self.result else ()

    def wasm_params(self, version: AbiVersion) -> tuple[str, ...]:
        """The wasm parameter types of this version's form."""
        old = self.shorter is not None and version is AbiVersion.V0_1_0
        return ("i32",) * ((self.shorter if old and self.shorter is not None else len(self.params)) + 1)


def _spec(
    name: str,
    params: str,
    result: str,
    context: str,
    when: str,
    shorter: int | None = None,
    versions: tuple[AbiVersion, ...] = ALL_VERSIONS,
) -> CallbackSpec:
    return CallbackSpec(name, tuple(params.split()), result, context, when, shorter, versions=versions)


_ROWS = (
    _spec("proxy_on_context_create", "parent_context_id", "", "any", "before any other callback of that context"),
    _spec("proxy_on_vm_start", "vm_configuration_size", "bool", "root", "right after the root context was created"),
    _spec("proxy_on_configure", "plugin_configuration_size", "bool", "root", "after proxy_on_vm_start accepted"),
    _spec("proxy_on_tick", "", "", "root", "every period set with proxy_set_tick_period_milliseconds"),
    _spec("proxy_on_queue_ready", "queue_id", "", "root", "once for each item put on a queue it registered last"),
    _spec(
        "proxy_on_foreign_function",
        "function_id arguments_size",
        "",
        "any",
        "host code calls into the guest; Envoy has none that does",
        versions=(AbiVersion.V0_2_0, AbiVersion.V0_2_1),
    ),
    _spec("proxy_on_new_connection", "", "action", "stream", "a TCP connection was accepted"),
    _spec("proxy_on_downstream_data", "data_size end_of_stream", "action", "stream", "TCP data from downstream"),
    _spec("proxy_on_upstream_data", "data_size end_of_stream", "action", "stream", "TCP data from upstream"),
    _spec("proxy_on_downstream_connection_close", "peer_type", "", "stream", "the downstream connection closed"),
    _spec("proxy_on_upstream_connection_close", "peer_type", "", "stream", "the upstream connection closed"),
    _spec("proxy_on_request_headers", "num_headers end_of_stream", "action", "stream", "request headers complete", 1),
    _spec("proxy_on_request_body", "body_size end_of_stream", "action", "stream", "request body data, or its end"),
    _spec("proxy_on_request_trailers", "num_trailers", "action", "stream", "request trailers"),
    _spec("proxy_on_request_metadata", "num_elements", "action", "stream", "an HTTP/2 METADATA frame"),
    _spec("proxy_on_response_headers", "num_headers end_of_stream", "action", "stream", "response headers complete", 1),
    _spec("proxy_on_response_body", "body_size end_of_stream", "action", "stream", "response body data, or its end"),
    _spec("proxy_on_response_trailers", "num_trailers", "action", "stream", "response trailers"),
    _spec("proxy_on_response_metadata", "num_elements", "action", "stream", "an HTTP/2 METADATA frame"),
    _spec(
        "proxy_on_http_call_response",
        "call_id num_headers body_size num_trailers",
        "",
        "root",
        "an HTTP callout was answered, failed or timed out",
    ),
    _spec(
        "proxy_on_grpc_receive_initial_metadata",
        "call_or_stream_id num_elements",
        "",
        "root",
        "gRPC stream: initial metadata",
    ),
    _spec("proxy_on_grpc_receive", "call_or_stream_id message_size", "", "root", "a gRPC message"),
    _spec(
        "proxy_on_grpc_receive_trailing_metadata",
        "call_or_stream_id num_elements",
        "",
        "root",
        "gRPC stream: trailing metadata",
    ),
    _spec(
        "proxy_on_grpc_close", "call_or_stream_id grpc_status", "", "root", "a gRPC call failed, or a gRPC stream ended"
    ),
    _spec("proxy_on_done", "", "bool", "any", "the context has ended"),
    _spec("proxy_on_log", "", "", "stream", "the final log of a stream"),
    _spec("proxy_on_delete", "", "", "any", "the last call of a context"),
)

CALLBACKS: dict[str, CallbackSpec] = {row.name: row for row in _ROWS}

_METADATA = (
    "an Envoy that allows HTTP/2 METADATA frames (`allow_metadata`, off by default) calls it; streams here have none"
)
NEVER_CALLED = {
    "proxy_on_foreign_function": "no proxy calls it: it is for the host's own code, and Envoy has none that does",
    "proxy_on_request_metadata": _METADATA,
    "proxy_on_response_metadata": _METADATA,
}
"""Callbacks of the ABI that a guest may export and the mock host never calls, with the reason."""
