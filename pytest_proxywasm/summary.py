"""An exchange in a few lines, for the first screen of a failing test; knows the values users see, not pytest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .model import Exchange, HeaderChanges
from .trace import Hostcall
from .trace.text import hostcall_line, show_bytes

__all__ = ["exchange_summary"]

_SHOWN = 5


def exchange_summary(exchange: Exchange, redact: Iterable[str] = (), told: str = "") -> list[str]:
    """What was asked, who answered, what the filters changed, and which hostcalls failed.

    Args:
        told: what the reader has been told already; hostcalls it explains are not shown again.
    """
    request = exchange.request
    if request is None:
        return []
    hidden = frozenset(name.lower() for name in redact)
    response = exchange.response
    got = f"{response.status}" if response is not None else "no response"
    details = f", {exchange.details}" if exchange.details else ""
    lines = [f"{request.method} {request.path} -> {got} ({exchange.outcome or 'still running'}{details})"]
    replied = exchange.local_response
    if replied is not None:
        who = f"filter {replied.filter!r}" if replied.filter else "the filter"
        where = _callback_of(exchange, "proxy_send_local_response")
        lines.append(f"answered by {who}: {replied.status} {show_bytes(replied.body)}{where}")
    if exchange.upstream_request is None:
        lines.append("the request never reached the upstream")
    elif exchange.upstream_response is not None:
        lines.append(f"the upstream answered {exchange.upstream_response.status}")
    else:
        lines.append("the upstream got the request, or its beginning, and has not answered")
    if exchange.request_after is not None:
        lines += _changes("request", exchange.request_changes, hidden)
    if replied is None and exchange.response_after is not None:
        lines += _changes("response", exchange.response_changes, hidden)
    for callout in exchange.callouts[:_SHOWN]:
        outcome = "waits for an answer" if callout.outcome is None else _outcome(callout.outcome)
        lines.append(f"callout {callout.method} {callout.path} to cluster {callout.cluster!r}: {outcome}")
    calls = exchange.trace.hostcalls() if exchange.trace is not None else []
    failed = [call for call in calls if (why := call.reason) and why not in told]
    if failed:
        lines.append("hostcalls that failed or had no effect:")
        for call in failed[:_SHOWN]:
            lines += [f"    {hostcall_line(call, hidden)}", f"        ^ {call.reason}"]
        if len(failed) > _SHOWN:
            lines.append(f"    ... and {len(failed) - _SHOWN} more")
    return lines


def _callback_of(exchange: Exchange, hostcall: str) -> str:
    calls: list[Hostcall] = exchange.trace.hostcalls(hostcall) if exchange.trace is not None else []
    callback = calls[-1].callback if calls else None
    return f" in {callback.name}" if callback is not None else ""


def _outcome(outcome: Any) -> str:
    status = getattr(outcome, "status", None)
    return f"{type(outcome).__name__}({status})" if status is not None else str(outcome)


def _changes(which: str, changes: HeaderChanges, hidden: frozenset[str]) -> list[str]:
    if not changes:
        return []

    def show(name: str, values: tuple[str, ...]) -> str:
        return '"<redacted>"' if name in hidden else ", ".join(map(show_bytes, values))

    rows = [f"+ {name}: {show(name, values)}" for name, values in changes.added.items()]
    rows += [f"~ {name}: {show(name, v.before)} -> {show(name, v.after)}" for name, v in changes.replaced.items()]
    rows += [f"- {name}: {show(name, values)}" for name, values in changes.removed.items()]
    shown = rows if len(rows) <= _SHOWN + 1 else [*rows[:_SHOWN], f"... and {len(rows) - _SHOWN} more"]
    return [f"{which} headers, changed by the filters:", *(f"    {row}" for row in shown)]
