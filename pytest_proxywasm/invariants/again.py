"""The invariants that show when an exchange runs again: cut differently, with trailers, on a used VM, beside another.

One more host runs all of it in a row; only what differs there is looked at on new hosts, so that the cause is sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..code import code_of
from ..errors import FilterError, StreamStalled
from ..host.http.context import HttpContext
from ..model import Request
from ..plans import ExchangePlan, Schedule, Step
from ..trace import Trace
from .named import INVARIANTS, InvariantError
from .results import Result, differences, result_of
from .variants import Variant, rechunked, with_trailers

if TYPE_CHECKING:
    from ..mock import MockHost

OTHER = ExchangePlan(request=Request("GET", "/another/stream"))
"""What other clients send meanwhile."""

_STATE = frozenset(
    """
    proxy_get_shared_data proxy_get_metric proxy_dequeue_shared_queue proxy_get_current_time_nanoseconds
    proxy_get_property random_get clock_time_get
    """.split()
) - {"proxy_get_property"}
_TOO_MANY = 429
_STEPS = 24


def check_again(host: MockHost, plan: ExchangePlan, first: Result, names: Sequence[str]) -> None:
    """Run an exchange that has been run in other ways, and compare.

    Args:
        first: its result on a new VM.
        names: the invariants to check.
    """
    variants = [("chunking", one) for one in rechunked(plan)] if "chunking" in names else []
    if "trailers" in names:
        variants += [("trailers", one) for one in with_trailers(plan)]
    state = "used_vm" in names or "other_streams" in names
    if not variants and not state and "no_trap" not in names:
        return
    with _sibling(host) as used:
        alone = _run(used, OTHER) if state else None
        of_variants = [_run(used, variant.other) for _, variant in variants]
        repeated = [_run(used, plan), _run(used, plan)] if state else []
        after = _run(used, OTHER) if state else None
        together = _together(used, plan) if "other_streams" in names else None
        _finish_callouts(used)
        if "all_end" in names:
            _all_ended(used, plan)
        crashed = used._proxy.crashed is not None
    for (name, variant), result in zip(variants, of_variants):
        lines = [] if variant.may_differ else differences(first, result, trailers=name != "trailers")
        if crashed or lines or _broken(result):
            _confirm_variant(host, name, variant, names)
    if "used_vm" in names or "no_trap" in names:
        if crashed or any(_differ(first, one) for one in repeated) or (alone and after and _differ(alone, after)):
            _confirm_used(host, plan, names)
    if together is not None and alone is not None:
        if crashed or _differ(first, together[0]) or _differ(alone, together[1]):
            _confirm_together(host, plan, names)


def _differ(one: Result, other: Result) -> bool:
    return bool(differences(one, other)) or _broken(other)


def _broken(result: Result) -> bool:
    return bool(result.stalled or result.trapped)


def _sibling(host: MockHost, *, trace: bool = False) -> MockHost:
    return host.sibling(trace=trace, on_trap="continue")


def _run(host: MockHost, plan: ExchangePlan) -> Result:
    """Run a plan whatever comes of it."""
    try:
        return result_of(host.run(plan))
    except StreamStalled as stalled:
        return result_of(stalled.exchange, stalled=str(stalled))
    except FilterError as error:  # what would have crashed Envoy is raised whatever the host does with traps
        return Result({"outcome": "crashed"}, trapped=str(error))


def _together(host: MockHost, plan: ExchangePlan) -> tuple[Result, Result]:
    """Two streams that take turns."""
    steps = [Step(number % 2) for number in range(_STEPS)]
    schedule = Schedule(streams=(plan, OTHER), steps=tuple(steps))
    stalled = ""
    try:
        host.run(schedule)
    except StreamStalled as error:
        stalled = str(error)
    except FilterError as error:
        crashed = Result({"outcome": "crashed"}, trapped=str(error))
        return crashed, crashed
    first, second = host.runs[-1].exchanges
    return (
        result_of(first, stalled if first.outcome is None or not first.response else ""),
        result_of(second, stalled if second.outcome is None or not second.response else ""),
    )


def _alone(host: MockHost, plan: ExchangePlan) -> Result:
    """One stream, step by step as in `_together`."""
    try:
        host.run(Schedule(streams=(plan,), steps=(Step(0),)))
    except StreamStalled as error:
        return result_of(host.runs[-1].exchanges[0], str(error))
    except FilterError as error:
        return Result({"outcome": "crashed"}, trapped=str(error))
    return result_of(host.runs[-1].exchanges[0])


def _finish_callouts(host: MockHost) -> None:
    """Let every callout that waits come to its end."""
    clock = host.clock
    limit = max((pending.callout.timeout or 0 for pending in host.pending_callouts), default=0)
    deadline = clock.now_ns + round(limit * 1e9)
    while host.pending_callouts and clock.step(deadline):
        pass


def _all_ended(host: MockHost, plan: ExchangePlan) -> None:
    """Nothing is left of what has run."""
    left = [pending for pending in host.pending_callouts if pending.callout.timeout is None]
    if left:
        callout = left[0].callout
        raise InvariantError(
            INVARIANTS["all_end"],
            f"{callout.method} {callout.path} to cluster {callout.cluster!r} has no timeout, and waits for ever",
            plan=plan,
        )
    for worker in host.workers:
        for vm in worker.vms.values():
            streams = [c for c in vm.contexts.values() if isinstance(c, HttpContext) and not vm.failed]
            if streams:
                raise InvariantError(
                    INVARIANTS["all_end"],
                    f"{len(streams)} contexts of streams that are over were not deleted",
                    plan=plan,
                )


def _confirm_variant(host: MockHost, name: str, variant: Variant, names: Sequence[str]) -> None:
    with _sibling(host, trace=True) as usual, _sibling(host, trace=True) as other:
        expected, result = _run(usual, variant.usual), _run(other, variant.other)
        traces = usual.trace, other.trace
        if _broken(expected):
            return  # that one is not the variant's fault, and raises by itself
        _raise_broken(result, variant.other, traces, names, f"with another framing ({variant.what})")
        lines = [] if variant.may_differ else differences(expected, result, trailers=name != "trailers")
        if lines:
            raise InvariantError(
                INVARIANTS[name],
                f"the result depends on {variant.what}",
                plan=variant.other,
                traces=traces,
                details=_pair(variant.usual, variant.other, lines),
            )


def _pair(usual: ExchangePlan, other: ExchangePlan, lines: list[str]) -> str:
    shown = ["this:", *_lines(usual), "and this:", *_lines(other), "give different results:"]
    return "\n".join(shown + [f"  {one}" for one in lines])


def _raise_broken(
    result: Result, plan: ExchangePlan | Schedule, traces: Sequence[Trace], names: Sequence[str], where: str
) -> None:
    """A trap or a stall that does not happen otherwise."""
    for name, what in (("no_trap", result.trapped), ("no_stall", result.stalled)):
        if what and name in names:
            shown = "\n".join(_lines(plan))
            raise InvariantError(
                INVARIANTS[name], f"{where}: {what}", plan=plan, traces=traces, details=f"to see it, run:\n{shown}"
            )


def _lines(plan: ExchangePlan | Schedule) -> list[str]:
    code = code_of(plan)
    return [code] if isinstance(code, str) else code.lines()


def _confirm_used(host: MockHost, plan: ExchangePlan, names: Sequence[str]) -> None:
    """Which of a few sequences shows that the VM remembers."""
    for sequence in ((plan, plan), (OTHER, plan), (plan, OTHER)):
        last = sequence[-1]
        with _sibling(host, trace=True) as new, _sibling(host, trace=True) as used:
            expected = _run(new, last)
            before = _run(used, sequence[0])
            seen = len(used.trace)
            result = _run(used, last)
            traces = new.trace, used.trace
            if _broken(expected) or _broken(before):
                continue
            where = "the second exchange on the same VM"
            _raise_broken(result, Schedule(streams=sequence), traces, names, where)
            if "used_vm" not in names or _is_meant(expected, result, [new.trace, used.trace[seen:]]):
                continue
            lines = differences(expected, result, counted=False)
            if lines:
                what = (
                    "an exchange gives another result the second time"
                    if sequence[0] is sequence[1]
                    else "an exchange gives another result when this VM has served another one before"
                )
                details = [f"before: {sequence[0]!r}", f"then:   {last!r}", "on a new VM != on this one:"]
                raise InvariantError(
                    INVARIANTS["used_vm"],
                    what,
                    plan=Schedule(streams=sequence),
                    traces=traces,
                    details="\n".join(details + [f"  {one}" for one in lines]),
                )


def _is_meant(expected: Result, result: Result, traces: Sequence[Trace]) -> bool:
    """Whether a difference has an honest reason: state that the host keeps, time, chance, a cache, a limit."""
    calls = {call.name for trace in traces for event in trace if _of_stream(event.name) for call in event.hostcalls}
    return bool(calls & _STATE) or expected.callouts != result.callouts or _TOO_MANY in (expected.status, result.status)


def _of_stream(callback: str) -> bool:
    return callback not in ("(start section)", "_initialize", "_start", "main", "proxy_on_vm_start")


def _confirm_together(host: MockHost, plan: ExchangePlan, names: Sequence[str]) -> None:
    with _sibling(host, trace=True) as new, _sibling(host, trace=True) as other, _sibling(host, trace=True) as both:
        begun = []
        for one in (new, other, both):  # so that what the host keeps is there already
            _run(one, OTHER)
            _run(one, plan)
            begun.append(len(one.trace))
        expected = _alone(new, plan), _alone(other, OTHER)
        results = _together(both, plan)
        schedule = both.runs[-1].plan
        since = [one.trace[start:] for one, start in zip((new, other, both), begun)]
        traces = since[0], since[2]
        if any(map(_broken, expected)):
            return
        for number, (wanted, got) in enumerate(zip(expected, results)):
            where = "while another stream was open"
            _raise_broken(got, schedule, traces, names, where)
            if "other_streams" not in names or _is_meant(wanted, got, since):
                continue
            lines = differences(wanted, got, counted=False)
            if lines:
                which = ("first", "second")[number]
                raise InvariantError(
                    INVARIANTS["other_streams"],
                    f"two streams that are open at a time get into each other's way: the {which} gives another result "
                    "than alone",
                    plan=schedule,
                    traces=traces,
                    details="\n".join(
                        [f"first:  {plan!r}", f"second: {OTHER!r}", "alone != with the other:"]
                        + [f"  {one}" for one in lines]
                    ),
                )


def first_result(host: MockHost, plan: ExchangePlan) -> tuple[Result, Trace]:
    """The result of a plan on a new VM."""
    with _sibling(host, trace=True) as new:
        begun = len(new.trace)
        return _run(new, plan), new.trace[begun:]
