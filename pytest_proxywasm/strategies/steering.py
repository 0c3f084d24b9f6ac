"""Tells Hypothesis what an example did, so that it looks where more happens; knows Hypothesis and hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import event, target

from ..mock.guest import MockGuest, guests_of
from ..model import Action
from ..trace import Callback, WasiCall

if TYPE_CHECKING:
    from ..mock import MockHost

__all__ = ["steer"]


def steer(host: MockHost, *, cost: bool = True, sequences: bool = True, events: bool = True) -> None:
    """Steer Hypothesis by what a host has run in this example; call it at the end of a test, once.

    Args:
        cost: aim at examples with a callback that costs the guest much: function calls and loop rounds, as
            ``guest_budget`` counts them. Guests measure it once this has been called, from the second example on.
        sequences: aim at examples in which more different pairs of hostcalls follow each other, with their statuses.
        events: count, for ``--hypothesis-show-statistics``, how often each callback returned which action, and how
            exchanges ended.
    """
    if cost:
        MockGuest.measuring = True
        target(float(guest_cost(host)), label="guest cost")
    if sequences:
        target(float(len(hostcall_pairs(host))), label="hostcall sequences")
    if not events:
        return
    for one in dict.fromkeys(_action(callback) for callback in host.trace if isinstance(callback.action, Action)):
        event(one)
    for exchange in host.exchanges:
        how = "replied by a filter" if exchange.local_response is not None else f"exchange {exchange.outcome}"
        event(how)


def guest_cost(host: MockHost) -> int:
    """Function calls and loop rounds of the most expensive callback so far, as ``guest_budget`` counts them."""
    return max((guest.dearest_call for guest in guests_of(host)), default=0)


def hostcall_pairs(host: MockHost) -> set[tuple[str, str, str]]:
    """Which hostcalls followed which, and what they answered; the first of a callback follows its name."""
    pairs: set[tuple[str, str, str]] = set()
    for callback in host.trace:
        before = callback.name
        for call in callback.hostcalls:
            if not isinstance(call, WasiCall):
                pairs.add((before, call.name, getattr(call.status, "name", "")))
                before = call.name
    return pairs


def _action(callback: Callback) -> str:
    action = callback.action
    name = action.name if isinstance(action, Action) and action in tuple(Action) else str(action)
    return f"{callback.name} -> {name}"
