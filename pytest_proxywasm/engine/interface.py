"""What the rest of the package may know of a WebAssembly engine; knows neither wasmtime nor wasmer, nor Proxy-Wasm.

An `Engine` compiles bytes to a `Module`, a module is linked once with host functions to a `Linked`, and a linked
module makes any number of `Instance` objects, each with a memory and a budget of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = [
    "DEFAULT_BUDGET",
    "DEFAULT_MAX_MEMORY",
    "PAGE",
    "BadModule",
    "Engine",
    "EngineUnavailable",
    "ExportType",
    "Frame",
    "FunctionType",
    "HostFunction",
    "ImportType",
    "Instance",
    "InstanceClosed",
    "Limits",
    "LinkError",
    "Linked",
    "Module",
    "State",
    "Trap",
    "ValueType",
]

PAGE = 65536
DEFAULT_MAX_MEMORY = 256 * 1024 * 1024
DEFAULT_BUDGET = 100_000_000

ValueType = str
"""``"i32"``, ``"i64"``, ``"f32"``, ``"f64"``, ``"v128"``, ``"funcref"`` or ``"externref"``."""

HostFunction = Callable[..., "int | None"]
"""Called as ``f(data, *args)`` with the ``data`` of `Linked.instantiate`; integers arrive unsigned, and results are
masked to the declared type. A function may carry its type as the attribute ``wasm_type``: then it is checked."""


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Parameters and results of a function; its text is worded as Envoy words it: ``i32 i32 -> i32``."""

    params: tuple[ValueType, ...]
    results: tuple[ValueType, ...]

    def __str__(self) -> str:
        return f"{' '.join(self.params)} -> {' '.join(self.results)}"


@dataclass(frozen=True, slots=True)
class ImportType:
    """One import; ``type`` is given for functions only."""

    module: str
    name: str
    kind: str
    type: FunctionType | None = None


@dataclass(frozen=True, slots=True)
class ExportType:
    """One export; ``type`` is given for functions only."""

    name: str
    kind: str
    type: FunctionType | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may use: ``max_memory`` bytes, and ``budget`` function entries and loop rounds per outermost
    call."""

    max_memory: int = DEFAULT_MAX_MEMORY
    budget: int = DEFAULT_BUDGET

    def __post_init__(self) -> None:
        if self.max_memory < 0:
            raise ValueError(f"max_memory is a number of bytes and cannot be {self.max_memory}")
        if not 0 <= self.budget < 2**63:
            raise ValueError(f"budget is a count between 0 and 2**63 - 1 and cannot be {self.budget}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One guest function on the stack of a `Trap`.

    ``module_offset`` is a byte offset into the original module, ``location`` a ``"src/lib.rs:42"`` from its DWARF.
    """

    function_index: int
    name: str
    raw_name: str = ""
    module_offset: int | None = None
    location: str | None = None

    def __str__(self) -> str:
        return f"{self.name} at {self.location}" if self.location else self.name


