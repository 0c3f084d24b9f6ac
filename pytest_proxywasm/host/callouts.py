"""Calls that filters make to other services: clusters, what is pending, and how answers come back.

Knows clusters and contexts; knows no streams.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..abi.enums import Status
from ..errors import UsageError
from ..headers import to_text
from ..model import (
    After,
    Callout,
    ConnectionRefused,
    GrpcResponse,
    NoHosts,
    Reset,
    Response,
    Timeout,
)
from . import reasons
from .clock import Timer
from .headermap import HeaderMap, Pair
from .http.router import prepare_upstream_headers, problem_with_request

if TYPE_CHECKING:
    from .context import Context, RootContext

Answer = Response | GrpcResponse | Timeout | Reset | ConnectionRefused | NoHosts | After

CONNECT_ERROR = b"upstream connect error or disconnect/reset before headers. reset reason: "
REFUSED_BODY = CONNECT_ERROR + b"remote connection failure"
TERMINATED_BODY = CONNECT_ERROR + b"connection termination"
REMOTE_RESET_BODY = CONNECT_ERROR + b"remote reset"
TIMEOUT_BODY = b"upstream request timeout"


@dataclass(frozen=True, slots=True)
class Refused:
    """Envoy does not send the call: its headers are invalid. The filter gets a 503 that says why."""

    why: bytes


@dataclass(slots=True)
class CalloutAnswer:
    """What ``proxy_on_http_call_response`` lets the guest read."""

    headers: HeaderMap
    body: bytes
    trailers: HeaderMap | None


class Cluster:
    """A service filters can call.

    The handler is an answer, a list of answers (one per call), a callable from `Callout` to an answer, or ``None``:
    then calls wait in ``host.pending_callouts``. gRPC calls and streams may also be answered by a generator function
    from `Callout` (see ``Script``).
    """

    def __init__(self, name: str, handler: Any = None) -> None:
        self.name = name
        self.handler = handler
        self._used = 0

    def answer(self, callout: Callout) -> Answer | None:
        """What this call is answered with; ``None`` leaves it to the test."""
        handler = self.choose(callout)
        return None if handler is None else self.resolve(handler, callout)

    def choose(self, callout: Callout) -> Any:
        """What answers this call: the handler, or the next one of a list."""
        handler = self.handler
        if isinstance(handler, list):
            if self._used >= len(handler):
                raise UsageError(
                    f"cluster {self.name!r} has {len(handler)} answers, and this is call {self._used + 1}: "
                    f"{callout.method} {callout.path}"
                )
            handler = handler[self._used]
            self._used += 1
        return handler

    def resolve(self, handler: Any, callout: Callout) -> Any:
        """The answer a handler gives; gRPC may also be answered by a generator."""
        answer = handler(callout) if callable(handler) else handler
        if callout.kind != "http" and inspect.isgenerator(answer):
            return answer
        if not isinstance(answer, (Response, GrpcResponse, Timeout, Reset, ConnectionRefused, NoHosts, After)):
            raise UsageError(
                f"the handler of cluster {self.name!r} gave {answer!r}; it must give a pw.Response, pw.GrpcResponse, "
                "pw.Timeout(), pw.Reset(), pw.ConnectionRefused(), pw.NoHosts() or pw.After(seconds, answer)"
            )
        return answer


class PendingCallout:
    """An HTTP call that has not been answered yet.

    A test answers it with `respond`, `time_out` or `reset`, in any order and at any time.

    Attributes:
        by_hand: the cluster has no answer to it, so that only the test can give one.
    """

    def __init__(self, callout: Callout, context: RootContext, timer: Timer | None) -> None:
        self.callout = callout
        self._root = context
        self._timer = timer
        self.by_hand = False

    @property
    def root(self) -> RootContext:
        """The root context that is told."""
        return self._root

    def drop(self) -> None:
        """The root context is gone: there is nobody to tell."""
        if self._timer is not None:
            self._timer.cancel()
        pending = self._root.proxy.pending_callouts
        if self in pending:
            pending.remove(self)

    def respond(self, response: Response) -> None:
        """The cluster answers."""
        headers = HeaderMap.response(response_entries(response))
        if self._root.proxy.envoy_headers:
            headers.add(b"x-envoy-upstream-service-time", b"0")
        trailers = HeaderMap.trailers(response.trailers.raw) if len(response.trailers) else None
        self._deliver(response, CalloutAnswer(headers, response.body, trailers))

    def time_out(self) -> None:
        """No answer came in time: Envoy hands the filter a 504."""
        self._deliver(Timeout(), _local(504, TIMEOUT_BODY))

    def reset(self, after_headers: bool = False) -> None:
        """The connection breaks: before the answer's headers the filter gets a 503, after them nothing at all."""
        outcome = Reset(after_headers=after_headers)
        self._deliver(outcome, None if after_headers else _local(503, TERMINATED_BODY))

    def refuse(self) -> None:
        """Nobody listens: Envoy hands the filter a 503."""
        self._deliver(ConnectionRefused(), _local(503, REFUSED_BODY))

    def _deliver(self, outcome: Any, answer: CalloutAnswer | None) -> None:
        root = self._root
        pending = root.proxy.pending_callouts
        if self not in pending and self.callout.outcome is None:
            raise UsageError(
                f"callout {self.callout.id} is gone: its VM was replaced, or its host was restored to a checkpoint "
                "from before it was made"
            )
        if self not in pending:
            raise UsageError(f"callout {self.callout.id} has been answered before: {self.callout.outcome!r}")
        pending.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        self.callout.outcome = outcome
        if root.dead or root.vm.failed:
            return
        root.answer = answer
        headers = len(answer.headers) if answer is not None else 0
        body = len(answer.body) if answer is not None else 0
        trailers = len(answer.trailers) if answer is not None and answer.trailers is not None else 0
        if answer is None:
            root.status_code, root.status_message = Status.BROKEN_CONNECTION, b"reset"
        try:
            root.vm.callback(root, "proxy_on_http_call_response", self.callout.id, headers, body, trailers)
        finally:
            root.answer = None
            root.status_message = b""
        root.proxy.test_acted()

    def settle(self, answer: Answer | Refused) -> None:
        """Answer it as a handler said."""
        if isinstance(answer, Response):
            self.respond(answer)
        elif isinstance(answer, Timeout):
            self.time_out()
        elif isinstance(answer, Reset):
            self.reset(answer.after_headers)
        elif isinstance(answer, (ConnectionRefused, NoHosts)):
            self.refuse()
        elif isinstance(answer, Refused):
            self._deliver(Reset(), _local(503, answer.why))
        else:
            raise UsageError(f"{answer!r} does not answer an HTTP call")

    def __repr__(self) -> str:
        c = self.callout
        return f"<PendingCallout {c.id}: {c.method} {c.path} to cluster {c.cluster!r}>"


