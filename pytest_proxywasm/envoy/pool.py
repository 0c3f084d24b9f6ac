"""The Envoys of a run: some are started ahead for filters that are asked for again; none survives the run."""

from __future__ import annotations

import atexit
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..announce import Report
from ..engine.cache import ModuleCache
from .binary import envoy_version
from .code import CodeStore
from .instance import Instance
from .recordings import Recordings
from .setup import Setup

__all__ = ["Pool"]

KEPT = 2
"""For how many sets of filters an Envoy is started ahead."""


class Pool:
    """Hands out Envoys.

    Args:
        binary: the Envoy to run.
        reuse: whether one is kept for the next test with the same filters, unless something is left in it.
        ahead: whether the next one with the same filters is started in the background, once they are asked for a
            second time.
        recordings: where the recorder's copies of guests are kept; ``None`` for guests as they are.
        report: told a line before something that takes seconds.
    """

    def __init__(
        self,
        binary: Path,
        *,
        ahead: bool = True,
        reuse: bool = False,
        recordings: ModuleCache | None = None,
        report: Report | None = None,
    ) -> None:
        self.binary = binary
        self._reuse = reuse
        self._used: dict[Setup, Instance] = {}
        self._ahead = ahead
        self._code = CodeStore()
        self._seen: set[Setup] = set()
        self._ready: OrderedDict[Setup, Instance] = OrderedDict()
        self._ending: list[Instance] = []
        self._closed = False
        self._recordings = (
            Recordings(recordings, envoy_version(binary), lambda setup: self._start(setup, {}), report, self._code.keep)
            if recordings is not None
            else None
        )
        atexit.register(self.close)

    def recorded(self, setup: Setup) -> Setup:
        """The same with the recorder in the guests, if that is wanted and they can have it; so with the clockwork."""
        return self._recordings.apply(setup) if self._recordings is not None else replace(setup, clocked=False)

    def take(self, setup: Setup, clusters: Mapping[str, Any]) -> Instance:
        """An Envoy nobody has used, which may still be starting.

        Those with clusters from the start are not started ahead: filters may call them while they start.
        """
        self._reap()
        used = self._used.pop(setup, None) if not clusters else None
        if used is not None and not used.process.ended:
            used.begin_again()
            return used
        instance = self._ready.pop(setup, None) if not clusters else None
        if instance is not None and instance.process.ended:
            self._end(instance)
            instance = None
        if instance is None:
            instance = self._start(setup, clusters)
        again = setup in self._seen
        self._seen.add(setup)
        if self._ahead and again and not clusters:
            self._ready[setup] = self._start(setup, {})
            while len(self._ready) > KEPT:
                _, oldest = self._ready.popitem(last=False)
                self._end(oldest)
        return instance

    def _start(self, setup: Setup, clusters: Mapping[str, Any]) -> Instance:
        return Instance(self.binary, setup, clusters, self._code)

    def give_back(self, instance: Instance) -> None:
        """Nobody needs it any more."""
        if self._reuse and instance.reusable:
            other, self._used[instance.setup] = self._used.get(instance.setup), instance
            if other is not None:
                self._end(other)
            return
        self._end(instance)

    def _end(self, instance: Instance) -> None:
        instance.begin_stop()
        self._ending.append(instance)

    def _reap(self) -> None:
        still = []
        for instance in self._ending:
            if instance.process.ended:
                instance.stop()
            else:
                still.append(instance)
        self._ending = still

    def close(self) -> None:
        """End them all."""
        if self._closed:
            return
        self._closed = True
        for instance in self._used.values():
            self._end(instance)
        self._used.clear()
        atexit.unregister(self.close)
        for instance in self._ready.values():
            self._end(instance)
        self._ready.clear()
        for instance in self._ending:
            instance.stop()
        self._ending.clear()
        self._code.close()
