"""``strict=``: what a test does not want to happen unnoticed, looked for when each callback has returned.

Knows the trace's events; knows no streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..abi.enums import Status
from ..errors import StrictError, UsageError
from ..host.callouts import PendingCallout
from ..host.grpc import GrpcPendingCallout
from ..host.proxy import Proxy
from ..host.reasons import no_cluster
from ..host.vm import Vm
from ..model import LogLevel
from ..trace import Callback, Hostcall, WasiCall
from ..trace.search import Step, fits
from ..trace.text import callback_line, hostcall_lines, show, show_bytes

_TELLING = ("key", "path", "upstream", "function_name", "queue_name", "name", "message", "map", "buffer", "stream_type")
"""Arguments that say best which call is meant."""

_ANSWERS = (Status.OK, Status.EMPTY)
"""EMPTY is how every loop over a queue ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strict:
    """What a strict host fails on; ``strict=True`` is all of it.

    Attributes:
        hostcalls: hostcalls that answer another status than OK (or EMPTY, which is how a loop over a queue ends).
        no_effect: hostcalls that answer OK while nothing comes of them, such as a body read in a headers callback.
        logs: messages of level WARN and above, also those on stderr.
        callouts: calls to clusters the test has not declared, and calls that nobody has answered when the host closes.
        allow: what is meant to happen all the same: names of hostcalls, or pairs of a name and arguments or ``status``,
            as steps of ``trace.contains``.
    """

    hostcalls: bool = True
    no_effect: bool = True
    logs: bool = True
    callouts: bool = True
    allow: Sequence[Step] = ()

    def __post_init__(self) -> None:
        steps = (self.allow,) if isinstance(self.allow, str) else tuple(self.allow)
        object.__setattr__(self, "allow", steps)

    @classmethod
    def of(cls, given: Any) -> Strict | None:
        """What ``strict=`` means: a bool, the names of checks, or a `Strict`.

        Raises:
            UsageError: it is nothing of that kind.
        """
        if isinstance(given, Strict):
            return given if any(getattr(given, name) for name in CHECKS) else None
        if isinstance(given, bool) or given is None:
            return cls() if given else None
        names = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
        wrong = [name for name in names if name not in CHECKS]
        if wrong:
            raise UsageError(
                f"strict={given!r}: it is True, pw.Strict(...), or names of checks: {', '.join(map(repr, CHECKS))}"
            )
        chosen: dict[str, Any] = {name: name in names for name in CHECKS}
        return cls(**chosen)


CHECKS = tuple(field.name for field in fields(Strict) if field.name != "allow")


class Watcher:
    """Looks at what happened in each callback, and reports it to the proxy as a `StrictError`."""

    def __init__(self, strict: Strict) -> None:
        self.strict = strict
        self._allowed: list[Step] = list(strict.allow)

    def allow(self, steps: Iterable[Step]) -> None:
        """Let these happen from now on."""
        self._allowed += steps

    def __call__(self, vm: Vm, event: Callback) -> None:
        """A callback has returned."""
        found = [(call, what) for call in event.hostcalls if (what := self._surprise(call))]
        if found:
            vm.proxy.report(_error(found, event, vm.config.name))

    def _surprise(self, call: Hostcall) -> str:
        """What is wrong with a hostcall, if anything."""
        strict = self.strict
        what = ""
        if isinstance(call, WasiCall):
            if strict.logs and call.name == "fd_write" and call.args.get("fd") == 2 and call.args.get("data"):
                what = f"wrote to stderr: {show_bytes(call.args['data'])}"
        elif call.injected:
            return ""
        elif call.name == "proxy_log":
            level = call.args.get("log_level", LogLevel.INFO)
            if strict.logs and level >= LogLevel.WARN:
                what = f"logged at level {LogLevel(level).name}: {show_bytes(call.args.get('message', ''))}"
        elif isinstance(call.status, Status) and call.status not in _ANSWERS:
            unknown_cluster = isinstance(call.why, tuple) and call.why[0] is no_cluster
            if strict.callouts if unknown_cluster else strict.hostcalls:
                what = f"{call.name} answered {call.status.name}: {call.reason or 'see its arguments'}"
        elif strict.no_effect and call.status is Status.OK and call.reason:
            what = f"{call.name} answered OK without effect: {call.reason}"
        return "" if not what or any(fits(call, step) for step in self._allowed) else what

    def unanswered(self, proxy: Proxy) -> StrictError | None:
        """What is to say when the host closes: callouts that nobody has answered."""
        waiting = [one for one in proxy.pending_callouts if _nobody_answers(proxy, one)] if self.strict.callouts else []
        if not waiting:
            return None
        lines = ["callouts were made that nobody has answered:"]
        lines += [f"    {one.callout.method} {one.callout.path} to cluster {one.callout.cluster!r}" for one in waiting]
        lines += [
            "",
            "Answer them (host.pending_callouts[0].respond(...)), give the cluster a handler, or let them be: "
            "strict=pw.Strict(callouts=False).",
        ]
        error = StrictError("\n".join(lines))
        error.trace = proxy.trace
        return error


def _nobody_answers(proxy: Proxy, pending: PendingCallout | GrpcPendingCallout) -> bool:
    cluster = proxy.clusters.get(pending.callout.cluster)
    return cluster is not None and cluster.handler is None


def _error(found: list[tuple[Hostcall, str]], event: Callback, name: str) -> StrictError:
    call, what = found[0]
    who = f"filter {name!r}" if name else "the filter"
    lines = [f"{what}"]
    lines += ["", f"{who}, during: {callback_line(event)}"]
    at = event.hostcalls.index(call)
    before = [one for one in event.hostcalls[:at] if not isinstance(one, WasiCall)][-3:]
    for one in before:
        lines += [f"    {line}" for line in hostcall_lines(one)]
    lines += [f"  > {hostcall_lines(call)[0]}"]
    if len(found) > 1:
        lines += ["", f"and {len(found) - 1} more in this callback:"]
        lines += [f"    {text}" for _, text in found[1:6]]
        if len(found) > 6:
            lines.append(f"    ... ({len(found) - 6} more)")
    lines += [
        "",
        "If it is meant to happen:",
        f"    host.allow({_allowance(call)})",
        "or, while the host starts, strict=pw.Strict(allow=[...]).",
    ]
    error = StrictError("\n".join(lines), callback=event.name)
    error.hostcall = call
    return error


def _allowance(call: Hostcall) -> str:
    key = next((key for key in _TELLING if key in call.args), None)
    return f'("{call.name}", {{"{key}": {_python(call.args[key])}}})' if key is not None else f'"{call.name}"'


def _python(value: Any) -> str:
    if isinstance(value, str):
        return show(value)
    return f'"{value.name}"' if hasattr(value, "name") else repr(value)