class Trap(Exception):
    """The guest trapped; ``frames`` are innermost first.

    ``kind`` is one of ``unreachable``, ``stack_overflow``, ``memory_out_of_bounds``, ``table_out_of_bounds``,
    ``indirect_call_to_null``, ``bad_signature``, ``integer_overflow``, ``integer_division_by_zero``,
    ``bad_conversion_to_integer``, ``budget``, ``host`` and ``other``.
    """

    def __init__(self, kind: str, message: str, frames: tuple[Frame, ...] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.frames = frames

    def __reduce__(self) -> tuple[type[Trap], tuple[str, str, tuple[Frame, ...]]]:
        return Trap, (self.kind, self.message, self.frames)


class BadModule(Exception):
    """The bytes are no module this engine can run: not wasm, cut off, corrupt, or of a proposal it lacks."""


class LinkError(Exception):
    """An import that the host does not offer, or offers with another type."""

    def __init__(
        self,
        message: str,
        *,
        module: str,
        name: str,
        wanted: FunctionType | None = None,
        offered: FunctionType | None = None,
    ) -> None:
        super().__init__(message)
        self.module = module
        self.name = name
        self.wanted = wanted
        self.offered = offered


class EngineUnavailable(Exception):
    """The engine that was asked for cannot be imported in this Python."""


class InstanceClosed(RuntimeError):
    """An instance was used after its ``close()``."""


@dataclass(slots=True, eq=False)
class State:
    """Memory and globals of an instance at one moment: all of its state, unless `Module.unsaved` names more.

    Attributes:
        globals: the values of all mutable globals, floats as their bits.
        patches: what to write where into the memory of a new instance; found at first use.
        copy_times: seconds it took to copy it back into a used instance.
        new_times: seconds it took to restore it in a new instance.
    """

    memory: bytes
    globals: tuple[int, ...]
    patches: tuple[tuple[int, bytes], ...] | None = None
    copy_times: list[float] = field(default_factory=list)
    new_times: list[float] = field(default_factory=list)


class Instance(Protocol):
    """One running guest: a memory, exported functions, limits."""

    data: object
    """What host functions get first; may be set while no call is running."""

    memory: memoryview
    """The guest's memory as writable bytes; empty when it has none. Shorter than the memory after it grew: see `renew`.
    Do not keep slices of it beyond `close`."""

    @property
    def budget_used(self) -> int:
        """What the last or ongoing outermost call has used of its budget."""

    def start(self) -> None:
        """Run the module's start section, if it has one; host functions it calls already find the memory."""

    def renew(self) -> memoryview:
        """Refresh ``memory`` after the guest's memory may have grown, and return it."""

    def function(self, name: str) -> Callable[..., int | None] | None:
        """The exported function of that name, bound once and cheap to call; ``None`` when there is none."""

    @property
    def at_rest(self) -> bool:
        """Whether it is open and no call is running."""

    def save(self) -> State:
        """Memory and globals as they are now.

        Raises:
            RuntimeError: a call is running.
            ValueError: the module has other state (`Module.unsaved`).
        """

    def restore(self, state: State, *, new: bool = False) -> None:
        """Memory and globals as they were when the state was saved, in this or in another instance of the module.

        Args:
            new: nothing has run in this instance since it was made: then only what differs is written.

        Raises:
            RuntimeError: a call is running.
            ValueError: the memory has become larger than it was then, or the module has other state.
        """

    def close(self) -> None:
        """Free the instance; from inside one of its own calls, as soon as that call is over."""


class Linked(Protocol):
    """A module with its host functions."""

    def instantiate(self, data: object, limits: Limits = ...) -> Instance:
        """A fresh instance, whose start section has yet to run (`Instance.start`); host functions get ``data``."""


class Module(Protocol):
    """A compiled module."""

    @property
    def imports(self) -> tuple[ImportType, ...]:
        """Imports in the order of the module."""

    @property
    def exports(self) -> tuple[ExportType, ...]:
        """Exports in the order of the module."""

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes it was made of."""

    @property
    def unsaved(self) -> str:
        """What of an instance's state `Instance.save` cannot save, in words; "" when it saves all of it."""

    def link(self, functions: Mapping[tuple[str, str], HostFunction]) -> Linked:
        """Give every import its host function by ``(module, name)``; done once, for any number of instances.

        Raises `LinkError`. Imported memories and tables are provided, as Envoy does.
        """


class Engine(Protocol):
    """A WebAssembly engine."""

    @property
    def name(self) -> str:
        """``"wasmtime"`` or ``"wasmer"``."""

    @property
    def version(self) -> str:
        """Version of the engine's Python package."""

    def module(self, wasm: bytes, *, name: str = ...) -> Module:
        """The compiled module: from memory, else from the disk cache, else compiled. ``name`` is used in messages.

        Raises `BadModule`.
        """
