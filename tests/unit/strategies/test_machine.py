"""The state machine over one host: it finds what only an order of steps shows, and prints that order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

import pytest_proxywasm as pw
from pytest_proxywasm import strategies as pws
from pytest_proxywasm.engine import get_engine

WASM = (Path(__file__).resolve().parents[3] / "fixtures" / "probe" / "probe.wasm").read_bytes()
QUICK = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def machine(*script: str) -> Any:
    """A machine over the probe guest with a script."""

    class Machine(pws.HostMachine):
        def open_host(self) -> pw.MockHost:
            return pw.MockHost([pw.Filter(WASM, configuration="\n".join(script).encode())], engine=get_engine())

    return Machine


def test_a_filter_that_does_nothing_passes() -> None:
    run_state_machine_as_test(machine(), settings=QUICK)


def test_a_trap_in_the_answer_to_a_callout_is_found() -> None:
    guest = machine("rqh http a 9000 '' :method GET :path / :authority a", "http trap")
    with pytest.raises(pw.GuestTrap) as caught:
        run_state_machine_as_test(guest, settings=settings(QUICK, max_examples=300))
    notes = "\n".join(getattr(caught.value, "__notes__", []))
    if notes:  # Python 3.10 has no notes: Hypothesis prints them
        assert "state.open_stream(" in notes
        assert notes.count("proxy-wasm trace 1") == 1


def test_users_add_invariants() -> None:
    class Counting(machine()):  # type: ignore[misc]
        @invariant()
        def few_streams(self) -> None:
            assert len(self.streams) < 2

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Counting, settings=QUICK)


def test_a_machine_says_what_it_needs() -> None:
    with pytest.raises(NotImplementedError, match="def open_host"):
        pws.HostMachine()
