"""Whether it is worth waiting for a response that does not come; knows what the servers are about."""

from __future__ import annotations

import time

from ..model import After, Timeout
from .instance import Instance
from .process import EnvoyFailure
from .servers import SILENT

__all__ = ["Patience"]

QUIET_SECONDS = 0.5
"""Silence after which a stream that nothing works on is stalled."""
AT_MOST = 60.0
"""Seconds to wait for Envoy's own timeouts."""


class Patience:
    """Decides while nothing comes. A stream is worth waiting for while a server of ours is about to answer, while one
    has been told never to (Envoy's timeout will come), and while a filter has a tick. It is over when the access log
    has it: of a response that breaks off Envoy closes the connection a second later only.

    Attributes:
        failure: what is wrong with Envoy.
        stream_ended: the stream was over before its response was complete.
    """

    def __init__(self, instance: Instance, timeout: float) -> None:
        self.stream_ended = False
        self.failure: EnvoyFailure | None = None
        self._instance = instance
        self._streams = len(instance.ended_streams())
        now = time.monotonic()
        self._end = now + min(timeout, AT_MOST)
        self._seen: tuple[int, ...] = ()
        self._quiet_since = now

    def wait_on(self) -> bool:
        """Whether to wait on."""
        instance = self._instance
        now = time.monotonic()
        if instance.process.ended or instance.errors or now > self._end:
            return False
        try:
            instance.keeper.pass_through()
        except EnvoyFailure as error:
            self.failure = error
            return False
        instance.read()
        if instance.while_waiting is not None:
            instance.while_waiting()
        if len(instance.ended_streams()) > self._streams:
            done, self.stream_ended = self.stream_ended, True
            return not done
        seen = (instance.process.log.size(), len(instance.served), sum(len(s.message.body) for s in instance.served))
        if seen != self._seen or instance.busy:
            self._seen = seen
            self._quiet_since = now
            return True
        if any(served.state == SILENT and _meant(served.answer) for served in instance.served):
            return True
        if instance.reading.tick_ms and instance.metronome is None:
            return now - self._quiet_since < max(1.0, 3 * instance.reading.tick_ms / 1000)
        return now - self._quiet_since < QUIET_SECONDS


def _meant(answer: object) -> bool:
    return isinstance(answer, (Timeout, After))
