"""A filter as a proxy is told of it; knows no host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..host.plugin import PluginConfig

if TYPE_CHECKING:
    from ..filters import Filter


def code_of(one: Filter) -> str:
    """Identifies a filter's code together with what it is allowed to call."""
    names = ",".join(sorted(one.allowed_capabilities)) if one.allowed_capabilities is not None else "*"
    return f"{one.sha256}:{names}"


def plugin_config(one: Filter) -> PluginConfig:
    """A filter as a proxy is told of it."""
    return PluginConfig(
        code=code_of(one),
        name=one.name,
        root_id=one.root_id,
        vm_id=one.vm_id,
        configuration=one.configuration,
        vm_configuration=one.vm_configuration,
        environment=tuple(one.environment.items()),
        failure_policy=one.failure_policy,
        allow_on_headers_stop_iteration=one.allow_on_headers_stop_iteration,
        capabilities=one.allowed_capabilities,
    )
