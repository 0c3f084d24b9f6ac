"""Calls between host and guest, and the life of an instance, on every engine."""

from __future__ import annotations

import ctypes
import gc
import math
import signal
import threading
import time
from typing import Any

import pytest

from pytest_proxywasm.engine import (
    BadModule,
    FunctionType,
    InstanceClosed,
    Limits,
    LinkError,
    Trap,
    wat_to_wasm,
)

SIX = """(module
  (import "env" "f" (func $f (param i32 i32 i32 i32 i32 i32) (result i32)))
  (func (export "run") (result i32)
    (call $f (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const -1))))"""

CALLBACK = """(module
  (import "env" "f" (func $f (param i32) (result i32)))
  (func (export "run") (param i32) (result i32) (i32.add (i32.const 100) (call $f (local.get 0))))
  (func (export "inner") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))"""


def test_arguments_arrive_in_order_unsigned_and_behind_the_data(run: Any) -> None:
    seen: list[Any] = []

    def f(*args: Any) -> int:
        seen.append(args)
        return -2

    data = object()
    assert run(SIX, {("env", "f"): f}, data=data).function("run")() == 2**32 - 2
    assert seen == [(data, 1, 2, 3, 4, 5, 2**32 - 1)]


def test_every_number_type_goes_through_both_ways(run: Any) -> None:
    wat = """(module
      (import "env" "a" (func $a (param i64 f32 f64 i32) (result i64)))
      (import "env" "b" (func $b (param f64) (result f32)))
      (import "env" "c" (func $c (result f64)))
      (func (export "a") (param i64 f32 f64 i32) (result i64)
        (call $a (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
      (func (export "b") (param f64) (result f32) (call $b (local.get 0)))
      (func (export "c") (result f64) (call $c)))"""
    seen: list[Any] = []

    def a(data: object, *args: Any) -> int:
        seen.append(args)
        return 2**64 + 7

    functions = {("env", "a"): a, ("env", "b"): lambda data, x: x / 2, ("env", "c"): lambda data: math.inf}
    instance = run(wat, functions)
    assert instance.function("a")(2**64 - 1, 1.5, -2.25, 2**31) == 7
    assert seen == [(2**64 - 1, 1.5, -2.25, 2**31)]
    assert instance.function("b")(5.0) == 2.5
    assert instance.function("c")() == math.inf


def test_negative_arguments_wrap_and_several_results_come_as_a_tuple(run: Any) -> None:
    wat = """(module
      (func (export "id") (param i32) (result i32) (local.get 0))
      (func (export "both") (param i64) (result i32 i64) (i32.const -1) (local.get 0)))"""
    instance = run(wat)
    assert instance.function("id")(-1) == 2**32 - 1
    assert instance.function("both")(-1) == (2**32 - 1, 2**64 - 1)
    with pytest.raises(TypeError, match=r"type i32 -> i32 was called with 2 arguments"):
        instance.function("id")(1, 2)


def test_a_function_without_result_may_return_anything(run: Any) -> None:
    wat = """(module (import "env" "f" (func $f (param i64)))
      (func (export "run") (call $f (i64.const -1))))"""
    seen: list[int] = []
    instance = run(wat, {("env", "f"): lambda data, x: seen.append(x) or 5})
    assert instance.function("run")() is None
    assert seen == [2**64 - 1]


def test_none_where_the_guest_wants_a_value_is_explained(run: Any) -> None:
    def forgetful(data: object, x: int) -> None:
        return None

    instance = run(CALLBACK, {("env", "f"): forgetful})
    text = r"the host function .*forgetful returned None, but the guest wants i32 \(i32 -> i32\)"
    with pytest.raises(TypeError, match=text):
        instance.function("run")(1)


def test_calls_nest_into_the_same_instance(run: Any) -> None:
    instance = run(CALLBACK, {("env", "f"): lambda data, x: instance.function("inner")(x)})
    assert instance.function("run")(21) == 142


