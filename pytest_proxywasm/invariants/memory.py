"""Whether a guest takes more memory with every exchange; knows what guests export, and how allocators behave.

Memory grows by pages of 64 KiB, so a small leak shows after hundreds of exchanges only. To be quick about the many
exchanges that leak nothing, a short run first looks at where the guest's allocator puts a large block: behind
everything in use. Only if that place moves with every exchange, a long run follows, and only pages count there.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import FilterError
from ..mock.guest import MockGuest, guests_of
from ..plans import ExchangePlan
from ..trace import Trace
from .named import INVARIANTS, InvariantError

if TYPE_CHECKING:
    from ..mock import MockHost

PAGE = 65_536
BLOCK = 32_768
WARM_UP = 8
ROUNDS = 3
ROUND = 48
LONGEST = 3000
_SMALLEST = 96
"""Bytes an exchange below which the long run would be too long."""

Signature = Any
_without_leak: dict[tuple[Any, ...], set[Signature]] = {}
_with_leak: dict[tuple[Any, ...], set[Signature]] = {}


def collects_garbage(host: MockHost) -> bool:
    """Whether a guest of the chain has a garbage collector that works in rounds: then its memory grows for a while."""
    return any("go" in str(one.sdk or "").lower() for one in host.filters)


def check_memory(host: MockHost, plan: ExchangePlan, trace: Trace, repeats: int | None) -> str:
    """Check one exchange; says why it was left out, or nothing.

    An exchange with the same callbacks and hostcalls as one before, that took no memory, is not run again.
    """
    if repeats is not None:
        _long_run(host, plan, repeats)
        return ""
    if collects_garbage(host):
        return (
            "a Go guest's memory grows until its garbage collector runs; check it by itself, with many exchanges: "
            'pw.check(host, only=["memory"], repeats=5000)'
        )
    key = host.filters
    signature = _signature(trace)
    if signature in _without_leak.setdefault(key, set()):
        return ""
    rate = _rate(host, plan)
    if rate >= _SMALLEST:
        try:
            _long_run(host, plan, min(LONGEST, 8 * PAGE // rate + 64))
        except InvariantError:
            _with_leak.setdefault(key, set()).add(signature)
            raise
    if signature is not None and signature not in _with_leak.get(key, ()):
        _without_leak[key].add(signature)
    return ""


def _signature(trace: Trace) -> Signature:
    if not len(trace):
        return None
    return hash(
        tuple(
            (one.name, one.action, one.args.get("end_of_stream"), tuple(call.name for call in one.hostcalls))
            for one in trace
        )
    )


def _rate(host: MockHost, plan: ExchangePlan) -> int:
    """How many bytes an exchange takes, as far as its allocator shows."""
    with host.sibling(trace=False, on_trap="continue") as other:
        guests = guests_of(other)
        _repeat(other, plan, WARM_UP)
        first, second = _ends(guests), _ends(guests)
        third = second
        for _ in range(ROUNDS):
            _repeat(other, plan, ROUND)
            third = _ends(guests)
    usual = sum(b - a for a, b in zip(first, second))
    taken = sum(b - a for a, b in zip(second, third)) - ROUNDS * usual
    return max(0, taken) // (ROUNDS * ROUND)


def _long_run(host: MockHost, plan: ExchangePlan, repeats: int) -> None:
    with host.sibling(trace=False, on_trap="continue") as other:
        guests = guests_of(other)
        part = max(1, repeats // 4)
        _repeat(other, plan, part)
        sizes = [_size(guests)]
        for _ in range(3):
            _repeat(other, plan, part)
            sizes.append(_size(guests))
    if any(after <= before for before, after in itertools.pairwise(sizes)):
        return
    grown = (sizes[-1] - sizes[0]) // (3 * part)
    raise InvariantError(
        INVARIANTS["memory"],
        f"the guest's memory grew from {sizes[0] // 1024} to {sizes[-1] // 1024} KiB over {3 * part} identical "
        f"exchanges, by about {grown} bytes each",
        plan=plan,
        details="memory after every quarter: " + ", ".join(f"{size // 1024} KiB" for size in sizes),
    )


def _repeat(host: MockHost, plan: ExchangePlan, times: int) -> None:
    for _ in range(times):
        try:
            host.run(plan)
        except FilterError:
            return


def _size(guests: list[MockGuest]) -> int:
    return sum(len(guest.renew()) for guest in guests)


def _ends(guests: list[MockGuest]) -> list[int]:
    return [guest.allocate(BLOCK) for guest in guests]
