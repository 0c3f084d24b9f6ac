"""Strategies for callout outcomes, exchanges, schedules of several, and TCP connections; knows what can go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from ..headers import Headers
from ..model import After, ConnectionRefused, GrpcResponse, NoHosts, Request, Reset, Response, Timeout
from ..plans import Answer, Drop, ExchangePlan, Schedule, Step, TcpPlan, Wait
from .messages import bodies as any_bodies
from .messages import requests as any_requests
from .messages import responses as any_responses

FAILURES: tuple[Any, ...] = (Timeout(), Reset(), Reset(after_headers=True), ConnectionRefused(), NoHosts())
LENGTHS = (10, 65_536, 10**7, 10**9, 2**31, 2**32 - 1, 2**32, 10**12, 2**63 - 1)


_CALLOUT_STATUSES = st.sampled_from([200, 403, 500, 401, 404, 204, 201, 302, 418, 429, 503, 299, 599]).map(Response)
_CALLOUT_RESPONSES = any_responses()
_ANY_FAILURE = st.sampled_from(FAILURES)
_DELAYS = st.sampled_from([0.1, 1.0, 5.0, 60.0])
_TENTHS = st.integers(0, 9)


@st.composite
def callout_outcomes(draw: st.DrawFn, *, failures: bool = True, delays: bool = True) -> Any:
    """What answers an HTTP callout of a filter. Shrinks to a 200 without a body.

    Args:
        failures: whether it may fail: no hosts, refused, reset before or after the headers, no answer in time.
        delays: whether an answer may come later.
    """
    kind = draw(_TENTHS)
    if failures and 4 <= kind < 8:
        return draw(_ANY_FAILURE)
    answer = draw(_CALLOUT_RESPONSES if kind == 3 else _CALLOUT_STATUSES)
    return After(draw(_DELAYS), answer) if delays and kind >= 8 else answer


def grpc_callout_outcomes(*, failures: bool = True) -> st.SearchStrategy[Any]:
    """What answers a gRPC callout of a filter. Shrinks to success without a message."""
    answers: st.SearchStrategy[Any] = st.builds(
        GrpcResponse,
        messages=st.lists(st.binary(max_size=8), max_size=2).map(tuple),
        status=st.sampled_from([0, 0, 5, 7, 13, 14, 16]),
    )
    return st.one_of(answers, st.sampled_from(FAILURES)) if failures else answers


def _shortened(outcomes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without what callouts are answered with anyway."""
    while outcomes and outcomes[-1] == Response(200):
        outcomes = outcomes[:-1]
    return outcomes


_ANY_REQUESTS = any_requests()
_ANY_RESPONSES = any_responses()
_ANY_OUTCOMES = callout_outcomes()
_TWO_OUTCOMES = st.tuples(_ANY_OUTCOMES, _ANY_OUTCOMES).map(_shortened)
_UPSTREAM_FAILURES = st.sampled_from([None] * 8 + [0, 1, 2, 3, 4])
_EIGHTHS = st.integers(0, 7)
_LENGTHS = st.sampled_from(LENGTHS)
_VERSIONS = st.sampled_from(["1.1", "2"])


