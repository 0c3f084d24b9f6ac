"""Plans: exchanges, and schedules of several, as values that a host runs and that print as code; knows no host.

Strategies draw them, and `host.run` runs them. A plan holds all that its filters meet from outside: the client, the
upstream, and what answers their callouts. Two runs of a plan on equal hosts are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from .code import Code, ShownAsCode, code_of, fields_code
from .errors import UsageError
from .model import After, ConnectionRefused, GrpcResponse, NoHosts, Request, Reset, Response, Timeout

if TYPE_CHECKING:
    from .model import UpstreamAnswer

__all__ = ["Answer", "Drop", "ExchangePlan", "Schedule", "Step", "TcpPlan", "Wait"]

CalloutOutcome: TypeAlias = "Response | Timeout | Reset | ConnectionRefused | NoHosts | After"
GrpcOutcome: TypeAlias = "GrpcResponse | Timeout | Reset | ConnectionRefused | NoHosts | After"

_REQUEST, _RESPONSE = Request(), Response(200)
_UPSTREAM = (Response, Reset, ConnectionRefused, Timeout, After)
_HTTP = (Response, Timeout, Reset, ConnectionRefused, NoHosts, After)
_GRPC = (GrpcResponse, Timeout, Reset, ConnectionRefused, NoHosts, After)


def _check(what: str, value: Any, kinds: tuple[type, ...]) -> None:
    if not isinstance(value, kinds):
        names = ", ".join(f"pw.{kind.__name__}" for kind in kinds)
        raise UsageError(f"{what} is one of {names}, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ExchangePlan(ShownAsCode):
    """One exchange: what the client sends, what the upstream answers, and what answers the filters' callouts.

    Attributes:
        request: what the client sends; with ``chunks`` one body callback each.
        upstream: what answers it: an answer, or a callable from the complete upstream `Request` to one.
        http_version: ``"1.1"`` or ``"2"``, the client's.
        callouts: what answers HTTP callouts, in the order they are made, to clusters that the host has no handler for;
            those after the last get ``pw.Response(200)``. While a plan runs, every cluster exists.
        grpc_callouts: the same for gRPC calls and streams; those after the last get ``pw.GrpcResponse()``.
        client_resets_after: the client goes away when it has sent its headers and so many pieces of the body (0: the
            headers only); ``None``: it stays.
    """

    request: Request = _REQUEST
    upstream: UpstreamAnswer | Callable[[Request], UpstreamAnswer] = _RESPONSE
    http_version: str = "1.1"
    callouts: tuple[CalloutOutcome, ...] = ()
    grpc_callouts: tuple[GrpcOutcome, ...] = ()
    client_resets_after: int | None = None

    def __post_init__(self) -> None:
        _check("request", self.request, (Request,))
        if not callable(self.upstream):
            _check("upstream", self.upstream, _UPSTREAM)
        if self.http_version not in ("1.1", "2"):
            raise UsageError(f'http_version={self.http_version!r}: it is "1.1" or "2"')
        object.__setattr__(self, "callouts", tuple(self.callouts))
        object.__setattr__(self, "grpc_callouts", tuple(self.grpc_callouts))
        for one in self.callouts:
            _check("what answers an HTTP callout", one, _HTTP)
        for other in self.grpc_callouts:
            _check("what answers a gRPC callout", other, _GRPC)
        if self.client_resets_after is not None and self.client_resets_after < 0:
            raise UsageError(f"client_resets_after={self.client_resets_after}: a number of body pieces, or None")

    def replace(self, **changes: Any) -> ExchangePlan:
        """The same plan with other values."""
        return replace(self, **changes)

    def _code(self) -> Code:
        return fields_code(self)


class _Small(ShownAsCode):
    """A value with few fields."""

    __slots__ = ()

    def _code(self) -> Code:
        return fields_code(self)


@dataclass(frozen=True, slots=True, repr=False)
class Step(_Small):
    """A stream takes its next step: the client sends what comes next, or, when it has sent all, the upstream does.

    A step that cannot be taken (a filter holds the request, so there is nothing to answer; the stream has ended) does
    nothing.
    """

    stream: int


@dataclass(frozen=True, slots=True, repr=False)
class Wait(_Small):
    """Virtual time passes: ticks, timeouts, delayed answers."""

    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class Answer(_Small):
    """The n-th callout that waits, oldest first, is answered; nothing if there are not so many.

    ``outcome`` is for HTTP callouts; a gRPC call that is the one meant gets ``pw.GrpcResponse()`` for a response, and
    the same failure otherwise.
    """

    callout: int
    outcome: Response | Timeout | Reset | ConnectionRefused = _RESPONSE


@dataclass(frozen=True, slots=True, repr=False)
class Drop(_Small):
    """The client (``"downstream"``) or the upstream of a stream breaks off."""

    stream: int
    by: str = "downstream"

    def __post_init__(self) -> None:
        if self.by not in ("downstream", "upstream"):
            raise UsageError(f'Drop(by={self.by!r}): it is "downstream" or "upstream"')


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Schedule(ShownAsCode):
    """Several exchanges at a time: their streams, and in which order what happens.

    When the steps are over, waiting callouts are answered (by the plans' ``callouts``, else with success) and the
    streams run to their ends, the first one first.

    Attributes:
        streams: the exchanges; a stream opens with its first step. The upstream answers step by step as well;
            a ``pw.After`` counts as what it holds.
        steps: `Step`, `Wait`, `Answer` and `Drop`.
    """

    streams: tuple[ExchangePlan, ...] = (ExchangePlan(),)
    steps: tuple[Step | Wait | Answer | Drop, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", tuple(self.streams))
        object.__setattr__(self, "steps", tuple(self.steps))
        for stream in self.streams:
            _check("a stream of a schedule", stream, (ExchangePlan,))
        for step in self.steps:
            _check("a step of a schedule", step, (Step, Wait, Answer, Drop))
            if isinstance(step, (Step, Drop)) and not 0 <= step.stream < len(self.streams):
                raise UsageError(f"{step!r}: the schedule has streams 0 to {len(self.streams) - 1}")

    def _code(self) -> Code:
        return Code("pw.Schedule", [("streams", code_of(self.streams)), ("steps", code_of(self.steps))])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TcpPlan(ShownAsCode):
    """What client and upstream of a TCP connection send, in order.

    Attributes:
        steps: pairs of who sends (``"downstream"``: the client, ``"upstream"``) and what; an empty piece ends that
            half of the connection.
        closed_by: who breaks the connection off at the end; ``None``: both halves end in good order.
    """

    steps: tuple[tuple[str, bytes], ...] = ()
    closed_by: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple((peer, bytes(data)) for peer, data in self.steps))
        for peer in [*(peer for peer, _ in self.steps), *([self.closed_by] if self.closed_by is not None else [])]:
            if peer not in ("downstream", "upstream"):
                raise UsageError(f'{peer!r} sends nothing: it is "downstream" or "upstream"')

    def _code(self) -> Code:
        return fields_code(self)


def pieces_of(body: bytes, chunks: Sequence[bytes] | None) -> tuple[bytes, ...]:
    """The pieces a body is sent in."""
    if chunks is not None:
        return tuple(chunks)
    return (body,) if body else ()
