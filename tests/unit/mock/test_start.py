"""How filters start and stop."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import Filter, FilterStartError, GuestTrap

FRAME = """
  (memory (export "memory") 1)
  (data (i32.const 0) "abcdefghij")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
"""
LOG = '(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))'


def say(letter: int) -> str:
    """Log a letter."""
    return f"(drop (call $log (i32.const 2) (i32.const {letter}) (i32.const 1)))"


def guest(imports: str, *functions: str) -> Filter:
    """A guest."""
    return Filter(f"(module {imports} {FRAME} {' '.join(functions)})", name="mine")


INITIALIZE = f'(func (export "_initialize") {say(0)})'
MAIN = f'(func (export "main") (param i32 i32) (result i32) {say(1)} (i32.const 0))'
START = f'(func (export "_start") {say(2)})'
MAIN_VOID = f'(func (export "__main_void") (result i32) {say(3)} (i32.const 0))'
CREATE = f'(func (export "proxy_on_context_create") (param i32 i32) {say(4)})'
VM_START = f'(func (export "proxy_on_vm_start") (param i32 i32) (result i32) {say(5)} (i32.const 1))'
CONFIGURE = f'(func (export "proxy_on_configure") (param i32 i32) (result i32) {say(6)} (i32.const 1))'


@pytest.mark.parametrize(
    ("functions", "order"),
    [
        ([INITIALIZE, CREATE, VM_START, CONFIGURE], "aefg"),
        ([CONFIGURE, VM_START, CREATE, MAIN, INITIALIZE], "abefg"),
        ([INITIALIZE, MAIN_VOID], "ad"),
        ([INITIALIZE, START], "a"),
        ([START], "c"),
        ([START, MAIN], "c"),
        ([], ""),
    ],
)
def test_start_functions_and_callbacks_run_in_envoys_order(functions: list[str], order: str, hosts: Any) -> None:
    """Facts A1 and A2: whatever order they are exported in; all are optional."""
    host = hosts.host(guest(LOG, *functions))
    assert "".join(log.message for log in host.logs) == order


def test_the_trace_shows_the_start(hosts: Any) -> None:
    """Start functions run in context 0."""
    host = hosts.host(guest(LOG, INITIALIZE, CREATE))
    assert host.trace.text() == (
        "proxy-wasm trace 1\n"
        "> _initialize context=0\n"
        '    proxy_log log_level=INFO message="a" -> OK\n'
        "< done\n"
        "> proxy_on_context_create context=1 parent_context_id=0\n"
        '    proxy_log log_level=INFO message="e" -> OK\n'
        "< done\n"
    )


@pytest.mark.parametrize("export", ["_initialize", "_start"])
def test_most_hostcalls_trap_while_the_guest_initializes(export: str, hosts: Any) -> None:
    """Fact A19."""
    time = '(import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))'
    with pytest.raises(FilterStartError) as caught:
        hosts.host(guest(time, f'(func (export "{export}") (drop (call $time (i32.const 512))))'))
    assert str(caught.value) == (
        f"filter 'mine': Failed to initialize Wasm code: the guest failed in {export}\n"
        "restricted_callback: the guest called proxy_get_current_time_nanoseconds from its start functions, where a "
        "proxy allows only logging, the clock and a few WASI functions. Envoy traps the guest there.\n"
        "Move the call to proxy_on_vm_start, proxy_on_configure or a later callback."
    )
    assert caught.value.callback == export
    assert caught.value.trace is not None


def test_an_exit_while_the_guest_starts_traps(hosts: Any) -> None:
    """Fact A19."""
    imports = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
    with pytest.raises(FilterStartError, match="the guest called proc_exit from its start functions"):
        hosts.host(guest(imports, '(func (export "_start") (call $exit (i32.const 0)))'))


@pytest.mark.parametrize(
    ("callback", "words", "hint"),
    [
        ("proxy_on_vm_start", "Failed to start base Wasm", ""),
        (
            "proxy_on_configure",
            "Failed to configure base Wasm plugin",
            "its configuration is empty: give it one with proxywasm.filter(..., configuration=...), "
            "proxywasm_filter.replace(configuration=...) or @pytest.mark.proxywasm(configuration=...)\n",
        ),
    ],
)
def test_a_guest_that_refuses_to_start_says_why_in_its_last_log(
    callback: str, words: str, hint: str, hosts: Any
) -> None:
    """Facts A12 and A13; an empty configuration is named, for it is the usual cause."""
    body = "(drop (call $log (i32.const 4) (i32.const 0) (i32.const 3)))"
    one = guest(LOG, f'(func (export "{callback}") (param i32 i32) (result i32) {body} (i32.const 0))')
    with pytest.raises(FilterStartError) as caught:
        hosts.host(one)
    assert str(caught.value) == (
        f"filter 'mine': {words}: the guest returned 0 from {callback}, which refuses to start\n"
        f"{hint}what it logged last:\n    error: abc"
    )


def test_configurations_are_there_when_they_are_handed_over(scripts: Any) -> None:
    """Fact A17: the plugin's only then, the VM's always."""
    lines = ["start bget 6 0 99", "start bget 7 0 99"]
    script = ["cfg bget 7 0 3", "rqh bget 7 0 99", "rqh bget 6 0 5", "rqh bstat 7"]
    host = scripts.host(scripts.filter(*script, vm_configuration="\n".join(lines)))
    host.get("/")
    assert scripts.said(host) == [
        f"bget 6 0 99 -> 0 ptr=nz n={len(chr(10).join(lines))} d={lines[0]}\\x0a{lines[1]}",
        "bget 7 0 99 -> 1 (out untouched)",
        "bget 7 0 3 -> 0 ptr=nz n=3 d=cfg",
        "bget 7 0 99 -> 1 (out untouched)",
        "bget 6 0 5 -> 0 ptr=nz n=5 d=start",
        "bstat 7 -> 1 len=untouched flags=untouched",
    ]


def test_starting_as_envoy_does_repeats_the_start(scripts: Any) -> None:
    """Facts A4 and A5: a canary, the main thread, the worker; side effects happen three times."""
    host = scripts.host(scripts.filter("cfg sdset k v 0", "cfg mdef 0 c", "cfg minc 4 1"), starts="envoy")
    assert len(host.trace.callbacks("proxy_on_configure")) == 3
    assert host.shared_data.cas("k") == 3
    assert host.metrics["c"].value == 3


def test_closing_ends_root_contexts_the_newest_first(scripts: Any) -> None:
    """Fact A15."""
    host = scripts.host(scripts.filter(name="A"), scripts.filter(name="B"))
    host.logs.clear()
    host.close()
    assert scripts.seen(host) == ["B: done", "B: delete", "A: done", "A: delete"]


def test_closing_ends_open_streams_first(scripts: Any) -> None:
    """As if the client went away."""
    host = scripts.start("rqh ret 1")
    stream = host.stream()
    stream.request_headers()
    host.logs.clear()
    host.close()
    assert scripts.seen(host) == ["log", "done", "delete", "done", "delete"]
    assert stream.exchange.outcome == "reset"


def test_a_root_context_that_is_not_done_waits_for_proxy_done(scripts: Any) -> None:
    """Fact A22: without one pending it is not found; a context that never finishes is not deleted."""
    host = scripts.start("rqh pdone", "done ret 0")
    host.get("/")
    assert scripts.said(host) == ["pdone -> 1"]
    host.logs.clear()
    host.close()
    assert scripts.seen(host) == ["done", "  returned 0"]


def test_a_stream_context_is_deleted_whatever_it_returned(scripts: Any) -> None:
    """Fact A21."""
    host = scripts.start("done ret 0")
    host.get("/")
    assert scripts.seen(host)[-2:] == ["  returned 0", "delete"]


def test_capabilities_limit_callbacks_and_hostcalls(scripts: Any) -> None:
    """Fact P10."""
    allowed = ["proxy_on_vm_start", "proxy_on_configure", "proxy_on_context_create", "proxy_get_buffer_bytes"]
    one = scripts.filter("rqh get 0 :path", allowed_capabilities=[*allowed, "proxy_log", "proxy_on_request_headers"])
    host = scripts.host(one)
    host.logs.clear()
    host.get("/")
    assert [line for line in scripts.seen(host) if "get 0" not in line] == ["context_create 1", "request_headers 6 1"]
    assert "get 0 :path -> 10 (out untouched)" in scripts.said(host)
    errors = [log.message for log in host.logs if log.level.name == "ERROR"]
    assert errors == ["Attempted call to restricted proxy-wasm capability: proxy_get_header_map_value"]


def test_a_service_runs_without_a_chain(scripts: Any) -> None:
    """Fact A23: on the main thread."""
    host = scripts.host(services=[scripts.filter("cfg tick 1000")])
    host.clock.advance(2.5)
    assert [event.worker for event in host.trace.callbacks("proxy_on_tick")] == [-1, -1]


def test_a_start_that_runs_for_ever_is_stopped(hosts: Any) -> None:
    """It counts as a failure to start."""
    one = guest("", '(func (export "_initialize") (loop $l (br $l)))')
    with pytest.raises(FilterStartError) as caught:
        hosts.host(one, guest_budget=1000)
    assert "filter 'mine' did not return from _initialize: it used up its budget of 1,000" in str(caught.value)


def test_a_failed_start_leaves_nothing_behind(hosts: Any, scripts: Any) -> None:
    """The second filter fails; the first one's VM is freed, and another host starts."""
    with pytest.raises(FilterStartError):
        scripts.host(scripts.filter(), scripts.filter("cfg ret 0"))
    assert scripts.host(scripts.filter()).get("/").outcome == "complete"


