"""The values users see: requests, responses, exchanges, callouts, logs, metrics; knows no host and no engine."""

from __future__ import annotations

import enum
import json as _json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .errors import FilterError, UsageError
from .headers import Headers, HeadersLike, Text, to_bytes, to_number, to_text

if TYPE_CHECKING:
    from .trace import Trace

__all__ = [
    "Action",
    "After",
    "Callout",
    "ConnectionRefused",
    "Exchange",
    "GrpcResponse",
    "GuestLog",
    "HeaderChanges",
    "Headers",
    "LocalResponse",
    "LogLevel",
    "Metric",
    "NoHosts",
    "Request",
    "Reset",
    "Response",
    "Timeout",
]


class Action(enum.IntEnum):
    """What a callback returned. Numbers without a name here are kept as they are.

    The Proxy-Wasm specification knows ``CONTINUE`` and ``PAUSE``; Envoy gives the others a meaning that depends on
    the callback (``FilterHeadersStatus``, ``FilterDataStatus``), so they are named by what they are called there
    for headers.
    """

    CONTINUE = 0
    PAUSE = 1
    CONTINUE_AND_END_STREAM = 2
    STOP_ALL_ITERATION_AND_BUFFER = 3
    STOP_ALL_ITERATION_AND_WATERMARK = 4

    @classmethod
    def _missing_(cls, value: object) -> Action | None:
        if not isinstance(value, int):
            return None
        unnamed = int.__new__(cls, value)
        unnamed._name_ = str(value)
        unnamed._value_ = value
        return unnamed


class LogLevel(enum.IntEnum):
    """Log levels of the Proxy-Wasm ABI."""

    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    CRITICAL = 5


def _body(body: Text, chunks: Sequence[Text] | None) -> tuple[bytes, tuple[bytes, ...] | None]:
    data = to_bytes(body, "body")
    if chunks is None:
        return data, None
    parts = tuple(to_bytes(chunk, "a chunk") for chunk in chunks)
    whole = b"".join(parts)
    if data and data != whole:
        raise UsageError("give either body= or chunks=, not both")
    return whole, parts


def _pairs_repr(headers: Headers) -> str:
    return repr(headers).removeprefix("Headers(").removesuffix(")")


class _Message:
    """What requests and responses share: a body with views."""

    __slots__ = ()

    body: bytes
    headers: Headers
    trailers: Headers

    def _repr(self, *first: object) -> str:
        parts = [repr(one) for one in first]
        if self.headers:
            parts.append(f"headers={_pairs_repr(self.headers)}")
        chunks = getattr(self, "chunks", None)
        if chunks is not None:
            parts.append(f"chunks={list(chunks)!r}")
        elif self.body:
            parts.append(f"body={self.body!r}")
        if self.trailers:
            parts.append(f"trailers={_pairs_repr(self.trailers)}")
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def text(self) -> str:
        """The body as text, UTF-8 with surrogateescape."""
        return to_text(self.body)

    def json(self) -> Any:
        """The body parsed as JSON."""
        return _json.loads(self.body)


@dataclass(frozen=True, slots=True, init=False)
class Request(_Message):
    """A request.

    Args:
        headers: headers without pseudo headers; those given there win over ``method``, ``path``, ``authority`` and
            ``scheme``.
        chunks: the body in pieces instead of ``body``: one body callback each; an empty piece is one over HTTP/2 only.
    """

    method: str
    path: str
    headers: Headers
    body: bytes
    trailers: Headers
    chunks: tuple[bytes, ...] | None
    authority: str
    scheme: str

    def __init__(
        self,
        method: str = "GET",
        path: str = "/",
        headers: HeadersLike = (),
        body: Text = b"",
        trailers: HeadersLike = (),
        *,
        chunks: Sequence[Text] | None = None,
        authority: str = "example.com",
        scheme: str = "http",
    ) -> None:
        put = object.__setattr__
        given = Headers(headers)
        put(self, "headers", given)
        put(self, "method", given.get(":method", method))
        put(self, "path", given.get(":path", path))
        put(self, "authority", given.get(":authority", authority))
        put(self, "scheme", given.get(":scheme", scheme))
        data, parts = _body(body, chunks)
        put(self, "body", data)
        put(self, "chunks", parts)
        put(self, "trailers", Headers(trailers))

    def __repr__(self) -> str:
        text = self._repr(self.method, self.path)
        given = {"authority": (self.authority, "example.com"), "scheme": (self.scheme, "http")}
        more = [f"{k}={v!r}" for k, (v, usual) in given.items() if v != usual and f":{k}" not in self.headers]
        return f"{text[:-1]}, {', '.join(more)})" if more else text


