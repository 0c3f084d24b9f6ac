"""From a filter's bytes to a guest that is ready to be instantiated, once for each module; knows no contexts."""

from __future__ import annotations

import atexit
import gc
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..abi.binder import Bound, bind, bind_denied
from ..abi.enums import ALL_VERSIONS, AbiVersion
from ..abi.module import Export, Import, Interface, check_imports, describe
from ..abi.wasi import MODULES, WASI, bind_denied_wasi, bind_wasi
from ..engine import BadModule, Engine, Linked, LinkError, Module
from ..engine.state import Revival
from ..errors import FilterStartError
from ..host.hostcalls import HOSTCALLS
from .configs import code_of

if TYPE_CHECKING:
    from ..filters import Filter

Types = Mapping[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]]

_BOUND: dict[str, Bound] = {}
_VERSIONS = {name: spec.versions for name, spec in HOSTCALLS.items()}


def _offered(version: AbiVersion) -> Types:
    types = {("env", name): (spec.wasm_params, spec.wasm_results) for name, spec in HOSTCALLS.of(version).items()}
    for module in MODULES:
        types.update({(module, name): (spec.wasm_params, spec.results) for name, spec in WASI.items()})
    return types


OFFERED: dict[AbiVersion, Types] = {version: _offered(version) for version in ALL_VERSIONS}
"""Every function a guest of a version may import, with its type."""


def check(imports: Sequence[Import], exports: Sequence[Export]) -> Interface:
    """What a guest offers; `FilterStartError` where Envoy refuses to load it, in its words."""
    interface = describe(exports)
    check_imports(imports, OFFERED[interface.version], interface.version, _VERSIONS)
    return interface


def _function(module: str, name: str, capabilities: frozenset[str] | None) -> Bound:
    denied = capabilities is not None and name not in capabilities
    key = f"{'!' if denied else ''}{name}"
    bound = _BOUND.get(key)
    if bound is None:
        if module == "env":
            bound = (bind_denied if denied else bind)(HOSTCALLS[name])
        else:
            bound = (bind_denied_wasi if denied else bind_wasi)(WASI[name])
        _BOUND[key] = bound
    return bound


@dataclass(frozen=True, slots=True)
class LoadedGuest:
    """A compiled module with its host functions."""

    module: Module
    interface: Interface
    linked: Linked
    revival: Revival
    """Makes instances in saved states."""


class Loader:
    """Loads guests over one engine and remembers them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._guests: dict[tuple[str, frozenset[str] | None], LoadedGuest] = {}

    def load(self, wasm: bytes, sha256: str, capabilities: frozenset[str] | None) -> LoadedGuest:
        """Compile, check and link; `FilterStartError` where Envoy refuses to load the module."""
        key = (sha256, capabilities)
        guest = self._guests.get(key)
        if guest is None:
            guest = self._guests[key] = self._load(wasm, capabilities)
        return guest

    def close(self) -> None:
        """Free the instances that wait for their next use."""
        for guest in self._guests.values():
            guest.revival.close()

    def _load(self, wasm: bytes, capabilities: frozenset[str] | None) -> LoadedGuest:
        try:
            module = self.engine.module(wasm)
        except BadModule as error:
            raise FilterStartError(f"Failed to parse corrupted Wasm module: {error}") from None
        interface = check(module.imports, module.exports)
        functions = {
            (i.module, i.name): _function(i.module, i.name, capabilities)
            for i in module.imports
            if i.kind == "function"
        }
        try:
            linked = module.link(functions)
        except LinkError as error:
            raise FilterStartError(f"Failed to load Wasm module: {error}") from None
        return LoadedGuest(module, interface, linked, Revival(linked))


_LOADERS: weakref.WeakKeyDictionary[Engine, Loader] = weakref.WeakKeyDictionary()


def _release() -> None:
    """Free compiled guests while the engine's own modules are still whole, which they are not at the very end."""
    for loader in list(_LOADERS.values()):
        loader.close()
    _LOADERS.clear()
    gc.collect()


atexit.register(_release)


def loader_of(engine: Engine) -> Loader:
    """The one loader of an engine."""
    loader = _LOADERS.get(engine)
    if loader is None:
        loader = _LOADERS[engine] = Loader(engine)
    return loader


def load_guests(filters: Iterable[Filter], engine: Engine) -> dict[str, LoadedGuest]:
    """The guests of these filters, by what tells their code apart."""
    loader = loader_of(engine)
    guests: dict[str, LoadedGuest] = {}
    for one in filters:
        if code_of(one) not in guests:
            guests[code_of(one)] = loader.load(one.wasm_bytes(), one.sha256, one.allowed_capabilities)
    return guests