def test_recursion_through_the_host_keeps_arguments_and_results_apart(run: Any) -> None:
    def f(data: object, depth: int) -> int:
        return depth if depth == 0 else instance.function("run")(depth - 1) + depth

    instance = run(CALLBACK, {("env", "f"): f})
    assert instance.function("run")(20) == 21 * 100 + 210


def test_calls_nest_into_other_instances_and_each_gets_its_own_data(engine: Any) -> None:
    seen: list[tuple[object, int]] = []

    def f(data: object, x: int) -> int:
        seen.append((data, x))
        if data == "first":
            result: int = second.function("run")(x + 1)
            seen.append((data, -1))
            return result
        return x

    linked = engine.module(wat_to_wasm(CALLBACK)).link({("env", "f"): f})
    first, second = linked.instantiate("first", Limits()), linked.instantiate("second", Limits())
    assert first.function("run")(1) == 202
    assert seen == [("first", 1), ("second", 2), ("first", -1)]
    assert second.function("run")(5) == 105
    assert seen[-1] == ("second", 5)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyboardInterrupt(),
        SystemExit(3),
        RuntimeError("RuntimeError: unreachable"),
        OverflowError("int too big to convert"),
        Trap("unreachable", "of another guest"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_of_a_host_function_comes_out_as_the_same_object(run: Any, error: BaseException) -> None:
    calls: list[int] = []

    def f(data: object, x: int) -> int:
        calls.append(x)
        if x:
            raise error
        return 1

    instance = run(CALLBACK, {("env", "f"): f})
    with pytest.raises(type(error)) as caught:
        instance.function("run")(1)
    assert caught.value is error
    assert calls == [1]
    assert instance.function("run")(0) == 101, "the instance goes on working"


def test_an_exception_crosses_nested_calls_or_is_caught_between_them(run: Any) -> None:
    error = ValueError("deep")

    def f(data: object, x: int) -> int:
        if x == 0:
            raise error
        if x == 5:
            with pytest.raises(ValueError):
                instance.function("run")(0)
            return 1
        result: int = instance.function("run")(x - 1)
        return result

    instance = run(CALLBACK, {("env", "f"): f})
    with pytest.raises(ValueError) as caught:
        instance.function("run")(3)
    assert caught.value is error
    assert instance.function("run")(5) == 101


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_an_exception_of_a_signal_handler_during_hostcalls_is_never_lost(run: Any, engine: Any) -> None:
    if engine.name == "wasmtime" and engine.raw is None:
        pytest.skip("the binding's own trampoline is not safe against exceptions of signal handlers")
    wat = """(module (import "env" "f" (func $f (param i32) (result i32)))
      (func (export "run") (loop (drop (call $f (i32.const 1))) (br 0))))"""
    instance = run(wat, {("env", "f"): lambda data, x: 1}, limits=Limits(budget=50_000_000))
    error = KeyboardInterrupt("from a handler")

    def handler(number: int, frame: Any) -> None:
        raise error

    # What a handler raises while it interrupts a finalizer is lost by Python itself.
    gc.collect()
    gc.disable()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        start = time.monotonic()
        for number in range(40):
            delay = 0.002 + number * 0.000137
            with pytest.raises(KeyboardInterrupt) as caught:  # noqa: PT012
                signal.setitimer(signal.ITIMER_REAL, delay)
                instance.function("run")()
            assert caught.value is error
        assert time.monotonic() - start < 5, "the guest must not go on after the exception"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def test_a_callback_that_fails_before_its_first_bytecode_gives_wasmtime_no_trap_to_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pytest_proxywasm.engine import wasmtime_raw as raw

    seen: list[str] = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: seen.append(report.err_msg))
    callback = raw._Callback(raw._Inner(lambda missing: None))  # it fails as under a signal
    address = ctypes.cast(callback, ctypes.c_void_p).value
    assert address
    assert [ctypes.PYFUNCTYPE(ctypes.c_size_t)(address)() for _ in range(3)] == [0, 0, 0]
    assert len(seen) == 3
    assert "ctypes callback" in seen[0]


