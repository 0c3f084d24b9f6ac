"""The events of a run and the `Trace` that holds them; knows nothing of how they came about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .._tracebacks import hide_missing_names
from ..model import Action

if TYPE_CHECKING:
    from .search import Step

Why: TypeAlias = "str | tuple[Any, ...]"
"""A reason: a text, or a function and its arguments, for texts that are made only when somebody reads them."""


class Arguments(dict[str, Any]):
    """Arguments or results by parameter name.

    Names are the ABI's without the memory detail: ``key`` for ``key_ptr`` and ``key_size``, ``value`` for
    ``return_value_ptr`` and ``return_value_size``; the ABI's longer spelling finds them as well.
    """

    __slots__ = ()

    def __missing__(self, name: str) -> Any:
        __tracebackhide__ = hide_missing_names
        for candidate in (
            name.removeprefix("return_"),
            name.removeprefix("status_code_"),
            name.removesuffix("_type"),
        ):
            if candidate != name and candidate in self:
                return self[candidate]
        there = ", ".join(self) or "none"
        raise KeyError(f"no argument {name!r}; there are: {there}")


class Hostcall:
    """One call from the guest to the host.

    Attributes:
        name: such as ``"proxy_get_header_map_value"``.
        args: what the guest passed, decoded: enums, str for names and texts, bytes for values, pairs of bytes.
            Empty when the host refused before it had decoded them.
        status: the `Status` it answered; ``None`` for calls that answer none.
        results: what the host handed back, empty unless the call succeeded.
        injected: the test injected this status.
        callback: the callback during which it was made.
        why: what `reason` is made of.
    """

    __slots__ = ("args", "callback", "injected", "name", "results", "status", "why")

    def __init__(
        self,
        name: str,
        args: Arguments,
        status: Any,
        results: Arguments,
        callback: Callback | None,
        injected: bool = False,
    ) -> None:
        self.name = name
        self.args = args
        self.status = status
        self.results = results
        self.callback = callback
        self.injected = injected
        self.why: Why | None = None

    @property
    def reason(self) -> str:
        """Why the host answered so: which argument was bad and why, or why an OK had no effect; else empty.

        Names of headers, never their values.
        """
        if self.injected:
            return "the test injected this status"
        why = self.why
        if why is None:
            return ""
        return why if isinstance(why, str) else why[0](*why[1:])

    def because(self, why: Why | None) -> None:
        """Say why it was answered so (for hosts): a text, or a function and its arguments that gives it when asked."""
        self.why = why

    def __repr__(self) -> str:
        from .text import hostcall_line

        return f"<Hostcall {hostcall_line(self)}>"


class WasiCall(Hostcall):
    """One call from the guest to a WASI function; ``status`` is its errno."""

    __slots__ = ()


class Callback:
    """One call from the host to the guest.

    Attributes:
        name: such as ``"proxy_on_request_headers"``; start functions appear as ``"_initialize"``.
        args: by parameter name; booleans are bool.
        action: what it returned, for callbacks that return an action; else the plain number or ``None``.
        hostcalls: the calls the guest made meanwhile, in order.
        filter: the name of the filter.
        context_id: the context it was made on.
        worker: the index of the worker.
        finished: false while it runs and when it trapped.
        time_ns: when it began, in virtual nanoseconds since the Unix epoch; ``None`` where time is real.
    """

    __slots__ = ("action", "args", "context_id", "filter", "finished", "hostcalls", "name", "time_ns", "worker")

    def __init__(
        self, name: str, args: Arguments, context_id: int, filter: str, worker: int, time_ns: int | None = None
    ) -> None:
        self.name = name
        self.args = args
        self.context_id = context_id
        self.filter = filter
        self.worker = worker
        self.time_ns = time_ns
        self.action: Action | int | None = None
        self.hostcalls: list[Hostcall] = []
        self.finished = False

    def __repr__(self) -> str:
        from .text import callback_line

        return f"<Callback {callback_line(self)}, {len(self.hostcalls)} hostcalls>"


class Trace(Sequence[Callback]):
    """Callbacks in order, each with its hostcalls."""

    __slots__ = ("_events", "decoded", "labelled")

    def __init__(self, events: Iterable[Callback] = (), *, labelled: bool = False, decoded: bool = True) -> None:
        self._events: list[Callback] = list(events)
        self.labelled = labelled
        """Whether lines name filter and worker, because there are several."""
        self.decoded = decoded
        """Whether hostcalls show texts, values and results, or, in a real Envoy without the recorder, sizes only."""

    def add(self, event: Callback) -> None:
        """Put an event at the end (for hosts)."""
        self._events.append(event)

    def clear(self) -> None:
        """Forget all events (for hosts)."""
        self._events.clear()

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Trace(self._events[index], labelled=self.labelled, decoded=self.decoded)
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Callback]:
        return iter(self._events)

    def callbacks(self, name: str | None = None) -> list[Callback]:
        """All callbacks, or those of one name."""
        return [event for event in self._events if name is None or event.name == name]

    def hostcalls(self, name: str | None = None) -> list[Hostcall]:
        """All hostcalls in order, or those of one name; WASI calls only by name."""
        return [
            call
            for event in self._events
            for call in event.hostcalls
            if (call.name == name if name is not None else not isinstance(call, WasiCall))
        ]

    def contains(self, wanted: Sequence[Step]) -> bool:
        """Whether these happened in this order, with anything in between.

        Args:
            wanted: names of callbacks or hostcalls, or pairs of a name and what must be there: arguments, results,
                ``status`` of a hostcall, ``action`` of a callback. Values may be `ANY`, ``matching(...)`` or a
                `Placeholder`; enums also by their name; of header lists a mapping is a subset.

        A failing ``assert trace.contains([...])`` says how far it got and what came nearest; see also `explain`.
        """
        from .search import contains

        return contains(self, wanted)

    def explain(self, wanted: Sequence[Step]) -> str:
        """Why `contains` is false: the first step that is not there, what comes nearest, and what was found before.

        Empty when it is true.
        """
        from .search import explain

        return explain(self, wanted)

    def text(
        self,
        *,
        wasi: bool = False,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        redact: Iterable[str] = (),
        reasons: bool = False,
    ) -> str:
        """The trace as stable text, for reading and for snapshots.

        Args:
            wasi: show all WASI calls, not only ``fd_write``.
            include: show only these names (callbacks or hostcalls; ``*`` matches any part).
            exclude: leave these names out.
            redact: header names whose values are shown as ``"<redacted>"``.
            reasons: a line more under each hostcall that answered an error, or OK without effect: why.
        """
        from .text import trace_text

        return trace_text(self, wasi=wasi, include=include, exclude=exclude, redact=redact, reasons=reasons)

    def diff(self, other: Trace) -> str:
        """A line diff of two traces' texts, empty when they agree: arguments, results, statuses, order."""
        from .diff import unified

        return unified(self.text(), other.text())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and self.text(wasi=True) == other.text(wasi=True)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Trace, {len(self._events)} callbacks>"
