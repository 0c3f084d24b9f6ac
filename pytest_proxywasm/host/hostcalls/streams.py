"""Hostcalls that steer a stream: resume, close, answer it."""

from __future__ import annotations

from ...abi.enums import AbiVersion, Status, StreamType
from ...abi.hostcall import I32, U32, Bytes, Pairs, Stream, Text
from ..context import Context
from .registry import HOSTCALLS

V0_1_0, V0_2_0 = AbiVersion.V0_1_0, AbiVersion.V0_2_0
_DIRECTION = {
    StreamType.HTTP_REQUEST: "request",
    StreamType.HTTP_RESPONSE: "response",
    StreamType.DOWNSTREAM: "downstream",
    StreamType.UPSTREAM: "upstream",
}


@HOSTCALLS.declare(since=V0_2_0)
def proxy_continue_stream(context: Context, stream_type: Stream) -> Status:
    """Resume a paused direction after the running callback; OK also when there is nothing to resume.

    UNIMPLEMENTED for UPSTREAM (Envoy).
    """
    if stream_type is StreamType.UPSTREAM:
        return context.because(Status.UNIMPLEMENTED, "Envoy cannot resume the upstream side of a connection")
    context.continue_stream(_DIRECTION[stream_type])
    return Status.OK


@HOSTCALLS.declare(since=V0_2_0)
def proxy_close_stream(context: Context, stream_type: Stream) -> Status:
    """Reset the stream, or close the connection, after the running callback."""
    context.close_stream(_DIRECTION[stream_type])
    return Status.OK


@HOSTCALLS.declare(until=V0_1_0)
def proxy_continue_request(context: Context) -> Status:
    """As ``proxy_continue_stream`` for the request."""
    context.continue_stream("request")
    return Status.OK


@HOSTCALLS.declare(until=V0_1_0)
def proxy_continue_response(context: Context) -> Status:
    """As ``proxy_continue_stream`` for the response."""
    context.continue_stream("response")
    return Status.OK


@HOSTCALLS.declare(until=V0_1_0)
def proxy_clear_route_cache(context: Context) -> Status:
    """Have the route chosen again; OK always."""
    return Status.OK


@HOSTCALLS.declare()
def proxy_send_local_response(
    context: Context, status_code: U32, details: Text, body: Bytes, headers: Pairs, grpc_status: I32
) -> Status:
    """Answer the client instead of the upstream, after the running callback; its result no longer matters.

    OK always; without a stream nothing happens. A grpc_status outside 0 to 16 means none.
    """
    context.vm.stop_iteration = True
    context.send_local_response(status_code, details, body, headers, grpc_status)
    return Status.OK
