"""One trial: the stream that is opened for it, the filter's configuration, and the collection of all results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from .calls import Call, calls
from .events import Event, Round, rounds
from .plan import Done, Plan

__all__ = ["ACTIONS", "CRASH", "NOT_MADE", "PATIENCE", "REQUEST", "Answers", "Proxy", "carry_out", "filter_options"]

PATIENCE = 0.4
"""Seconds the client waits for what may never come."""
REQUEST = (
    b"POST /chunked?n=1&sz=5&d=0&tr=1 HTTP/1.1\r\nHost: h\r\nx-a: 1\r\nReferer: there\r\nUser-Agent: u\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"
)
ACTIONS: tuple[Any, ...] = ({"send": "hello"}, "recv", {"send": "QUIT"}, "recv", "close")
CRASH = "crash"
NOT_MADE = "not called"
"""What stands for the answer of a call whose callback did not come; never part of a recording."""
RACING = frozenset(
    {
        *("tick", "queue_ready", "http_call_response", "grpc_receive", "grpc_close"),
        *("grpc_receive_initial_metadata", "grpc_receive_trailing_metadata"),
    }
)
"""Callbacks of the root context that a stream does not wait for."""


def filter_options(event: Event, plan: Plan) -> dict[str, Any]:
    """The filter's options; its guest finds the plan in the VM's configuration, or in the plugin's while it starts."""
    old = event.version == "0.1.0"
    return {
        "wasm": "universal_0_1_0.wasm" if old else "universal.wasm",
        "name": "plugin",
        "root_id": "root",
        "vm_id": "vm",
        "vm_configuration": plan.text(),
        "configuration": plan.text() if old else "configuration",
        "environment": {"KEY": "value"},
    }


class Proxy(Protocol):
    """Envoy, or the mock."""

    def carry_out(self, round_: Round, plan: Plan) -> tuple[dict[int, Done], int | None]:
        """What happened in each trial, and the number of the one in which the proxy crashed."""


class Answers(dict[tuple[str, str], tuple[str, str]]):
    """By event and call: the result, and the callbacks of the trial that followed the call's own."""


def carry_out(event: Event, proxy: Proxy, *, only: Iterable[Call] | None = None) -> Answers:
    """Make all calls in one callback; after a crash the rest is done in a new proxy."""
    answers = Answers()
    waiting = rounds(event, list(calls(event.version) if only is None else only))
    while waiting:
        round_ = waiting.pop(0)
        trials = round_.trials
        done, crashed = proxy.carry_out(round_, round_.plan())
        if crashed is not None and len(trials) > 1:
            # What crashed it may have been done in an earlier trial: this one is carried out again by itself.
            rest = [trials[crashed - 1 : crashed], trials[crashed:]]
            waiting[:0] = [Round(event, part) for part in rest if part]
            trials, crashed = trials[: crashed - 1], None
        for number, made in enumerate(trials, 0 if event.starting else 1):
            if crashed is not None and len(made) > 1:
                raise AssertionError(f"{event}: one of the quiet calls crashes the proxy")
            for call in made:
                answers[str(event), str(call)] = _answer(done.get(number, Done()), call, crashed is not None)
    return answers


def _answer(done: Done, call: Call, crashes: bool) -> tuple[str, str]:
    results = done.results.get(call, [])
    shown = " | ".join(results if len(set(results)) > 1 else results[:1])
    if crashes:
        return f"{shown} {CRASH}".strip(), ""
    if not results:
        return NOT_MADE, ""
    if not call.loud:
        return shown, ""
    later = [seen for seen in done.callbacks[done.after[call] :] if not seen.event.startswith("root_")]
    of_stream = [seen.text for seen in later if seen.event not in RACING]
    # When answers and ticks come in between is up to the network and the clock.
    of_root = sorted({seen.text for seen in later if seen.event in RACING})
    return shown, "; ".join(", ".join(part) for part in (of_stream, of_root) if part)