def test_wasmer_in_another_thread_is_refused_with_advice(engine: Any) -> None:
    if engine.name != "wasmer":
        pytest.skip("only wasmer is bound to a thread")
    linked = engine.module(wat_to_wasm("(module)")).link({})
    errors: list[str] = []

    def work() -> None:
        try:
            linked.instantiate(None, Limits())
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == [
        "wasmer can be used only in the thread that first used it: stay in that thread, or choose the engine 'wasmtime'"
    ]


def test_instances_of_one_module_work_in_several_threads(engine: Any) -> None:
    if engine.name == "wasmer":
        pytest.skip("wasmer is bound to one thread")
    linked = engine.module(wat_to_wasm(CALLBACK)).link({("env", "f"): lambda data, x: data + x})
    wrong: list[Any] = []

    def work(number: int) -> None:
        instance = linked.instantiate(number * 1000, Limits())
        call = instance.function("run")
        for x in range(500):
            if call(x) != 100 + number * 1000 + x:
                wrong.append((number, x))
        instance.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_memory_is_writable_and_renewed_after_growth(run: Any) -> None:
    wat = """(module (memory (export "memory") 1 3) (data (i32.const 4) "abc")
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
      (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))"""
    instance = run(wat)
    assert len(instance.memory) == 65536
    assert instance.memory[4:7].tobytes() == b"abc"
    instance.memory[9] = 77
    assert instance.function("load")(9) == 77
    assert instance.function("grow")(2) == 1
    assert len(instance.memory) == 65536
    assert len(instance.renew()) == 3 * 65536
    assert len(instance.memory) == 3 * 65536
    assert instance.memory[9] == 77
    assert instance.function("grow")(1) == 2**32 - 1, "the module's own maximum holds"


def test_a_module_without_memory_has_an_empty_view(run: Any) -> None:
    instance = run("(module)")
    assert len(instance.memory) == 0
    assert len(instance.renew()) == 0
    instance.close()
    assert len(run("(module (memory 1))").memory) == 0


def test_memory_of_another_export_name_or_of_zero_pages_is_found(run: Any) -> None:
    assert len(run('(module (memory (export "mem") 2))').memory) == 2 * 65536
    wat = '(module (memory (export "memory") 0) (func (export "grow") (drop (memory.grow (i32.const 1)))))'
    instance = run(wat)
    assert len(instance.memory) == 0
    instance.function("grow")()
    assert len(instance.renew()) == 65536


def test_memory_grows_up_to_the_cap_of_the_instance(engine: Any) -> None:
    wat = """(module (memory (export "memory") 2)
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"""
    linked = engine.module(wat_to_wasm(wat)).link({})
    for cap in (2, 5):
        grow = linked.instantiate(None, Limits(max_memory=cap * 65536 + 100)).function("grow")
        assert grow(cap - 2) == 2
        assert grow(0) == cap
        assert grow(1) == 2**32 - 1
        assert grow(-1) == 2**32 - 1


def test_a_module_that_starts_above_the_cap_is_refused(run: Any) -> None:
    text = "the module needs 2 MiB of memory to start, but is limited to 1 MiB: raise max_memory"
    with pytest.raises(BadModule, match=text):
        run("(module (memory 32))", limits=Limits(max_memory=1024 * 1024))


def test_limits_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="max_memory is a number of bytes and cannot be -1"):
        Limits(max_memory=-1)
    with pytest.raises(ValueError, match="budget is a count between 0 and"):
        Limits(budget=2**63)


def test_imported_memories_and_tables_are_provided(run: Any) -> None:
    wat = """(module
      (import "env" "memory" (memory 1 4)) (import "env" "table" (table 3 funcref))
      (type $t (func (result i32)))
      (data (i32.const 0) "hi") (elem (i32.const 1) $seven)
      (func $seven (result i32) (i32.const 7))
      (func (export "run") (result i32) (call_indirect (type $t) (i32.const 1))))"""
    instance = run(wat)
    assert instance.memory[:2].tobytes() == b"hi"
    assert instance.function("run")() == 7


