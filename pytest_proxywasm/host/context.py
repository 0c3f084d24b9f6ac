"""Contexts, on which hostcalls act: the base, root contexts and the VM context; knows no streams."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..abi.enums import BufferType, MapType, Status
from ..model import Headers, LogLevel
from . import reasons
from .buffers import Buffer, BufferView
from .clock import Timer
from .headermap import HeaderMap, Pair
from .plugin import PluginConfig
from .proxy import Proxy

if TYPE_CHECKING:
    from .callouts import CalloutAnswer
    from .cel import Expressions
    from .filter_state import Declared
    from .grpc import GrpcPendingCallout
    from .vm import Vm

EMPTY = b""


class Context:
    """A context of a VM.

    The answers here are those of a context without a stream. Envoy 1.40 gives them: OK without effect for
    continuing, closing and local responses; no maps; body buffers that are empty but there.

    Attributes:
        root: the root context it belongs to; a root context is its own.
        created: ``proxy_on_context_create`` has been called, or is not exported.
        shown: the buffer that was looked at last.
    """

    root: RootContext
    dead = False
    declared: Mapping[bytes, Declared] = MappingProxyType({})
    """Properties declared on this context."""

    def __init__(self, vm: Vm, config: PluginConfig, context_id: int) -> None:
        self.vm = vm
        self.config = config
        self.id = context_id
        self.created = False
        self.shown: Buffer | bytes = EMPTY
        vm.contexts[context_id] = self

    @property
    def proxy(self) -> Proxy:
        """The process it lives in."""
        return self.vm.proxy

    @property
    def label(self) -> str:
        """The filter's name in traces and logs."""
        return self.config.name

    def because(self, status: Status, *why: Any) -> Status:
        """The status, with the reason a reader of the trace is told: a text, or a function and its arguments."""
        self.vm.guest.why = why[0] if len(why) == 1 else why
        return status

    def without_effect(self, *why: Any) -> None:
        """The running hostcall will answer OK, and nothing comes of it; ``why`` as for `because`."""
        self.vm.guest.why = why[0] if len(why) == 1 else why

    def declare(self, name: bytes, declared: Declared) -> None:
        """The guest declared a property."""
        self.declared = {**self.declared, name: declared}

    def log(self, level: LogLevel, message: bytes) -> None:
        """The guest logged."""
        self.proxy.log(level, message, self.id, self.config.name)

    def denied(self, name: str) -> None:
        """The guest called what ``allowed_capabilities`` does not list."""
        self.proxy.log(
            LogLevel.ERROR,
            b"Attempted call to restricted proxy-wasm capability: " + name.encode(),
            self.id,
            self.config.name,
        )

    def create(self) -> None:
        """Announce the context to the guest, once.

        Envoy 1.40 counts it as created when the callback has returned and what it put off is done: a stream that is
        closed in there is announced again before it is logged.
        """
        if not self.created:
            self.vm.callback(self, "proxy_on_context_create", 0 if self.root is self else self.root.id)
            self.created = True

    def delete(self) -> None:
        """The last call; the id is gone afterwards."""
        if self.created:
            self.vm.callback(self, "proxy_on_delete")
        self.dead = True
        self.vm.contexts.pop(self.id, None)

    # What hostcalls ask for.

    def map_for_reading(self, kind: MapType) -> HeaderMap | None:
        """A header map to read, if it is there now."""
        answer = self.root.answer
        if kind is MapType.HTTP_CALL_RESPONSE_HEADERS and answer is not None:
            return answer.headers
        if kind is MapType.HTTP_CALL_RESPONSE_TRAILERS and answer is not None:
            return answer.trailers
        if kind is MapType.GRPC_CALL_INITIAL_METADATA:
            return self.root.grpc_initial_metadata
        if kind is MapType.GRPC_CALL_TRAILING_METADATA:
            return self.root.grpc_trailing_metadata
        return None

    def map_for_writing(self, kind: MapType) -> HeaderMap | None:
        """A header map to change, if it is there now."""
        return None

    def why_no_map(self, kind: MapType, *, writing: bool) -> tuple[Any, ...]:
        """Why a map cannot be read or written now, for a reader of the trace."""
        if kind <= MapType.HTTP_RESPONSE_TRAILERS:
            state = reasons.ROOT
        else:
            state = reasons.READ_ONLY if writing and self.map_for_reading(kind) is not None else reasons.ELSEWHERE
        return reasons.map_not_there, kind, self.vm.running, state

    @property
    def absent_is_not_found(self) -> bool:
        """Whether a map that is not there answers NOT_FOUND (while logging) instead of BAD_ARGUMENT."""
        return False

    def buffer(self, kind: BufferType) -> BufferView:
        """A buffer; ``None`` where there is none.

        Envoy 1.40 has one view for a context's buffers, which the foreign function's arguments never set: they show
        what was looked at last.
        """
        if kind is BufferType.FOREIGN_FUNCTION_ARGUMENTS:
            return self.shown
        view = self.buffer_now(kind)
        if view is not None:
            self.shown = view
        return view

    def buffer_now(self, kind: BufferType) -> BufferView:
        """A buffer of one type; ``None`` where there is none."""
        if kind is BufferType.VM_CONFIGURATION:
            return self.vm.config.vm_configuration
        if kind is BufferType.PLUGIN_CONFIGURATION:
            return self.root.plugin_configuration
        if kind is BufferType.HTTP_CALL_RESPONSE_BODY:
            return self.root.answer.body if self.root.answer is not None else None
        if kind is BufferType.GRPC_CALL_MESSAGE:
            return self.root.grpc_message
        return EMPTY

    def send_local_response(
        self, status: int, details: bytes, body: bytes, headers: list[Pair], grpc_status: int
    ) -> None:
        """Answer the client instead of the upstream."""
        self._no_stream("nobody is answered")

    def continue_stream(self, direction: str) -> None:
        """Resume a paused direction: ``request``, ``response``, ``downstream``."""
        self._no_stream("nothing is resumed")

    def close_stream(self, direction: str) -> None:
        """Reset the stream or close the connection."""
        self._no_stream("nothing is closed")

    def _no_stream(self, what: str) -> None:
        self.without_effect(
            f"{what}: it was called on a context without such a stream; choose a stream's with "
            "proxy_set_effective_context"
        )

    def get_property(self, path: bytes) -> bytes | Status:
        """A property in its encoding."""
        from .properties import lookup

        return lookup(self, path)

    def set_property(self, path: bytes, value: bytes) -> Status:
        """Store a property with the stream; a context without one has nowhere to put it."""
        return self.because(Status.NOT_FOUND, "a root context has no stream to store a property with")

    @property
    def stream_info(self) -> Any:
        """What properties are read from; ``None`` without a stream."""
        return None