@st.composite
def exchange_plans(
    draw: st.DrawFn,
    *,
    requests: st.SearchStrategy[Request] | None = None,
    responses: st.SearchStrategy[Response] | None = None,
    callouts: st.SearchStrategy[Any] | None = None,
    grpc_callouts: st.SearchStrategy[Any] | None = None,
    http_versions: Sequence[str] = ("1.1", "2"),
    upstream_failures: bool = True,
    client_resets: bool = True,
) -> ExchangePlan:
    """Whole exchanges. Shrinks to ``GET /`` that is answered with a 200, with no headers and no body.

    Args:
        upstream_failures: whether the upstream may be late, break off, refuse, or never answer.
        client_resets: whether the client may go away before it is answered; only then does its content-length say
            more than it has sent.
    """
    request = draw(requests if requests is not None else _ANY_REQUESTS)
    http_version = draw(_VERSIONS if tuple(http_versions) == ("1.1", "2") else st.sampled_from(list(http_versions)))
    if len(request.trailers) and http_version == "1.1" and "content-length" in request.headers:
        http_version = "2"
    upstream: Any = draw(responses if responses is not None else _ANY_RESPONSES)
    if upstream_failures:
        failure = draw(_UPSTREAM_FAILURES)
        if failure is not None:
            late = After(30.0 if failure else 1.0, upstream)
            upstream = [late, Reset(), Reset(after_headers=True), ConnectionRefused(), Timeout()][failure]
    outcomes = draw(st.lists(callouts, max_size=2) if callouts is not None else _TWO_OUTCOMES)
    grpc = draw(st.lists(grpc_callouts, max_size=2)) if grpc_callouts is not None else _grpc_of(outcomes)
    resets = None
    if client_resets and draw(_EIGHTHS) == 7:
        resets = draw(st.integers(0, len(request.chunks or ()) + 1))
        if request.method in ("POST", "PUT", "PATCH") and draw(st.booleans()):
            request, resets = _announcing_more(request, draw(_LENGTHS)), min(resets, 1)
    return ExchangePlan(
        request=request,
        upstream=upstream,
        http_version=http_version,
        callouts=tuple(outcomes),
        grpc_callouts=tuple(grpc),
        client_resets_after=resets,
    )


def _grpc_of(outcomes: Sequence[Any]) -> list[Any]:
    """The same outcomes for gRPC: a status that is no success becomes UNAVAILABLE."""
    made: list[Any] = []
    for one in outcomes:
        later = isinstance(one, After)
        answer = one.answer if later else one
        if isinstance(answer, Response):
            answer = GrpcResponse(messages=(answer.body,)) if answer.status == 200 else GrpcResponse(status=14)
            made.append(After(one.seconds, answer) if later else answer)
        else:
            made.append(one)
    return made if any(one != GrpcResponse(messages=(b"",)) for one in made) else []


def _announcing_more(request: Request, length: int) -> Request:
    """The same request, which says that it is longer than what the client sends before it goes away."""
    others = [pair for pair in request.headers.raw if pair[0] != b"content-length"]
    return Request(
        request.method,
        request.path,
        Headers([*others, (b"content-length", b"%d" % max(length, len(request.body) + 1))]),
        chunks=request.chunks if request.chunks is not None else ((request.body,) if request.body else ()),
        authority=request.authority,
        scheme=request.scheme,
    )


@st.composite
def schedules(
    draw: st.DrawFn,
    *,
    plans: st.SearchStrategy[ExchangePlan] | None = None,
    max_streams: int = 3,
    max_steps: int = 20,
) -> Schedule:
    """Several streams at a time, with ticks, callouts answered in any order, and resets at any point.

    Shrinks to one stream without steps, which runs to its end.
    """
    one = plans if plans is not None else exchange_plans(client_resets=False)
    streams = draw(st.lists(one, min_size=1, max_size=max_streams))
    number = st.integers(0, len(streams) - 1)
    step = number.map(Step)
    other = st.one_of(
        st.sampled_from([0.001, 0.1, 1.0, 10.0, 60.0]).map(Wait),
        st.builds(Answer, st.integers(0, 2), callout_outcomes(delays=False).filter(lambda o: o != NoHosts())),
        st.builds(Drop, number, st.sampled_from(["downstream", "upstream"])),
    )
    steps = draw(st.lists(st.one_of(step, step, step, other), max_size=max_steps))
    return Schedule(streams=tuple(streams), steps=tuple(steps))


@st.composite
def tcp_streams(
    draw: st.DrawFn, *, bodies: st.SearchStrategy[bytes] | None = None, max_steps: int = 8, resets: bool = True
) -> TcpPlan:
    """What the two ends of a TCP connection send, in any order and any pieces. Shrinks to nothing sent."""
    data = bodies if bodies is not None else any_bodies(min_size=1, max_size=10_000)
    steps = draw(
        st.lists(st.tuples(st.sampled_from(["downstream", "upstream"]), data | st.just(b"")), max_size=max_steps)
    )
    closed_by = draw(st.sampled_from([None, None, "downstream", "upstream"])) if resets else None
    return TcpPlan(steps=tuple(steps), closed_by=closed_by)
