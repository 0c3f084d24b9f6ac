"""The two ends of a filter chain: the router that sends requests on, and the way back to the client.

Knows the stream it belongs to; knows neither filters nor guests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ...errors import AbiError
from ...headers import Headers, to_text
from ...model import NoHosts
from ..headermap import HeaderMap
from .connection_manager import finish_response_headers, removed_required_header
from .router import mend_scheme, prepare_upstream_headers, problem_with_request

FLAG_NO_HEALTHY_UPSTREAM = 0x2
FLAG_NO_ROUTE = 0x100
FLAG_INVALID_UPSTREAM_REQUEST = 0x40000

if TYPE_CHECKING:
    from .stream import HttpStreamCore


class RouterEnd:
    """The end of the request direction."""

    def __init__(self, stream: HttpStreamCore) -> None:
        self._stream = stream

    def headers(self, headers: HeaderMap, end_of_stream: bool) -> None:
        """Headers left the last filter."""
        stream = self._stream
        if stream.upstream_headers is not None or stream.upstream_failed:
            return
        stream.exchange.request_after = Headers.from_raw(headers.entries)
        stream.route = stream.routes.select(headers) if stream.proxy.envoy_headers else stream.routes.any()
        if stream.route is None:
            stream.flags |= FLAG_NO_ROUTE
            stream.send_local_reply(404, b"", [], "route_not_found", grpc_status=12)
            return
        if stream.route.direct is not None:
            status, body = stream.route.direct
            stream.send_local_reply(status, body, [], "direct_response")
            return
        stream.upstream_attempts = 1
        if stream.proxy.envoy_headers:
            stream.sending = prepare_upstream_headers(headers, stream.route.timeout_ms)
            mend_scheme(headers)
        cluster = stream.proxy.clusters.get(stream.route.cluster)
        if cluster is not None and isinstance(cluster.handler, NoHosts):
            stream.flags |= FLAG_NO_HEALTHY_UPSTREAM
            stream.send_local_reply(503, b"no healthy upstream", [], "no_healthy_upstream", grpc_status=14)
            return
        stream.upstream_chosen = True
        problem = problem_with_request(headers)
        if problem is not None:
            # It shows when there is a connection: what a filter lets go along with the headers is on its way by then.
            stream.upstream_failed = True
            stream.request.when_resumed(lambda: self._refuse(problem))
            return
        stream.upstream_headers = headers
        stream.connect_upstream()
        stream.upstream_started_ns = stream.proxy.clock.now_ns
        if end_of_stream:
            self._complete()

    def _refuse(self, problem: bytes) -> None:
        """The request lacks what the upstream needs."""
        stream = self._stream
        if stream.ended:
            return
        stream.upstream_connected = True
        stream.flags |= FLAG_INVALID_UPSTREAM_REQUEST
        details = problem.decode("utf-8", "surrogateescape").replace(" ", "_")
        stream.send_local_reply(503, problem, [], f"filter_removed_required_request_headers{{{details}}}")

    def data(self, data: bytes, end_of_stream: bool) -> None:
        """Data left the last filter."""
        stream = self._stream
        if self._closed:
            return
        stream.upstream_body += data
        if end_of_stream:
            self._complete()

    def trailers(self, trailers: HeaderMap) -> None:
        """Trailers left the last filter."""
        stream = self._stream
        if self._closed:
            return
        stream.upstream_trailers = trailers.copy()
        self._complete()

    @property
    def _closed(self) -> bool:
        """Nothing goes to the upstream any more: it has everything, or never will."""
        stream = self._stream
        return stream.upstream_complete or stream.upstream_headers is None or stream.upstream_failed

    def _complete(self) -> None:
        self._stream.upstream_complete = True
        self._stream.upstream_started_ns = self._stream.proxy.clock.now_ns
        self._stream.arm_timeout()
        if self._stream.on_upstream_complete is not None:
            self._stream.on_upstream_complete()


class ClientEnd:
    """The end of the response direction: the connection manager on the way to the client."""

    def __init__(self, stream: HttpStreamCore) -> None:
        self._stream = stream

    def headers(self, headers: HeaderMap, end_of_stream: bool) -> None:
        """Headers left the last filter."""
        stream = self._stream
        if stream.client_headers is not None:
            who = f"filter {stream.last_context.label!r}" if stream.last_context is not None else "the filter"
            stream.proxy.report(
                AbiError(
                    f"{who} resumed the response (proxy_continue_stream HTTP_RESPONSE) inside "
                    "proxy_on_response_headers and then returned Continue, so the response headers leave twice. Envoy "
                    "1.40 sends both to the client, which breaks the response. Do one or the other.",
                    callback="proxy_on_response_headers",
                )
            )
            return
        if not stream.replaced:
            stream.exchange.response_after = Headers.from_raw(headers.entries)
        problem = removed_required_header(headers)
        if problem is not None and not stream.response.aborted:
            stream.response.aborted = True
            stream.send_local_reply(
                502,
                problem,
                [],
                "filter_removed_required_response_headers{" + to_text(problem).replace(" ", "_") + "}",
            )
            return
        if stream.proxy.envoy_headers:
            finish_response_headers(
                headers,
                stream.proxy.clock.now,
                close=stream.closes_connection,
                request=stream.request.headers_map,
            )
        stream.client_headers = headers.copy()
        if end_of_stream:
            self._complete()

    def data(self, data: bytes, end_of_stream: bool) -> None:
        """Data left the last filter."""
        stream = self._stream
        if stream.client_complete or stream.client_headers is None:
            return
        stream.client_body += data
        stream.response_size += len(data)
        if end_of_stream:
            self._complete()

    def trailers(self, trailers: HeaderMap) -> None:
        """Trailers left the last filter."""
        stream = self._stream
        if stream.client_complete or stream.client_headers is None:
            return
        stream.client_trailers = trailers.copy()
        self._complete()

    def _complete(self) -> None:
        self._stream.client_complete = True
        self._stream.end("complete")