def test_an_abi_0_1_0_guest_gets_the_headers_callbacks_it_exports(hosts: Any) -> None:
    """Without the end of stream, and the trace shows what was passed."""
    one = Filter(
        FRAME.replace("0_2_1", "0_1_0").join(
            ("(module ", '(func (export "proxy_on_request_headers") (param i32 i32) (result i32) (i32.const 0)))')
        )
    )
    assert str(one.abi_version) == "0.1.0"
    host = hosts.host(one)
    assert host.get("/").trace.text() == (
        "proxy-wasm trace 1\n> proxy_on_request_headers context=2 num_headers=6\n< CONTINUE\n"
    )


def test_an_exit_in_a_callback_returns_to_the_guest(scripts: Any) -> None:
    """Fact P6."""
    host = scripts.start("rqh w_exit 3")
    assert host.get("/").response.status == 200
    assert scripts.seen(host)[2:4] == ["  w_exit 3", "  w_exit returned"]


def test_an_unused_trap_kind_reads_well(hosts: Any) -> None:
    """Each kind of trap has words of its own."""
    body = "(i32.store (i32.const 0x7fffffff) (i32.const 1))"
    one = guest("", f'(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const 0))')
    host = hosts.host(one)
    with pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert caught.value.kind == "memory_out_of_bounds"
    assert str(caught.value).splitlines()[0] == (
        "filter 'mine' trapped in proxy_on_request_headers: it accessed memory that it does not have"
    )
