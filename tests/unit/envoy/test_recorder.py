"""A guest with the recorder in it does what it did, and logs what its hostcalls read and write."""

from __future__ import annotations

from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.engine import BadModule, wat_to_wasm
from pytest_proxywasm.engine.binary import read_module
from pytest_proxywasm.envoy.recorder import Range, ranges_read, ranges_written, recorded
from pytest_proxywasm.host.hostcalls import HOSTCALLS

EXPORTS = """
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
"""
GET = """
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
"""
LOG = '(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))'
MEMORY = '(memory (export "memory") 1) (data (i32.const 16) "x-a") (data (i32.const 32) "hello")'
CALL = "(drop (call $get (i32.const 0) (i32.const 16) (i32.const 3) (i32.const 64) (i32.const 68)))"


def said(proxywasm: pw.Toolkit, wasm: bytes, **headers: str) -> list[tuple[str, str]]:
    """Level and text of everything a guest logs while a request passes."""
    with proxywasm.host(wasm) as host:
        return [(log.level.name, log.message) for log in host.get("/", headers=headers).logs]


def on_request(*parts: str, body: str = CALL) -> bytes:
    """A module whose request headers callback runs ``body``."""
    callback = f'(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const 0))'
    return wat_to_wasm("(module " + "".join(parts) + MEMORY + EXPORTS + callback + ")")


def test_what_a_hostcall_reads_and_writes_is_logged(proxywasm: pw.Toolkit) -> None:
    own = "(drop (call $log (i32.const 2) (i32.const 32) (i32.const 5)))"
    guest = on_request(GET, LOG, body=CALL + own + CALL)
    assert said(proxywasm, guest, **{"x-a": "one"}) == [("INFO", "hello")]
    around = [("TRACE", "x-a"), ("TRACE", "one")]
    assert said(proxywasm, recorded(guest), **{"x-a": "one"}) == [*around, ("INFO", "hello"), *around]


def test_nothing_was_written_by_a_hostcall_that_failed(proxywasm: pw.Toolkit) -> None:
    assert said(proxywasm, recorded(on_request(GET, LOG))) == [("TRACE", "x-a")]


def test_a_range_outside_the_memory_is_left_to_the_host(proxywasm: pw.Toolkit) -> None:
    wild = "(drop (call $get (i32.const 0) (i32.const -8) (i32.const 3) (i32.const 64) (i32.const 68)))"
    with proxywasm.host(recorded(on_request(GET, LOG, body=wild))) as host:
        calls = host.get("/").trace.hostcalls()
    assert [(call.name, call.status.name) for call in calls] == [
        ("proxy_log", "INVALID_MEMORY_ACCESS"),
        ("proxy_get_header_map_value", "INVALID_MEMORY_ACCESS"),
    ]


def test_a_guest_that_logs_nothing_gets_the_import(proxywasm: pw.Toolkit) -> None:
    """Its functions move up by one: calls, references, tables, exports and names follow."""
    table = "(table 2 funcref) (elem (i32.const 0) $first $get) (func $first)"
    indirect = (
        "(drop (call_indirect (param i32 i32 i32 i32 i32) (result i32) "
        "(i32.const 0) (i32.const 16) (i32.const 3) (i32.const 64) (i32.const 68) (i32.const 1)))(call $first)"
    )
    guest = on_request(GET, table, body=indirect)
    assert said(proxywasm, guest, **{"x-a": "one"}) == []
    copy = recorded(guest)
    assert said(proxywasm, copy, **{"x-a": "one"}) == [("TRACE", "x-a"), ("TRACE", "one")]
    assert [entry.name for entry in read_module(copy).imports] == ["proxy_get_header_map_value", "proxy_log"]


def test_names_follow_their_functions(proxywasm: pw.Toolkit) -> None:
    """A backtrace shows them."""
    guest = on_request(GET, "(func $breaks unreachable)", body=CALL + "(call $breaks)")
    with proxywasm.host(recorded(guest)) as host, pytest.raises(pw.GuestTrap) as caught:
        host.get("/")
    assert str(caught.value.frames[0]) == "breaks"


def test_a_start_function_and_globals_with_functions(proxywasm: pw.Toolkit) -> None:
    more = "(func $begin (global.set $ready (i32.const 5))) (start $begin) (global $ready (mut i32) (i32.const 0))"
    reference = "(global funcref (ref.func $begin))"
    body = CALL + "(drop (call $log (i32.const 2) (i32.const 32) (global.get $ready)))"
    guest = on_request(GET, LOG, more, reference, body=body)
    assert said(proxywasm, recorded(guest)) == [("TRACE", "x-a"), ("INFO", "hello")]
    quiet = on_request(GET, more, reference)
    assert said(proxywasm, recorded(quiet)) == [("TRACE", "x-a")]


def test_the_end_of_a_line_is_in_the_number_of_bytes_written(proxywasm: pw.Toolkit) -> None:
    write = '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
    table = '(data (i32.const 80) "\\20\\00\\00\\00\\05\\00\\00\\00")'
    call = "(drop (call $write (i32.const 1) (i32.const 80) (i32.const 1) (i32.const 96)))"
    guest = on_request(LOG, write, table, body=call)
    assert said(proxywasm, guest) == [("INFO", "hello")]
    assert said(proxywasm, recorded(guest)) == [("INFO", "hello"), ("TRACE", "\x05\0\0\0")]


def test_a_guest_without_hostcalls_is_left_alone() -> None:
    guest = on_request(body="")
    assert recorded(guest) is guest


def test_what_cannot_be_rewritten_says_so() -> None:
    with pytest.raises(BadModule, match="it starts with"):
        recorded(b"nothing")
    other = '(module (memory 1) (memory (export "memory") 1))'
    with pytest.raises(BadModule, match="it exports another memory than its first"):
        recorded(wat_to_wasm(other))


@pytest.mark.parametrize("name", sorted(HOSTCALLS))
def test_ranges_are_where_the_declaration_says(name: str) -> None:
    spec = HOSTCALLS[name]
    wide = [param for param in spec.params if len(param.input.wasm) == 2]
    assert [one.name for one in ranges_read(spec)] == [param.name for param in wide]
    assert [one.name for one in ranges_written(spec)] == [out.name for out in spec.outputs]
    used = {one.at for one in (*ranges_read(spec), *ranges_written(spec))}
    assert used <= set(range(len(spec.wasm_params)))


def test_ranges_of_a_call_with_everything() -> None:
    spec: Any = HOSTCALLS["proxy_call_foreign_function"]
    assert ranges_read(spec) == [Range("function_name", 0), Range("arguments", 2)]
    assert ranges_written(spec) == [Range("results", 4, optional=True)]
    assert ranges_written(HOSTCALLS["proxy_get_metric"]) == [Range("value", 1, 8)]
