"""An `Exchange` put together from what client, servers, log and access log know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..headers import Headers, to_bytes
from ..host.callouts import response_entries
from ..model import After, Exchange, LocalResponse, Response
from ..trace import Trace
from .client import Client
from .instance import Instance
from .servers import Served

__all__ = ["assemble"]

ADDED_BY_ENVOY = (b"content-length", b"date", b"server", b"connection")


def assemble(exchange: Exchange, start: Mapping[str, int], instance: Instance, client: Client | None) -> bool:
    """Fill in what is known since ``start``; false if the upstream got a part of a request only."""
    reading = instance.reading
    exchange.trace = reading.trace[start["trace"] :]
    exchange.logs = reading.logs[start["logs"] :]
    served = instance.served[start["served"] :]
    routed = instance.setup.routed_clusters
    exchange.callouts = [instance.callout(one) for one in served if one.cluster not in routed]
    at_upstream = [one for one in served if one.cluster in routed]
    if at_upstream:
        # A filter that resumes a request without need makes Envoy's router send it once more.
        arrived = next((one for one in at_upstream if one.message.complete), at_upstream[0])
        exchange.upstream_request = reading.varying.arrived(arrived.request())
        exchange.upstream_response = _answered(arrived)
    for one in reading.observed[start["observed"] :]:
        name = _MAPS[one.where, one.what]
        if name == "response_after" or getattr(exchange, name) is None:
            setattr(exchange, name, one.headers)
    if client is not None:
        response = client.response()
        exchange.response = reading.varying.answered(response) if response is not None else None
        exchange.outcome = "complete" if client.complete else "cut" if exchange.response is not None else "reset"
    ended = instance.ended_streams()[start["streams"] :]
    if ended:
        details = ended[0].get("details") or ""
        exchange.details = "" if details == "-" else details
    exchange.local_response = _local_response(exchange)
    return not at_upstream or any(one.message.complete for one in at_upstream)


_MAPS = {
    ("first", "request"): "request_before",
    ("last", "request"): "request_after",
    ("last", "response"): "response_before",
    ("first", "response"): "response_after",
}


def _answered(served: Served) -> Response | None:
    answer: Any = served.answer.answer if isinstance(served.answer, After) else served.answer
    if not isinstance(answer, Response):
        return None
    return Response(headers=Headers.from_raw(response_entries(answer)), body=answer.body, trailers=answer.trailers.raw)


def _local_response(exchange: Exchange) -> LocalResponse | None:
    """A filter's reply: what it passed, or, without the recorder in it, what the log and the client tell of it."""
    trace: Trace = exchange.trace
    call = next((one for one in trace.hostcalls("proxy_send_local_response") if one.status == 0), None)
    response = exchange.response
    if call is None or response is None or exchange.details == "via_upstream":
        return None
    grpc_status = call.args.get("grpc_status", -1)
    known = trace.decoded
    given = (
        [(name.lower(), value) for name, value in call.args["headers"]]
        if known
        else [
            (name, value)
            for name, value in (exchange.response_before or response.headers).raw
            if not name.startswith(b":")
            and name not in ADDED_BY_ENVOY
            and (name, value) != (b"content-type", b"text/plain")
        ]
    )
    return LocalResponse(
        status=call.args.get("status_code", response.status),
        headers=Headers.from_raw(given),
        body=to_bytes(call.args["body"]) if known else response.body,
        details=exchange.details,
        grpc_status=grpc_status if 0 <= grpc_status <= 16 else None,
        filter=call.callback.filter if call.callback is not None else "",
    )
