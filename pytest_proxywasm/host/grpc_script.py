"""Generators that answer gRPC calls and streams step by step; knows no clusters and no contexts."""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..model import After, ConnectionRefused, GrpcResponse, NoHosts, Reset, Response, Timeout

if TYPE_CHECKING:
    from .grpc import GrpcPendingCallout

MOST_STEPS = 10_000
"""How often a script is resumed after the filter has closed its side, before it counts as endless."""


class Script:
    """A generator that runs beside a call.

    It starts when the call does. What it yields is sent: a message (bytes or str), a list of messages, `Headers` as the
    initial metadata, or nothing (``None``). Each ``yield`` gives the filter's next message, and ``None`` once the
    filter has closed its side. What it returns ends the call: a `GrpcResponse` or another answer, or nothing for
    status 0.
    """

    def __init__(self, generator: GeneratorType[Any, bytes | None, Any], pending: GrpcPendingCallout) -> None:
        self._generator = generator
        self._pending = pending
        self._inbox: list[bytes | None] = []
        self._begun = self._ended = False
        self._steps = 0

    @property
    def ended(self) -> bool:
        """Whether it will not run again."""
        return self._ended

    @property
    def what(self) -> str:
        """What it answers."""
        return self._pending.name

    def receive(self, message: bytes | None) -> None:
        """The filter has sent a message, or closed its side (``None``)."""
        self._inbox.append(message)
        self.resume()

    def resume(self) -> None:
        """Run it until it waits for the filter."""
        if not self._begun:
            self._begun = True
            self._step(None)
        while self._inbox and not self._ended and self._pending.open:
            message = self._inbox[0]
            if message is not None:
                self._inbox.pop(0)
            else:
                self._count()
            self._step(message)

    def close(self) -> None:
        """The call is gone: the generator ends where it stands."""
        self._ended = True
        if not self._generator.gi_running:
            self._generator.close()

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise UsageError(
                f"the handler of cluster {self._pending.callout.cluster!r} does not end: it was resumed {MOST_STEPS} "
                "times after the filter had closed its side; a yield that gives None means that nothing follows"
            )

    def _step(self, message: bytes | None) -> None:
        try:
            out = self._generator.send(message)
        except StopIteration as stop:
            self._ended = True
            self._pending.settle(self._answer(stop.value))
            return
        for item in out if isinstance(out, (list, tuple)) else (out,):
            self._pending.send_item(item)

    def _answer(self, returned: Any) -> Any:
        if returned is None:
            return GrpcResponse()
        if isinstance(returned, (GrpcResponse, Response, Reset, ConnectionRefused, NoHosts, After, Timeout)):
            return returned
        raise UsageError(
            f"the handler of cluster {self._pending.callout.cluster!r} returned {returned!r}; it must return a "
            "pw.GrpcResponse, another answer, or None for status 0"
        )
