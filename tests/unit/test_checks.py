"""The summary of what was compared."""

from __future__ import annotations

from pytest_proxywasm.checks import Checks


def test_counts_of_workers_add_up() -> None:
    total, worker = Checks(), Checks()
    worker.envoy, worker.agreed, worker.differed = "1.40.0", 3, 1
    worker.skip("the virtual clock was moved")
    worker.skip("the virtual clock was moved")
    worker.skip("there are several workers")
    for _ in range(2):
        total.add(worker.dump())
    assert total.total == 14
    assert total.lines() == [
        "8 of 14 exchanges were compared with Envoy 1.40.0: 2 differ",
        "6 could not be compared:",
        "      4  the virtual clock was moved",
        "      2  there are several workers",
    ]