class RootContext(Context):
    """A plugin's root context: configuration, ticks, callouts and queues belong to it.

    Attributes:
        plugin_configuration: readable only while the plugin is configured.
        answer: the callout answer that is being delivered.
        grpc_callouts: gRPC calls and streams whose ids the guest can still use.
        done_pending: ``proxy_on_done`` returned 0, so the guest will call ``proxy_done``.
    """

    def __init__(self, vm: Vm, config: PluginConfig, context_id: int | None = None) -> None:
        super().__init__(vm, config, vm.new_context_id() if context_id is None else context_id)
        self.root = self
        self.plugin_configuration: bytes | None = None
        self.answer: CalloutAnswer | None = None
        self.grpc_initial_metadata: HeaderMap | None = None
        self.grpc_trailing_metadata: HeaderMap | None = None
        self.grpc_message: Buffer | bytes = EMPTY
        self.grpc_callouts: dict[int, GrpcPendingCallout] = {}
        self.expressions: Expressions | None = None
        self.status_code = 0
        self.status_message = b""
        self.done_pending = False
        self.tick_ns = 0
        self._timer: Timer | None = None

    def start(self) -> bool:
        """Create it in the guest and start the VM for it; false when the guest refuses."""
        self.plugin_configuration = self.config.configuration  # as proxy-wasm-cpp-host has it while creating
        self.create()
        self.plugin_configuration = None
        result = self.vm.callback(self, "proxy_on_vm_start", len(self.vm.config.vm_configuration))
        return result is None or result != 0

    def configure(self) -> bool:
        """Hand over the plugin's configuration; false when the guest refuses it."""
        self.plugin_configuration = self.config.configuration
        try:
            result = self.vm.callback(self, "proxy_on_configure", len(self.config.configuration))
        finally:
            self.plugin_configuration = None
        return result is None or result != 0

    def set_tick_period(self, milliseconds: int) -> None:
        """Call ``proxy_on_tick`` every so often; 0 stops. A new period counts from now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.tick_ns = milliseconds * 1_000_000
        if self.tick_ns and not self.dead:
            self._timer = self.proxy.clock.call_at(self.proxy.clock.now_ns + self.tick_ns, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.dead or self.vm.failed:
            return
        before = self.tick_ns
        due = self.proxy.clock.now_ns
        self.vm.callback(self, "proxy_on_tick")
        if self._timer is None and self.tick_ns == before and before and not self.dead:
            self._timer = self.proxy.clock.call_at(due + before, self._tick)

    def queue_ready(self, queue_id: int) -> None:
        """An item was put on a queue that this context registered last; told after the running callback."""

        def tell() -> None:
            if not self.dead and not self.vm.failed:
                self.vm.callback(self, "proxy_on_queue_ready", queue_id)

        self.proxy.clock.call_later(0, tell)

    def finish(self) -> None:
        """The plugin goes away: done, then delete, which waits for ``proxy_done`` if the guest asks for it."""
        self.set_tick_period(0)
        result = self.vm.callback(self, "proxy_on_done")
        if result == 0:
            self.done_pending = True
            return
        self.delete()

    def done(self) -> Status:
        """``proxy_done``: the guest is ready to be deleted."""
        if not self.done_pending:
            return self.because(Status.NOT_FOUND, "no proxy_on_done of this root context has returned 0 and waits")
        self.done_pending = False
        self.vm.defer(self.delete)
        return Status.OK


class VmContext(RootContext):
    """Context 0: start functions and the allocator run in it; guests are never told of it."""

    def __init__(self, vm: Vm) -> None:
        super().__init__(vm, vm.config, 0)


def headers_of(entries: HeaderMap) -> Headers:
    """The user's view of a map."""
    return Headers.from_raw(entries.entries)
