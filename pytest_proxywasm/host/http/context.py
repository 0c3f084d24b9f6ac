"""A filter's context of one HTTP stream: what its callbacks see and what its hostcalls do.

Knows its stream; how the stream travels is `iteration`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ...abi.enums import BufferType, MapType, Status
from ...headers import to_text
from ...model import Action
from .. import reasons
from ..buffers import Buffer, BufferView
from ..context import Context, RootContext
from ..headermap import HeaderMap, Pair
from ..plugin import FAIL_OPEN_LEGACY, PluginConfig
from ..vm import Vm
from .iteration import Direction
from .table import (
    DataVerdict,
    HeadersVerdict,
    TrailersVerdict,
    data_verdict,
    headers_verdict,
    trailers_verdict,
)

if TYPE_CHECKING:
    from .stream import HttpStreamCore


class Side:
    """What a context holds of one direction; it is the filter that direction calls.

    Attributes:
        headers: readable and writable while set: from its callback on, until it lets the headers go.
        body: the data of the last body callback, unless it was passed on.
        buffering: the last body callback asked to keep the data.
        buffer: what hostcalls call the body.
    """

    def __init__(self, context: HttpContext, direction: str) -> None:
        self.context = context
        self.direction = direction
        self.headers: HeaderMap | None = None
        self.trailers: HeaderMap | None = None
        self.body: Buffer | None = None
        self.buffering = False
        self.buffer = BufferType.HTTP_REQUEST_BODY if direction == "request" else BufferType.HTTP_RESPONSE_BODY

    @property
    def chain(self) -> Direction:
        """The direction it is part of."""
        stream = self.context.stream
        return stream.request if self.direction == "request" else stream.response

    def forget(self) -> None:
        """The guest resumed the stream: nothing of this direction is readable any more."""
        self.headers = self.trailers = self.body = None

    def view(self) -> BufferView:
        """The body buffer as hostcalls see it."""
        if self.buffering:
            kept = self.chain.kept
            return kept if kept is not None else b""
        return self.body if self.body is not None else b""

    def trailers_for_writing(self) -> HeaderMap | None:
        """The trailers; made on demand in the last body callback."""
        if self.trailers is None and self.body is not None and self.context.end_of_stream:
            if self.chain.can_add_trailers:
                request = self.direction == "request"
                new = HeaderMap.request_trailers() if request else HeaderMap.trailers()
                self.trailers = self.chain.add_trailers(new)
        return self.trailers

    def on_headers(self, headers: HeaderMap, end_of_stream: bool) -> HeadersVerdict:
        """Headers arrive."""
        context = self.context
        if self.direction == "request":
            context.create()
        elif not context.created or context.failure_sent:
            return HeadersVerdict.CONTINUE
        self.headers = headers
        context.end_of_stream = end_of_stream
        context.resumed_to_the_end = False
        vm = context.vm
        verdict: HeadersVerdict = context.run(
            f"proxy_on_{self.direction}_headers",
            len(headers),
            int(end_of_stream),
            convert=lambda result: headers_verdict(
                result,
                local_response=vm.stop_iteration,
                allow_stop_iteration=context.config.allow_on_headers_stop_iteration,
            ),
            go_on=HeadersVerdict.CONTINUE,
            failed=HeadersVerdict.STOP_ALL_ITERATION_AND_WATERMARK,
        )
        if verdict is HeadersVerdict.CONTINUE:
            self.headers = None
            if context.resumed_to_the_end and self.direction == "response":
                name = "proxy_on_response_headers"
                raise context._crash(name, "resumed the response and then let it pass", "when it had ended already")
        return verdict

    def on_data(self, data: Buffer, end_of_stream: bool) -> DataVerdict:
        """Data arrives."""
        context = self.context
        if not context.created or context.failure_sent:
            return DataVerdict.CONTINUE
        if self.buffering:
            self.chain.keep(self, data)
            if context.dead:
                return DataVerdict.STOP_ITERATION_AND_BUFFER
        self.body = data
        context.end_of_stream = end_of_stream
        vm = context.vm
        verdict: DataVerdict = context.run(
            f"proxy_on_{self.direction}_body",
            len(context.buffer(self.buffer) or b""),
            int(end_of_stream),
            convert=lambda result: data_verdict(result, local_response=vm.stop_iteration),
            go_on=DataVerdict.CONTINUE,
            failed=DataVerdict.STOP_ITERATION_NO_BUFFER,
        )
        self.buffering = verdict is DataVerdict.STOP_ITERATION_AND_BUFFER
        if verdict is DataVerdict.CONTINUE:
            self.body = None
        return verdict

    def on_trailers(self, trailers: HeaderMap) -> TrailersVerdict:
        """Trailers arrive."""
        context = self.context
        if not context.created or context.failure_sent:
            return TrailersVerdict.CONTINUE
        self.trailers = trailers
        vm = context.vm
        verdict: TrailersVerdict = context.run(
            f"proxy_on_{self.direction}_trailers",
            len(trailers),
            convert=lambda result: trailers_verdict(result, local_response=vm.stop_iteration),
            go_on=TrailersVerdict.CONTINUE,
            failed=TrailersVerdict.STOP_ITERATION,
        )
        if verdict is TrailersVerdict.CONTINUE:
            self.trailers = None
            if self.direction == "response" and context.stream.ended and not vm.failed:
                raise context._crash(
                    "proxy_on_response_trailers",
                    "ended its stream (proxy_continue_stream, proxy_close_stream)",
                    "and then returned CONTINUE",
                )
        return verdict


class HttpContext(Context):
    """A stream context of an HTTP stream.

    Attributes:
        logging: the final log callback runs: maps are readable again, and nothing is writable.
        failure_sent: the guest failed and Envoy has answered for it.
        paused_by: the callback whose result holds the stream, by direction.
    """

    def __init__(self, vm: Vm, config: PluginConfig, root: RootContext, stream: HttpStreamCore) -> None:
        super().__init__(vm, config, vm.new_context_id())
        self.root = root
        self.stream = stream
        self.request = Side(self, "request")
        self.response = Side(self, "response")
        self.end_of_stream = False
        self.logging = False
        self.failure_sent = False
        self.last_callback = ""
        self.resumed_to_the_end = False

    def run(self, name: str, *args: int, convert: Any, go_on: Any, failed: Any) -> Any:
        """Call the guest and say what the chain does, also when the guest has failed or has no such callback."""
        vm = self.vm
        if vm.failed:
            return self._failed(go_on, failed)
        if not vm.has(name):
            return go_on
        self.last_callback = name

        def noted(result: int) -> Any:
            self.stream.last_action = Action(result)
            return convert(result)

        verdict = vm.callback(self, name, *args, convert=noted, answers_failure=True)
        if vm.failed:
            verdict = self._failed(go_on, failed)
            vm.run_actions()
            return verdict
        self.stream.note_action(self, name, verdict)
        return verdict

    def _failed(self, go_on: Any, failed: Any) -> Any:
        if self.config.failure_policy == FAIL_OPEN_LEGACY:
            return go_on
        if not self.failure_sent:
            self.failure_sent = True
            self.stream.send_local_reply(503, b"", [], "wasm_fail_stream", grpc_status=14)
        return failed

    # What hostcalls ask for.

    def why_no_map(self, kind: MapType, *, writing: bool) -> tuple[Any, ...]:
        """Why a map cannot be read or written now, for a reader of the trace."""
        if kind > MapType.HTTP_RESPONSE_TRAILERS:
            return super().why_no_map(kind, writing=writing)
        request = kind in (MapType.HTTP_REQUEST_HEADERS, MapType.HTTP_REQUEST_TRAILERS)
        direction = self.stream.request if request else self.stream.response
        trailers = kind in (MapType.HTTP_REQUEST_TRAILERS, MapType.HTTP_RESPONSE_TRAILERS)
        there = direction.trailers_map if trailers else direction.headers_map
        if self.logging:
            state = reasons.LOGGING if writing else reasons.NO_TRAILERS if trailers else reasons.NOT_YET
        elif there is not None:
            state = reasons.GONE
        else:
            state = reasons.NO_TRAILERS if trailers else reasons.NOT_YET
        return reasons.map_not_there, kind, self.vm.running, state

    @property
    def absent_is_not_found(self) -> bool:
        """While logging, a map that is not there is no mistake of the caller."""
        return self.logging

    def map_for_reading(self, kind: MapType) -> HeaderMap | None:
        """The maps that are there now; while logging the final ones, request trailers never."""
        if kind > MapType.HTTP_RESPONSE_TRAILERS:
            return super().map_for_reading(kind)
        if self.logging:
            stream = self.stream
            return {
                MapType.HTTP_REQUEST_HEADERS: stream.request.headers_map,
                MapType.HTTP_RESPONSE_HEADERS: stream.response.headers_map,
                MapType.HTTP_RESPONSE_TRAILERS: stream.response.trailers_map,
            }.get(kind)
        return {
            MapType.HTTP_REQUEST_HEADERS: self.request.headers,
            MapType.HTTP_REQUEST_TRAILERS: self.request.trailers,
            MapType.HTTP_RESPONSE_HEADERS: self.response.headers,
            MapType.HTTP_RESPONSE_TRAILERS: self.response.trailers,
        }[kind]

    def map_for_writing(self, kind: MapType) -> HeaderMap | None:
        """The maps of this stream that can be changed now."""
        if kind is MapType.HTTP_REQUEST_HEADERS:
            return self.request.headers
        if kind is MapType.HTTP_REQUEST_TRAILERS:
            return self.request.trailers_for_writing()
        if kind is MapType.HTTP_RESPONSE_HEADERS:
            return self.response.headers
        if kind is MapType.HTTP_RESPONSE_TRAILERS:
            return self.response.trailers_for_writing()
        return None

    def buffer_now(self, kind: BufferType) -> BufferView:
        """The bodies, where they are readable."""
        if kind is BufferType.HTTP_REQUEST_BODY:
            return self.request.view()
        if kind is BufferType.HTTP_RESPONSE_BODY:
            return self.response.view()
        return super().buffer_now(kind)

    def continue_stream(self, direction: str) -> None:
        """Resume once the running callback has returned; request maps and body are forgotten at once (Envoy)."""
        if direction == "downstream":
            self._no_stream("nothing is resumed")
            return
        self.request.forget()
        side = self.request if direction == "request" else self.response

        def resume() -> None:
            ended = self.stream.ended
            self.stream.resume(self, side)
            self.resumed_to_the_end = self.stream.ended and not ended

        self.vm.defer(resume)

    def close_stream(self, direction: str) -> None:
        """Reset the stream once the running callback has returned."""
        if direction not in ("request", "response"):
            self._no_stream("nothing is closed")
            return
        if not self.stream.details:
            self.stream.details = "wasm_close_stream"
        callback = self._running

        def close() -> None:
            if self.stream.ended:
                raise self._crash(callback, "called proxy_close_stream", "when its stream had already ended")
            self.stream.reset("wasm")

        self.vm.defer(close)

    @property
    def _running(self) -> str:
        """The callback that runs."""
        return self.vm.guest.callback.name if self.vm.guest.callback is not None else self.last_callback

    def _crash(self, callback: str, did: str, when: str) -> Exception:
        return self.proxy.crash(
            f"filter {self.label!r} {did} in {callback}, {when}. A real Envoy process crashes there "
            "(segmentation fault).",
            callback=callback,
        )

    def send_local_response(
        self, status: int, details: bytes, body: bytes, headers: list[Pair], grpc_status: int
    ) -> None:
        """Answer instead of the upstream, once the running callback has returned."""
        stream = self.stream
        callback = self._running
        late = stream.ended
        named = "".join("_" if c.isspace() else c for c in to_text(details))

        def reply() -> None:
            if late or stream.replaced:
                raise self._crash(callback, "called proxy_send_local_response", "when its stream had already ended")
            lowered = [(name.lower(), value) for name, value in headers]
            given = stream.local_response_of(self, status, lowered, body, named, grpc_status)
            stream.send_local_reply(
                status,
                body,
                lowered,
                named,
                grpc_status=grpc_status if 0 <= grpc_status <= 16 else None,
                given=given,
            )

        self.vm.defer(reply)

    def set_property(self, path: bytes, value: bytes) -> Status:
        """Stored with the stream, seen by all its filters."""
        return self.stream.filter_state.set_property(self, path, value)

    @property
    def stream_info(self) -> Any:
        """The stream itself."""
        return self.stream

    def final_log(self) -> None:
        """``proxy_on_log``, with the maps as they ended up."""
        self.create()
        self.logging = True
        try:
            self.vm.callback(self, "proxy_on_log")
        finally:
            self.logging = False

    def destroy(self) -> None:
        """``proxy_on_done`` and ``proxy_on_delete``."""
        if self.dead:
            return
        if self.created:
            self.request.forget()
            self.response.forget()
            self.vm.callback(self, "proxy_on_done")
        self.delete()
