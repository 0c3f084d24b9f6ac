"""Reading and rewriting modules: every instruction, and every kind of rubbish."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_proxywasm.engine import BadModule, Limits, Trap, wat_to_wasm
from pytest_proxywasm.engine.binary import Reader, read_module, signed, unsigned
from pytest_proxywasm.engine.instrument import instrument

HEADER = b"\0asm\x01\0\0\0"
LINES = (Path(__file__).parent / "lines.wasm").read_bytes()
MIXED = wat_to_wasm("""(module
  (import "env" "f" (func $f (param i32 i64 f32 f64) (result i32)))
  (memory (export "memory") 1 2) (table 4 funcref) (global $g (mut i64) (i64.const -5))
  (elem (i32.const 0) $f $a) (data (i32.const 8) "data") (data "passive") (start $s)
  (type $sig (func (param i32) (result i32)))
  (func $s (global.set $g (i64.const 3)))
  (func $a (export "a") (param i32) (result i32) (local i64 f64 f32 i32)
    (block $x (block $y (block $z (br_table $x $y $z (local.get 0))) (nop)) (drop (memory.size)))
    (loop $l (result i32)
      (drop (memory.grow (i32.const 0)))
      (drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 0)))
      (drop (i64.extend_i32_u (i32.extend8_s (i32.const 200))))
      (drop (i32.trunc_sat_f64_s (f64.const 1e300)))
      (drop (f32.demote_f64 (f64.promote_f32 (f32.const 0.5))))
      (memory.copy (i32.const 0) (i32.const 8) (i32.const 4))
      (memory.fill (i32.const 0) (i32.const 8) (i32.const 4))
      (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 3)) (data.drop 1)
      (table.set (i32.const 2) (ref.null func)) (drop (ref.is_null (table.get (i32.const 2))))
      (drop (table.grow (ref.null func) (i32.const 1))) (drop (table.size))
      (table.fill (i32.const 2) (ref.func $f) (i32.const 1))
      (drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
        (v128.const i64x2 3 64) (i8x16.splat (i32.const 3))))
      (drop (i32x4.extract_lane 3 (v128.load (i32.const 16))))
      (drop (v128.load8_lane 5 (i32.const 3) (i64x2.add (i64x2.splat (i64.const 1)) (v128.load64_zero (i32.const 0)))))
      (drop (f64x2.sqrt (f64x2.splat (f64.const 4))))
      (if (result i32) (local.get 0) (then (i32.const 10)) (else
        (call_indirect (type $sig) (i32.const 1) (i32.const 1)))))))""")


@pytest.mark.parametrize("value", [0, 1, 63, 64, 127, 128, 2**31, 2**32 - 1])
def test_integers_survive_writing_and_reading(value: int) -> None:
    assert Reader(unsigned(value)).unsigned() == value
    assert signed(value)[-1] < 0x80
    assert signed(-1) == b"\x7f"


def test_every_kind_of_instruction_is_rewritten_and_runs(engine: Any) -> None:
    calls: list[Any] = []
    linked = engine.module(MIXED).link({("env", "f"): lambda data, *args: calls.append(args) or 7})
    instance = linked.instantiate(None, Limits())
    assert instance.function("a")(3) == 10
    assert instance.budget_used == 2
    with pytest.raises(Trap):
        instance.function("a")(0)


@pytest.mark.parametrize("window", [False, True])
def test_rewriting_keeps_function_indices_and_drops_debugging_sections(window: bool) -> None:
    info = read_module(LINES)
    rewritten = instrument(LINES, window=window)
    after = read_module(rewritten.wasm)
    assert after.functions[: len(info.functions)] == info.functions
    assert info.custom(".debug_info") is not None
    assert not any(section.id == 0 for section in after.sections)


def test_overlong_table_indices_of_call_indirect_are_legal(engine: Any) -> None:
    wasm = wat_to_wasm("""(module (table 1 funcref) (elem (i32.const 0) $f) (type $t (func (result i32)))
      (func $f (result i32) (i32.const 7))
      (func (export "run") (result i32) (call_indirect (type $t) (i32.const 0))))""")
    at = wasm.index(b"\x11\x00\x00\x0b")
    long = wasm[:at] + b"\x11\x00\x80\x80\x80\x80\x00\x0b" + wasm[at + 4 :]
    code = read_module(wasm).section(10)
    assert code is not None
    body, section = wasm.rindex(b"\x07", 0, at), code.start - 1
    fixed = bytearray(long)
    fixed[body] += 4
    fixed[section] += 4
    instance = engine.module(bytes(fixed)).link({}).instantiate(None, Limits())
    assert instance.function("run")() == 7


@pytest.mark.parametrize(
    ("wasm", "text"),
    [
        (b"", "not a WebAssembly module: it is empty"),
        (b"\x7fELF\x01", "not a WebAssembly module: it starts with b'\\x7fELF' instead of b'\\x00asm'"),
        (
            b"\0asm\x0d\0\x01\0",
            "this is a WebAssembly component, not a core module: build for wasm32-wasip1, not wasm32-wasip2",
        ),
        (b"\0asm\x02\0\0\0", "unknown WebAssembly version 02000000: only version 1 modules can be run"),
        (
            HEADER + b"\x01\x7f",
            "corrupt WebAssembly module: 127 bytes announced but 0 left: is the file cut off? in the type section, "
            "at offset 0x8",
        ),
        (
            HEADER + b"\x01\x04\x01\x60\x00\x00" + b"\x03\x02\x01\x00",
            "corrupt WebAssembly module: 1 functions but no code section in the module, at offset 0x0",
        ),
        (
            HEADER + b"\x05\x03\x01\x04\x01",
            "this module uses the WebAssembly proposal 'memory64' (memory at offset 0xb), which is not supported: "
            "build the filter without it",
        ),
        (
            HEADER + b"\x01\x04\x01\x60\x00\x00" + b"\x03\x02\x01\x00" + b"\x0a\x07\x01\x05\x00\xfb\x07\x00\x0b",
            "this module uses the WebAssembly proposal 'garbage collection' (instruction 0xfb 0x07 at offset 0x17), "
            "which is not supported: build the filter without it",
        ),
        (
            HEADER + b"\x01\x04\x01\x60\x00\x00" + b"\x03\x02\x01\x00" + b"\x0a\x05\x01\x03\x00\xff\x0b",
            "corrupt WebAssembly module: unknown or cut-off instruction 0xff at offset 0x17",
        ),
    ],
)
def test_bad_modules_are_explained(wasm: bytes, text: str) -> None:
    with pytest.raises(BadModule) as caught:
        instrument(wasm)
    assert str(caught.value) == text


def test_what_only_the_engine_notices_is_a_bad_module_with_its_name(engine: Any) -> None:
    wasm = HEADER + b"\x01\x04\x01\x60\x00\x00" + b"\x03\x02\x01\x00" + b"\x0a\x05\x01\x03\x00\x1a\x0b"
    with pytest.raises(BadModule, match=rf"{engine.name} [\d.]+ refuses the module: .+"):
        engine.module(wasm)


def test_bad_text_is_a_bad_module_with_the_parsers_message() -> None:
    with pytest.raises(BadModule, match=r"the text is no WebAssembly module: (?s:.*)nonsense"):
        wat_to_wasm("(module (nonsense))")


@pytest.mark.parametrize("source", [MIXED, LINES], ids=["mixed", "lines"])
def test_a_module_cut_off_anywhere_is_a_bad_module_or_runs(engine: Any, source: bytes) -> None:
    for end in range(0, len(source), 3):
        with suppress(BadModule):
            engine.module(source[:end])


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_bad_modules(data: bytes) -> None:
    for wasm in (data, HEADER + data):
        for window in (False, True):
            with suppress(BadModule):
                instrument(wasm, window=window)


@settings(max_examples=300, deadline=None)
@given(
    at=st.integers(8, len(MIXED) - 1),
    value=st.integers(0, 255),
    more=st.lists(st.tuples(st.integers(8, len(MIXED) - 1), st.integers(0, 255)), max_size=3),
)
def test_changed_bytes_give_a_module_or_a_bad_module(at: int, value: int, more: list[tuple[int, int]]) -> None:
    changed = bytearray(MIXED)
    for position, byte in [(at, value), *more]:
        changed[position] = byte
    with suppress(BadModule):
        _wasmtime().module(bytes(changed))


@lru_cache
def _wasmtime() -> Any:
    from pytest_proxywasm.engine.wasmtime_engine import WasmtimeEngine

    return WasmtimeEngine()
