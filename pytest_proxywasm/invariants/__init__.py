"""What holds for every filter, whatever it does: `check` looks at what a host ran, and runs it again in other ways.

Knows hosts and plans; knows neither pytest nor Hypothesis.
"""

from .checking import check
from .named import INVARIANTS, CheckReport, Invariant, InvariantError

__all__ = ["INVARIANTS", "CheckReport", "Invariant", "InvariantError", "check"]
