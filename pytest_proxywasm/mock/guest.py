"""A running guest as the host layer and the bound hostcalls see it; turns engine traps into errors users read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..abi.enums import Status
from ..engine import Instance, Limits, State, Trap
from ..errors import GuestBudgetExceeded, GuestTrap
from ..host.context import Context
from ..host.vm import Vm
from ..model import LogLevel
from ..trace import Arguments, Callback, Why
from .explain import explain_trap
from .loader import LoadedGuest

if TYPE_CHECKING:
    from .host import MockHost


class MockGuest:
    """One instance of a guest, bound to its VM.

    Attributes:
        memory: the guest's memory, perhaps shorter than it is by now (see `renew`).
        callback: the running callback, for the trace; ``None`` when nothing is traced.
        why: what the host layer says about the status of the hostcall that runs.
        gate: ``"start"`` or ``"allocator"`` while only few hostcalls are allowed.
        dearest_call: function calls and loop rounds of the most expensive call so far, while `measuring`.
    """

    measuring: ClassVar[bool] = False
    """Whether guests note what their calls cost, which takes time itself."""

    KEPT = ("memory", "instance", "_functions", "_allocator")

    def __init__(self, vm: Vm, loaded: LoadedGuest, limits: Limits) -> None:
        self.vm = vm
        self.callback: Callback | None = None
        self.why: Why | None = None
        self.gate: str | None = "start"
        self.dearest_call = 0
        self.memory = memoryview(b"")
        self.instance: Instance | None = None
        self._limits = limits
        self._loaded = loaded
        self._functions: dict[str, Callable[..., int | None]] = {}
        self._allocator: Callable[..., int | None] | None = None
        self._trapped = False

    def instantiate(self) -> None:
        """Make the instance, which runs the module's start section."""
        instance = self._loaded.linked.instantiate(self, self._limits)
        self._have(instance)
        vm = self.vm
        event = Callback("(start section)", Arguments(), 0, vm.config.name, vm.worker, vm.proxy.clock.now_ns)
        self.callback = event if self.vm.proxy.tracing else None
        try:
            instance.start()
            event.finished = True
        except Trap as trap:
            raise self._error(trap, "the module's start section") from None
        finally:
            self.callback = None
            if event.hostcalls:
                self.vm.proxy.trace.add(event)

    def _have(self, instance: Instance) -> None:
        self.instance = instance
        self.memory = instance.memory
        self._functions = {}
        self._allocator = instance.function(self._loaded.interface.allocator)

    # Its state (see `Keeper`): the instance's.

    @property
    def unsaved(self) -> str:
        """What of a guest's state cannot be saved; "" if all can."""
        return self._loaded.module.unsaved

    def keep(self) -> State | None:
        """Memory and globals."""
        return self.instance.save() if self.instance is not None else None

    def put_back(self, kept: State | None) -> None:
        """Memory and globals as they were; the instance may be another."""
        self.close()
        self.revive(kept)

    def revive(self, kept: State | None) -> None:
        """An instance with this memory and these globals."""
        self.memory = memoryview(b"")
        self.instance = None
        self._functions = {}
        self._allocator = None
        if kept is not None:
            self._have(self._loaded.revival.take(kept, self, self._limits))

    # For the host layer.

    def call(self, name: str, *args: int) -> int | None:
        """Call an export; `GuestTrap` when it traps."""
        function = self._functions.get(name)
        if function is None:
            assert self.instance is not None
            found = self.instance.function(name)
            assert found is not None, name
            function = self._functions[name] = found
        try:
            return function(*args)
        except Trap as trap:
            raise self._error(trap, name) from None

    def close(self) -> None:
        """Free the instance."""
        instance = self.instance
        if instance is None:
            return
        if self._trapped or not instance.at_rest:
            instance.close()
            self.memory = memoryview(b"")
            return
        self.instance = self._allocator = None
        self._functions = {}
        self.memory = memoryview(b"")
        self._loaded.revival.give(instance, self._limits)

    def _error(self, trap: Trap, callback: str) -> GuestTrap:
        self._trapped = True
        kind = GuestBudgetExceeded if trap.kind == "budget" else GuestTrap
        message = explain_trap(trap, callback, self.callback, self.vm, self._limits)
        return kind(message, callback=callback, kind=trap.kind, frames=trap.frames)

    # For bound hostcalls.

    @property
    def caller(self) -> Context:
        """The context hostcalls act on."""
        return self.vm.contexts[0] if self.gate == "allocator" else self.vm.caller

    @property
    def injector(self) -> Callable[[str, dict[str, Any]], Status | None] | None:
        """What injects statuses, if anything."""
        return self.vm.proxy.injector

    def renew(self) -> memoryview:
        """The memory after it may have grown."""
        if self.instance is not None:
            self.memory = self.instance.renew()
        return self.memory

    def allocate(self, size: int) -> int:
        """A block from the guest; 0 when it gives none."""
        if self._allocator is None:
            return 0
        before, self.gate = self.gate, "allocator"
        try:
            return self._allocator(size) or 0
        finally:
            self.gate = before

    def restricted(self, name: str) -> BaseException:
        """What happens to a guest that calls what it must not call now."""
        where = "its start functions" if self.gate == "start" else "its allocator"
        return GuestTrap(
            f"restricted_callback: the guest called {name} from {where}, where a proxy allows only logging, "
            "the clock and a few WASI functions. Envoy traps the guest there.\n"
            "Move the call to proxy_on_vm_start, proxy_on_configure or a later callback.",
            kind="restricted_callback",
        )

    def unchecked_block(self, size: int) -> BaseException:
        """Envoy 1.40 writes the result of a foreign function to address 0 of the process."""
        where = self.callback.name if self.callback is not None else None
        return self.vm.proxy.crash(
            f"the guest's allocator gave no memory for the {size} bytes that a foreign function returns"
            + (f" (in {where})" if where else "")
            + ". A real Envoy process crashes there (segmentation fault).\n"
            "Keep memory free for results, or pass null pointers where the result is not wanted.",
            callback=where,
        )

    # For WASI.

    def wasi_log(self, fd: int, message: bytes) -> None:
        """Output counts as log messages: stdout as info, stderr as errors."""
        self.caller.log(LogLevel.INFO if fd == 1 else LogLevel.ERROR, message)

    def wasi_clock_ns(self) -> int:
        """Virtual time."""
        return self.vm.proxy.clock.now_ns

    def wasi_random(self, size: int) -> bytes:
        """Bytes from the host's seed."""
        return self.vm.proxy.random.randbytes(size)

    def wasi_environment(self) -> list[bytes]:
        """The configured variables, never the process's own."""
        return [f"{key}={value}".encode() for key, value in self.vm.config.environment]

    def wasi_exit(self, code: int) -> None:
        """Envoy returns to the guest (which then runs into ``unreachable``, as a rule)."""


def guests_of(host: MockHost) -> list[MockGuest]:
    """The guests of a host's workers that can still be called."""
    vms = [vm for worker in host.workers for vm in worker.vms.values()]
    return [vm.guest for vm in vms if isinstance(vm.guest, MockGuest) and not vm.failed]