def test_the_same_function_may_be_imported_twice_and_passed_around(run: Any) -> None:
    wat = """(module
      (import "env" "f" (func $a (param i32) (result i32)))
      (import "env" "f" (func $b (param i32) (result i32)))
      (type $t (func (param i32) (result i32)))
      (table 2 funcref) (elem (i32.const 0) $a $b)
      (global $g funcref (ref.func $b))
      (export "direct" (func $b))
      (elem declare func $a)
      (func (export "table") (param i32) (result i32)
        (table.set (i32.const 1) (ref.func $a))
        (call_indirect (type $t) (local.get 0) (i32.const 1)))
      (func (export "both") (param i32) (result i32)
        (i32.add (call $a (local.get 0)) (call $b (local.get 0)))))"""
    instance = run(wat, {("env", "f"): lambda data, x: x * 10})
    assert instance.function("direct")(2) == 20
    assert instance.function("table")(3) == 30
    assert instance.function("both")(4) == 80


def test_hundreds_of_imports_are_told_apart(run: Any) -> None:
    count = 300
    imports = "".join(f'(import "env" "f{n}" (func (result i32)))' for n in range(count))
    calls = "".join(f'(func (export "r{n}") (result i32) (call {n}))' for n in range(count))
    own = f'(func (export "own") (result i32) (call {count + 299}))'
    functions = {("env", f"f{n}"): (lambda data, n=n: n) for n in range(count)}
    instance = run(f"(module {imports} {calls} {own})", functions)
    assert [instance.function(f"r{n}")() for n in range(count)] == list(range(count))
    assert instance.function("own")() == 299


def test_the_start_section_runs_with_the_data_of_the_instance(run: Any) -> None:
    wat = """(module (import "env" "f" (func $f)) (memory (export "memory") 1)
      (func $start (i32.store8 (i32.const 0) (i32.const 9)) (call $f)) (start $start))"""
    seen: list[object] = []
    instance = run(wat, {("env", "f"): lambda data: seen.append(data)}, data="mine")
    assert seen == ["mine"]
    assert instance.memory[0] == 9


def test_a_start_section_that_traps_or_never_ends_fails_the_instance(run: Any) -> None:
    with pytest.raises(Trap) as caught:
        run("(module (func $start unreachable) (start $start))")
    assert caught.value.kind == "unreachable"
    with pytest.raises(Trap) as caught:
        run("(module (func $start (loop (br 0))) (start $start))", limits=Limits(budget=1000))
    assert caught.value.kind == "budget"
    error = ValueError("no")

    def f(data: object) -> None:
        raise error

    with pytest.raises(ValueError) as raised:
        run('(module (import "env" "f" (func $f)) (start $f))', {("env", "f"): f})
    assert raised.value is error


def test_a_data_segment_out_of_bounds_is_a_trap(run: Any) -> None:
    with pytest.raises(Trap) as caught:
        run('(module (memory 1) (data (i32.const 65530) "0123456789"))')
    assert caught.value.kind == "memory_out_of_bounds"


def test_a_missing_export_is_none_and_a_found_one_is_bound_once(run: Any) -> None:
    instance = run('(module (memory (export "memory") 1) (func (export "f")))')
    assert instance.function("nothing") is None
    assert instance.function("memory") is None
    assert instance.function("i0") is None
    assert instance.function("f") is instance.function("f")


def test_a_function_of_references_cannot_be_called(run: Any) -> None:
    instance = run('(module (func (export "f") (param externref)))')
    with pytest.raises(TypeError, match="a function of type externref ->  cannot be called: Python has no values"):
        instance.function("f")


