"""A filter's context of one TCP connection: what its callbacks see and what its hostcalls do.

Knows its connection; how data travels through the chain is the connection's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ...abi.codec import split_path
from ...abi.enums import BufferType, MapType, PeerType, Status
from ...model import Action
from .. import reasons
from ..buffers import Buffer, BufferView
from ..context import Context, RootContext
from ..plugin import FAIL_OPEN_LEGACY, PluginConfig
from ..vm import Vm
from .table import Verdict, verdict_of

if TYPE_CHECKING:
    from .stream import TcpStreamCore

_ABSENT = (
    (b"request", b"protocol"),
    (b"xds", b"route_name"),
    (b"xds", b"route_metadata"),
    (b"xds", b"virtual_host_name"),
)
"""Properties that only HTTP streams have."""


class TcpContext(Context):
    """A stream context of a TCP connection.

    Attributes:
        announced: it has been asked about the new connection.
        downstream: the client's data, from a callback on until one lets it pass.
        upstream: the upstream's data, likewise.
    """

    def __init__(self, vm: Vm, config: PluginConfig, root: RootContext, stream: TcpStreamCore) -> None:
        super().__init__(vm, config, vm.new_context_id())
        self.root = root
        self.stream = stream
        self.announced = False
        self.downstream: Buffer | None = None
        self.upstream: Buffer | None = None
        self._failure_handled = False

    # What the chain asks.

    def on_new_connection(self) -> Verdict:
        """A client has connected. The context is announced to the guest now, not earlier."""
        self.announced = True
        self.create()
        return self._run("proxy_on_new_connection")

    def on_downstream_data(self, data: Buffer, end_of_stream: bool) -> Verdict:
        """The client's data, all that no filter has let pass yet."""
        self.downstream = data
        verdict = self._run("proxy_on_downstream_data", len(data), int(end_of_stream))
        if verdict is Verdict.CONTINUE:
            self.downstream = None
        return verdict

    def on_upstream_data(self, data: Buffer, end_of_stream: bool) -> Verdict:
        """The upstream's data.

        After its end Envoy tells the guest that the upstream closed, with peer type 0: always, and also when the
        callback has closed the connection and the context is deleted already (Envoy 1.40).
        """
        self.upstream = data
        verdict = self._run("proxy_on_upstream_data", len(data), int(end_of_stream))
        if verdict is Verdict.CONTINUE:
            self.upstream = None
        if end_of_stream:
            self.vm.callback(self, "proxy_on_upstream_connection_close", PeerType.UNKNOWN)
        return verdict

    def on_closed(self, peer: PeerType) -> None:
        """The connection is closed: done comes before log here (Envoy 1.40; with HTTP it is the other way round)."""
        if self.dead:
            return
        if self.created:
            self.vm.callback(self, "proxy_on_downstream_connection_close", peer)
            self.vm.callback(self, "proxy_on_done")
            self.vm.callback(self, "proxy_on_log")
        self.delete()

    def _run(self, name: str, *args: int) -> Verdict:
        vm = self.vm
        if vm.failed:
            return self._failed()
        if not vm.has(name):
            return Verdict.CONTINUE
        verdict: Verdict | None = None

        def noted(result: int) -> Verdict:
            nonlocal verdict
            self.stream.note(Action(result))
            verdict = verdict_of(result)
            return verdict

        vm.callback(self, name, *args, convert=noted)
        return self._failed() if verdict is None else verdict

    def _failed(self) -> Verdict:
        """The guest has failed, now or earlier: the connection is closed at once, unless it may fail open (M11)."""
        if self.config.failure_policy == FAIL_OPEN_LEGACY:
            return Verdict.CONTINUE
        if not self._failure_handled:
            self._failure_handled = True
            self.stream.close_by_filter()
        return Verdict.STOP

    # What hostcalls ask for.

    def why_no_map(self, kind: MapType, *, writing: bool) -> tuple[Any, ...]:
        """Why a map cannot be read or written now, for a reader of the trace."""
        if kind <= MapType.HTTP_RESPONSE_TRAILERS:
            return reasons.map_not_there, kind, self.vm.running, reasons.TCP
        return super().why_no_map(kind, writing=writing)

    def buffer_now(self, kind: BufferType) -> BufferView:
        """The data of either side, while a callback shows it or has kept it back; also after the connection closed."""
        if kind is BufferType.DOWNSTREAM_DATA and self.downstream is not None:
            return self.downstream
        if kind is BufferType.UPSTREAM_DATA and self.upstream is not None:
            return self.upstream
        return super().buffer_now(kind)

    def continue_stream(self, direction: str) -> None:
        """Go on with the next filter once the running callback has returned; only the client's side can be resumed."""
        if direction == "downstream":
            self.vm.defer(lambda: self.stream.resume(self))
        else:
            self._no_stream("nothing is resumed")

    def close_stream(self, direction: str) -> None:
        """Close the connection, both its sides, once the running callback has returned."""
        if direction in ("downstream", "upstream"):
            self.vm.defer(self.stream.close_by_filter)
        else:
            self._no_stream("nothing is closed")

    def get_property(self, path: bytes) -> bytes | Status:
        """As for an HTTP stream, without what only requests have (Envoy 1.40)."""
        parts = tuple(split_path(path))
        if parts not in self.proxy.overrides:
            if parts in _ABSENT:
                shown = b".".join(parts).decode()
                return self.because(
                    Status.NOT_FOUND, f"the property {shown!r} belongs to HTTP, this is a TCP connection"
                )
            if parts == (b"xds", b"cluster_metadata") and self.stream.route_for_properties is not None:
                return b""
            if parts == (b"upstream", b"transport_failure_reason") and not self.stream.transport_failure:
                return b""
            if parts == (b"upstream", b"cx_pool_ready_duration") and self.stream.upstream_connected:
                return bytes(8)
            if parts == (b"upstream", b"local_address") and self.stream.refused:
                return self.because(Status.NOT_FOUND, "the upstream connection was refused: it has no local address")
        return super().get_property(path)

    def set_property(self, path: bytes, value: bytes) -> Status:
        """Stored with the connection, seen by all its filters."""
        return self.stream.filter_state.set_property(self, path, value)

    @property
    def stream_info(self) -> Any:
        """The connection."""
        return self.stream