@dataclass(frozen=True, slots=True, init=False)
class Response(_Message):
    """A response; also what an upstream or a cluster answers in a test.

    A ``:status`` among the headers wins over ``status``.
    """

    status: int
    headers: Headers
    body: bytes
    trailers: Headers
    chunks: tuple[bytes, ...] | None

    def __init__(
        self,
        status: int = 200,
        headers: HeadersLike = (),
        body: Text = b"",
        trailers: HeadersLike = (),
        *,
        chunks: Sequence[Text] | None = None,
    ) -> None:
        if not isinstance(status, int):
            raise UsageError(f"the status of a response is a number, not {status!r}")
        put = object.__setattr__
        given = Headers(headers)
        named = to_number(to_bytes(given.get(":status", "")))
        if named is not None:
            status = named
        put(self, "status", status)
        put(self, "headers", given)
        data, parts = _body(body, chunks)
        put(self, "body", data)
        put(self, "chunks", parts)
        put(self, "trailers", Headers(trailers))

    def __repr__(self) -> str:
        return self._repr(self.status)


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer resets the stream: before any answer, or after its headers."""

    after_headers: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """Nobody listens there."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """No answer ever comes."""


@dataclass(frozen=True, slots=True)
class NoHosts:
    """The cluster exists but has no hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcResponse:
    """What a gRPC cluster answers: messages, then a status."""

    messages: tuple[bytes, ...] = ()
    status: int = 0
    message: str = ""
    initial_metadata: HeadersLike = ()
    trailing_metadata: HeadersLike = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", tuple(to_bytes(m, "a gRPC message") for m in self.messages))
        object.__setattr__(self, "initial_metadata", Headers(self.initial_metadata))
        object.__setattr__(self, "trailing_metadata", Headers(self.trailing_metadata))


@dataclass(frozen=True, slots=True)
class After:
    """The answer comes so many virtual seconds later."""

    seconds: float
    answer: Response | GrpcResponse | Reset | ConnectionRefused | NoHosts


UpstreamAnswer: TypeAlias = "Response | Reset | ConnectionRefused | Timeout | After"
Upstream: TypeAlias = "UpstreamAnswer | Callable[[Request], UpstreamAnswer]"


