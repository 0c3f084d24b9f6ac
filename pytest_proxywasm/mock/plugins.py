"""The VMs of one worker: which filters share a VM or a root context, how they start, fail and restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..engine import Limits
from ..errors import FilterError, FilterStartError
from ..host.context import RootContext, VmContext
from ..host.plugin import FAIL_OPEN, FAIL_RELOAD, PluginConfig
from ..host.proxy import Proxy
from ..host.vm import Vm
from .explain import last_words
from .guest import MockGuest
from .loader import LoadedGuest

C = TypeVar("C")
S = TypeVar("S")

RELOAD_BACKOFF_NS = 10**9
"""Envoy builds a new VM of a ``fail_reload`` filter at the earliest so long after it failed."""

WORKERS_LATER = 0.003
"""How many seconds after the main thread's VMs Envoy starts those of its workers."""


class Worker:
    """One worker thread of a proxy: its own VM of each filter."""

    def __init__(self, proxy: Proxy, index: int, guests: dict[str, LoadedGuest], limits: Limits) -> None:
        self.proxy = proxy
        self.index = index
        self._guests = guests
        self._limits = limits
        self.vms: dict[tuple[object, ...], Vm] = {}
        self.roots: dict[tuple[object, ...], RootContext] = {}

    def create_vm(self, config: PluginConfig) -> Vm:
        """A VM with its start functions run; `FilterStartError` when they fail."""
        loaded = self._guests[config.code]
        vm = Vm(self.proxy, config, self.index)
        vm.interface = loaded.interface
        guest = MockGuest(vm, loaded, self._limits)
        vm.guest = guest
        VmContext(vm)
        try:
            guest.instantiate()
            for name in loaded.interface.starts:
                vm.start_function(name, *((0, 0) if name == "main" else ()))
        except FilterError as error:
            vm.close()
            words = f"Failed to initialize Wasm code: the guest failed in {error.callback}"
            raise _start_error(words, config, error, self.proxy) from None
        guest.gate = None
        return vm

    def start(self, config: PluginConfig) -> None:
        """Have the filter's VM and root context, starting what is not there yet."""
        vm = self.vms.get(config.vm_key)
        if vm is None or vm.failed:
            vm = self.vms[config.vm_key] = self.create_vm(config)
            for key in [key for key, root in self.roots.items() if root.config.vm_key == config.vm_key]:
                del self.roots[key]
        key = (config.vm_key, config.plugin_key)
        if key not in self.roots:
            self.roots[key] = start_root(vm, config)

    def root(self, config: PluginConfig) -> RootContext:
        """The root context of a filter."""
        return self.roots[config.vm_key, config.plugin_key]

    def context(
        self, config: PluginConfig, kind: Callable[[Vm, PluginConfig, RootContext, S], C], stream: S
    ) -> C | None:
        """A stream context of a filter, of HTTP or TCP; ``None`` when its failed VM is passed by (``fail_open``)."""
        root = self.root(config)
        if root.vm.failed:
            if config.failure_policy == FAIL_OPEN:
                return None
            waited = self.proxy.clock.now_ns - root.vm.failed_at_ns
            if config.failure_policy == FAIL_RELOAD and waited >= RELOAD_BACKOFF_NS:
                self.restart(config)
                root = self.root(config)
        return kind(root.vm, config, root, stream)

    def restart(self, config: PluginConfig) -> None:
        """A new VM in place of the filter's old one."""
        old = self.vms.pop(config.vm_key)
        for key in [key for key in self.roots if key[0] == config.vm_key]:
            self.roots[key].set_tick_period(0)
            self.roots.pop(key).dead = True
        self.proxy.drop_callouts(old)
        old.close()
        self.start(config)

    def finish(self) -> None:
        """Done and delete for every root context, newest first."""
        for root in reversed(list(self.roots.values())):
            if not root.dead:
                root.finish()

    def close(self) -> None:
        """Free all VMs."""
        for root in self.roots.values():
            root.set_tick_period(0)
            root.dead = True
        for vm in self.vms.values():
            vm.close()


def start_root(vm: Vm, config: PluginConfig) -> RootContext:
    """Create, start and configure a plugin in a VM; `FilterStartError` when the guest refuses or traps."""
    root = RootContext(vm, config)
    for step, words, what in (
        (root.start, "Failed to start base Wasm", "proxy_on_vm_start"),
        (root.configure, "Failed to configure base Wasm plugin", "proxy_on_configure"),
    ):
        accepted = step()
        if vm.failed:
            error = vm.proxy.failures.pop() if vm.proxy.failures else None
            where = error.callback if error is not None else what
            raise _start_error(f"{words}: the guest failed in {where}", config, error, vm.proxy) from None
        if not accepted:
            words = f"{words}: the guest returned 0 from {what}, which refuses to start"
            if what == "proxy_on_configure" and not config.configuration:
                words += (
                    "\nits configuration is empty: give it one with proxywasm.filter(..., configuration=...), "
                    "proxywasm_filter.replace(configuration=...) or @pytest.mark.proxywasm(configuration=...)"
                )
            said = "".join(f"\n    {line}" for line in last_words(vm))
            raise _start_error(words + (f"\nwhat it logged last:{said}" if said else ""), config, None, vm.proxy)
    return root


def _start_error(words: str, config: PluginConfig, cause: FilterError | None, proxy: Proxy) -> FilterStartError:
    name = f"filter {config.name!r}: " if config.name else ""
    text = f"{name}{words}"
    if cause is not None:
        text += f"\n{cause}"
    error = FilterStartError(text, callback=cause.callback if cause is not None else None)
    error.trace = proxy.trace
    return error


def start_like_envoy(proxy: Proxy, configs: Sequence[PluginConfig], main: Worker, scratch: Worker) -> None:
    """Everything Envoy starts before its workers: a base VM, a canary for each plugin, then the main thread's VMs.

    Seen in Envoy 1.40: the base VM runs the start functions only; a canary is started and configured, then dropped
    without done or delete, and no callout it made gets out; the main thread keeps its VMs, and its ticks come before
    those of the workers, which start a little later.
    """
    based: set[tuple[object, ...]] = set()
    for config in configs:
        if config.vm_key not in based:
            based.add(config.vm_key)
            scratch.create_vm(config).close()
        canary = scratch.create_vm(config)
        canary.scratch = True
        start_root(canary, config)
        for context in list(canary.contexts.values()):
            if isinstance(context, RootContext):
                context.set_tick_period(0)
                context.dead = True
        canary.close()
        main.start(config)
    proxy.clock.advance(WORKERS_LATER)
