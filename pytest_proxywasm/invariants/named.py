"""The invariants by name, with what they say and why, and the error of one that does not hold; checks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ExpectationError, UsageError

if TYPE_CHECKING:
    from ..trace import Hostcall, Trace

__all__ = ["INVARIANTS", "CheckReport", "Invariant", "InvariantError", "chosen"]


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that holds for every healthy filter.

    Attributes:
        name: what ``skip=`` and ``only=`` of `check` call it.
        says: the rule, in a sentence.
        why: what goes wrong in production where it does not hold.
        unless: which healthy filters break it on purpose; "" if none does.
    """

    name: str
    says: str
    why: str
    unless: str = ""


INVARIANTS: Mapping[str, Invariant] = {
    one.name: one
    for one in (
        Invariant(
            "no_trap",
            "the filter does not trap, in none of the ways an exchange can arrive",
            "A trap takes the whole VM along: all its streams fail, and with fail_closed all that follow.",
        ),
        Invariant(
            "no_stall",
            "every stream that a filter pauses goes on, is answered, or is reset",
            "In Envoy a stream that nothing resumes hangs until a timeout, and holds its buffers and its connection.",
        ),
        Invariant(
            "one_reply",
            "a filter replies to a stream at most once",
            "Envoy sends the first reply; what the filter does afterwards acts on a stream that is over, and a reply "
            "that comes later still kills the Envoy process.",
        ),
        Invariant(
            "content_length",
            "a body that leaves is as long as its content-length says",
            "The other side waits for bytes that never come, or takes the rest for another message: request smuggling.",
        ),
        Invariant(
            "repeated_headers",
            "of a header the filter does not know, all values pass or none",
            "Headers such as set-cookie, via or x-forwarded-for come several times; a map with one value a name loses "
            "all but one, and text that is not UTF-8 comes out as U+FFFD.",
            "filters that clean up the values of all headers",
        ),
        Invariant(
            "all_end",
            "when an exchange is over, its streams and callouts end as well",
            "What is left open is kept for ever.",
        ),
        Invariant(
            "chunking",
            "the result does not depend on how a body arrives: in how many pieces; and an empty body that comes is no "
            "reason to trap or to stall",
            "TCP and HTTP/2 cut bodies anywhere. A filter that looks at the first piece only, or does not wait for the "
            "end, works with small bodies in tests.",
            "filters that work on pieces as they come, such as those that count or sign them",
        ),
        Invariant(
            "trailers",
            "a trailer that nobody knows changes nothing else",
            "With trailers no body callback has end_of_stream. A filter that checks a body at its end checks nothing "
            "then, and any client can send trailers.",
            "filters that refuse trailers",
        ),
        Invariant(
            "used_vm",
            "an exchange gives the same result on a VM that has served others as on a new one",
            "A VM serves all requests of a worker. What one of them leaves behind is seen by another client.",
            "filters that remember requests in their memory on purpose: rate limiters, caches, counters",
        ),
        Invariant(
            "other_streams",
            "an exchange gives the same result while another stream is open",
            "A VM serves many streams at a time, and their callbacks interleave. A value kept outside of the stream's "
            "context ends up in the answer to somebody else.",
            "filters that remember requests in their memory on purpose: rate limiters, caches, counters",
        ),
        Invariant(
            "memory",
            "the same exchange again and again takes no more memory",
            "A guest's memory never shrinks, and Envoy keeps the VM until the process ends.",
            "filters that fill a bounded cache, with exchanges that are not the same to them",
        ),
    )
}


class InvariantError(ExpectationError):
    """An invariant does not hold.

    Attributes:
        invariant: which one.
        plan: the plan that shows it; ``None`` if it shows in what the test did itself.
        traces: the traces of the runs that were compared, the usual one first.
    """

    def __init__(
        self, invariant: Invariant, what: str, *, plan: Any = None, traces: Sequence[Trace] = (), details: str = ""
    ) -> None:
        self.invariant = invariant
        self.plan = plan
        self.traces = tuple(traces)
        lines = [f"{invariant.name}: {what}"]
        if details:
            lines += ["", *(f"    {line}" for line in details.splitlines())]
        lines += ["", f"The rule: {invariant.says}.", f"Why: {invariant.why}"]
        opt_out = f'pw.check(host, skip=["{invariant.name}"])'
        if invariant.unless:
            lines.append(f"It is not for {invariant.unless}. If this is one: {opt_out}")
        else:
            lines.append(f"To leave this out: {opt_out}")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` did.

    Attributes:
        checked: the names of the invariants that hold.
        left_out: the names of the others, and why each was not checked.
        ignored_errors: hostcalls that answered an error, and the filter went on; that is no failure by itself.
    """

    checked: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    ignored_errors: tuple[Hostcall, ...] = ()


def chosen(skip: Sequence[str], only: Sequence[str] | None) -> list[str]:
    """The names to check.

    Raises:
        UsageError: there is no such name.
    """
    for given, value in (("skip", skip), ("only", only)):
        if isinstance(value, str):
            raise UsageError(f"{given}= takes a list of names: {given}=[{value!r}]")
        for name in value or ():
            if name not in INVARIANTS:
                raise UsageError(f"{given}=: there is no invariant {name!r}; there are: {', '.join(INVARIANTS)}")
    return [name for name in INVARIANTS if name not in skip and (only is None or name in only)]
