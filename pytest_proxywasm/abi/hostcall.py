"""How hostcalls are declared: one Python function whose annotations carry the ABI types.

From the declaration come the wasm signature, the decoding of arguments, the encoding of results, the trace record
and the reference documentation. This module knows the types; `binder` knows how to run them over a guest's memory.

Decoding follows the declared order. The body gets the decoded arguments and answers a `Status`, or the value (a tuple
of values) of its outputs, which means OK; a `Reply` hands back both.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from ..trace.events import Why
from .codec import Pair
from .enums import ALL_VERSIONS, AbiVersion, BufferType, MapType, Status, StreamType


@dataclass(frozen=True, slots=True)
class Input:
    """An argument: how many wasm values it takes and how it is decoded and shown.

    Attributes:
        kind: ``word``, ``text``, ``bytes``, ``pairs`` or ``path``.
        wasm: its wasm values; two of them are an address and a size.
        enum: the enumeration of a word.
        checked: an unknown number of the enumeration is refused before any memory is read; otherwise the body gets it.
        signed: of a word.
        lazy: the body gets a callable that decodes, so that its own checks come first.
    """

    kind: str
    wasm: tuple[str, ...] = ("i32",)
    enum: type[enum.IntEnum] | None = None
    checked: bool = False
    signed: bool = False
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """A result the guest gets through pointers it passed.

    Attributes:
        kind: ``u32``, ``u64``, ``data`` (an allocated block; address and size are written) or ``pairs``.
        name: for the trace.
        text: data that the trace shows as str.
        optional: an address of 0 means that the guest does not want it.
        first: the address is checked, and 0 written there, before the body runs.
        always: written whatever the status is.
    """

    kind: str
    name: str
    text: bool = False
    enum: type[enum.IntEnum] | None = None
    optional: bool = False
    first: bool = False
    always: bool = False

    WIDTH: ClassVar[dict[str, int]] = {"u32": 1, "u64": 1, "data": 2, "pairs": 2}

    @property
    def wasm(self) -> tuple[str, ...]:
        """The addresses it takes."""
        return ("i32",) * self.WIDTH[self.kind]


U32 = Annotated[int, Input("word")]
I32 = Annotated[int, Input("word", signed=True)]
U64 = Annotated[int, Input("word", ("i64",))]
I64 = Annotated[int, Input("word", ("i64",), signed=True)]
Text = Annotated[bytes, Input("text", ("i32", "i32"))]
Bytes = Annotated[bytes, Input("bytes", ("i32", "i32"))]
LazyBytes = Annotated[Callable[[], bytes], Input("bytes", ("i32", "i32"), lazy=True)]
Pairs = Annotated[list[Pair], Input("pairs", ("i32", "i32"))]
Path = Annotated[bytes, Input("path", ("i32", "i32"))]
Map = Annotated[MapType, Input("word", enum=MapType, checked=True)]
Buffer = Annotated[BufferType, Input("word", enum=BufferType, checked=True)]
Stream = Annotated[StreamType, Input("word", enum=StreamType, checked=True)]


class Reply(NamedTuple):
    """A status together with outputs, for calls that hand something back although they fail."""

    status: Status
    values: tuple[Any, ...]


class Block(bytes):
    """Data that is handed over in a block of the guest's allocator even when it is empty.

    Proxies do not look whether the allocator gave a block for it.
    """

    __slots__ = ()


class Refused(Exception):
    """The host answers this status before, or instead of, running the body; ``why`` is for the reader of the trace."""

    def __init__(self, status: Status, why: Why | None = None) -> None:
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class Param:
    """One declared argument."""

    name: str
    input: Input


@dataclass(frozen=True, slots=True)
class HostcallSpec:
    """Everything that follows from one declaration."""

    name: str
    versions: tuple[AbiVersion, ...]
    params: tuple[Param, ...]
    outputs: tuple[Output, ...]
    body: Callable[..., Any] = field(compare=False)
    doc: str
    during_start: bool
    inside_allocator: bool
    returns: str

    @property
    def wasm_params(self) -> tuple[str, ...]:
        """The wasm parameter types."""
        return tuple(w for p in self.params for w in p.input.wasm) + tuple(w for o in self.outputs for w in o.wasm)

    @property
    def wasm_results(self) -> tuple[str, ...]:
        """The wasm result types."""
        return () if self.returns == "none" else ("i32",)


F = TypeVar("F", bound=Callable[..., Any])


class Registry(dict[str, HostcallSpec]):
    """Hostcalls by name."""

    def declare(
        self,
        *,
        since: AbiVersion = AbiVersion.V0_1_0,
        until: AbiVersion = AbiVersion.V0_2_1,
        during_start: bool = False,
        inside_allocator: bool = False,
        returns: str = "status",
    ) -> Callable[[F], F]:
        """Declare the decorated function as the hostcall of its name.

        Args:
            since: the first ABI version that has it.
            until: the last one.
            during_start: guests may call it inside ``_initialize`` and ``_start``.
            inside_allocator: guests may call it while the host runs their allocator.
            returns: ``"status"``; ``"value"`` for a plain number; ``"none"``.
        """
        versions = tuple(v for v in ALL_VERSIONS if since.value <= v.value <= until.value)

        def add(body: F) -> F:
            hints = get_type_hints(body, include_extras=True)
            names = list(inspect.signature(body).parameters)[1:]
            outputs: tuple[Output, ...] = ()
            if get_origin(hints["return"]) is Annotated:
                outputs = tuple(a for a in get_args(hints["return"])[1:] if isinstance(a, Output))
            self[body.__name__] = HostcallSpec(
                name=body.__name__,
                versions=versions,
                params=tuple(Param(n.rstrip("_"), _input(body.__name__, n, hints[n])) for n in names),
                outputs=outputs,
                body=body,
                doc=inspect.getdoc(body) or "",
                during_start=during_start,
                inside_allocator=inside_allocator,
                returns=returns,
            )
            return body

        return add

    def of(self, version: AbiVersion) -> dict[str, HostcallSpec]:
        """The hostcalls a guest of this version may import."""
        return {name: spec for name, spec in self.items() if version in spec.versions}


def _input(function: str, name: str, hint: Any) -> Input:
    if get_origin(hint) is Annotated:
        for note in get_args(hint)[1:]:
            if isinstance(note, Input):
                return note
    raise TypeError(f"{function}: parameter {name} has no ABI type: {hint!r}")
