"""One VM: its contexts, the calls into its guest and what is put off until such a call has returned.

Knows contexts and callbacks; how a guest is run is behind `GuestRunner`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..abi.callbacks import CALLBACKS
from ..abi.module import Interface
from ..errors import FilterError, GuestTrap
from ..model import Action
from ..trace import Arguments, Callback, Why
from ..trace.text import callback_line
from .plugin import PluginConfig
from .shared import MetricIds

if TYPE_CHECKING:
    from .context import Context
    from .proxy import Proxy

T = TypeVar("T")

MAX_DEPTH = 40
"""How deep callbacks may cause each other. In Envoy 1.40 the guest's stack overflows, some thousand levels later."""


class GuestRunner(Protocol):
    """A started guest, as the host sees it."""

    callback: Callback | None
    why: Why | None

    @property
    def unsaved(self) -> str:
        """What of its state cannot be saved; "" if all can."""

    def call(self, name: str, *args: int) -> int | None:
        """Call an export; raises a `FilterError` when the guest traps."""

    def close(self) -> None:
        """Free it."""


class Vm:
    """A guest with its contexts.

    Attributes:
        config: of the first filter that uses it; the VM's part of it is the same for all.
        current: the context of the running callback.
        effective: what ``proxy_set_effective_context`` chose for the rest of the running callback.
        stop_iteration: a local response was asked for in the running callback, so its result does not matter.
        failed: the guest trapped; no callback runs any more.
        deferred_closes: gRPC closes that wait for the running callback to return.
        scratch: it is dropped right after its start, before any callout it makes gets out (Envoy's canary).
    """

    def __init__(self, proxy: Proxy, config: PluginConfig, worker: int) -> None:
        self.proxy = proxy
        self.config = config
        self.worker = worker
        self.contexts: dict[int, Context] = {}
        self.current: Context | None = None
        self.effective: Context | None = None
        self.stop_iteration = False
        self.failed = False
        self.scratch = False
        self.deferred_closes = 0
        self.failed_at_ns = 0
        self.metric_ids = MetricIds()
        self.guest: GuestRunner
        self.interface: Interface
        self._actions: deque[Callable[[], None]] = deque()
        self._next_id = 1
        self._depth = 0
        self._calls = {"http": 0, "grpc_call": 0, "grpc_stream": 0}

    @property
    def caller(self) -> Context:
        """The context a hostcall acts on."""
        context = self.effective or self.current
        if context is None:
            return self.contexts[0]
        return context

    @property
    def running(self) -> str | None:
        """The name of the running callback, if it is traced."""
        event = self.guest.callback
        return event.name if event is not None else None

    def new_context_id(self) -> int:
        """Ids count from 1 over root and stream contexts and are never used again."""
        new, self._next_id = self._next_id, self._next_id + 1
        return new

    def new_call_id(self, kind: str) -> int:
        """4, 8, ... for HTTP calls, 5, 9, ... for gRPC calls, 6, 10, ... for gRPC streams (Envoy 1.40)."""
        self._calls[kind] += 1
        return 4 * self._calls[kind] + ("http", "grpc_call", "grpc_stream").index(kind)

    @property
    def has_called_out(self) -> bool:
        """Whether the guest has made any call to another service."""
        return any(self._calls.values())

    def has(self, name: str) -> bool:
        """Whether the guest exports a callback, and may be called there."""
        allowed = self.config.capabilities
        return name in self.interface.callbacks and (allowed is None or name in allowed)

    def callback(
        self,
        context: Context,
        name: str,
        *args: int,
        convert: Callable[[int], T] | None = None,
        answers_failure: bool = False,
    ) -> T | int | None:
        """Call the guest; then do what was put off meanwhile.

        Args:
            answers_failure: when the guest fails, the caller answers for it first, and then has it done (Envoy).

        Returns:
            The result, converted while the callback's flags still hold; ``None`` when the guest has no such callback,
            has failed, or fails now.
        """
        if self.failed or not self.has(name):
            return None
        spec = CALLBACKS[name]
        shown: list[Any] = [bool(value) if key in spec.booleans else value for key, value in zip(spec.params, args)]
        passed = args[: self.interface.callbacks[name] - 1]
        arguments = Arguments(zip(spec.params[: len(passed)], shown))
        event = Callback(name, arguments, context.id, context.label, self.worker, self.proxy.clock.now_ns)
        self._depth += 1
        try:
            value = self._enter(context, event, context.id, *passed)
            result: T | int | None = value
            if event.finished and value is not None:
                event.action = Action(value) if spec.result == "action" else bool(value)
                if convert is not None:
                    result = convert(value)
            self.stop_iteration = False
            if not (answers_failure and self.failed):
                self.run_actions()
        finally:
            self._depth -= 1
        return result

    def start_function(self, name: str, *args: int) -> None:
        """Call a start function in the VM context; raises what goes wrong."""
        context = self.contexts[0]
        event = Callback(name, Arguments(), 0, self.config.name, self.worker, self.proxy.clock.now_ns)
        self._enter(context, event, *args, reraise=True)
        event.finished = True

    def _enter(self, context: Context, event: Callback, *args: int, reraise: bool = False) -> int | None:
        proxy, guest = self.proxy, self.guest
        saved = self.current, self.effective, guest.callback
        self.current, self.effective = context, None
        guest.callback = event if proxy.tracing else None
        if proxy.tracing:
            proxy.trace.add(event)
        try:
            if self._depth > MAX_DEPTH:
                raise self._endless(event)
            value = guest.call(event.name, *args)
            event.finished = True
            if proxy.watcher is not None:
                proxy.watcher(self, event)
            return value
        except FilterError as error:
            if error.callback is None:
                error.callback = event.name
            self.fail()
            if reraise or proxy.crashed is not None:
                raise
            proxy.report(error)
            return None
        except BaseException:
            self.fail()
            raise
        finally:
            self.current, self.effective, guest.callback = saved

    def _endless(self, event: Callback) -> GuestTrap:
        name = f"filter {self.config.name!r}" if self.config.name else "the filter"
        return GuestTrap(
            f"{name} trapped in {event.name}: its callbacks cause each other without end, as by a callout that fails "
            f"at once and is made again when it has failed. In Envoy the guest's call stack overflows there.\n\n"
            f"during: {callback_line(event)}",
            callback=event.name,
            kind="stack_overflow",
        )

    def fail(self) -> None:
        """The guest cannot be called again."""
        self.failed = True
        self.failed_at_ns = self.proxy.clock.now_ns

    def defer(self, action: Callable[[], None]) -> None:
        """Do something as soon as the running callback has returned."""
        self._actions.append(action)

    def run_actions(self) -> None:
        """Do what was put off."""
        while self._actions:
            self._actions.popleft()()

    def close(self) -> None:
        """Free the guest."""
        self.failed = True
        self.guest.close()
