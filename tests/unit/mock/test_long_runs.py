"""Many exchanges through one host: nothing of a finished stream stays."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import After, Filter, Response

AUTHORIZED = """(module
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $as (param i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $stream (mut i32) (i32.const 0))
  (global $ticks (export "ticks") (mut i32) (i32.const 0))
  (data (i32.const 0) "aux\\03\\00\\00\\00\\07\\00\\00\\00\\03\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 19) "\\02\\00\\00\\00\\0a\\00\\00\\00\\01\\00\\00\\00")
  (data (i32.const 31) ":method\\00GET\\00:path\\00/c\\00:authority\\00a\\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $tick (i32.const 50)) drop (i32.const 1))
  (func (export "proxy_on_tick") (param i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (global.set $stream (local.get 0))
    (if (call $call (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 62) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 60000) (i32.const 2048))
      (then unreachable))
    (i32.const 1))
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (drop (call $as (global.get $stream)))
    (drop (call $continue (i32.const 0)))))"""
"""Ticks all the time, and asks a service about each request."""


@pytest.mark.parametrize("trace", [False, True])
def test_nothing_of_a_finished_stream_stays(hosts: Any, trace: bool) -> None:
    """No context, no stream, no callout and no timer of it; the history of logs and callouts has an end."""
    host = hosts.host(Filter(AUTHORIZED), trace=trace)
    host.cluster("aux", After(0.1, Response(200)))
    proxy = host._proxy
    (vm,) = host.workers[0].vms.values()
    for _ in range(400):
        assert host.get("/").response.status == 200
    host.clock.advance(60)
    assert sorted(vm.contexts) == [0, 1]
    assert (host._streams, host._starts_at, host.pending_callouts) == ([], {}, [])
    assert len(proxy.clock._timers) == 1  # the next tick


def test_without_a_trace_the_history_has_an_end(hosts: Any) -> None:
    """Some thousand callouts and exchanges are remembered, not all."""
    host = hosts.host(Filter(AUTHORIZED), trace=False)
    host.cluster("aux", Response(200))
    for _ in range(2100):
        host.get("/")
    assert 1000 <= len(host.callouts) <= 2000
    assert len(host.exchanges) == 1000
    assert len(host.trace) == 0
