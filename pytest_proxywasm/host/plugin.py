"""What a proxy is told about one filter; a plain value."""

from __future__ import annotations

from dataclasses import dataclass

FAIL_CLOSED = "fail_closed"
FAIL_OPEN = "fail_open"
FAIL_RELOAD = "fail_reload"
FAIL_OPEN_LEGACY = "fail_open_legacy"
FAILURE_POLICIES = (FAIL_CLOSED, FAIL_OPEN, FAIL_RELOAD, FAIL_OPEN_LEGACY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginConfig:
    """One filter's configuration, as Envoy's PluginConfig holds it.

    Attributes:
        code: identifies the guest's code; filters with equal ``vm_key`` share a VM.
        environment: ``(key, value)`` pairs.
        capabilities: names of the callbacks and hostcalls that are allowed; ``None`` allows all.
    """

    code: str
    name: str = ""
    root_id: str = ""
    vm_id: str = ""
    configuration: bytes = b""
    vm_configuration: bytes = b""
    environment: tuple[tuple[str, str], ...] = ()
    failure_policy: str = FAIL_CLOSED
    allow_on_headers_stop_iteration: bool = False
    capabilities: frozenset[str] | None = None

    @property
    def vm_key(self) -> tuple[object, ...]:
        """Filters with the same key run in one VM (proxy-wasm-cpp-host: vm_id, VM configuration, code)."""
        return (self.vm_id, self.vm_configuration, self.code, self.environment, self.capabilities)

    @property
    def plugin_key(self) -> tuple[object, ...]:
        """Filters of one VM with the same key share one root context (Envoy 1.40: their name is part of it)."""
        return (self.name, self.root_id, self.configuration, self.failure_policy)
