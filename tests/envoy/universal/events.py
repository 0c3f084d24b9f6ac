"""The callbacks in which hostcalls are made, and what it takes to have each of them called; runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .calls import OUT, STREAM, WRITTEN, Call, Word
from .plan import ALL, Plan

__all__ = ["EVENTS", "Event", "Round", "rounds"]

CALLOUT = b""
Step = tuple[str, tuple[Word, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A callback.

    Attributes:
        protocol: of the streams that are opened for it.
        starting: it is called while the plugin starts or stops, so that each loud call needs a proxy of its own.
        holds: the stream waits in its first callback until this one has been called.
        before: hostcalls of the stream's first callback, which bring this one about.
        first: hostcalls made before the calls that count.
    """

    name: str
    protocol: str = "http"
    version: str = "0.2.1"
    starting: bool = False
    holds: bool = False
    before: tuple[Step, ...] = ()
    first: tuple[Step, ...] = ()

    def __str__(self) -> str:
        parts = ("" if self.version == "0.2.1" else self.version, "tcp" if self.protocol == "tcp" else "", self.name)
        return ":".join(part for part in parts if part)


def _pairs() -> bytes:
    from .calls import CALLOUT

    return CALLOUT


def _root_events(version: str) -> list[Event]:
    stop: tuple[Step, ...] = (("proxy_set_tick_period_milliseconds", (0,)),)
    stream = (
        ("proxy_grpc_stream", (b"grpc", b"s", b"Stream", b"", OUT)),
        ("proxy_grpc_send", (WRITTEN, b"m", 1)),
    )
    call = ("proxy_http_call", (b"web", _pairs(), b"", b"", 1000, OUT))
    grpc_call = "proxy_grpc_call"
    held: dict[str, tuple[tuple[Step, ...], tuple[Step, ...]]] = {
        "tick": ((("proxy_set_tick_period_milliseconds", (20,)),), stop),
        "queue_ready": (
            (("proxy_register_shared_queue", (b"q", OUT)), ("proxy_enqueue_shared_queue", (1, b"item"))),
            (),
        ),
        "http_call_response": ((call,), ()),
        "grpc_receive": (((grpc_call, (b"grpc", b"s", b"Ok", b"", b"m", 1000, OUT)),), ()),
        "grpc_close": (((grpc_call, (b"grpc", b"s", b"Err", b"", b"m", 1000, OUT)),), ()),
        "grpc_receive_initial_metadata": (stream, ()),
        "grpc_receive_trailing_metadata": (stream, ()),
    }
    return [
        Event(name=name, version=version, holds=True, before=before, first=first)
        for name, (before, first) in held.items()
    ]


HTTP = (
    *("context_create", "request_headers", "request_body", "request_trailers"),
    *("response_headers", "response_body", "response_trailers", "log", "done", "delete"),
)
TCP = (
    *("context_create", "new_connection", "downstream_data", "upstream_data"),
    *("upstream_connection_close", "downstream_connection_close", "done", "log", "delete"),
)
STARTING = ("root_context_create", "vm_start", "configure", "root_done", "root_delete")


def _events() -> list[Event]:
    events = []
    for version in ("0.2.1", "0.1.0"):
        events += [Event(name=name, version=version) for name in HTTP]
        events += _root_events(version)
        events += [Event(name=name, version=version, starting=True) for name in STARTING]
    events += [Event(name=name, protocol="tcp") for name in TCP]
    return events


EVENTS = _events()


@dataclass(frozen=True, slots=True)
class Round:
    """What one proxy is told to do: the trials after each other, each with the calls it makes."""

    event: Event
    trials: tuple[tuple[Call, ...], ...]

    def plan(self) -> Plan:
        """It in the guest's language."""
        plan, event = Plan(), self.event
        opening = "request_headers" if event.protocol == "http" else "new_connection"
        for name, words in event.before:
            plan.call(ALL, opening, Call(name, words), counts=False)
        if event.holds:
            plan.returns(ALL, opening, 1)
        for name, words in event.first:
            plan.call(ALL, event.name, Call(name, words), counts=False)
        for number, calls in enumerate(self.trials, 0 if event.starting else 1):
            for call in calls:
                plan.call(number, event.name, call)
        if event.holds:
            resume = (
                Call("proxy_continue_request", ()) if event.version == "0.1.0" else Call("proxy_continue_stream", (0,))
            )
            plan.call(ALL, event.name, Call("proxy_set_effective_context", (STREAM,)), counts=False)
            plan.call(ALL, event.name, resume, counts=False)
        if event.name != "tick":
            plan.call(ALL, "tick", Call("proxy_set_tick_period_milliseconds", (0,)), counts=False)
        return plan


def rounds(event: Event, calls: Sequence[Call]) -> list[Round]:
    """The quiet calls together, each loud one for itself."""
    quiet = tuple(call for call in calls if not call.loud)
    loud = [(call,) for call in calls if call.loud]
    if event.starting:
        return [Round(event, (trial,)) for trial in (quiet, *loud)]
    return [Round(event, (quiet, *loud))]
