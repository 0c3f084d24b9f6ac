"""What all VMs of a proxy share."""

from __future__ import annotations

import pytest

from pytest_proxywasm.abi.enums import MetricType, Status
from pytest_proxywasm.host.shared import MetricIds, Metrics, Queues, SharedData

COUNTER, GAUGE, HISTOGRAM = MetricType


def test_the_compare_and_set_number_counts_over_all_keys_and_vm_ids() -> None:
    """Fact G3: from 1, with each set that succeeds."""
    shared = SharedData()
    assert shared.set("a", b"k", b"1", 0) is Status.OK
    assert shared.set("b", b"k", b"2", 0) is Status.OK
    assert shared.set("a", b"k", b"3", 99) is Status.CAS_MISMATCH
    assert shared.set("a", b"other", b"4", 0) is Status.OK
    assert shared.get("a", b"k") == (b"1", 1)
    assert shared.get("b", b"k") == (b"2", 2)
    assert shared.get("a", b"other") == (b"4", 3)
    assert shared.get("c", b"k") is None


def test_a_number_must_match_where_the_key_is_there() -> None:
    """Fact G2: 0 always writes, and the number of a new key is not looked at."""
    shared = SharedData()
    assert shared.set("", b"k", b"1", 77) is Status.OK
    assert shared.set("", b"k", b"2", 1) is Status.OK
    assert shared.set("", b"k", b"3", 1) is Status.CAS_MISMATCH
    assert shared.set("", b"k", b"4", 0) is Status.OK
    assert shared.get("", b"k") == (b"4", 3)


def test_empty_keys_and_values_are_values() -> None:
    """Fact G4."""
    shared = SharedData()
    assert shared.set("", b"", b"", 0) is Status.OK
    assert shared.get("", b"") == (b"", 1)


def test_queues_are_named_within_a_vm_id_and_numbered_over_all() -> None:
    """Facts H1 and H2."""
    queues = Queues()
    first = queues.register("a", b"q", None)
    second = queues.register("b", b"q", None)
    assert (first.id, second.id) == (1, 2)
    assert queues.register("a", b"q", None) is first
    assert queues.resolve("b", b"q") is second
    assert queues.resolve("c", b"q") is None


def test_items_come_out_as_they_went_in() -> None:
    """Fact H3; an empty item is one."""
    queues = Queues()
    queues.register("", b"q", None)
    assert queues.dequeue(1) is Status.EMPTY
    for item in (b"1", b"", b"2"):
        assert queues.enqueue(1, item) is Status.OK
    assert [queues.dequeue(1) for _ in range(4)] == [b"1", b"", b"2", Status.EMPTY]
    assert queues.enqueue(9, b"") is queues.dequeue(9) is Status.NOT_FOUND


def test_the_last_to_register_is_told_of_each_item() -> None:
    """Fact H4."""
    queues, told = Queues(), []
    queues.register("", b"q", lambda number: told.append(("first", number)))
    queues.enqueue(1, b"")
    queues.register("", b"q", lambda number: told.append(("second", number)))
    queues.enqueue(1, b"")
    queues.enqueue(1, b"")
    assert told == [("first", 1), ("second", 1), ("second", 1)]


def test_metric_ids_carry_their_kind_and_are_new_each_time() -> None:
    """Fact I2: the same name again is the same metric under another id."""
    metrics, ids = Metrics(), MetricIds()
    kinds = (COUNTER, GAUGE, HISTOGRAM, COUNTER, COUNTER, GAUGE)
    assert [ids.add(metrics.define(kind, b"m")) for kind in kinds] == [4, 5, 6, 8, 12, 9]
    assert ids.increment(4, 2) is ids.increment(12, 3) is Status.OK
    assert ids.get(8) == 5


def test_recording_on_a_counter_adds() -> None:
    """Fact I3; others overwrite."""
    metrics, ids = Metrics(), MetricIds()
    ids.add(metrics.define(COUNTER, b"c"))
    ids.record(4, 5)
    ids.record(4, 7)
    assert ids.get(4) == 12


@pytest.mark.parametrize("delta", [0, -1, -(2**63)])
def test_a_counter_only_goes_up(delta: int) -> None:
    """Fact I3."""
    metrics, ids = Metrics(), MetricIds()
    ids.add(metrics.define(COUNTER, b"c"))
    assert ids.increment(4, delta) is Status.BAD_ARGUMENT
    assert ids.get(4) == 0


def test_a_gauge_is_set_and_goes_both_ways_and_wraps_around() -> None:
    """Fact I4."""
    metrics, ids = Metrics(), MetricIds()
    ids.add(metrics.define(GAUGE, b"g"))
    ids.record(5, 30)
    ids.record(5, 20)
    assert ids.increment(5, -30) is Status.OK
    assert ids.get(5) == 2**64 - 10
    assert ids.increment(5, 10) is Status.OK
    assert ids.get(5) == 0


def test_a_histogram_keeps_every_sample_and_can_only_be_recorded() -> None:
    """Fact I5; others keep the last."""
    metrics, ids = Metrics(), MetricIds()
    stat = metrics.define(HISTOGRAM, b"h")
    ids.add(stat)
    assert ids.record(6, 1) is ids.record(6, 2**64 - 1) is Status.OK
    assert stat.samples == [1, 2**64 - 1]
    assert ids.increment(6, 1) is ids.get(6) is Status.BAD_ARGUMENT


@pytest.mark.parametrize(
    ("number", "increment", "record", "get"),
    [
        (96, Status.NOT_FOUND, Status.NOT_FOUND, Status.NOT_FOUND),
        (97, Status.NOT_FOUND, Status.NOT_FOUND, Status.NOT_FOUND),
        (98, Status.BAD_ARGUMENT, Status.NOT_FOUND, Status.BAD_ARGUMENT),
        (99, Status.BAD_ARGUMENT, Status.NOT_FOUND, Status.BAD_ARGUMENT),
    ],
)
def test_an_unknown_id_answers_by_its_kind(number: int, increment: Status, record: Status, get: Status) -> None:
    """Fact I6."""
    ids = MetricIds()
    assert (ids.increment(number, 1), ids.record(number, 1), ids.get(number)) == (increment, record, get)


def test_a_counter_and_a_gauge_may_have_one_name() -> None:
    """Fact I8; any name is accepted."""
    metrics = Metrics()
    assert metrics.define(COUNTER, b"") is not metrics.define(GAUGE, b"")
    assert metrics.define(COUNTER, b" =;") is metrics.define(COUNTER, b" =;")
