"""`check`: all invariants over what a host has run; says which were left out, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import UsageError
from ..plans import ExchangePlan
from . import seen
from .again import check_again, first_result
from .memory import check_memory
from .named import CheckReport, chosen
from .results import Result, result_of

if TYPE_CHECKING:
    from ..mock import MockHost
    from ..mock.plans import Run
    from ..trace import Trace

AGAIN = ("chunking", "trailers", "used_vm", "other_streams")
_NEWEST = 3


def check(
    host: MockHost, *, skip: Sequence[str] = (), only: Sequence[str] | None = None, repeats: int | None = None
) -> CheckReport:
    """Check what holds for every healthy filter, over all that this host has run.

    What shows in the exchanges and in the trace is looked at there. Beyond that, the newest plans and requests run
    again in hosts like this one (`MockHost.sibling`): cut differently, with trailers, after and beside other
    streams, and many times. This host itself stays as it is.

    Args:
        skip: names of invariants that this filter breaks on purpose.
        only: the names of those to check; all by default.
        repeats: how many identical exchanges the check of memory makes. By default as many as it takes to see a leak of
            some dozen bytes, and none where the same kind of exchange was checked before.

    Raises:
        InvariantError: the first that does not hold: its name, what happened, why it matters, how to leave it out.
        UsageError: there is no such invariant.
    """
    names = chosen(skip, only)
    if repeats is not None and repeats < 8:
        raise UsageError(f"repeats={repeats}: at least 8 exchanges, to see whether memory grows")
    host._check_usable()
    left_out: dict[str, str] = dict.fromkeys(skip, "skip= or only=")
    _check_seen(host, names)
    wanted = [name for name in names if name in (*AGAIN, "memory")]
    reason = _why_not_again(host)
    if wanted and reason:
        left_out.update(dict.fromkeys(wanted, reason))
    elif wanted:
        for plan, run in _newest(host):
            first, trace = _first(host, plan, run)
            if first.trapped or first.stalled:
                continue
            check_again(host, plan, first, names)
            if "memory" in names:
                why = check_memory(host, plan, trace, repeats)
                if why:
                    left_out["memory"] = why
    checked = tuple(name for name in names if name not in left_out)
    return CheckReport(checked, left_out, seen.ignored_errors(host))


def _check_seen(host: MockHost, names: Sequence[str]) -> None:
    if "no_trap" in names:
        seen.no_trap(host)
    if "no_stall" in names:
        seen.no_stall(host)
    if "one_reply" in names:
        seen.one_reply(host)
    for exchange in host.exchanges:
        if "content_length" in names:
            seen.content_length(exchange)
        if "repeated_headers" in names:
            seen.repeated_headers(host, exchange)


def _why_not_again(host: MockHost) -> str:
    if host.protocol == "tcp":
        return "a TCP host has no exchanges"
    if host._proxy.injector is not None:
        return "statuses were injected into this host, and would not be into others"
    if not host.runs:
        return "this host ran no plan and no whole request"
    return ""


def _newest(host: MockHost) -> list[tuple[ExchangePlan, Run | None]]:
    """The plans that ran last, each once, with its run if that was the first of all."""
    plans: list[tuple[ExchangePlan, Run | None]] = []
    for number, run in enumerate(host.runs):
        if isinstance(run.plan, ExchangePlan):
            plans.append((run.plan, run if number == 0 else None))
        else:
            plans += [(stream, None) for stream in run.plan.streams]
    newest: list[tuple[ExchangePlan, Run | None]] = []
    for pair in reversed(plans):
        if not any(pair[0] is known for known, _ in newest):
            newest.append(pair)
    return newest[:_NEWEST]


def _first(host: MockHost, plan: ExchangePlan, run: Run | None) -> tuple[Result, Trace]:
    if run is not None and host.last_exchange is run.exchanges[0]:
        return result_of(run.exchanges[0]), run.exchanges[0].trace
    return first_result(host, plan)
