"""Whether a module is a Proxy-Wasm guest that a proxy loads, and what it has; knows imports and exports only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import FilterStartError, NotEmulatedError
from .callbacks import ALLOCATORS, CALLBACKS
from .elsewhere import IMPORTS_ELSEWHERE, NOT_EMULATED
from .enums import ALL_VERSIONS, AbiVersion


class Signature(Protocol):
    """A function type."""

    @property
    def params(self) -> tuple[str, ...]:
        """Parameter types."""

    @property
    def results(self) -> tuple[str, ...]:
        """Result types."""


class Import(Protocol):
    """An import of a module."""

    @property
    def module(self) -> str:
        """Module name."""

    @property
    def name(self) -> str:
        """Field name."""

    @property
    def kind(self) -> str:
        """``function``, ``memory``, ``table``, ``global`` or ``tag``."""

    @property
    def type(self) -> Signature | None:
        """The type of a function."""


class Export(Protocol):
    """An export of a module."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def kind(self) -> str:
        """As of an import."""

    @property
    def type(self) -> Signature | None:
        """The type of a function."""


@dataclass(frozen=True, slots=True)
class Interface:
    """What a guest offers.

    Attributes:
        version: its ABI.
        callbacks: how many wasm parameters each exported callback takes.
        allocator: the export that allocates.
        starts: start functions to call, in order.
    """

    version: AbiVersion
    callbacks: Mapping[str, int]
    allocator: str
    starts: tuple[str, ...]


_HINTS = {
    "env.abort": "AssemblyScript: build with --use abort=abort_proc_exit, no proxy offers env.abort",
    "env.seed": "AssemblyScript: Math.random() imports env.seed, which no proxy offers",
}


def version_of(exports: Iterable[Export]) -> AbiVersion | None:
    """The ABI version by the first marker function among the exports, in their order (proxy-wasm-cpp-host)."""
    markers = {version.marker: version for version in ALL_VERSIONS}
    for export in exports:
        if export.kind == "function" and export.name in markers:
            return markers[export.name]
    return None


def describe(exports: Sequence[Export]) -> Interface:
    """What a guest offers; `FilterStartError` where a proxy refuses to load it (Envoy 1.40's words)."""
    version = version_of(exports)
    if version is None:
        raise FilterStartError(_no_version(exports))
    functions = {e.name: e.type for e in exports if e.kind == "function" and e.type is not None}
    allocator = next((name for name in ALLOCATORS if name in functions), None)
    if allocator is None:
        raise FilterStartError(
            "Wasm module is missing malloc function.\n"
            "A Proxy-Wasm guest exports malloc or proxy_on_memory_allocate, so that the host can hand data over; "
            "this one exports neither. Check the exports your SDK and linker keep."
        )
    callbacks = {}
    for name, spec in CALLBACKS.items():
        type_ = functions.get(name)
        if type_ is None or version not in spec.versions:
            continue
        params = spec.wasm_params(version)
        if type_.params != params or type_.results != spec.wasm_results:
            wanted = _words(params, spec.wasm_results)
            raise FilterStartError(
                f"Bad function signature for: {name}, want: {wanted}, "
                f"but the module exports: {_words(type_.params, type_.results)}\n"
                f"The filter's callback {name} has another type than ABI {version} gives it; an SDK of another "
                "ABI version, or a hand-written export, is the usual cause."
            )
        callbacks[name] = len(type_.params)
    if "_initialize" in functions:
        main = next((name for name in ("main", "__main_void") if name in functions), None)
        starts: tuple[str, ...] = ("_initialize", main) if main else ("_initialize",)
    else:
        starts = ("_start",) if "_start" in functions else ()
    for name in (allocator, *starts):
        type_, wanted_type = functions[name], _TYPES[name]
        if (type_.params, type_.results) != wanted_type:
            raise FilterStartError(
                f"Bad function signature for: {name}, want: {_words(*wanted_type)}, "
                f"but the module exports: {_words(type_.params, type_.results)}"
            )
    return Interface(version, callbacks, allocator, starts)


