"""An HTTP stream as a proxy runs it: connection manager, filter chain and router around one exchange.

Knows contexts and directions; knows neither sockets nor guests, and not who drives it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ...errors import UsageError
from ...headers import Headers, to_number
from ...model import Action, Exchange, LocalResponse
from ..buffers import Buffer
from ..clock import Timer
from ..filter_state import FilterState
from ..headermap import HeaderMap, Pair
from ..proxy import Proxy
from .codec import request_of, response_of
from .connection_manager import prepare_request_headers, status_of
from .context import HttpContext, Side
from .ends import ClientEnd, RouterEnd
from .iteration import Direction
from .reply import REASONS, http_to_grpc, is_grpc, local_reply
from .router import Route, Routes, Sending

FLAG_UPSTREAM_TIMEOUT = 0x4
FLAG_UPSTREAM_CONNECTION_FAILURE = 0x20
FLAG_UPSTREAM_CONNECTION_TERMINATION = 0x40
FLAG_DOWNSTREAM_DISCONNECT = 0x4000
FLAG_UPSTREAM_PROTOCOL_ERROR = 0x800000

ContextFactory = Callable[["HttpStreamCore"], "HttpContext | None"]


class HttpStreamCore:
    """One HTTP stream.

    Attributes:
        ended: the final log runs or has run; nothing can be sent any more.
        finished: all contexts are deleted.
        upstream_headers: what the router sent; ``None`` until then.
        upstream_attempts: how often the router tried to send it.
        upstream_chosen: the router has chosen a host, which need not take the request.
        local_status: that of a local reply.
        replaced: a local reply takes the place of the upstream's response, which ends the stream.
        last_action: what the last stream callback returned; ``None`` if none was called since it was last reset.
    """

    undone = False
    """The host was restored to a checkpoint from before it: it never was."""

    def __init__(
        self,
        proxy: Proxy,
        factories: Sequence[ContextFactory],
        exchange: Exchange,
        *,
        http_version: str = "1.1",
        routes: Routes | None = None,
    ) -> None:
        self.proxy = proxy
        self.exchange = exchange
        self.http_version = http_version
        self.connection_id = proxy.next_connection_id()
        self.filter_state = FilterState()
        self.details = ""
        self.has_details = False
        self.local_status: int | None = None
        self.replaced = False
        self.flags = 0
        self.started_ns = proxy.clock.now_ns
        self.ended_ns: int | None = None
        self.request_size = 0
        self.is_head = False
        self.is_grpc = False
        self.response_size = 0
        self.routes = routes or Routes()
        self.route: Route | None = None
        self.request_protocol = "HTTP/2" if http_version == "2" else "HTTP/1.1"
        self.request_read = False
        self.ended = False
        self.finished = False
        self.last_action: Action | None = None
        self.last_context: HttpContext | None = None
        self.paused_callbacks: dict[int, str] = {}
        # What left towards the upstream and the client.
        self.upstream_headers: HeaderMap | None = None
        self.upstream_body = bytearray()
        self.upstream_trailers: HeaderMap | None = None
        self.upstream_complete = False
        self.upstream_started_ns = 0
        self.sending = Sending()
        self.upstream_failed = False
        self.upstream_attempts = 0
        self.upstream_chosen = False
        self.upstream_connected = False
        self.answered = False
        self.answered_status: int | None = None
        self.received_ns = 0
        self.transport_failure = ""
        self.source_port = 40_000 + self.connection_id
        self.destination_port = 10_000
        self.upstream_port = 8080
        self.upstream_local_port = 50_000 + self.connection_id
        self.on_upstream_complete: Callable[[], None] | None = None
        self.client_headers: HeaderMap | None = None
        self.client_body = bytearray()
        self.client_trailers: HeaderMap | None = None
        self.client_complete = False
        # The pieces last read: filters may still hold them when they have been passed on, and they end with the event.
        self._request_data = Buffer()
        self._response_data = Buffer()
        self._prepared: Callable[[], None] | None = None
        self._timeout: Timer | None = None
        self.contexts = [c for make in factories if (c := make(self)) is not None]
        limit = proxy.buffer_limit
        self.request = Direction(
            [c.request for c in self.contexts], limit, self._too_large, self._run_prepared, is_request=True
        )
        self.response = Direction(
            [c.response for c in reversed(self.contexts)], limit, self._response_too_large, self._run_prepared
        )
        self.request.sink = RouterEnd(self)
        self.response.sink = ClientEnd(self)

    # The client's side.

    def request_headers(self, headers: HeaderMap, end_of_stream: bool) -> None:
        """The request's headers, complete with pseudo headers."""
        if self.request.headers_map is not None:
            raise UsageError("this stream has got its request headers already")
        self.request_read = end_of_stream
        self.is_head = headers.get(b":method") == b"HEAD"
        if self.proxy.envoy_headers:
            prepare_request_headers(headers, self.proxy, http1=self.http_version != "2")
        self.is_grpc = is_grpc(headers)  # whatever filters make of the content type later (Envoy 1.40)
        self.route = self.routes.select(headers) if self.proxy.envoy_headers else self.routes.any()
        self.exchange.request_before = Headers.from_raw(headers.entries)
        self.request.headers(headers, end_of_stream)

    def request_body(self, data: bytes, end_of_stream: bool) -> None:
        """A piece of the request's body."""
        self._check_request("body")
        self.request_size += len(data)
        self.request_read = end_of_stream
        self._request_data = Buffer(data)
        self.request.data(self._request_data, end_of_stream)
        self._request_data.take()

    def request_trailers(self, trailers: HeaderMap) -> None:
        """The request's trailers."""
        self._check_request("trailers")
        self.request_read = True
        self.request.trailers(trailers)
        self._request_data.take()

    def _check_request(self, what: str) -> None:
        if self.request.headers_map is None:
            raise UsageError(f"request {what} before request headers")
        if self.request.complete:
            raise UsageError(f"request {what} after the end of the request")

    def reset(self, by: str) -> None:
        """The stream breaks off: by the client (``downstream``), or a filter's ``proxy_close_stream`` (``wasm``)."""
        if self.ended:
            return
        if by == "downstream":
            self.details = "downstream_remote_disconnect"
            self.flags |= FLAG_DOWNSTREAM_DISCONNECT
        self.end("cut" if self.client_headers is not None else "reset")

    # The upstream's side.

    def response_headers(self, headers: HeaderMap, end_of_stream: bool) -> None:
        """The upstream's response headers."""
        self._check_response("headers")
        self.upstream_connected = True
        if self.answered:
            raise UsageError("this stream has got its response headers already")
        self.answered = True
        self.answered_status = status_of(headers)
        if self.proxy.envoy_headers and self.upstream_complete:
            waited = (self.proxy.clock.now_ns - self.upstream_started_ns) // 1_000_000
            headers.set(b"x-envoy-upstream-service-time", b"%d" % waited)
        if not self.details:
            self.details = "via_upstream"
        self.exchange.response_before = Headers.from_raw(headers.entries)
        self._response_complete(end_of_stream)
        self.response.headers(headers, end_of_stream)

    def response_body(self, data: bytes, end_of_stream: bool) -> None:
        """A piece of the upstream's response body."""
        self._check_response("body", after_headers=True)
        self._response_complete(end_of_stream)
        self._response_data = Buffer(data)
        self.response.data(self._response_data, end_of_stream)
        self._response_data.take()

    def response_trailers(self, trailers: HeaderMap) -> None:
        """The upstream's response trailers."""
        self._check_response("trailers", after_headers=True)
        self._response_complete(True)
        self.response.trailers(trailers)
        self._response_data.take()

    def _check_response(self, what: str, *, after_headers: bool = False) -> None:
        if self.upstream_headers is None:
            raise UsageError(
                f"response {what}, but no request has reached the upstream"
                + (": a filter holds it" if self.request.held_by is not None else "")
            )
        if after_headers and not self.answered:
            raise UsageError(f"response {what} before response headers")
        if self.response.complete:
            raise UsageError(f"response {what} after the end of the response")

    def _response_complete(self, end_of_stream: bool) -> None:
        if end_of_stream:
            self.received_ns = self.proxy.clock.now_ns
            if self._timeout is not None:
                self._timeout.cancel()

    def connect_upstream(self) -> None:
        """The router asks for a connection, which is there when the running event is over.

        So a stream that ends while its request is still arriving never shows up at the upstream, and what filters
        change in the headers until then does (Envoy, with a fresh connection).
        """

        def connected() -> None:
            if not self.ended and not self.upstream_failed:
                self.upstream_connected = True
                if self.upstream_headers is not None:
                    self.upstream_headers = self.upstream_headers.copy()

        self.proxy.clock.call_later(0, connected)

    def upstream_reset(self, reason: str = "connection_termination", transport_failure: str = "") -> None:
        """The upstream connection broke or was never made; while the client has no headers, Envoy replies."""
        if self.ended or self.upstream_failed or self.response.complete:
            return
        self.upstream_failed = True
        if self._timeout is not None:
            self._timeout.cancel()
        if self.answered and reason == "connection_termination":
            reason = "protocol_error"  # a response that breaks off is not a complete message (Envoy 1.40, HTTP/1.1)
        named = f"{reason}|{transport_failure.replace(' ', '_')}" if transport_failure else reason
        self.transport_failure = transport_failure
        if reason == "remote_connection_failure":
            self.upstream_connected = False
            self.flags |= FLAG_UPSTREAM_CONNECTION_FAILURE
        elif reason == "protocol_error":
            self.flags |= FLAG_UPSTREAM_PROTOCOL_ERROR
        else:
            self.flags |= FLAG_UPSTREAM_CONNECTION_TERMINATION
        text = "upstream connect error or disconnect/reset before headers. reset reason: " + reason.replace("_", " ")
        if not self.answered:
            self.send_local_reply(
                503, text.encode(), [], f"upstream_reset_before_response_started{{{named}}}", grpc_status=14
            )
            return
        details = f"upstream_reset_after_response_started{{{named}}}"
        if self.client_headers is None:
            # A filter holds the response, so that the client has not seen any of it (Envoy 1.40).
            self.send_local_reply(502, text.encode(), [], details, grpc_status=14)
        else:
            self.details = details
            self.end("cut")

    # What filters ask for.

    def resume(self, context: HttpContext, side: Side) -> None:
        """A filter resumes a direction."""
        if self.ended:
            return
        if side.direction == "response" and self.response.headers_map is None:
            raise self.proxy.crash(
                f"filter {context.label!r} resumed the response (proxy_continue_stream HTTP_RESPONSE) of a stream that "
                "has no response headers yet. A real Envoy process crashes there (segmentation fault).",
                callback=context.last_callback,
            )
        self.paused_callbacks.pop(id(side), None)
        (self.request if side.direction == "request" else self.response).resume(side)

    def note_action(self, context: HttpContext, name: str, verdict: Any) -> None:
        """A stream callback returned; remember what holds the stream."""
        event_name = name.removeprefix("proxy_on_")
        side = context.request if event_name.startswith("request") else context.response
        if verdict.name == "CONTINUE":
            self.paused_callbacks.pop(id(side), None)
        else:
            self.paused_callbacks[id(side)] = name
        self.last_context = context

    def local_response_of(
        self, context: HttpContext, status: int, headers: list[Pair], body: bytes, details: str, grpc_status: int
    ) -> LocalResponse:
        """The user's view of a local response."""
        return LocalResponse(
            status=status,
            headers=Headers.from_raw(headers),
            body=body,
            details=details,
            grpc_status=grpc_status if 0 <= grpc_status <= 16 else None,
            filter=context.label,
        )

    def send_local_reply(
        self,
        status: int,
        body: bytes,
        headers: list[Pair],
        details: str,
        *,
        grpc_status: int | None = None,
        given: LocalResponse | None = None,
    ) -> None:
        """Answer without the upstream.

        Before there are response headers the reply passes the response callbacks of the chain; once they are on their
        way it goes to the client directly; when the client has headers, all that is left is to cut (Envoy).
        """
        if self.ended or self._prepared is not None:
            return
        if self.response.headers_map is None and self.request.aborted:
            return
        during = "request" if self.request.running else "response" if self.response.running else ""
        if given is not None and self.exchange.local_response is None and self.client_headers is None:
            self.exchange.local_response = given
        self.details = details
        self.has_details = True
        if self.client_headers is None:
            self.local_status = status & 0xFFFF
        reply, content = local_reply(
            status,
            body,
            headers,
            grpc_status=grpc_status,
            grpc=self.is_grpc,
            head=self.is_head,
        )
        if during == "request":
            self.request.aborted = True
        elif during == "response":
            self.response.aborted = True
        if self._timeout is not None:
            self._timeout.cancel()
        if self.response.headers_map is None:

            def through_chain() -> None:
                # A filter's reply from outside the chain's callbacks does not keep it from resuming (Envoy 1.40).
                self.request.aborted = self.request.aborted or given is None or during != ""
                self.upstream_failed = True
                self.exchange.response_before = Headers.from_raw(reply.entries)
                self.response.headers(reply, not content)
                if content and not self.ended:
                    self.response.data(Buffer(content), True)

            if during == "request":
                self._prepared = through_chain
            else:
                through_chain()
        elif self.client_headers is None:
            self.response.aborted = True
            self.response.headers_map = reply
            client = self.response.sink
            self.replaced = True
            client.headers(reply, not content)
            if content and not self.ended:
                client.data(content, True)
        else:
            self.end("cut")

    def _run_prepared(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared()

    def _too_large(self) -> None:
        self.send_local_reply(413, REASONS[413], [], "request_payload_too_large")

    def _response_too_large(self) -> None:
        self.send_local_reply(500, REASONS[500], [], "response_payload_too_large")

    # The end.

    def end(self, outcome: str) -> None:
        """Nothing more will be sent: final logs, then done and delete of every filter."""
        if self.ended:
            return
        self.ended = True
        self.ended_ns = self.proxy.clock.now_ns
        self.exchange.outcome = outcome
        self.request.aborted = self.response.aborted = True
        self._prepared = None
        if self._timeout is not None:
            self._timeout.cancel()
        for context in self.contexts:
            context.final_log()
        for context in self.contexts:
            context.destroy()
        self.finished = True

    def upstream_timed_out(self) -> None:
        """The route's timeout: Envoy answers 504, or cuts when the client has got a part of a response."""
        self.upstream_failed = True
        self.flags |= FLAG_UPSTREAM_TIMEOUT
        if self.client_headers is not None:
            self.details = "response_timeout"
            self.end("cut")
        elif self.sending.empty_on_timeout:
            self.send_local_reply(204, b"", [], "response_timeout")
        else:
            self.send_local_reply(504, b"upstream request timeout", [], "response_timeout", grpc_status=14)

    def arm_timeout(self) -> None:
        """The request is complete at the router: the route's timeout runs."""
        if self.sending.timeout_ns and not self.ended and not self.response.complete:
            clock = self.proxy.clock
            self._timeout = clock.call_at(clock.now_ns + self.sending.timeout_ns, self.upstream_timed_out)

    # What properties say.

    virtual_host = "vh"

    @property
    def route_for_properties(self) -> Route | None:
        """The route as filters see it: chosen when the request arrived, again only at the router."""
        return self.route

    @property
    def response_code(self) -> int | None:
        """The status the client gets, once it is known."""
        if self.client_headers is None and self.local_status is not None:
            return self.local_status
        status = status_of(self.client_headers) if self.client_headers is not None else self.answered_status
        return status % (1 << 32) if status is not None else None

    @property
    def code_details(self) -> str | None:
        """Why the response is as it is, once that is known."""
        return self.details if self.details or self.has_details else None

    @property
    def closes_connection(self) -> bool:
        """Over HTTP/1.1 after a response that came before the request's end, and after a reply of 400 (Envoy)."""
        return self.http_version != "2" and (not self.request_read or self.local_status == 400)

    def grpc_status(self, headers: HeaderMap | None, trailers: HeaderMap | None) -> int | None:
        """The gRPC status of a response as a filter sees it; of a plain one, what its HTTP status amounts to.

        A filter that has seen the upstream's headers still sees them when a local reply has replaced them (Envoy 1.40).
        """
        if self.response.headers_map is None:
            return None
        seen = (
            trailers if trailers is not None else self.response.trailers_map,
            headers if headers is not None else self.response.headers_map,
        )
        for map in seen:
            value = map.get(b"grpc-status") if map is not None else None
            number = to_number(value) if value is not None else None
            if number is not None:
                return number
        code = self.response_code
        return http_to_grpc(code) if code is not None else None

    @property
    def backend_latency_ns(self) -> int | None:
        """From the request's end at the router to the response's, once that is there."""
        return self.received_ns - self.upstream_started_ns if self.received_ns else None

    # The user's view.

    def sync(self) -> Exchange:
        """Bring the exchange up to date."""
        exchange = self.exchange
        if self.upstream_headers is not None and (self.upstream_connected or not (self.ended or self.upstream_failed)):
            exchange.upstream_request = request_of(
                self.upstream_headers, bytes(self.upstream_body), self.upstream_trailers
            )
        else:
            exchange.upstream_request = None
        if self.client_headers is not None:
            http1 = self.request_protocol != "HTTP/2"
            # To HEAD an HTTP/1.1 codec writes no body, whatever the filters made of the request's method.
            body = b"" if http1 and self.is_head else bytes(self.client_body)
            exchange.response = response_of(self.client_headers, body, self.client_trailers, http1=http1)
        exchange.details = self.details
        return exchange
