"""The words for what a guest did wrong: what happened, where, the hostcalls just before, and what to do."""

from __future__ import annotations

import itertools

from ..engine import Limits, Trap
from ..errors import FilterError
from ..headers import to_text
from ..host.http.stream import HttpStreamCore
from ..host.proxy import Proxy
from ..host.vm import Vm
from ..model import LogLevel
from ..trace import Callback, Hostcall, WasiCall
from ..trace.text import callback_line, hostcall_lines

_KINDS = {
    "unreachable": "it ran into `unreachable` (a panic or an abort, as a rule)",
    "stack_overflow": "its call stack overflowed (endless recursion, as a rule)",
    "memory_out_of_bounds": "it accessed memory that it does not have",
    "table_out_of_bounds": "it called through a function pointer outside its table",
    "indirect_call_to_null": "it called through a null function pointer",
    "bad_signature": "it called a function pointer of another type",
    "integer_overflow": "an integer division overflowed",
    "integer_division_by_zero": "it divided an integer by zero",
    "bad_conversion_to_integer": "it converted a float that is no integer",
    "restricted_callback": "it made a hostcall that is not allowed there",
}
_CALLOUTS = ("proxy_http_call", "proxy_grpc_call", "proxy_grpc_stream")


def explain_trap(trap: Trap, callback: str, event: Callback | None, vm: Vm, limits: Limits) -> str:
    """The message of a `GuestTrap`."""
    who = f"filter {vm.config.name!r}" if vm.config.name else "the filter"
    if trap.kind == "budget":
        first = (
            f"{who} did not return from {callback}: it used up its budget of {limits.budget:,} function calls and "
            "loop rounds"
        )
    else:
        first = f"{who} trapped in {callback}: {_KINDS.get(trap.kind, trap.message)}"
    lines = [first]
    stderr = _stderr(event)
    said = stderr or last_words(vm)
    if said:
        lines += ["", "what it wrote to stderr:" if stderr else "what it logged last:"]
        lines += [f"    {line}" if line else "" for line in said]
    if trap.frames:
        lines += ["", "guest backtrace, innermost first:"]
        lines += _backtrace(trap)
    if event is not None:
        lines += ["", f"during: {callback_line(event)}"]
        # A runtime's own WASI calls, such as those of a scheduler, say nothing of the filter.
        shown = {"fd_write"} if not stderr else set()
        made = [call for call in event.hostcalls if not isinstance(call, WasiCall) or call.name in shown]
        calls = made[-5:]
        if calls:
            more = len(made) - len(calls)
            lines.append(f"hostcalls just before{f' (after {more} others)' if more else ''}:")
            lines += [f"    {line}" for call in calls for line in hostcall_lines(call)]
        else:
            lines.append("it had made no hostcall in this callback")
    hint = _hint(trap, event, vm)
    if hint:
        lines += ["", hint]
    return "\n".join(lines)


def _backtrace(trap: Trap) -> list[str]:
    """The frames, a function that called itself as one."""
    lines = []
    number = 0
    for name, group in itertools.groupby(map(str, trap.frames)):
        count = len(list(group))
        lines.append(f"    {number}: {name}{f'  ({count} times and more)' if count > 2 else ''}")
        number += count
    return lines


def _stderr(event: Callback | None) -> list[str]:
    """What the guest wrote to stderr in this callback, put together again: Go writes a panic in many small pieces."""
    calls = event.hostcalls if event is not None else ()
    pieces = [call.args.get("data", b"") for call in calls if call.name == "fd_write" and call.args.get("fd") == 2]
    lines = to_text(b"".join(pieces)).rstrip("\n").splitlines()
    return lines if len(lines) <= 20 else [*lines[:20], f"... ({len(lines) - 20} more lines)"]


def last_words(vm: Vm) -> list[str]:
    """The last warnings and errors a guest logged."""
    logs = [log for log in vm.proxy.logs[-3:] if log.level >= LogLevel.WARN]
    return [line for log in logs for line in f"{log.level.name.lower()}: {log.message}".splitlines()[:6]]


