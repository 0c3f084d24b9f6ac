"""Checkpoints of a mock host: everything it and its guests hold at one moment, to go back to."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import UsageError
from ..host.context import RootContext
from ..host.state import Captured, Running, capture

if TYPE_CHECKING:
    from ..host.vm import Vm
    from .host import MockHost

__all__ = ["Checkpoint", "capture_start", "restore_checkpoint", "take_checkpoint"]


class Checkpoint:
    """A moment of a host, for ``host.restore``; holds as much memory as the guests do."""

    __slots__ = ("_exchanges", "_host", "_next_worker", "_runs", "_state")

    _exchanges: list[Any]
    _host: weakref.ref[MockHost]
    _next_worker: int
    _runs: list[Any]
    _state: Captured

    def __repr__(self) -> str:
        return f"<Checkpoint of {self._host()!r}>"


def take_checkpoint(host: MockHost) -> Checkpoint:
    """See ``MockHost.checkpoint``."""
    _check_idle(host, "checkpoint()")
    for stream in [stream for stream in host._streams if stream.finished]:
        host._sync(stream)
    if host._streams or host._connections:
        what = "streams" if host._streams else "connections"
        raise UsageError(
            f"checkpoint(): {len(host._streams) + len(host._connections)} {what} are open; a checkpoint is taken "
            "between exchanges: end them first, with stream.close()"
        )
    vms = _vms(host)
    for vm in vms:
        label = f"filter {vm.config.name!r}" if vm.config.name else "the filter"
        waiting = [context.id for context in vm.contexts.values() if not isinstance(context, RootContext)]
        if waiting:
            raise UsageError(
                f"checkpoint(): {label} still has stream contexts ({', '.join(map(str, waiting))}), which wait for its "
                "proxy_done; a checkpoint is taken between exchanges"
            )
        if vm.guest.unsaved:
            raise UsageError(
                f"checkpoint(): {label} has state that cannot be saved: {vm.guest.unsaved}. Start another host instead"
            )
    checkpoint = Checkpoint()
    try:
        checkpoint._state = capture(host._proxy, host._main, *host._workers)
    except Running as running:
        raise UsageError(
            f"checkpoint(): {running}, and how far it has come cannot be saved; take the checkpoint before the call, "
            "or when it is over"
        ) from None
    checkpoint._host = weakref.ref(host)
    checkpoint._exchanges = list(host.exchanges)
    checkpoint._runs = list(host.runs)
    checkpoint._next_worker = host._next_worker
    return checkpoint


def capture_start(host: MockHost) -> Captured | None:
    """What a host, which has just been started, gives to others that start in the same way.

    ``None`` when the start has left behind what cannot be given to another: callouts, or what cannot be saved.
    """
    proxy = host._proxy
    busy = proxy.pending_callouts or proxy.callouts.mark() or len(proxy.logs) < proxy.logs.mark()
    if busy or any(vm.has_called_out or vm.guest.unsaved for vm in _vms(host)):
        return None
    kept = proxy.on_log, proxy.on_test_acted, proxy.clusters
    # These are each host's own.
    proxy.on_log, proxy.on_test_acted, proxy.clusters = None, None, {}
    try:
        captured = capture(proxy, host._main, host._workers)
    except Running:
        return None
    finally:
        proxy.on_log, proxy.on_test_acted, proxy.clusters = kept
    return None if captured.uncopied else captured


def restore_checkpoint(host: MockHost, checkpoint: Checkpoint) -> None:
    """See ``MockHost.restore``."""
    if not isinstance(checkpoint, Checkpoint):
        raise UsageError(f"restore(): {checkpoint!r} is no checkpoint; host.checkpoint() gives one")
    if checkpoint._host() is not host:
        raise UsageError("restore(): this is a checkpoint of another host; a host goes back to its own only")
    _check_idle(host, "restore()")
    for stream in host._streams:
        stream.undone = True
    for connection in host._connections:
        connection.undone = True
    host._streams.clear()
    host._connections.clear()
    host._starts_at.clear()
    host.exchanges[:] = checkpoint._exchanges
    host.runs.clear()
    host.runs.extend(checkpoint._runs)
    host._next_worker = checkpoint._next_worker
    before = _vms(host)
    checkpoint._state.put_back()
    kept = {id(vm) for vm in _vms(host)}
    for vm in before:
        if id(vm) not in kept:
            vm.close()


def _vms(host: MockHost) -> list[Vm]:
    return [vm for worker in (host._main, *host._workers) for vm in worker.vms.values()]


def _check_idle(host: MockHost, what: str) -> None:
    if host._steps or host._proxy.clock.firing or any(vm.current is not None for vm in _vms(host)):
        raise UsageError(
            f"{what}: an exchange or a callback is going on; call it between exchanges, not from a handler"
        )
