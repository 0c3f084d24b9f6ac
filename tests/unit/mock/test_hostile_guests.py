"""Guests that break the rules: a clear error or a status as Envoy's, and the next host works. On both engines."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_proxywasm import (
    AbiError,
    Filter,
    FilterStartError,
    GuestBudgetExceeded,
    GuestTrap,
    ProxyWasmError,
    Response,
    Status,
    UsageError,
)

START = "Failed to initialize Wasm code"
LOAD = "Failed to load Wasm module"


def works(hosts: Any) -> None:
    """A host after the bad one runs an exchange."""
    good = Filter(
        """(module
             (memory (export "memory") 1)
             (func (export "proxy_abi_version_0_2_1"))
             (func (export "malloc") (param i32) (result i32) (i32.const 1024))
             (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"""
    )
    assert hosts.host(good).get("/").response.status == 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_marker", "Missing or unknown Proxy-Wasm ABI version"),
        ("unknown_marker", "Missing or unknown Proxy-Wasm ABI version"),
        ("no_allocator", "Wasm module is missing malloc function."),
        ("unknown_import", f"{LOAD} due to a missing import: env."),
        (
            "mistyped_import",
            f"{LOAD} due to an import type mismatch: env.proxy_log, want: i32 -> i32, but host exports",
        ),
        ("mistyped_export", "Bad function signature for: proxy_on_request_headers, want: i32 i32 i32 -> i32, but"),
        ("trap_in_initialize", f"{START}: the guest failed in _initialize"),
        ("trap_in_root", "Failed to start base Wasm: the guest failed in proxy_on_context_create"),
    ],
)
def test_a_guest_that_envoy_refuses_to_load_is_refused(name: str, words: str, hosts: Any, hostile: Any) -> None:
    """With Envoy's reason in the first line."""
    with pytest.raises(FilterStartError) as caught:
        hosts.host(hostile(name))
    assert words in str(caught.value).splitlines()[0]
    works(hosts)


def test_two_markers_are_no_mistake(hosts: Any, hostile: Any) -> None:
    """The first counts."""
    assert hosts.host(hostile("two_markers")).get("/").outcome == "complete"


@given(data=st.binary(max_size=300).filter(lambda data: not data.startswith(b"\0asm")))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_random_bytes_are_no_module(hosts: Any, data: bytes) -> None:
    """With and without the right beginning: an error of this package, nothing else."""
    with pytest.raises(UsageError):
        Filter(data)
    with pytest.raises(ProxyWasmError):
        hosts.host(Filter(b"\0asm\x01\0\0\0" + data))


@given(at=st.integers(8, 400), value=st.integers(0, 255))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_module_is_refused_or_runs(hosts: Any, hostile: Any, at: int, value: int) -> None:
    """One byte of a good module is another."""
    data = bytearray(hostile("two_markers").wasm_bytes())
    data[at % len(data)] = value
    with contextlib.suppress(ProxyWasmError):
        hosts.host(Filter(bytes(data)), guest_budget=10_000).get("/", timeout=1)


def test_a_guest_that_loops_is_stopped(hosts: Any, hostile: Any) -> None:
    """After the same number of rounds on each engine."""
    host = hosts.host(hostile("loop_in_headers"), guest_budget=100_000)
    with pytest.raises(GuestBudgetExceeded) as caught:
        host.get("/")
    assert str(caught.value).splitlines()[0] == (
        "filter 'loop_in_headers' did not return from proxy_on_request_headers: it used up its budget of 100,000 "
        "function calls and loop rounds"
    )
    assert caught.value.exchange.response.status == 503
    works(hosts)


def test_a_guest_that_recurses_is_a_clean_trap(hosts: Any, hostile: Any) -> None:
    """The stack overflows, and nothing else does."""
    host = hosts.host(hostile("recursion"))
    with pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert caught.value.kind in ("stack_overflow", "budget")
    assert "proxy_on_request_headers" in str(caught.value).splitlines()[0]
    works(hosts)


def test_a_guest_that_eats_memory_is_refused_more_at_the_limit(hosts: Any, hostile: Any) -> None:
    """It may go on with what it has."""
    host = hosts.host(hostile("grow_memory"), max_memory=8 << 20)
    assert host.get("/").response.status == 200
    assert [log.message for log in host.logs] == ["refused"]
    works(hosts)


@pytest.mark.parametrize(("name", "status"), [("bad_allocator_zero", 6), ("bad_allocator_wild", 6)])
def test_an_allocator_that_gives_no_memory_is_a_status(name: str, status: int, hosts: Any, hostile: Any) -> None:
    """INVALID_MEMORY_ACCESS (fact K3)."""
    host = hosts.host(hostile(name))
    assert host.get("/").response.status == 200
    assert [log.message for log in host.logs] == [f"status=0{status}"]


def test_an_allocator_that_traps_is_a_trap_of_its_callback(hosts: Any, hostile: Any) -> None:
    """The callback does not go on."""
    host = hosts.host(hostile("bad_allocator_trap"))
    with pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert caught.value.callback == "proxy_on_request_headers"
    assert caught.value.exchange.response.status == 503
    assert list(host.logs) == []
    works(hosts)


def test_an_allocator_that_makes_a_hostcall_is_trapped(hosts: Any, hostile: Any) -> None:
    """Few calls are allowed there, and the message names the one that was made."""
    host = hosts.host(hostile("bad_allocator_hostcall"))
    with pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert caught.value.kind == "restricted_callback"
    assert str(caught.value) == (
        "restricted_callback: the guest called proxy_get_current_time_nanoseconds from its allocator, where a proxy "
        "allows only logging, the clock and a few WASI functions. Envoy traps the guest there.\n"
        "Move the call to proxy_on_vm_start, proxy_on_configure or a later callback."
    )
    works(hosts)


# What is checked before addresses; what has no address gets 0xfffffff0 as its number.
UNKNOWN_ID = {
    **dict.fromkeys(("proxy_set_effective_context", "proxy_grpc_cancel", "proxy_grpc_close"), Status.BAD_ARGUMENT),
    **dict.fromkeys(("proxy_increment_metric", "proxy_record_metric", "proxy_get_metric"), Status.NOT_FOUND),
    **dict.fromkeys(("proxy_done", "proxy_dequeue_shared_queue"), Status.NOT_FOUND),
    "proxy_set_tick_period_milliseconds": Status.OK,
    "pthread_equal": Status(1),  # no status: equal they are
}
ANSWERS = {
    "wild_pointers": {
        **UNKNOWN_ID,
        **dict.fromkeys(("proxy_continue_stream", "proxy_close_stream"), Status.BAD_ARGUMENT),
    },
    "wild_pointers_0_1_0": {
        **UNKNOWN_ID,
        **dict.fromkeys(("proxy_continue_request", "proxy_clear_route_cache"), Status.OK),
        # It has resumed the request before, and so lost the map.
        "proxy_get_header_map_size": Status.BAD_ARGUMENT,
    },
}


@pytest.mark.parametrize("name", ANSWERS)
def test_wild_addresses_are_a_status_in_every_hostcall(name: str, hosts: Any, hostile: Any) -> None:
    """INVALID_MEMORY_ACCESS, unless something is wrong with the call that is checked before its addresses."""
    host = hosts.host(hostile(name))
    assert host.get("/").response.status == 200
    answers = dict(log.message.split("=") for log in host.logs)
    assert len(answers) > 35
    for hostcall, status in answers.items():
        expected = ANSWERS[name].get(hostcall, Status.INVALID_MEMORY_ACCESS)
        assert Status(int(status)) is expected, hostcall
    works(hosts)


CALLBACKS = [
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_log",
    "proxy_on_done",
    "proxy_on_delete",
    "proxy_on_context_create",
]


def exchange(host: Any) -> Any:
    """A request with everything, and a response with everything."""
    return host.post("/", body="12", trailers={"t": "1"}, upstream=Response(200, body="34", trailers={"t": "1"}))


@pytest.mark.parametrize("callback", CALLBACKS)
def test_a_trap_in_a_stream_callback_is_raised_from_the_request(callback: str, hosts: Any, hostile: Any) -> None:
    """When Envoy's part is done: the error has the exchange, and every later request is answered 503."""
    host = hosts.host(hostile("trap_in_callback", configuration=callback))
    with pytest.raises(GuestTrap) as caught:
        exchange(host)
    error = caught.value
    assert (error.callback, error.kind) == (callback, "unreachable")
    assert str(error).splitlines()[0] == (
        f"filter 'trap_in_callback' trapped in {callback}: it ran into `unreachable` (a panic or an abort, as a rule)"
    )
    assert error.exchange is host.last_exchange
    assert error.exchange.outcome is not None
    assert error.trace.callbacks(callback)[-1].finished is False
    assert exchange(host).response.status == 503
    works(hosts)


@pytest.mark.parametrize("callback", ["proxy_on_vm_start", "proxy_on_configure"])
def test_a_trap_while_starting_is_a_start_error(callback: str, hosts: Any, hostile: Any) -> None:
    """Never swallowed."""
    with pytest.raises(FilterStartError) as caught:
        hosts.host(hostile("trap_in_callback", vm_configuration=callback, configuration=callback))
    assert f"the guest failed in {callback}" in str(caught.value).splitlines()[0]
    works(hosts)


@pytest.mark.parametrize("callback", ["proxy_on_done", "proxy_on_delete"])
def test_a_trap_while_ending_is_raised_from_close(callback: str, hosts: Any, hostile: Any) -> None:
    """And the host is closed all the same."""
    host = hosts.host(hostile("trap_in_callback", configuration=callback))
    with pytest.raises(GuestTrap, match=f"trapped in {callback}"):
        host.close()
    assert host.closed
    host.close()
    works(hosts)


def test_the_tests_own_error_wins_over_one_from_closing(hosts: Any, hostile: Any) -> None:
    """It must not be hidden."""
    host = hosts.host(hostile("trap_in_callback", configuration="proxy_on_done"))
    with pytest.raises(ZeroDivisionError), host:
        raise ZeroDivisionError
    assert host.closed


def test_callbacks_that_cause_each_other_without_end_are_a_trap(scripts: Any) -> None:
    """A stream to nowhere fails at once, and is opened again when it has failed; the stack overflows in Envoy too."""
    nowhere = "gstream %0a%06%0a%04nope service method '' a b"
    host = scripts.start(f"rqh {nowhere}", f"gcl {nowhere}", filter={"name": "mine"})
    with pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert (caught.value.kind, caught.value.callback) == ("stack_overflow", "proxy_on_grpc_close")
    assert str(caught.value).splitlines()[0] == (
        "filter 'mine' trapped in proxy_on_grpc_close: its callbacks cause each other without end, as by a callout "
        "that fails at once and is made again when it has failed. In Envoy the guest's call stack overflows there."
    )
    works(scripts)


def test_memory_that_grows_inside_the_allocator_is_found(hosts: Any) -> None:
    """The host writes into the new page, the guest reads it there."""
    one = Filter(
        """(module
             (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
             (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (data (i32.const 0) ":path")
             (func (export "proxy_abi_version_0_2_1"))
             (func (export "malloc") (param i32) (result i32)
               (i32.mul (memory.grow (i32.const 3)) (i32.const 65536)))
             (func $round
               (drop (call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 68)))
               (drop (call $log (i32.const 2) (i32.load (i32.const 64)) (i32.load (i32.const 68)))))
             (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (call $round) (call $round) (call $round) (i32.const 0)))"""
    )
    host = hosts.host(one)
    host.get("/grown")
    assert [log.message for log in host.logs] == ["/grown"] * 3


def test_guests_of_several_hosts_do_not_share_memory(hosts: Any) -> None:
    """Each host has a clean VM, whatever others did to theirs."""
    one = Filter(
        """(module
             (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (data (i32.const 0) "0")
             (global $calls (mut i32) (i32.const 48))
             (func (export "proxy_abi_version_0_2_1"))
             (func (export "malloc") (param i32) (result i32) (i32.const 1024))
             (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
               (i32.store8 (i32.const 0) (global.get $calls))
               (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))
               (i32.const 0)))"""
    )
    first, second = hosts.host(one), hosts.host(one)
    for host in (first, second, first, second):
        host.get("/")
    third = hosts.host(one)
    third.get("/")
    assert [log.message for host in (first, second, third) for log in host.logs] == ["1", "2", "1", "2", "1"]


def test_output_that_names_its_memory_again_and_again_is_an_error(hosts: Any) -> None:
    """Overlapping iovecs of fd_write describe far more than there is memory; 64 MiB are enough."""
    one = guest_that_writes(count=4096, size=65536 - 4096 * 8)
    with pytest.raises(AbiError) as caught:
        hosts.host(one).get("/")
    assert str(caught.value) == (
        "the guest writes more than 64 MiB to stdout or stderr in one call: 4096 iovecs, overlapping or covering all "
        "of its 64 KiB of memory. Envoy joins them to one log record, until the process runs out of memory.\n"
        "Look for a wrong length in what the guest prints."
    )
    assert caught.value.callback == "proxy_on_request_headers"
    assert caught.value.exchange.response.status == 503
    works(hosts)


def test_output_in_many_pieces_is_one_message(hosts: Any) -> None:
    """Also where the pieces overlap."""
    host = hosts.host(guest_that_writes(count=4096, size=3))
    assert host.get("/").response.status == 200
    assert [len(log.raw) for log in host.logs] == [3 * 4096]


def guest_that_writes(*, count: int, size: int) -> Filter:
    """Writes to stdout by so many iovecs, all of which name the same bytes."""
    return Filter(
        f"""(module
             (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (func (export "proxy_abi_version_0_2_1"))
             (func (export "malloc") (param i32) (result i32) (i32.const 1024))
             (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $at i32)
               (loop $next
                 (i32.store (local.get $at) (i32.const {8 * count}))
                 (i32.store offset=4 (local.get $at) (i32.const {size}))
                 (local.set $at (i32.add (local.get $at) (i32.const 8)))
                 (br_if $next (i32.lt_u (local.get $at) (i32.const {8 * count}))))
               (drop (call $write (i32.const 1) (i32.const 0) (i32.const {count}) (i32.const 65532)))
               (i32.const 0)))"""
    )