def test_imports_and_exports_tell_their_types(engine: Any) -> None:
    wat = """(module (import "env" "f" (func (param i32 i64) (result i32))) (import "env" "m" (memory 1))
      (func (export "g") (param f32)) (global (export "x") i32 (i32.const 0)) (export "m" (memory 0)))"""
    module = engine.module(wat_to_wasm(wat))
    assert [(i.module, i.name, i.kind, str(i.type)) for i in module.imports] == [
        ("env", "f", "function", "i32 i64 -> i32"),
        ("env", "m", "memory", "None"),
    ]
    assert [(e.name, e.kind, str(e.type)) for e in module.exports] == [
        ("g", "function", "f32 -> "),
        ("x", "global", "None"),
        ("m", "memory", "None"),
    ]
    assert len(module.sha256) == 64
    assert engine.module(wat_to_wasm(wat)) is module


def test_link_errors_name_the_import_and_what_is_wrong(engine: Any) -> None:
    module = engine.module(wat_to_wasm('(module (import "env" "proxy_log" (func (param i32) (result i32))))'))
    with pytest.raises(LinkError) as caught:
        module.link({("env", "proxy_logs"): print})
    assert str(caught.value) == (
        "the module imports the function env.proxy_log (i32 -> i32), which the host does not offer; "
        "did you mean env.proxy_logs?"
    )
    assert (caught.value.module, caught.value.name) == ("env", "proxy_log")
    assert caught.value.wanted == FunctionType(("i32",), ("i32",))
    with pytest.raises(LinkError, match=r"does not offer; it offers other\.proxy_log"):
        module.link({("other", "proxy_log"): print})

    def typed(data: object) -> None: ...

    typed.wasm_type = FunctionType((), ())  # type: ignore[attr-defined]
    with pytest.raises(LinkError, match=r"env\.proxy_log as i32 -> i32, but the host offers it as  -> "):
        module.link({("env", "proxy_log"): typed})
    strange = engine.module(wat_to_wasm('(module (import "env" "f" (func (param externref))))'))
    with pytest.raises(LinkError, match="cannot take or give values of type externref"):
        strange.link({("env", "f"): print})
    glob = engine.module(wat_to_wasm('(module (import "env" "g" (global i32)))'))
    with pytest.raises(LinkError, match=r"imports the global env\.g, but only functions, memories and tables"):
        glob.link({})


def test_a_closed_instance_says_so(run: Any) -> None:
    wat = '(module (memory (export "memory") 1) (func (export "f")) (func (export "g")))'
    instance = run(wat)
    call = instance.function("f")
    instance.close()
    instance.close()
    text = "this instance is closed: its memory is gone and its functions cannot be called any more"
    for use in (call, instance.renew, lambda: instance.function("g"), lambda: instance.budget_used):
        with pytest.raises(InstanceClosed, match=text):
            use()
    with pytest.raises(ValueError, match="released"):
        instance.memory[0]


def test_closing_from_inside_a_call_waits_for_its_end(run: Any) -> None:
    instance = run(CALLBACK, {("env", "f"): lambda data, x: instance.close() or 5})
    assert instance.function("run")(1) == 105
    with pytest.raises(InstanceClosed):
        instance.renew()


def test_thousands_of_instances_leave_nothing_behind(engine: Any) -> None:
    resource = pytest.importorskip("resource")
    wat = '(module (memory (export "memory") 20) (func (export "f") (i32.store (i32.const 0) (i32.const 1))))'
    linked = engine.module(wat_to_wasm(wat)).link({})

    def some(count: int) -> int:
        for _ in range(count):
            instance = linked.instantiate(None, Limits())
            instance.function("f")()
            instance.close()
        peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak

    before = some(500)
    assert some(5000) - before < 20_000


def test_instances_that_are_dropped_unclosed_are_freed(engine: Any) -> None:
    wat = '(module (memory (export "memory") 1) (func (export "f")))'
    linked = engine.module(wat_to_wasm(wat)).link({})
    for _ in range(300):
        linked.instantiate(None, Limits()).function("f")()
    gc.collect()