def check_imports(
    imports: Sequence[Import],
    offered: Mapping[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]],
    version: AbiVersion,
    versions_of: Mapping[str, Sequence[AbiVersion]],
) -> None:
    """`FilterStartError` for an import that Envoy does not offer to this ABI version, in its words.

    Args:
        offered: parameter and result types by module and name.
        versions_of: the ABI versions that have a hostcall, for the message.
    """
    for item in imports:
        if item.kind in ("memory", "table"):
            continue
        full = f"{item.module}.{item.name}"
        if item.kind != "function" or item.type is None:
            raise FilterStartError(
                f"Failed to load Wasm module due to a missing import: {full}\n"
                f"It is a {item.kind}; proxies offer functions, a memory and a table only."
            )
        wanted = offered.get((item.module, item.name))
        if wanted is None and item.module == "env" and item.name in NOT_EMULATED:
            raise NotEmulatedError(
                f"the filter imports {full} ({NOT_EMULATED[item.name]}). Envoy offers that beyond the ABI; the mock "
                "host does not emulate it."
            )
        if wanted is None:
            raise FilterStartError(
                f"Failed to load Wasm module due to a missing import: {full}\n"
                + _about_missing(full, item.module, item.name, version, versions_of)
            )
        if (item.type.params, item.type.results) != wanted:
            raise FilterStartError(
                f"Failed to load Wasm module due to an import type mismatch: {full}, "
                f"want: {_words(item.type.params, item.type.results)}, but host exports: {_words(*wanted)}\n"
                f"The guest declares {full} with another type than ABI {version}; "
                "an SDK of another ABI version is the usual cause."
            )


def _about_missing(
    full: str, module: str, name: str, version: AbiVersion, versions_of: Mapping[str, Sequence[AbiVersion]]
) -> str:
    if full in _HINTS:
        return _HINTS[full]
    if module == "env" and name in versions_of:
        having = ", ".join(str(v) for v in versions_of[name])
        return (
            f"{name} exists in ABI {having} only, and this guest declares ABI {version}; "
            "Envoy refuses to load it as well."
        )
    other = IMPORTS_ELSEWHERE.get(name) if module == "env" else None
    if other is not None:
        return f"It belongs to {other.hosts} ({other.what}); Envoy does not offer it and refuses to load the filter."
    if module not in ("env", "wasi_snapshot_preview1", "wasi_unstable"):
        return f"Proxies offer the modules env, wasi_snapshot_preview1 and wasi_unstable, not {module!r}."
    return f"No host function of that name exists in ABI {version}; Envoy refuses to load the filter as well."


def _no_version(exports: Sequence[Export]) -> str:
    found = sorted(e.name for e in exports if e.name.startswith("proxy_abi_version_"))
    first = "Missing or unknown Proxy-Wasm ABI version\n"
    known = ", ".join(v.marker for v in ALL_VERSIONS)
    if not found:
        return (
            f"{first}The module exports none of the marker functions ({known}). Is it a Proxy-Wasm filter at all, "
            "and does its build keep the export?"
        )
    if any(name == "proxy_abi_version_0_2_100" for name in found):
        return f"{first}The module exports {', '.join(found)}: it was built for Higress, and Envoy refuses it."
    wrong = [e.name for e in exports if e.name in {v.marker for v in ALL_VERSIONS} and e.kind != "function"]
    if wrong:
        return f"{first}The module exports {wrong[0]}, but not as a function."
    return f"{first}The module exports {', '.join(found)}; known are {known}."


_TYPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "_initialize": ((), ()),
    "_start": ((), ()),
    "main": (("i32", "i32"), ("i32",)),
    "__main_void": ((), ("i32",)),
    **dict.fromkeys(ALLOCATORS, (("i32",), ("i32",))),
}
"""The types of what a host calls beside the callbacks."""


def _words(params: Sequence[str], results: Sequence[str]) -> str:
    return f"{' '.join(params) or 'void'} -> {' '.join(results) or 'void'}"
