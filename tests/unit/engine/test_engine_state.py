"""Saving and restoring the state of an instance, over all engines and routes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from pytest_proxywasm.engine import InstanceClosed, Limits, wat_to_wasm
from pytest_proxywasm.engine.state import Revival, differences

COUNTER = """(module
  (memory (export "memory") 2 20)
  (global $i (mut i32) (i32.const 1))
  (global $j (mut i64) (i64.const -1))
  (global $constant i32 (i32.const 42))
  (global $x (mut f32) (f32.const 0.5))
  (global $y (mut f64) (f64.const 0.25))
  (data (i32.const 100) "hello")
  (data (i32.const 70000) "there")
  (func (export "step")
    (global.set $i (i32.add (global.get $i) (i32.const 1)))
    (global.set $j (i64.sub (global.get $j) (i64.const 1)))
    (global.set $x (f32.reinterpret_i32 (i32.const 0x7fa00001)))
    (global.set $y (f64.reinterpret_i64 (i64.const 0x7ff4000000000001)))
    (i32.store (i32.const 100) (global.get $i))
    (i32.store8 (i32.const 131071) (global.get $i)))
  (func (export "i") (result i32) (global.get $i))
  (func (export "j") (result i64) (global.get $j))
  (func (export "x") (result i32) (i32.reinterpret_f32 (global.get $x)))
  (func (export "y") (result i64) (i64.reinterpret_f64 (global.get $y)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "spin") (loop $l (br $l)))
  (func (export "trap") (call 0) (unreachable)))"""


@pytest.fixture
def linked(engine: Any) -> Any:
    return engine.module(wat_to_wasm(COUNTER)).link({})


def everything(instance: Any) -> tuple[Any, ...]:
    """All that can be seen of an instance."""
    return (bytes(instance.renew()), *(instance.function(name)() for name in "ijxy"))


def test_memory_and_globals_come_back(linked: Any) -> None:
    """In the same instance, whatever the bits of a float."""
    instance = linked.instantiate(None)
    instance.function("step")()
    state, seen = instance.save(), everything(instance)
    for _ in range(3):
        instance.function("step")()
    assert everything(instance) != seen

    instance.restore(state)

    assert everything(instance) == seen
    assert instance.function("x")() == 0x7FA00001


def test_a_state_moves_to_a_new_instance(linked: Any) -> None:
    instance = linked.instantiate(None)
    instance.function("step")()
    state, seen = instance.save(), everything(instance)

    for _ in range(2):
        other = linked.instantiate(None)
        other.restore(state, new=True)
        assert everything(other) == seen
    assert state.patches is not None
    assert sum(len(data) for _, data in state.patches) == 2 * 4096


def test_only_a_new_instance_has_less_memory_again(linked: Any) -> None:
    instance = linked.instantiate(None)
    small = instance.save()
    assert instance.function("grow")(3) == 2
    large, seen = instance.save(), everything(instance)

    with pytest.raises(ValueError, match="cannot shrink: restore the state in a new instance"):
        instance.restore(small)
    other = linked.instantiate(None)
    other.restore(large, new=True)
    assert everything(other) == seen
    assert other.function("grow")(1) == 5


def test_a_state_can_be_restored_after_a_trap(linked: Any) -> None:
    instance = linked.instantiate(None, Limits(budget=1000))
    state, seen = instance.save(), everything(instance)
    for name in ("trap", "spin"):
        with pytest.raises(Exception, match="guest"):
            instance.function(name)()
        instance.restore(state)
        assert everything(instance) == seen


def test_what_a_call_used_of_its_budget_is_part_of_the_state(linked: Any) -> None:
    instance = linked.instantiate(None)
    instance.function("step")()
    state, used = instance.save(), instance.budget_used
    with pytest.raises(Exception, match="guest"):
        instance.function("trap")()
    assert instance.budget_used != used
    instance.restore(state)
    assert instance.budget_used == used


def test_not_during_a_call(run: Callable[..., Any]) -> None:
    errors: list[str] = []

    def host(data: Any) -> None:
        for action in (instance.save, lambda: instance.restore(state)):
            with pytest.raises(RuntimeError) as caught:
                action()
            errors.append(str(caught.value))

    instance = run('(module (import "env" "f" (func $f)) (func (export "go") (call $f)))', {("env", "f"): host})
    state = instance.save()
    instance.function("go")()
    assert errors == [
        "an instance cannot be saved while a call into it is running",
        "an instance cannot be restored while a call into it is running",
    ]


def test_not_after_close(linked: Any) -> None:
    instance = linked.instantiate(None)
    state = instance.save()
    instance.close()
    with pytest.raises(InstanceClosed):
        instance.save()
    with pytest.raises(InstanceClosed):
        instance.restore(state)


@pytest.mark.parametrize(
    ("wat", "unsaved"),
    [
        ('(table 2 funcref) (func (export "f") (table.set (i32.const 0) (ref.null func)))', "tables or segments"),
        ('(table 2 funcref) (func (export "f") (drop (table.grow (ref.null func) (i32.const 1))))', "tables"),
        (
            '(table 2 funcref) (func (export "f") (table.fill (i32.const 0) (ref.null func) (i32.const 1)))',
            "tables",
        ),
        (
            '(table 2 funcref) (func (export "f") (table.copy (i32.const 0) (i32.const 1) (i32.const 1)))',
            "tables or segments that it changes",
        ),
        (
            '(table 2 funcref) (elem func $f) (func $f (export "f") (table.init 0 (i32.const 0) (i32.const 0) '
            "(i32.const 1)))",
            "tables or segments that it changes",
        ),
        ('(elem func $f) (func $f (export "f") (elem.drop 0))', "tables or segments that it changes"),
        ('(memory 1) (data "a") (func (export "f") (data.drop 0))', "a memory that it does not export"),
        ('(memory (export "m") 1) (data "a") (func (export "f") (data.drop 0))', "tables or segments that it changes"),
        ("(global (mut funcref) (ref.null func))", "globals of type funcref"),
        ("(global (mut v128) (v128.const i32x4 0 0 0 0))", "globals of type v128"),
        ("(memory 1)", "a memory that it does not export"),
        ("(global (mut i32) (i32.const 0))" * 64, "64 globals"),
    ],
)
def test_a_module_with_other_state_says_so(run: Callable[..., Any], engine: Any, wat: str, unsaved: str) -> None:
    """By its instructions or declarations."""
    module = engine.module(wat_to_wasm(f"(module {wat})"))
    assert module.unsaved.startswith(unsaved)
    instance = module.link({}).instantiate(None)
    with pytest.raises(ValueError, match=f"this module has state that cannot be saved: {unsaved}"):
        instance.save()


@pytest.mark.parametrize(
    "wat",
    [
        '(memory (export "m") 1) (data "ab") '
        '(func (export "f") (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 2)))',
        '(table 2 funcref) (func $f) (elem (i32.const 0) $f) (func (export "g") (drop (table.get (i32.const 0))) '
        "(drop (table.size)))",
        '(memory (export "m") 1) (func (export "f") (memory.fill (i32.const 0) (i32.const 1) (i32.const 2)) '
        "(memory.copy (i32.const 0) (i32.const 1) (i32.const 2)))",
        "(global (mut i32) (i32.const 0))" * 63,
        "",
    ],
)
def test_a_module_that_only_reads_tables_and_segments_can_be_saved(run: Callable[..., Any], wat: str) -> None:
    instance = run(f"(module {wat})")
    instance.restore(instance.save())


def test_what_cannot_be_saved_is_remembered_with_the_compiled_module(tmp_path: Any) -> None:
    from pytest_proxywasm.engine.cache import ModuleCache
    from pytest_proxywasm.engine.wasmtime_engine import WasmtimeEngine

    changing = wat_to_wasm('(module (table 2 funcref) (func (export "f") (table.set (i32.const 0) (ref.null func))))')
    for _ in range(2):
        engine = WasmtimeEngine(ModuleCache(tmp_path))
        assert engine.module(changing).unsaved == "tables or segments that it changes"
        assert engine.module(wat_to_wasm(COUNTER)).unsaved == ""


class TestRevival:
    """Instances in saved states: used ones or new ones, whichever is cheaper."""

    def test_every_instance_is_as_saved(self, linked: Any) -> None:
        """Whatever the ones before have done: nothing, changed memory, grown it, trapped."""
        limits = Limits(budget=10_000)
        first = linked.instantiate(None, limits)
        first.function("step")()
        state, seen = first.save(), everything(first)
        revival = Revival(linked)
        for turn in range(24):
            instance = revival.take(state, f"data {turn}", limits)
            assert everything(instance) == seen
            assert instance.data == f"data {turn}"
            if turn % 4 == 1:
                instance.function("step")()
            elif turn % 4 == 2:
                instance.function("grow")(1)
            elif turn % 4 == 3:
                with pytest.raises(Exception, match="guest"):
                    instance.function("trap")()
            revival.give(instance, limits)
        revival.close()
        assert state.copy_times
        assert state.new_times

    def test_a_used_instance_calls_the_host_with_its_new_data(self, engine: Any) -> None:
        seen: list[object] = []
        linked = engine.module(
            wat_to_wasm('(module (import "env" "f" (func $f)) (func (export "go") (call $f)))')
        ).link({("env", "f"): seen.append})
        limits = Limits()
        state = linked.instantiate("zero", limits).save()
        revival = Revival(linked)
        for data in ("one", "two", "three"):
            instance = revival.take(state, data, limits)
            instance.function("go")()
            revival.give(instance, limits)
        revival.close()
        assert seen == ["one", "two", "three"]

    def test_other_limits_get_other_instances(self, linked: Any) -> None:
        state = linked.instantiate(None, Limits()).save()
        revival = Revival(linked)
        one = revival.take(state, None, Limits())
        revival.give(one, Limits())
        other = revival.take(state, None, Limits(budget=7))
        assert other is not one
        with pytest.raises(InstanceClosed):
            one.save()
        other.close()

    def test_nothing_waits_before_a_state_is_asked_for(self, linked: Any) -> None:
        revival = Revival(linked)
        instance = linked.instantiate(None)
        revival.give(instance, Limits())
        with pytest.raises(InstanceClosed):
            instance.renew()


def test_differences() -> None:
    before = bytes(3 * 65536)
    after = bytearray(before)
    assert differences(before, bytes(after)) == ()
    after[5] = 1
    after[65535] = 2
    after[65536] = 3
    after[-1] = 4
    found = differences(before, bytes(after))
    assert [(at, len(data)) for at, data in found] == [(0, 4096), (61440, 8192), (3 * 65536 - 4096, 4096)]
    rebuilt = bytearray(before)
    for at, data in found:
        rebuilt[at : at + len(data)] = data
    assert rebuilt == after
    assert struct.unpack_from("B", found[0][1], 5) == (1,)
