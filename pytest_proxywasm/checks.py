"""`Checks`: how many exchanges were held against a real Envoy, and why others were not; knows no host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["Checks"]


class Checks:
    """Counts of one run, or of one of its workers.

    Attributes:
        envoy: the version of the Envoy.
        agreed: exchanges that were the same in both.
        differed: exchanges that were not.
        unchecked: why others were not compared, and how many.
    """

    def __init__(self) -> None:
        self.envoy = ""
        self.agreed = 0
        self.differed = 0
        self.unchecked: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """All exchanges."""
        return self.agreed + self.differed + self.unchecked.total()

    def skip(self, reason: str) -> None:
        """An exchange could not be compared."""
        self.unchecked[reason] += 1

    def dump(self) -> dict[str, Any]:
        """As plain values, to be sent from a worker of pytest-xdist."""
        return {
            "envoy": self.envoy,
            "agreed": self.agreed,
            "differed": self.differed,
            "unchecked": dict(self.unchecked),
        }

    def add(self, dumped: Mapping[str, Any]) -> None:
        """Count what a worker counted."""
        self.envoy = self.envoy or dumped["envoy"]
        self.agreed += dumped["agreed"]
        self.differed += dumped["differed"]
        self.unchecked.update(dumped["unchecked"])

    def lines(self) -> list[str]:
        """The summary."""
        name = f"Envoy {self.envoy}" if self.envoy else "a real Envoy"
        checked = self.agreed + self.differed
        lines = [f"{checked} of {self.total} exchanges were compared with {name}: {self.differed} differ"]
        if self.unchecked:
            lines.append(f"{self.unchecked.total()} could not be compared:")
            lines += [f"  {count:>5}  {reason}" for reason, count in self.unchecked.most_common()]
        return lines
