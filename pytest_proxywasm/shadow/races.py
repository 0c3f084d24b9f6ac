"""What in an exchange is up to chance in a real proxy, or breaks it in several ways; reads the mock's trace."""

from __future__ import annotations

from ..model import Action
from ..trace import Trace
from .calls import ANSWERS, CALLS

__all__ = ["answers_race", "calls_in_response", "closes_and_replies", "several_wait"]

_REQUEST = ("proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers")
_RESPONSE = ("proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers")


def answers_race(trace: Trace) -> bool:
    """Whether a callout is answered while no filter holds the stream, or after its end.

    Then the request goes to the upstream, or the response to the client, at the same time, and what comes first is up
    to sockets. In the mock the callout does.
    """
    held: set[int] = set()
    begun = False
    for event in trace:
        if event.name == "proxy_on_log":
            begun = True
            held.clear()
        elif event.name in _REQUEST or event.name in _RESPONSE:
            begun = True
            if event.action is Action.CONTINUE:
                held.discard(event.context_id)
            else:
                held.add(event.context_id)
        elif event.name in ANSWERS and begun and not held:
            return True
        if any(call.name == "proxy_continue_stream" and not call.status for call in event.hostcalls):
            held.clear()
    return False


def several_wait(trace: Trace) -> bool:
    """Whether several callouts wait at a time: their answers come over connections of their own."""
    waiting = 0
    for event in trace:
        waiting -= event.name in ("proxy_on_http_call_response", "proxy_on_grpc_close")
        waiting += sum(1 for call in event.hostcalls if call.name in CALLS and not call.status)
        if waiting > 1:
            return True
    return False


def calls_in_response(trace: Trace) -> bool:
    """Whether a filter calls out in a response callback: the upstream may still be sending when the answer comes."""
    return any(call.name in CALLS for event in trace if event.name in _RESPONSE for call in event.hostcalls)


def closes_and_replies(trace: Trace) -> bool:
    """Whether a filter replies to a stream that it has closed in the same callback.

    The reply arrives in Envoy, or does not, or the process crashes, depending on the callback and the reply.
    """
    for event in trace:
        closed = False
        for call in event.hostcalls:
            if closed and call.name == "proxy_send_local_response" and not call.status:
                return True
            closed = closed or (call.name == "proxy_close_stream" and not call.status)
    return False
