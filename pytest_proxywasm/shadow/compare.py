"""What differs between an exchange in the mock and the same one in Envoy, in words; runs nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..envoy.varying import stable, stable_header
from ..headers import Headers, to_text
from ..model import Callout, ConnectionRefused, Exchange, GuestLog, Metric, NoHosts, Request, Response
from ..trace import Trace
from .traces import trace_lines

__all__ = ["compare_between", "compare_connections", "compare_exchanges", "compare_metrics", "compare_scenes"]

Pair = tuple[bytes, bytes]
NOT_SENT = (b":scheme",)
"""Request headers that HTTP/1.1 does not carry to the upstream."""
_SIZE = re.compile(r" \w*size=\d+")
_NUMBER = re.compile(r"\d+")
FRAMING = (b"transfer-encoding",)
QUEUE = "proxy_on_queue_ready"
"""Comes when the worker has time: in Envoy that may be between two pieces of a body."""


def compare_exchanges(
    mock: Exchange, envoy: Exchange, *, partial: bool = False, services: bool = False, slow: bool = False
) -> list[str]:
    """A paragraph for each thing that differs; none when they agree.

    Args:
        partial: the stream ended while its request was still arriving at Envoy's upstream; in the mock a request that
            is cut so does not get there, or gets there as far as it had come.
        slow: x-envoy-upstream-service-time may have had more digits than the mock's, and with it every size that
            depends on it.
        services: there are Wasm services beside the chain; Envoy runs them on another thread, and what they log and
            call is left out here.
    """
    found: list[str] = []
    found += _value("outcome", mock.outcome, envoy.outcome)
    found += _value("details", mock.details, envoy.details)
    found += _message("response", mock.response, envoy.response)
    if not partial:
        found += _message("upstream_request", mock.upstream_request, envoy.upstream_request)
    for name in ("request_before", "request_after", "response_before", "response_after"):
        if name == "response_after" and envoy.response_after is None:
            continue  # a reply in place of a response does not pass the chain
        found += _headers(name, getattr(mock, name), getattr(envoy, name))
    found += _callouts(mock.callouts, envoy.callouts)
    queues = {event.context_id for event in (*mock.trace.callbacks(QUEUE), *envoy.trace.callbacks(QUEUE))}
    if not services:
        found += _logs(_without(mock.logs, queues), _without(envoy.logs, queues), slow)
        found += _value("queue callbacks", len(mock.trace.callbacks(QUEUE)), len(envoy.trace.callbacks(QUEUE)))
    trace = Trace(event for event in mock.trace if event.name != QUEUE and not (services and event.worker < 0))
    other = Trace((event for event in envoy.trace if event.name != QUEUE), decoded=envoy.trace.decoded)
    return found + _lines("hostcalls", *_without_digits(trace_lines(trace, other, slow=slow), slow))


def _without(logs: Iterable[GuestLog], contexts: set[int]) -> list[GuestLog]:
    return [log for log in logs if log.context_id not in contexts]


def compare_scenes(
    exchanges: Sequence[Exchange],
    responses: Sequence[Response | None],
    requests: Sequence[Request],
    callouts: tuple[Sequence[Callout], Sequence[Callout]],
    logs: tuple[Sequence[GuestLog], Sequence[GuestLog]],
    traces: tuple[Trace, Trace],
) -> list[str]:
    """What differs between streams in the mock and the same, at the same time, in Envoy.

    Args:
        exchanges: the mock's, one a stream.
        responses: what Envoy's clients got, one a stream.
        requests: what got to Envoy's upstream, in any order.
        callouts, logs, traces: of the mock, and of Envoy.
    """
    found: list[str] = []
    for number, (exchange, response) in enumerate(zip(exchanges, responses), 1):
        found += _message(f"response of stream {number}", exchange.response, response)
    there = sorted(requests, key=lambda request: request.headers.get("x-request-id", ""))
    ours = [one.upstream_request for one in exchanges if one.upstream_request is not None]
    found += _value("requests that reached the upstream", len(ours), len(there))
    for mine, other in zip(ours, there):
        found += _message("upstream_request", mine, other)
    found += _callouts(*callouts)
    # Upstreams answer when the test says, so x-envoy-upstream-service-time has any number of digits.
    found += _logs(*logs, slow=True)
    lines = trace_lines(*traces, slow=True)
    found += _lines("hostcalls", *([_SIZE.sub("", line) for line in one] for one in lines))
    return found


def compare_between(
    callouts: tuple[Sequence[Callout], Sequence[Callout]], traces: tuple[Trace, Trace], *, slow: bool = False
) -> list[str]:
    """What differs between two exchanges: ticks and answers, and what filters did then.

    Args:
        callouts, traces: of the mock, and of Envoy.
        slow: as for `compare_exchanges`.
    """
    found = [*_callouts(*callouts), *_lines("hostcalls", *_without_digits(trace_lines(*traces, slow=slow), slow))]
    return [f"before it, {paragraph}" for paragraph in found]


def _without_digits(lines: Iterable[list[str]], slow: bool) -> Iterable[list[str]]:
    """The lines of two traces, without numbers and sizes if those depend on how long things took."""
    return ([_NUMBER.sub("#", _SIZE.sub("", line)) for line in one] if slow else one for one in lines)


def compare_connections(mock: Any, envoy: Any) -> list[str]:
    """What differs between a TCP connection in the mock and the same in Envoy."""
    found = _value("actions", list(mock.actions), list(envoy.actions))
    for name in ("sent_upstream", "sent_downstream", "upstream_complete", "downstream_complete", "finished"):
        found += _value(name, getattr(mock, name), getattr(envoy, name))
    found += _lines("hostcalls", *trace_lines(mock.trace, envoy.trace))
    return found


def _value(name: str, mock: object, envoy: object) -> list[str]:
    return [] if mock == envoy else [f"{name}: {mock!r} in the mock, {envoy!r} in Envoy"]


def _message(name: str, mock: Request | Response | None, envoy: Request | Response | None) -> list[str]:
    if mock is None or envoy is None:
        return _value(name, None if mock is None else "there is one", None if envoy is None else "there is one")
    dropped = [*FRAMING, *NOT_SENT]
    known = (b":status",) if isinstance(mock, Response) else (b":method", b":path", b":authority")
    dropped += [key for key, _ in mock.headers.raw if key.startswith(b":") and key not in known]
    if "content-length" not in mock.headers and envoy.headers.get("content-length") == "0":
        dropped.append(b"content-length")  # HTTP/1.1 says of an empty message that it is
    found = _headers(f"{name}.headers", mock.headers, envoy.headers, dropped=dropped)
    if isinstance(mock, Response) and mock.status in (204, 304):
        return found  # whatever a filter gave it, it has no body on the wire
    found += _value(f"{name}.body", _shown(stable(mock.body)), _shown(stable(envoy.body)))
    found += _headers(f"{name}.trailers", mock.trailers, envoy.trailers)
    return found


def _shown(body: bytes) -> object:
    return body if len(body) <= 300 else (body[:100], len(body), hash(body))


def _headers(name: str, mock: Headers | None, envoy: Headers | None, dropped: Sequence[bytes] = ()) -> list[str]:
    if mock is None or envoy is None:
        return _value(name, None if mock is None else "there are some", None if envoy is None else "there are some")
    return _lines(name, _header_lines(mock, dropped), _header_lines(envoy, dropped))


def _header_lines(headers: Headers, dropped: Sequence[bytes]) -> list[str]:
    pairs = [(name, stable_header(name, value)) for name, value in headers.raw if name not in dropped]
    # The codecs write pseudo headers in an order of their own.
    pseudo = sorted(pair for pair in pairs if pair[0].startswith(b":"))
    others = [pair for pair in pairs if not pair[0].startswith(b":")]
    return [f"{to_text(name)}: {to_text(value)!r}" for name, value in (*pseudo, *others)]


def _logs(mock: Iterable[GuestLog], envoy: Iterable[GuestLog], slow: bool = False) -> list[str]:
    def lines(logs: Iterable[GuestLog]) -> list[str]:
        found = [f"{log.level.name} {to_text(stable(log.raw))!r}" for log in logs]
        return [_NUMBER.sub("#", line) for line in found] if slow else found

    return _lines("logs", lines(mock), lines(envoy))


def _callouts(mock: Iterable[Callout], envoy: Iterable[Callout]) -> list[str]:
    def lines(callouts: Iterable[Callout]) -> list[str]:
        result = []
        for one in callouts:
            if isinstance(one.outcome, (ConnectionRefused, NoHosts)):
                continue  # it never reached a server
            body = b"".join(one.messages) if one.kind != "http" else one.body
            result.append(f"{one.cluster}: {one.method} {one.path} {stable(body)!r}")
            if one.kind == "http":
                result += [f"    {line}" for line in _header_lines(one.headers, (*FRAMING, *NOT_SENT))]
        return result

    return _lines("callouts", lines(mock), lines(envoy))


def _lines(name: str, mock: Iterable[str], envoy: Iterable[str]) -> list[str]:
    mock, envoy = list(mock), list(envoy)
    if mock == envoy:
        return []
    diff = list(difflib.unified_diff(mock, envoy, "mock", "envoy", lineterm="", n=2))[2:]
    shown = diff if len(diff) <= 60 else [*diff[:60], f"... ({len(diff) - 60} more lines)"]
    return ["\n".join([f"{name} (- mock, + Envoy):", *(f"    {line}" for line in shown)])]


def compare_metrics(
    mock: Mapping[str, Metric],
    mock_start: Mapping[str, Metric],
    envoy: Mapping[str, Metric],
    envoy_start: Mapping[str, Metric],
) -> list[str]:
    """What differs in metrics: since the start, or altogether; Envoy's start callbacks run several times."""
    found = []
    for name in sorted(mock.keys() | envoy.keys()):
        ours, theirs = mock.get(name), envoy.get(name)
        if ours is None or theirs is None:
            found.append(f"metric {name!r}: {ours!r} in the mock, {theirs!r} in Envoy")
            continue
        before, there = mock_start.get(name), envoy_start.get(name)
        ours_since = ours.value - (before.value if before else 0)
        theirs_since = theirs.value - (there.value if there else 0)
        if ours_since != theirs_since and ours.value != theirs.value:
            found.append(f"metric {name!r} since the start: {ours_since} in the mock, {theirs_since} in Envoy")
    return found