def _hint(trap: Trap, event: Callback | None, vm: Vm) -> str:
    if trap.kind == "budget":
        return (
            "An endless loop is the usual cause. If the work is real, raise guest_budget: "
            "proxywasm.host(..., guest_budget=1_000_000_000)."
        )
    if event is not None and event.name == "proxy_on_context_create":
        if event.args.get("parent_context_id"):
            return (
                "It failed when the context of a stream was created. A plugin that only has a root context (ticks, "
                "queues, a service) does that in a chain of filters: run it as a Wasm service, "
                "proxywasm.host(services=[filter])."
            )
        asked = [call for call in event.hostcalls if call.args.get("path") == ["plugin_root_id"]]
        if asked:
            return (
                f"It had asked for plugin_root_id, which is {vm.config.root_id!r} here. C++ and AssemblyScript guests "
                "register their root contexts by root_id and give up on one they do not know: set "
                'root_id="..." of the filter to the name it registers.'
            )
    if trap.frames and all(frame.name.startswith("function[") for frame in trap.frames):
        return "The guest has no name section: build it without stripping to see function names here."
    return ""


def explain_stall(proxy: Proxy, core: HttpStreamCore, timeout: float) -> tuple[str, str | None]:
    """The message of a `StreamStalled`, and the callback that paused the stream."""
    names = list(core.paused_callbacks.values())
    callback = names[0] if names else None
    request = core.exchange.request
    what = f"{request.method} {request.path}" if request is not None else "the stream"
    lines = [f"{what} stalled: {callback or 'nothing'} paused it, and nothing is due that could resume it"]
    if proxy.clock.next_due_ns is not None:
        lines = [
            f"{what} stalled: {callback or 'nothing'} paused it, and it was not resumed within {timeout:g} virtual "
            "seconds"
        ]
    waiting = proxy.pending_callouts
    refused = _refused_callout(core, callback)
    if waiting:
        lines = [f"{what} stalled: {callback or 'nothing'} paused it, and a callout waits for an answer"]
        lines += ["", "callouts without an answer:"]
        lines += [f"    {w.callout.method} {w.callout.path} to cluster {w.callout.cluster!r}" for w in waiting]
        callout = waiting[0].callout
        answer = "pw.Response(200)" if callout.kind == "http" else 'pw.GrpcResponse(messages=[b"..."])'
        lines += [
            "",
            f'Give the cluster an answer: host.cluster("{callout.cluster}", {answer}),',
            f"or drive the stream by hand: host.stream(), then host.pending_callouts[0].respond({answer}).",
        ]
    elif refused is not None:
        lines[0] += f":\nits {refused.name} had answered {refused.status.name}, so no answer will come"
        lines += ["", *(f"    {line}" for line in hostcall_lines(refused)), ""]
        lines.append(
            "Envoy refuses calls as well, so the filter should pause only after one that was accepted, and answer or "
            "go on after the others."
        )
        return "\n".join(lines), callback
    elif callback is not None:
        lines += [
            "",
            "In Envoy this request hangs until a timeout. Either the filter forgets to resume (proxy_continue_stream, "
            "or Continue at the end of the body), or it waits for something this test does not provide.",
        ]
    lines += _before_the_stall(core, callback)
    return "\n".join(lines), callback


def _refused_callout(core: HttpStreamCore, callback: str | None) -> Hostcall | None:
    """The callout the pausing callback wanted to make and could not, if there is one."""
    calls = [
        call
        for event in core.exchange.trace.callbacks(callback)
        for call in event.hostcalls
        if call.name in _CALLOUTS and call.reason
    ]
    return calls[-1] if calls else None


def _before_the_stall(core: HttpStreamCore, callback: str | None) -> list[str]:
    """What the callback that paused did, and what went wrong in the exchange before: the likely cause."""
    trace = core.exchange.trace
    lines: list[str] = []
    failed = [call for call in trace.hostcalls() if call.reason]
    if failed:
        lines += ["", "hostcalls that failed or had no effect before:"]
        lines += [f"    {line}" for call in failed[:5] for line in hostcall_lines(call)]
    event = next((event for event in reversed(trace) if event.name == callback), None)
    if event is not None:
        calls = [call for call in event.hostcalls if call not in failed][-3:]
        lines += ["", f"it paused in: {callback_line(event)}"]
        lines += [f"    {line}" for call in calls for line in hostcall_lines(call)]
    return lines


def with_later(failures: list[FilterError]) -> FilterError:
    """The first failure; if others came after it, its message names them."""
    first, *later = failures
    if later:
        told = [f"    {str(error).splitlines()[0]}" for error in later[:5]]
        first.args = ("\n".join([str(first), "", "and after it:", *told]), *first.args[1:])
    return first
