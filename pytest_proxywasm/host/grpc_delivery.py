"""How answers to gRPC callouts reach the filter: the callbacks, their order, maps and texts.

Knows one call and its root context; knows no clusters. The rules are those of Envoy 1.40.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..headers import Headers, Text, to_bytes
from ..model import After, Callout, ConnectionRefused, GrpcResponse, NoHosts, Reset, Response, Timeout
from .buffers import Buffer
from .callouts import REFUSED_BODY, REMOTE_RESET_BODY, TIMEOUT_BODY, Answer, response_entries
from .clock import Timer
from .grpc_script import Script
from .grpc_service import frames, grpc_status
from .headermap import HeaderMap
from .http.reply import http_to_grpc, is_grpc, percent_encoded

if TYPE_CHECKING:
    from .context import RootContext

CALL, STREAM = "grpc_call", "grpc_stream"
INTERNAL, UNAVAILABLE, UNKNOWN = 13, 14, 2
HIGHEST_STATUS = 16
NO_STATUS = 0xFFFFFFFF
"""What a filter gets for a status that gRPC does not know."""

VIA_UPSTREAM = b"via_upstream"
BEFORE, AFTER = b"upstream_reset_before_response_started", b"upstream_reset_after_response_started"
REFUSED_DETAILS = BEFORE + b"{remote_connection_failure|delayed_connect_error:_Connection_refused}"
METADATA_CALLBACKS = ("proxy_on_grpc_receive_initial_metadata", "proxy_on_grpc_receive_trailing_metadata")
ENDLESS = (
    "proxy_grpc_stream to a cluster without hosts, after another gRPC call has failed in the same callback: Envoy "
    "tells the stream's metadata in a nested call, at the end of which it tries for ever to deliver the first failure, "
    "and the worker never comes back"
)
NO_HOSTS = b"no healthy upstream", b"no_healthy_upstream"


class GrpcDelivery:
    """A gRPC call or stream on its way back: it begins, receives messages and ends, once.

    Attributes:
        callout: what was called; ``callout.messages`` are the messages the filter has sent so far.
        closed: the filter has closed its side; a call's is closed from the start.
        local_closed: it did so with ``proxy_grpc_close``.
        by_hand: the cluster has no answer to it, so that only the test can give one.
    """

    def __init__(self, callout: Callout, root: RootContext) -> None:
        self.callout = callout
        self.closed = False
        self.local_closed = False
        self.by_hand = False
        self._root = root
        self._timer: Timer | None = None
        self._script: Script | None = None
        self._closed_ns = 0
        self._started = False
        self._over = False
        self._cancelled = False
        self._received: list[bytes] = []
        self._initial = Headers()

    @property
    def root(self) -> RootContext:
        """The root context that is told."""
        return self._root

    @property
    def open(self) -> bool:
        """Neither over nor cancelled."""
        return not (self._over or self._cancelled)

    def settle_later(self, answer: Answer) -> None:
        """Answer it as a handler said, when the running event is over or later."""
        delay = 0.0
        if isinstance(answer, After):
            delay, answer = answer.seconds, answer.answer
        settled = answer
        self._root.proxy.clock.call_later(delay, lambda: self.settle(settled))

    def settle(self, answer: Answer) -> None:
        """Answer it as a handler said."""
        if not self.open:
            return
        if isinstance(answer, After):
            self.settle_later(answer)
        elif isinstance(answer, GrpcResponse):
            self._respond(answer)
        elif isinstance(answer, Response):
            self._respond_http(answer)
        elif isinstance(answer, Reset):
            self._reset(answer.after_headers)
        elif isinstance(answer, ConnectionRefused):
            self._refuse()
        elif isinstance(answer, NoHosts):
            self._local(503, *NO_HOSTS, NoHosts())

    def _respond(self, answer: GrpcResponse) -> None:
        initial = Headers(answer.initial_metadata)
        if not self._started and not answer.messages and not len(initial) and answer.status != 0:
            # Servers answer an immediate error with one header block ("Trailers-Only").
            trailers = self._response_headers()
            self._add_end(trailers, answer)
            self._add_service_time(trailers)
            self._metadata("initial", HeaderMap())
            self._started = True
            self._metadata("trailing", trailers)
            self._close(answer.status, _wire(answer.message), VIA_UPSTREAM, answer)
            return
        if not self._started:
            self._begin(initial)
        for message in answer.messages:
            self._message(message)
        self._finish(answer)

    def _respond_http(self, response: Response) -> None:
        headers = HeaderMap.response(response_entries(response))
        self._add_service_time(headers)
        status = int(value) if (value := headers.get(b":status") or b"").isdigit() else 0
        alone = not response.body and not len(response.trailers)
        self._metadata("initial", HeaderMap() if alone or status != 200 else headers)
        self._started = True
        if status != 200 and not (alone and grpc_status(headers) is not None):
            self._error(http_to_grpc(status), VIA_UPSTREAM, response)
            return
        trailers = headers if alone else HeaderMap.trailers(response.trailers.raw)
        try:
            messages = frames(response.body)
        except ValueError:
            self._error(INTERNAL, VIA_UPSTREAM, response)
            return
        for message in messages:
            self._message(message)
        if not len(trailers):
            self._error(UNKNOWN, VIA_UPSTREAM, response)
            return
        self._metadata("trailing", trailers)
        status = UNKNOWN if (found := grpc_status(trailers)) is None else found
        self._close(status, trailers.get(b"grpc-message") or b"", VIA_UPSTREAM, response)

    def _time_out(self) -> None:
        if not self.open:
            return
        if self._started:
            self._error(INTERNAL, b"response_timeout", Timeout())
        else:
            self._local(504, TIMEOUT_BODY, b"response_timeout", Timeout())

    def _reset(self, after_headers: bool) -> None:
        if after_headers and not self._started:
            self._begin(Headers())
        outcome = Reset(after_headers=self._started)
        if self._started:
            self._error(INTERNAL, AFTER + b"{remote_reset}", outcome)
        else:
            self._local(503, REMOTE_RESET_BODY, BEFORE + b"{remote_reset}", outcome)

    def _refuse(self) -> None:
        self._local(503, REFUSED_BODY, REFUSED_DETAILS, ConnectionRefused())

    def no_hosts(self) -> None:
        """Nobody is there. Envoy notices inside the hostcall, and tells streams their metadata in a nested call."""
        message, details = NO_HOSTS
        vm = self._root.vm
        if self.callout.kind == STREAM and vm.deferred_closes and any(vm.has(name) for name in METADATA_CALLBACKS):
            raise self._root.proxy.crash(ENDLESS, callback=vm.running)
        self._metadata("initial", HeaderMap())
        self._metadata("trailing", self._local_trailers(503, message))
        self._forget()
        self._end(NoHosts())
        defer_close(self._root, self.callout.id, UNAVAILABLE, message + b"{" + details + b"}")

    # What the filter is told.

    def _response_headers(self) -> HeaderMap:
        return HeaderMap.response([(b":status", b"200"), (b"content-type", b"application/grpc")])

    def _add_service_time(self, headers: HeaderMap) -> None:
        """Envoy adds the time only to answers that begin after the filter has closed its side."""
        if self._root.proxy.envoy_headers and self.closed:
            waited = (self._root.proxy.clock.now_ns - self._closed_ns) // 1_000_000
            headers.add(b"x-envoy-upstream-service-time", b"%d" % waited)

    def _add_end(self, headers: HeaderMap, end: GrpcResponse) -> None:
        headers.add(b"grpc-status", b"%d" % end.status)
        if end.message:
            headers.add(b"grpc-message", _wire(end.message))
        for name, value in Headers(end.trailing_metadata).raw:
            headers.add(name, value)

    def _begin(self, metadata: Headers) -> None:
        if not self.open:
            return
        self._started = True
        self._initial = metadata
        headers = self._response_headers()
        for name, value in metadata.raw:
            headers.add(name, value)
        self._add_service_time(headers)
        self._metadata("initial", headers)

    def _metadata(self, which: str, headers: HeaderMap) -> None:
        """Streams are told their metadata; calls are not."""
        if self.callout.kind == CALL or not self._alive:
            return
        root = self._root
        setattr(root, f"grpc_{which}_metadata", headers)
        try:
            root.vm.callback(root, f"proxy_on_grpc_receive_{which}_metadata", self.callout.id, len(headers))
        finally:
            setattr(root, f"grpc_{which}_metadata", None)

    def _message(self, message: bytes) -> None:
        if not self.open:
            return
        if not self._started:
            self._begin(Headers())
        self._received.append(message)
        if self.callout.kind == STREAM:
            self._receive(message)

    def _receive(self, message: bytes) -> None:
        if not self._alive:
            return
        root = self._root
        root.grpc_message = Buffer(message)
        try:
            root.vm.callback(root, "proxy_on_grpc_receive", self.callout.id, len(message))
        finally:
            root.grpc_message = b""

    def _finish(self, end: GrpcResponse) -> None:
        if not self.open:
            return
        if not self._started:
            self._begin(Headers())
        trailers = HeaderMap.trailers()
        self._add_end(trailers, end)
        self._metadata("trailing", trailers)
        outcome = GrpcResponse(
            messages=tuple(self._received),
            status=end.status,
            message=end.message,
            initial_metadata=self._initial,
            trailing_metadata=end.trailing_metadata,
        )
        self._close(end.status, _wire(end.message), VIA_UPSTREAM, outcome)

    def _local(self, status: int, message: bytes, details: bytes, outcome: Any) -> None:
        """Envoy answers itself, in gRPC if the request still looks like it."""
        headers = HeaderMap.request(self.callout.headers.raw)
        self._started = True
        self._metadata("initial", HeaderMap())
        if not is_grpc(headers):
            self._error(http_to_grpc(status), details, outcome)
            return
        self._metadata("trailing", self._local_trailers(status, message))
        self._close(http_to_grpc(status), _wire(message), details, outcome)

    def _local_trailers(self, status: int, message: bytes) -> HeaderMap:
        trailers = self._response_headers()
        trailers.add(b"grpc-status", b"%d" % http_to_grpc(status))
        trailers.add(b"grpc-message", _wire(message))
        return trailers

    def _error(self, status: int, details: bytes, outcome: Any) -> None:
        """It broke: the filter gets empty trailing metadata and a status."""
        self._metadata("trailing", HeaderMap())
        self._close(status, b"", details, outcome)

    def _close(self, status: int, message: bytes, details: bytes, outcome: Any) -> None:
        if not self.open:
            return
        self._end(outcome)
        text = message + b"{" + details + b"}" if message else details
        if self.callout.kind == CALL and status == 0:
            if self._received:
                self._receive(self._received[-1])
                self._forget()
                return
            status, text = INTERNAL, b""
        tell_close(self._root, self.callout.id, status, text)
        if self.callout.kind == CALL or self.local_closed:
            self._forget()

    @property
    def _alive(self) -> bool:
        root = self._root
        return not (self._cancelled or root.dead or root.vm.failed)

    def _end(self, outcome: Any) -> None:
        self._over = True
        self.callout.outcome = outcome
        self._leave()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        pending = self._root.proxy.pending_callouts
        if self in pending:
            pending.remove(self)
        if self._script is not None:
            self._script.close()

    def _forget(self) -> None:
        self._root.grpc_callouts.pop(self.callout.id, None)


def _wire(message: Text) -> bytes:
    """A status message as it is sent, which is how filters see it."""
    return percent_encoded(to_bytes(message))


def defer_close(root: RootContext, call_id: int, status: int, text: bytes) -> None:
    """``proxy_on_grpc_close`` as soon as the running callback has returned."""
    vm = root.vm

    def close() -> None:
        vm.deferred_closes -= 1
        tell_close(root, call_id, status, text)

    vm.deferred_closes += 1
    vm.defer(close)


def tell_close(root: RootContext, call_id: int, status: int, text: bytes) -> None:
    """``proxy_on_grpc_close``; the guest can ask for code and text meanwhile, and for the code later."""
    if root.dead or root.vm.failed:
        return
    code = status if 0 <= status <= HIGHEST_STATUS else NO_STATUS
    if root.vm.has("proxy_on_grpc_close"):
        root.status_code, root.status_message = code, text
    try:
        root.vm.callback(root, "proxy_on_grpc_close", call_id, code)
    finally:
        root.status_message = b""
