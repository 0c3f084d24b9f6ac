"""Whether the mock host does in one case what Envoy did; puts running and comparing together."""

from __future__ import annotations

from pathlib import Path

from pytest_proxywasm.engine import Engine

from .case import Case
from .compare import compare, waits_in_vain
from .run import run

__all__ = ["PROBE", "check"]

PROBE = Path(__file__).resolve().parents[2] / "fixtures" / "probe"
PATIENCE = (1.4, 1.0, 0.5, 0.3)
"""Seconds other recorded clients waited in vain (fact U3: between 0.3 and 3)."""


def check(case: Case, engine: Engine, probe: Path = PROBE) -> str:
    """Replay a case; what differs from the recording, or nothing.

    How long a recorded client waited in vain is in no case: where one did, the replay's clients wait for several
    times, and one of them must see the recording.
    """
    difference = compare(case, run(case, engine, probe))
    if difference and waits_in_vain(case):
        for patience in PATIENCE:
            if not compare(case, run(case, engine, probe, patience=patience)):
                return ""
    return difference
