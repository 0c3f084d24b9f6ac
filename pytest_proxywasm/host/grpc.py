"""gRPC calls and streams that filters make: how a call starts, what the filter sends, and who answers.

Knows clusters and contexts; knows no streams of clients. How answers reach the filter is behind `GrpcDelivery`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..abi.enums import Status
from ..errors import UsageError
from ..headers import Headers, HeadersLike, Text, to_bytes, to_text
from ..model import Callout, ConnectionRefused, GrpcResponse, NoHosts, Response
from . import reasons
from .grpc_delivery import CALL, STREAM, UNAVAILABLE, GrpcDelivery, defer_close
from .grpc_script import Script
from .grpc_service import GrpcService, no_service, request_headers
from .headermap import Pair

if TYPE_CHECKING:
    from .callouts import Cluster
    from .context import Context, RootContext

KINDS = {1: CALL, 2: STREAM}
"""By the lowest bits of an id."""


class GrpcPendingCallout(GrpcDelivery):
    """A gRPC call or stream that is not over yet.

    A test answers it step by step: `send_initial_metadata`, `send`, `finish`; all at once with `respond`; or breaks it
    with `reset`, `refuse` and `time_out`. Of a call's messages the filter gets the last, and only if the status is 0.
    """

    def __init__(self, callout: Callout, root: RootContext) -> None:
        super().__init__(callout, root)
        self._on_message: Callable[[bytes | None], None] | None = None

    @property
    def sent(self) -> list[bytes]:
        """The messages the filter has sent so far."""
        return self.callout.messages

    # What a test does.

    def send_initial_metadata(self, metadata: HeadersLike = ()) -> None:
        """The answer begins; streams are told. Left out, it begins with the first message."""
        headers = Headers(metadata)
        self._check_open()
        if self._started:
            raise UsageError(f"{self.name} has got its initial metadata before")
        self._outside(lambda: self._begin(headers))

    def send(self, message: Text) -> None:
        """The cluster sends a message."""
        data = to_bytes(message, "a gRPC message")
        self._check_open()
        self._outside(lambda: self._message(data))

    def finish(self, status: int = 0, message: str = "", trailing_metadata: HeadersLike = ()) -> None:
        """The cluster ends the call with a status."""
        end = GrpcResponse(status=status, message=message, trailing_metadata=trailing_metadata)
        self._check_open()
        self._outside(lambda: self._finish(end))

    def respond(self, answer: GrpcResponse | Response) -> None:
        """The cluster answers all at once; a `Response` is the answer of a server that does not speak gRPC."""
        if not isinstance(answer, (GrpcResponse, Response)):
            raise UsageError(f"{self.name} is answered with a pw.GrpcResponse or a pw.Response, not with {answer!r}")
        self._check_open()
        self._outside(lambda: self.settle(answer))

    def time_out(self) -> None:
        """The timeout the filter gave is over; streams have none."""
        self._check_open()
        if self.callout.kind == STREAM:
            raise UsageError(f"{self.name} has no timeout; use .reset() or .finish(status=4)")
        self._outside(self._time_out)

    def reset(self, after_headers: bool = False) -> None:
        """The cluster resets the call: before it has answered anything, or after the answer began."""
        self._check_open()
        self._outside(lambda: self._reset(after_headers))

    def refuse(self) -> None:
        """Nobody listens at the cluster."""
        self._check_open()
        if self._started:
            raise UsageError(f"{self.name} has been answered already; it cannot be refused any more")
        self._outside(self._refuse)

    def __repr__(self) -> str:
        return f"<GrpcPendingCallout {self.callout.id}: {self.callout.path} to cluster {self.callout.cluster!r}>"

    @property
    def name(self) -> str:
        """What it is, for messages."""
        what = "gRPC call" if self.callout.kind == CALL else "gRPC stream"
        return f"{what} {self.callout.id} ({self.callout.path})"

    def _check_open(self) -> None:
        if self._cancelled:
            raise UsageError(f"{self.name} is gone: the filter cancelled it, or its VM was replaced")
        if self._over:
            raise UsageError(f"{self.name} is over: {self.callout.outcome!r}")
        if self not in self._root.proxy.pending_callouts:
            raise UsageError(f"{self.name} is gone: its host was restored to a checkpoint from before it was made")

    def _outside(self, action: Callable[[], None]) -> None:
        """Do it now, or as soon as no guest is running: callbacks never come inside another one."""
        if self._root.vm.current is None:
            action()
            self._root.proxy.test_acted()
        else:
            self._root.proxy.clock.call_later(0, action)

    # What the filter does.

    def call(self, message: bytes) -> None:
        """A call sends its one message and closes its side at once; its timeout runs."""
        clock = self._root.proxy.clock
        self.callout.messages.append(message)
        self._close_locally()
        if self.callout.timeout is not None:
            self._timer = clock.call_later(self.callout.timeout, self._time_out)

    def guest_sends(self, message: bytes, end_of_stream: bool) -> None:
        """``proxy_grpc_send``: nothing arrives after the filter's side, or the cluster's, is closed."""
        if self.closed or self._over:
            return
        self.callout.messages.append(message)
        if len(self.callout.messages) == 1:
            self.callout.body = message
        if end_of_stream:
            self._close_locally()
        self._tell_handler(message)
        if end_of_stream:
            self._tell_handler(None)

    def guest_closes(self) -> None:
        """``proxy_grpc_close``: a call is cancelled, a stream half closed; the id goes when both sides are closed."""
        if self.callout.kind == CALL:
            self.cancel()
            return
        if self._over:
            self._forget()
            return
        self.local_closed = True
        if not self.closed:
            self._close_locally()
            self._tell_handler(None)

    def _close_locally(self) -> None:
        self.closed = True
        self._closed_ns = self._root.proxy.clock.now_ns

    def cancel(self) -> None:
        """The filter does not want it any more, or its root context is gone: nothing is delivered after this."""
        self._forget()
        self._cancelled = True
        if not self._over:
            self.callout.outcome = "cancelled"
        self._leave()

    drop = cancel

    # Who answers.

    def start(self, cluster: Cluster, handler: Any) -> None:
        """Have the cluster's handler answer; `NoHosts` is answered before.

        A call is answered like an HTTP call. On a stream a refused connection shows at once, other answers come when
        the filter has sent its first message or closed its side. A generator runs along (see `Script`).
        """
        if inspect.isgeneratorfunction(handler) or inspect.isgenerator(handler):
            self._run(handler if inspect.isgenerator(handler) else handler(self.callout))
            if self.callout.kind == CALL:
                self._tell_handler(self.callout.body)
                self._tell_handler(None)
        elif self.callout.kind == CALL or isinstance(handler, ConnectionRefused):
            self.settle_later(handler)
        else:
            self._on_message = lambda message: self._ask(cluster, handler, message)

    def _ask(self, cluster: Cluster, handler: Any, message: bytes | None) -> None:
        self._on_message = None
        answer = cluster.resolve(handler, self.callout)
        if inspect.isgenerator(answer):
            self._run(answer)
            self._tell_script(message)
        else:
            self.settle(answer)

    def _run(self, generator: Any) -> None:
        self._script = Script(generator, self)
        self._on_message = self._tell_script
        self._root.proxy.clock.call_later(0, self._script.resume)

    def _tell_script(self, message: bytes | None) -> None:
        if self._script is not None:
            self._script.receive(message)

    def _tell_handler(self, message: bytes | None) -> None:
        """Tell the handler what arrives, as soon as the running event is over."""

        def tell() -> None:
            if self.open and self._on_message is not None:
                self._on_message(message)

        if self._on_message is not None:
            self._root.proxy.clock.call_later(0, tell)

    def send_item(self, item: Any) -> None:
        """Send what a script yielded."""
        if isinstance(item, Headers):
            if self._started:
                raise UsageError(f"{self.name} has got its initial metadata before: {item!r}")
            self._begin(item)
        elif isinstance(item, (bytes, str)):
            self._message(to_bytes(item))
        elif item is not None:
            raise UsageError(
                f"the handler of cluster {self.callout.cluster!r} yielded {item!r}; it must yield a message (bytes), a "
                "list of messages, pw.Headers as initial metadata, or None"
            )


def grpc_start(
    context: Context,
    kind: str,
    raw_service: bytes,
    service_name: bytes,
    method_name: bytes,
    metadata: list[Pair],
    message: bytes = b"",
    timeout_ms: int | None = None,
) -> int | Status:
    """Start a gRPC call or stream; its id, or why there is none.

    Envoy 1.40: PARSE_FAILURE for a plain name that is no cluster; INTERNAL_FAILURE for a message that names none, and
    for a cluster without hosts, with a ``proxy_on_grpc_close`` right after the running callback; a message that names
    no service at all aborts the proxy.
    """
    root = context.root
    proxy, vm = root.proxy, root.vm
    service = GrpcService(raw_service)
    if service.cluster is None:
        raise proxy.crash(no_service(f"proxy_{kind}", raw_service), callback=vm.running)
    name = to_text(service.cluster)
    cluster = proxy.clusters.get(name)
    no_cluster = reasons.no_cluster, name, tuple(proxy.clusters), "pw.GrpcResponse()"
    if cluster is None and service.named:
        return context.because(Status.PARSE_FAILURE, *no_cluster)
    call_id = vm.new_call_id(kind)
    if cluster is None:
        defer_close(root, call_id, UNAVAILABLE, b"Cluster not available")
        return context.because(Status.INTERNAL_FAILURE, *no_cluster)
    if vm.scratch and not isinstance(cluster.handler, NoHosts):
        return call_id
    headers = request_headers(service, b"/" + service_name + b"/" + method_name, metadata, timeout_ms)
    callout = Callout(
        kind=kind,
        cluster=name,
        method="POST",
        path=to_text(headers.get(b":path") or b""),
        headers=Headers.from_raw(headers.entries),
        body=message,
        trailers=Headers(),
        timeout=timeout_ms / 1000 if timeout_ms else None,
        filter=context.label,
        context_id=context.id,
        id=call_id,
    )
    pending = GrpcPendingCallout(callout, root)
    proxy.callouts.add(callout)
    proxy.pending_callouts.append(pending)
    root.grpc_callouts[call_id] = pending
    if kind == CALL:
        pending.call(message)
    handler = cluster.choose(callout)
    if kind == CALL and handler is not None and not inspect.isgeneratorfunction(handler):
        handler = cluster.resolve(handler, callout)
    if isinstance(handler, NoHosts):
        pending.no_hosts()
        return context.because(Status.INTERNAL_FAILURE, reasons.no_hosts, name)
    pending.by_hand = handler is None
    if handler is not None:
        pending.start(cluster, handler)
    return call_id


def find(root: RootContext, call_id: int, kinds: tuple[str, ...]) -> GrpcPendingCallout | Status:
    """A call or stream by its id: BAD_ARGUMENT for an id of another kind, NOT_FOUND for one that is gone."""
    if KINDS.get(call_id & 3) not in kinds:
        return root.because(Status.BAD_ARGUMENT, reasons.bad_grpc_id, call_id, tuple(root.grpc_callouts))
    found = root.grpc_callouts.get(call_id)
    if found is None:
        return root.because(Status.NOT_FOUND, reasons.bad_grpc_id, call_id, tuple(root.grpc_callouts))
    return found
