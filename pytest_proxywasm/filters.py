"""`Filter`: a guest with its configuration, as a value; knows no running engine and no host."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from .build import Builder, Command, parse_command
from .errors import UsageError
from .guest import Guest, WasmSource, load_guest, nearest

if TYPE_CHECKING:
    from .engine import ExportType, ImportType

__all__ = ["FILTER_OPTIONS", "Filter", "load_filter"]

FAILURE_POLICIES = ("fail_closed", "fail_open", "fail_reload", "fail_open_legacy")
FILTER_OPTIONS = (
    "configuration",
    "vm_configuration",
    "name",
    "root_id",
    "vm_id",
    "environment",
    "failure_policy",
    "allow_on_headers_stop_iteration",
    "allowed_capabilities",
    "build",
)


class Filter:
    """A compiled guest with its configuration: what a proxy is told about one filter. Immutable.

    Two filters are equal when guest and options are, wherever the guest came from.

    Args:
        wasm: the guest: bytes; the path of a ``.wasm`` or ``.wat`` file (relative to pytest's rootdir
            when made by ``proxywasm.filter``, else to the working directory); or WAT, text whose
            first token is ``(module``.
        configuration: the plugin configuration: bytes, str (UTF-8), or a JSON value, encoded without
            blanks in the order given.
        vm_configuration: the same for the VM.
        name: the name of the plugin, as Envoy's ``name``.
        root_id: the root context's id.
        vm_id: filters with equal ``vm_id``, ``vm_configuration`` and guest share a VM.
        environment: environment variables the guest sees through WASI.
        failure_policy: what a proxy does with streams after the VM failed: ``"fail_closed"``,
            ``"fail_open"``, ``"fail_reload"`` or ``"fail_open_legacy"``.
        allow_on_headers_stop_iteration: Envoy's setting of that name.
        allowed_capabilities: names of the callbacks and hostcalls that are allowed; ``None`` allows all.
        build: a command that makes the file, as str or list, run in pytest's rootdir without a shell when the
            sources have changed; see `pytest_proxywasm.build`.

    Raises:
        UsageError: an option is wrong, the file is missing, is not wasm, or cannot be built.
    """

    __slots__ = (
        "_builder",
        "_environment",
        "_guest",
        "allow_on_headers_stop_iteration",
        "allowed_capabilities",
        "build",
        "configuration",
        "failure_policy",
        "name",
        "root_id",
        "vm_configuration",
        "vm_id",
    )

    _guest: Guest
    _builder: Builder
    _environment: tuple[tuple[str, str], ...]
    configuration: bytes
    vm_configuration: bytes
    name: str
    root_id: str
    vm_id: str
    failure_policy: str
    allow_on_headers_stop_iteration: bool
    allowed_capabilities: frozenset[str] | None
    build: tuple[str, ...] | None

    def __init__(
        self,
        wasm: WasmSource,
        *,
        configuration: Any = b"",
        vm_configuration: Any = b"",
        name: str = "",
        root_id: str = "",
        vm_id: str = "",
        environment: Mapping[str, str] | None = None,
        failure_policy: str = "fail_closed",
        allow_on_headers_stop_iteration: bool = False,
        allowed_capabilities: Iterable[str] | None = None,
        build: Command | None = None,
    ) -> None:
        options = {
            "configuration": configuration,
            "vm_configuration": vm_configuration,
            "name": name,
            "root_id": root_id,
            "vm_id": vm_id,
            "environment": environment,
            "failure_policy": failure_policy,
            "allow_on_headers_stop_iteration": allow_on_headers_stop_iteration,
            "allowed_capabilities": allowed_capabilities,
            "build": build,
        }
        self._fill(_default_builder(Path.cwd()), wasm, options)

    def _fill(self, builder: Builder, wasm: WasmSource, options: Mapping[str, Any]) -> None:
        put = object.__setattr__
        put(self, "_builder", builder)
        for option, value in options.items():
            put(self, "_environment" if option == "environment" else option, _CHECKS[option](option, value))
        put(self, "_guest", load_guest(wasm, self.build, builder))

    def replace(self, **options: Any) -> Filter:
        """The same filter with these options instead; takes every argument of `Filter`, ``wasm`` too.

        A relative path or a ``build`` starts where this filter's did.
        """
        known = ("wasm", *FILTER_OPTIONS)
        for option in options:
            if option not in known:
                raise UsageError(f"Filter.replace() has no option {option!r}{nearest(option, known)}")
        if options.keys() & {"wasm", "build"}:
            current = {option: getattr(self, option) for option in FILTER_OPTIONS}
            if "wasm" in options:
                # Another guest is not made by this one's command.
                current["build"] = None
            wasm = options.pop("wasm", self._guest.path or self._guest.data)
            return load_filter(self._builder, wasm, **{**current, **options})
        new = object.__new__(Filter)
        put = object.__setattr__
        for slot in self.__slots__:
            put(new, slot, getattr(self, slot))
        for option, value in options.items():
            put(new, "_environment" if option == "environment" else option, _CHECKS[option](option, value))
        return new

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables the guest sees through WASI."""
        return MappingProxyType(dict(self._environment))

    @property
    def path(self) -> Path | None:
        """The file the guest came from, absolute; ``None`` for bytes and WAT."""
        return self._guest.path

    @property
    def sha256(self) -> str:
        """Hex digest of the guest."""
        return self._guest.sha256

    @property
    def abi_version(self) -> str | None:
        """The ABI version by the guest's marker export, such as ``"0.2.1"``; ``None`` without one."""
        from .abi.module import version_of

        version = version_of(self.exports)
        return None if version is None else str(version)

    @property
    def imports(self) -> tuple[ImportType, ...]:
        """What the guest imports, in its order: ``.module``, ``.name``, ``.kind``, ``.type``."""
        return self._guest.info.import_types()

    @property
    def exports(self) -> tuple[ExportType, ...]:
        """What the guest exports, in its order: ``.name``, ``.kind``, ``.type``."""
        return self._guest.info.export_types()

    @property
    def sdk(self) -> str | None:
        """What the guest was built with, as far as it shows.

        ``"rust"``, ``"go"``, ``"tinygo"``, ``"assemblyscript"``, ``"cpp"``, ``"zig"``, or ``None``.
        """
        from .sdk import detect_sdk

        return detect_sdk(self._guest.data, self._guest.info)

    def wasm_bytes(self) -> bytes:
        """The guest in the binary format."""
        return self._guest.data

    def _key(self) -> tuple[object, ...]:
        return (
            self.sha256,
            self.configuration,
            self.vm_configuration,
            self.name,
            self.root_id,
            self.vm_id,
            self._environment,
            self.failure_policy,
            self.allow_on_headers_stop_iteration,
            self.allowed_capabilities,
        )

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Filter) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Filter cannot be changed; make another: filter.replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Filter cannot be changed; make another: filter.replace(...)")

    def __getstate__(self) -> tuple[object, ...]:
        return tuple(getattr(self, slot) for slot in Filter.__slots__)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        for slot, value in zip(Filter.__slots__, state):
            object.__setattr__(self, slot, value)

    def __repr__(self) -> str:
        shown = [self._guest.describe(self._builder.root)]
        for option in FILTER_OPTIONS:
            value = getattr(self, option)
            if not value or value == "fail_closed":
                continue
            if option == "environment":
                value = dict(value)
            elif option == "allowed_capabilities":
                value = sorted(value)
            elif option == "build":
                value = list(value)
            text = repr(value)
            shown.append(f"{option}={text if len(text) <= 80 else text[:70] + '...' + text[-5:]}")
        return f"Filter({', '.join(shown)})"


