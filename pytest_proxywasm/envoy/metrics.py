"""Metrics of the filters in a real Envoy, by its admin listener."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..model import Metric
from .clockwork import CLOCK

if TYPE_CHECKING:
    from .instance import Instance
    from .process import EnvoyProcess

__all__ = ["EnvoyMetrics", "read_metrics"]

PREFIX = "wasmcustom."


class EnvoyMetrics(Mapping[str, Metric]):
    """Metrics by name, as the filters named them, read when they are asked for.

    Of a histogram Envoy tells the number of samples, not the samples.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def all(self) -> dict[str, Metric]:
        """Every metric; of an Envoy that was used before, from this test's start."""
        now = self._instance.metrics()
        before, start = self._instance.before, self._instance.at_start
        for name, metric in list(now.items()):
            if name in before and metric.kind != "gauge":
                value = metric.value - before[name].value + (start[name].value if name in start else 0)
                now[name] = Metric(metric.kind, value)
                if not value and name not in start:
                    del now[name]
        return now

    def __getitem__(self, name: str) -> Metric:
        found = self.all()
        if name not in found:
            raise KeyError(f"no metric {name!r}; there are: {', '.join(sorted(found)) or 'none'}")
        return found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())

    def __repr__(self) -> str:
        return repr(self.all())


def read_metrics(process: EnvoyProcess) -> dict[str, Metric]:
    """Every metric of the filters, as the admin listener tells."""
    found: dict[str, Metric] = {}
    for kind in ("counter", "gauge"):
        text = process.admin(f"/stats?type={kind.capitalize()}s&filter=^{PREFIX}")
        for line in text.splitlines():
            name, _, value = line.rpartition(": ")
            if name.startswith(PREFIX) and value.isdigit() and name != PREFIX + CLOCK.decode():
                found[name.removeprefix(PREFIX)] = Metric(kind, int(value))
    text = process.admin(f"/stats?type=Histograms&filter=^{PREFIX}&format=json&histogram_buckets=cumulative")
    for stat in json.loads(text).get("stats", ()):
        for one in stat.get("histograms", ()) if isinstance(stat.get("histograms"), list) else ():
            counts = [bucket["cumulative"] for bucket in one.get("buckets", ())]
            found[one["name"].removeprefix(PREFIX)] = Metric("histogram", max(counts, default=0))
    return found