@dataclass(frozen=True, slots=True)
class GuestLog:
    """One message a guest logged.

    Attributes:
        level: its level; messages on stdout have INFO, on stderr ERROR.
        raw: the message as bytes; ``message`` is its text view.
        context_id: the context that logged; 0 during the start functions.
        filter: the name of the filter, "" when it has none.
    """

    level: LogLevel
    raw: bytes
    context_id: int
    filter: str

    @property
    def message(self) -> str:
        """The message as text, UTF-8 with surrogateescape."""
        return to_text(self.raw)

    def __repr__(self) -> str:
        return (
            f"GuestLog(level=LogLevel.{self.level.name}, message={self.message!r}, "
            f"context_id={self.context_id}, filter={self.filter!r})"
        )


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as Envoy's stats show it.

    Attributes:
        kind: ``"counter"``, ``"gauge"`` or ``"histogram"``.
        value: the value of a counter or gauge (unsigned 64-bit); of a histogram the number of samples.
        samples: what was recorded into a histogram, in order.
    """

    kind: str
    value: int
    samples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalResponse:
    """The reply a filter sent with ``proxy_send_local_response``, as the filter gave it."""

    status: int
    headers: Headers
    body: bytes
    details: str
    grpc_status: int | None
    filter: str

    @property
    def text(self) -> str:
        """The body as text."""
        return to_text(self.body)


class Replacement(NamedTuple):
    """A header whose values changed: its values before and after."""

    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """What the filters made of a header map, by name.

    Attributes:
        added: names that were not there before, with their values.
        removed: names that are gone, with the values they had.
        replaced: names whose values differ.
    """

    added: dict[str, tuple[str, ...]] = field(default_factory=dict)
    removed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    replaced: dict[str, Replacement] = field(default_factory=dict)

    @classmethod
    def between(cls, before: Headers | None, after: Headers | None) -> HeaderChanges:
        """The changes from one map to another; a missing map counts as empty."""
        old = _values(before)
        new = _values(after)
        return cls(
            added={k: v for k, v in new.items() if k not in old},
            removed={k: v for k, v in old.items() if k not in new},
            replaced={k: Replacement(old[k], v) for k, v in new.items() if k in old and old[k] != v},
        )

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.replaced)


def _values(headers: Headers | None) -> dict[str, tuple[str, ...]]:
    result: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items() if headers is not None else ():
        result[name] = (*result.get(name, ()), value)
    return result


@dataclass(slots=True, kw_only=True)
class Callout:
    """A call a filter made to another service, HTTP or gRPC.

    Attributes:
        kind: ``"http"``, ``"grpc_call"`` or ``"grpc_stream"``.
        timeout: in seconds; ``None`` for no timeout.
        context_id: the context on whose behalf it was made.
        id: the id the guest got.
        body: the request's body; of gRPC the first message.
        outcome: ``None`` while pending; then what answered it; ``"cancelled"`` when the filter cancelled it.
        messages: all gRPC messages the filter has sent so far.
    """

    kind: str
    cluster: str
    method: str
    path: str
    headers: Headers
    body: bytes
    trailers: Headers
    timeout: float | None
    filter: str
    context_id: int
    id: int
    outcome: Any = None
    messages: list[bytes] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """One request and what became of it.

    Attributes:
        request: as the client sent it.
        upstream_request: what reached the upstream; ``None`` if nothing got there.
        upstream_response: what the upstream answered.
        response: what the client received; ``None`` if not a byte.
        outcome: ``"complete"``, ``"reset"`` (no response byte) or ``"cut"`` (the response broke off);
            ``None`` while it runs.
        details: Envoy's response code details.
        local_response: what a filter replied instead of the upstream, else ``None``.
        errors: what went wrong in the guest, with ``on_trap="continue"``.
    """

    request: Request | None = None
    upstream_request: Request | None = None
    upstream_response: Response | None = None
    response: Response | None = None
    outcome: str | None = None
    details: str = ""
    local_response: LocalResponse | None = None
    callouts: list[Callout] = field(default_factory=list)
    logs: list[GuestLog] = field(default_factory=list)
    errors: list[FilterError] = field(default_factory=list)
    trace: Trace = None  # type: ignore[assignment]
    request_before: Headers | None = None
    request_after: Headers | None = None
    response_before: Headers | None = None
    response_after: Headers | None = None

    @property
    def request_changes(self) -> HeaderChanges:
        """What the filters changed in the request headers: from what the first got to what the last let go."""
        return HeaderChanges.between(self.request_before, self.request_after)

    @property
    def response_changes(self) -> HeaderChanges:
        """What the filters changed in the response headers: from what the first got to what the last let go."""
        return HeaderChanges.between(self.response_before, self.response_after)

    def __repr__(self) -> str:
        if self.request is None:
            return "<Exchange, no request yet>"
        status = self.response.status if self.response is not None else "no response"
        outcome = self.outcome or "running"
        replied = ", local response" if self.local_response is not None else ""
        return f"<Exchange {self.request.method} {self.request.path} -> {status}, {outcome}{replied}>"