def load_filter(builder: Builder, wasm: WasmSource, **options: Any) -> Filter:
    """A filter whose relative path starts at the builder's root, and which the builder builds.

    Raises:
        UsageError: as `Filter`; an unknown option too, with the nearest name.
    """
    for option in options:
        if option not in FILTER_OPTIONS:
            raise UsageError(f"a filter has no option {option!r}{nearest(option, FILTER_OPTIONS)}")
    new = object.__new__(Filter)
    new._fill(builder, wasm, {**_DEFAULTS, **options})
    return new


@lru_cache(maxsize=8)
def _default_builder(root: Path) -> Builder:
    from .engine.cache import default_directory

    return Builder(root, default_directory())


# Options.


def _configuration(option: str, value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if value is None:
        raise UsageError(f"{option}=None is ambiguous: leave it out for an empty one, or write 'null' for JSON's null")
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{option}= takes bytes, str or a JSON value, and this {type(value).__name__} is none: {error}"
        ) from None


def _text(option: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{option}= takes a str, not {value!r}")
    return value


def _bool(option: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{option}= takes True or False, not {value!r}")
    return value


def _environment(option: str, value: Any) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise UsageError(f"{option}= takes a mapping of str to str, not {value!r}")
    for key, content in value.items():
        if not isinstance(key, str) or not isinstance(content, str):
            raise UsageError(f"{option}= takes a mapping of str to str, without {key!r}: {content!r}")
        if not key or "=" in key or "\0" in key + content:
            raise UsageError(f"{option}= has an impossible variable: {key!r}: {content!r}")
    return tuple(value.items())


def _failure_policy(option: str, value: Any) -> str:
    if value not in FAILURE_POLICIES:
        hint = nearest(str(value), FAILURE_POLICIES)
        raise UsageError(f"{option}={value!r} does not exist{hint}")
    return str(value)


def _capabilities(option: str, value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise UsageError(f"{option}= takes a list of names, or None for all, not {value!r}")
    names = frozenset(value)
    wrong = next((name for name in names if not isinstance(name, str)), None)
    if wrong is not None:
        raise UsageError(f"{option}= takes names as str, not {wrong!r}")
    return names


def _build(option: str, value: Any) -> tuple[str, ...] | None:
    return None if value is None else parse_command(value)


_CHECKS: dict[str, Any] = {
    "configuration": _configuration,
    "vm_configuration": _configuration,
    "name": _text,
    "root_id": _text,
    "vm_id": _text,
    "environment": _environment,
    "failure_policy": _failure_policy,
    "allow_on_headers_stop_iteration": _bool,
    "allowed_capabilities": _capabilities,
    "build": _build,
}
_DEFAULTS: dict[str, Any] = {
    "configuration": b"",
    "vm_configuration": b"",
    "name": "",
    "root_id": "",
    "vm_id": "",
    "environment": None,
    "failure_policy": "fail_closed",
    "allow_on_headers_stop_iteration": False,
    "allowed_capabilities": None,
    "build": None,
}
