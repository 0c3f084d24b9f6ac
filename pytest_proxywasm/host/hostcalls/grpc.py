"""The hostcalls of gRPC calls and streams."""

from __future__ import annotations

from typing import Annotated

from ...abi.enums import Status
from ...abi.hostcall import U32, Bytes, Output, Pairs, Text
from ...errors import NotEmulatedError
from ..context import Context
from .registry import HOSTCALLS


def _not_yet(name: str) -> NotEmulatedError:
    return NotEmulatedError(f"the mock host does not emulate gRPC callouts yet; the filter called {name}")


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
    """Make a unary gRPC call."""
    raise _not_yet("proxy_grpc_call")


@HOSTCALLS.declare()
def proxy_grpc_stream(
    context: Context, upstream: Bytes, service_name: Text, method_name: Text, initial_metadata: Pairs
) -> Annotated[int | Status, Output("u32", "stream_id")]:
    """Open a gRPC stream."""
    raise _not_yet("proxy_grpc_stream")


@HOSTCALLS.declare()
def proxy_grpc_send(context: Context, stream_id: U32, message: Bytes, end_stream: U32) -> Status:
    """Send a message on a gRPC stream; BAD_ARGUMENT for an id of another kind, NOT_FOUND for an unknown one."""
    return Status.NOT_FOUND if stream_id & 3 == 2 else Status.BAD_ARGUMENT


@HOSTCALLS.declare()
def proxy_grpc_cancel(context: Context, call_or_stream_id: U32) -> Status:
    """Cancel a gRPC call or reset a stream; BAD_ARGUMENT for an id of another kind, NOT_FOUND for an unknown one."""
    return Status.NOT_FOUND if call_or_stream_id & 3 in (1, 2) else Status.BAD_ARGUMENT


@HOSTCALLS.declare()
def proxy_grpc_close(context: Context, call_or_stream_id: U32) -> Status:
    """Close a gRPC stream; BAD_ARGUMENT for an id of another kind, NOT_FOUND for an unknown one."""
    return Status.NOT_FOUND if call_or_stream_id & 3 in (1, 2) else Status.BAD_ARGUMENT
