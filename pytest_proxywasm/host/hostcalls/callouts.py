"""The hostcall of HTTP callouts."""

from __future__ import annotations

from typing import Annotated

from ...abi.enums import Status
from ...abi.hostcall import U32, Bytes, Output, Pairs, Text
from ..callouts import http_call
from ..context import Context
from .registry import HOSTCALLS


@HOSTCALLS.declare()
def proxy_http_call(
    context: Context, upstream: Text, headers: Pairs, body: Bytes, trailers: Pairs, timeout: U32
) -> Annotated[int | Status, Output("u32", "call_id", first=True)]:
    """Call an HTTP service; ``proxy_on_http_call_response`` follows once, on the root context.

    BAD_ARGUMENT for an unknown cluster, a missing ``:method``, ``:path`` or ``:authority``, or a timeout over 2^31-1
    ms; INTERNAL_FAILURE when the cluster has no hosts. The out pointer is checked before the call is made.
    """
    return http_call(context, upstream, headers, body, trailers, timeout)