def _local(status: int, body: bytes) -> CalloutAnswer:
    headers = HeaderMap.response(
        [(b":status", b"%d" % status), (b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
    )
    return CalloutAnswer(headers, body, None)


def response_entries(response: Response) -> list[Pair]:
    """The header map of a response that a test gave: its status first, and a content-length where one belongs."""
    entries = list(response.headers.raw)
    if ":status" not in response.headers:
        entries.insert(0, (b":status", b"%d" % response.status))
    framed = "content-length" in response.headers or "transfer-encoding" in response.headers
    bodiless = response.status in (204, 304) and not response.body
    if not framed and not bodiless:
        if response.chunks is None and not len(response.trailers):
            entries.append((b"content-length", b"%d" % len(response.body)))
        else:
            entries.append((b"transfer-encoding", b"chunked"))
    return entries


def http_call(
    context: Context,
    cluster_name: bytes,
    entries: list[Pair],
    body: bytes,
    trailers: list[Pair],
    timeout_ms: int,
) -> int | Status:
    """Start an HTTP call; its id, or why there is none (Envoy 1.40: E6, E11 of its observed behaviour)."""
    proxy = context.proxy
    name = to_text(cluster_name)
    cluster = proxy.clusters.get(name)
    headers = HeaderMap.request(entries)
    path, method, host = (headers.get(key) for key in (b":path", b":method", b":authority"))
    if timeout_ms >= 1 << 31:
        return context.because(Status.BAD_ARGUMENT, reasons.bad_timeout, timeout_ms)
    if cluster is None:
        return context.because(Status.BAD_ARGUMENT, reasons.no_cluster, name, tuple(proxy.clusters))
    if path is None or method is None or host is None:
        given = {":method": method, ":path": path, ":authority": host}
        missing = tuple(key for key, value in given.items() if value is None)
        sent = tuple(key for key, _ in headers.entries)
        return context.because(Status.BAD_ARGUMENT, reasons.no_pseudo_header, missing, sent)
    if body:
        headers.set(b"content-length", b"%d" % len(body))
    headers.set(b"x-envoy-internal", b"true")
    timeout_ns = prepare_upstream_headers(headers, timeout_ms).timeout_ns
    root = context.root
    if root.vm.scratch and not isinstance(cluster.handler, NoHosts):
        return root.vm.new_call_id("http")
    from .context import headers_of

    callout = Callout(
        kind="http",
        cluster=name,
        method=to_text(method),
        path=to_text(path),
        headers=headers_of(headers),
        body=body,
        trailers=headers_of(HeaderMap.request_trailers(trailers)),
        timeout=timeout_ns / 1e9 if timeout_ns else None,
        filter=context.label,
        context_id=context.id,
        id=0,
    )
    problem = problem_with_request(headers)
    answer = cluster.answer(callout) if problem is None else Refused(problem)
    call_id = root.vm.new_call_id("http")  # also for a call that then cannot be made (Envoy 1.40)
    if isinstance(answer, NoHosts):
        callout.outcome = answer
        proxy.callouts.add(callout)
        return context.because(Status.INTERNAL_FAILURE, reasons.no_hosts, name)
    if isinstance(answer, GrpcResponse):
        raise UsageError(f"cluster {name!r} answers gRPC, but the filter made an HTTP call: {callout.method} {path!r}")
    callout.id = call_id
    proxy.callouts.add(callout)
    _start(callout, root, answer)
    return callout.id


def _start(callout: Callout, root: RootContext, answer: Answer | Refused | None) -> None:
    proxy = root.proxy
    pending = PendingCallout(callout, root, None)
    proxy.pending_callouts.append(pending)
    if callout.timeout is not None:
        pending._timer = proxy.clock.call_later(callout.timeout, pending.time_out)
    pending.by_hand = answer is None
    delay = 0.0
    if isinstance(answer, After):
        delay, answer = answer.seconds, answer.answer
    if answer is None or isinstance(answer, Timeout):
        return
    settled = answer

    def settle() -> None:
        if pending in proxy.pending_callouts:
            pending.settle(settled)

    proxy.clock.call_later(delay, settle)
