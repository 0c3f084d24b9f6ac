"""Traps, budgets and backtraces, alike on every engine."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.engine import Frame, Limits, Trap, wat_to_wasm

TRAPS = """(module (memory (export "memory") 1) (table $t 2 funcref) (elem (i32.const 1) $other)
  (type $none (func)) (func $other (param i32))
  (func $rec (export "stack_overflow") (call $rec))
  (func (export "unreachable") unreachable)
  (func (export "memory_out_of_bounds") (drop (i32.load (i32.const -4))))
  (func (export "table_out_of_bounds") (call_indirect (type $none) (i32.const 9)))
  (func (export "indirect_call_to_null") (call_indirect (type $none) (i32.const 0)))
  (func (export "bad_signature") (call_indirect (type $none) (i32.const 1)))
  (func (export "integer_overflow") (drop (i32.div_s (i32.const 0x80000000) (global.get $minus))))
  (func (export "integer_division_by_zero") (drop (i32.rem_u (i32.const 1) (global.get $zero))))
  (func (export "bad_conversion_to_integer") (drop (i32.trunc_f32_s (global.get $nan))))
  (func (export "fine") (result i32) (i32.const 7))
  (global $minus (mut i32) (i32.const -1)) (global $zero (mut i32) (i32.const 0))
  (global $nan (mut f32) (f32.const nan)))"""

LOOP = """(module
  (func $leaf) (func (export "idle"))
  (func (export "count") (param $n i32)
    (loop $l (call $leaf) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $spin (export "spin") (loop (br 0))))"""


@pytest.mark.parametrize(
    "kind",
    [
        "unreachable",
        "stack_overflow",
        "memory_out_of_bounds",
        "table_out_of_bounds",
        "indirect_call_to_null",
        "bad_signature",
        "integer_overflow",
        "integer_division_by_zero",
        "bad_conversion_to_integer",
    ],
)
def test_each_trap_has_its_kind_and_leaves_the_instance_usable(run: Any, kind: str) -> None:
    instance = run(TRAPS)
    for _ in range(2):
        with pytest.raises(Trap) as caught:
            instance.function(kind)()
        assert caught.value.kind == kind
        assert caught.value.frames[0].raw_name in (kind, "rec")
        assert len(str(caught.value)) < 400
        assert str(caught.value).startswith("the guest trapped: ")
    assert instance.function("fine")() == 7


def test_the_text_of_a_trap_says_what_happened_and_where(run: Any) -> None:
    instance = run(TRAPS)
    with pytest.raises(Trap) as caught:
        instance.function("integer_division_by_zero")()
    assert str(caught.value) == "the guest trapped: it divided an integer by zero, in integer_division_by_zero"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.kind, copy.message, copy.frames) == (
        caught.value.kind,
        caught.value.message,
        caught.value.frames,
    )


def test_the_budget_counts_function_entries_and_loop_rounds_alike(run: Any) -> None:
    instance = run(LOOP)
    counts = []
    for n in (1, 2, 1000):
        instance.function("count")(n)
        counts.append(instance.budget_used)
    assert counts == [1 + 2 * n for n in (1, 2, 1000)]
    instance.function("idle")()
    assert instance.budget_used == 1


def test_an_endless_loop_runs_out_of_its_budget(run: Any) -> None:
    instance = run(LOOP, limits=Limits(budget=12_345))
    with pytest.raises(Trap) as caught:
        instance.function("spin")()
    assert caught.value.kind == "budget"
    assert str(caught.value) == (
        "the guest did not come back: one call used up its budget of 12,345 function calls and loop rounds, in spin; "
        "an endless loop, as a rule, else raise the budget"
    )
    assert instance.budget_used == 12_345
    instance.function("idle")()
    assert instance.budget_used == 1


def test_the_budget_is_exact_to_the_last_round(run: Any) -> None:
    instance = run(LOOP, limits=Limits(budget=201))
    instance.function("count")(100)
    assert instance.budget_used == 201
    with pytest.raises(Trap):
        instance.function("count")(101)


def test_only_the_outermost_call_fills_the_budget(run: Any) -> None:
    wat = """(module (import "env" "f" (func $f))
      (func (export "outer") (call $f) (call $f)) (func (export "inner") (loop $l)))"""
    used: list[int] = []

    def f(data: object) -> None:
        used.append(instance.budget_used)
        instance.function("inner")()
        used.append(instance.budget_used)

    instance = run(wat, {("env", "f"): f}, limits=Limits(budget=100))
    instance.function("outer")()
    assert used == [1, 3, 3, 5]
    assert instance.budget_used == 5


def test_an_unreachable_on_the_last_of_the_budget_is_no_budget_trap(run: Any) -> None:
    instance = run('(module (func (export "f") unreachable))', limits=Limits(budget=1))
    with pytest.raises(Trap) as caught:
        instance.function("f")()
    assert caught.value.kind == "unreachable"


def test_frames_are_the_guests_own_innermost_first_with_original_offsets(run: Any) -> None:
    wat = """(module (import "env" "f" (func $f (param i32)))
      (func $a (param i32) (call $f (i32.const 1)) (loop (if (local.get 0) (then unreachable))))
      (func $b (export "run") (param i32) (call $a (local.get 0))))"""
    instance = run(wat, {("env", "f"): lambda data, x: None})
    with pytest.raises(Trap) as caught:
        instance.function("run")(1)
    wasm = wat_to_wasm(wat)
    first, second = caught.value.frames
    assert [frame.raw_name for frame in (first, second)] == ["a", "b"]
    assert [frame.function_index for frame in (first, second)] == [1, 2]
    assert first.module_offset is not None
    assert wasm[first.module_offset] == 0x00, "the unreachable instruction itself"
    assert second.module_offset is not None
    assert wasm[second.module_offset] == 0x10, "the call"


def test_a_function_without_name_is_called_by_its_index(run: Any) -> None:
    instance = run('(module (func unreachable) (func (export "run") (call 0)))')
    with pytest.raises(Trap) as caught:
        instance.function("run")()
    assert caught.value.frames[0].name == "function[0]"
    assert caught.value.frames[0].raw_name == ""


def test_frames_have_source_lines_from_dwarf(engine: Any) -> None:
    wasm = (Path(__file__).parent / "lines.wasm").read_bytes()
    instance = engine.module(wasm).link({}).instantiate(None, Limits())
    assert instance.function("run")(3) == 3
    with pytest.raises(Trap) as caught:
        instance.function("run")(10)
    assert [(frame.name, frame.location) for frame in caught.value.frames] == [
        ("fail", "lines.c:5"),
        ("run", "lines.c:13"),
    ]
    assert str(caught.value).endswith("in fail at lines.c:5")


def test_broken_dwarf_and_names_never_hide_a_trap(engine: Any) -> None:
    wasm = (Path(__file__).parent / "lines.wasm").read_bytes()
    for name in (b".debug_info", b".debug_abbrev", b".debug_line", b".debug_str", b"\x04name"):
        at = wasm.index(name) + len(name)
        for broken in (
            wasm[:at] + bytes(b ^ 0xFF for b in wasm[at : at + 40]) + wasm[at + 40 :],
            wasm[:at] + b"\xff" * 8 + wasm[at + 8 :],
        ):
            try:
                instance = engine.module(broken).link({}).instantiate(None, Limits())
            except Exception as error:
                pytest.fail(f"{name!r}: {error}")
            with pytest.raises(Trap) as caught:
                instance.function("run")(10)
            assert caught.value.kind == "unreachable"


def test_recursion_through_hostcalls_ends_cleanly(run: Any, engine: Any) -> None:
    if engine.name == "wasmtime" and engine.raw is None:
        pytest.skip("the binding's own trampoline is not safe against a RecursionError at its entry")
    wat = """(module (import "env" "f" (func $f)) (func (export "run") (call $f)))"""
    instance = run(wat, {("env", "f"): lambda data: instance.function("run")()})
    with pytest.raises((RecursionError, Trap)) as caught:
        instance.function("run")()
    if isinstance(caught.value, Trap):
        assert caught.value.kind in ("stack_overflow", "host")


def test_frame_text() -> None:
    assert str(Frame(3, "f", "f", 5, "a.c:1")) == "f at a.c:1"
    assert str(Frame(3, "f")) == "f"
