"""The hostcalls of gRPC calls and streams."""

from __future__ import annotations

from typing import Annotated

from ...abi.enums import Status
from ...abi.hostcall import U32, Bytes, Output, Pairs, Text
from ..context import Context
from ..grpc import find, grpc_start
from ..grpc_delivery import CALL, STREAM
from .registry import HOSTCALLS


@HOSTCALLS.declare()
def proxy_grpc_call(
    context: Context,
    upstream: Bytes,
    service_name: Text,
    method_name: Text,
    initial_metadata: Pairs,
    message: Bytes,
    timeout: U32,
) -> Annotated[int | Status, Output("u32", "call_id")]:
    """Make a unary gRPC call; ``proxy_on_grpc_receive`` or, if it fails, ``proxy_on_grpc_close`` follows on the root.

    ``upstream`` is a serialized GrpcService, or else the name of a cluster. PARSE_FAILURE for an unknown name;
    INTERNAL_FAILURE, and a ``proxy_on_grpc_close`` all the same, for an unknown cluster in a message and for one
    without hosts. A message that names no service, such as an empty one, crashes Envoy.
    """
    return grpc_start(context, CALL, upstream, service_name, method_name, initial_metadata, message, timeout)


@HOSTCALLS.declare()
def proxy_grpc_stream(
    context: Context, upstream: Bytes, service_name: Text, method_name: Text, initial_metadata: Pairs
) -> Annotated[int | Status, Output("u32", "stream_id")]:
    """Open a gRPC stream; fails as ``proxy_grpc_call`` does. Metadata, messages and the close are told on the root."""
    return grpc_start(context, STREAM, upstream, service_name, method_name, initial_metadata)


@HOSTCALLS.declare()
def proxy_grpc_send(context: Context, stream_id: U32, message: Bytes, end_stream: U32) -> Status:
    """Send a message on a gRPC stream; BAD_ARGUMENT for an id of another kind, NOT_FOUND for an unknown one.

    OK, without effect, after either side has closed, as long as the id is known.
    """
    found = find(context.root, stream_id, (STREAM,))
    if isinstance(found, Status):
        return found
    if found.closed or not found.open:
        context.without_effect(f"stream {stream_id} is closed already: the message goes nowhere")
    found.guest_sends(message, end_stream != 0)
    return Status.OK


@HOSTCALLS.declare()
def proxy_grpc_cancel(context: Context, call_or_stream_id: U32) -> Status:
    """Cancel a gRPC call or reset a stream; BAD_ARGUMENT for an id of another kind, NOT_FOUND for an unknown one."""
    found = find(context.root, call_or_stream_id, (CALL, STREAM))
    if isinstance(found, Status):
        return found
    found.cancel()
    return Status.OK


@HOSTCALLS.declare()
def proxy_grpc_close(context: Context, call_or_stream_id: U32) -> Status:
    """Close the filter's side of a gRPC stream, or cancel a call.

    BAD_ARGUMENT for an id of another kind, NOT_FOUND for an unknown one. A stream's id is known until both sides have
    closed.
    """
    found = find(context.root, call_or_stream_id, (CALL, STREAM))
    if isinstance(found, Status):
        return found
    found.guest_closes()
    return Status.OK
