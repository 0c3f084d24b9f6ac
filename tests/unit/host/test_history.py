"""Histories: all of it, or the newest; and hosts that run for very long."""

from __future__ import annotations

import gc
import tracemalloc

from pytest_proxywasm import Filter, MockHost, Response
from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.host.history import History

CALLER = """
(module
  (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "aux")
  (data (i32.const 16) "\\03\\00\\00\\00\\07\\00\\00\\00\\03\\00\\00\\00\\05\\00\\00\\00\\01\\00\\00\\00\\0a\\00\\00\\00\\01\\00\\00\\00:method\\00GET\\00:path\\00/\\00:authority\\00a\\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 3)))
    (drop (call $call (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 61)
                      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 256)))
    (i32.const 0)))
"""  # noqa: E501


def test_a_history_without_a_bound_keeps_everything() -> None:
    """Marks are positions in it."""
    history: History[int] = History()
    for number in range(5000):
        history.add(number)
    mark = history.mark()
    history.add(7)
    assert len(history) == 5001
    assert history.since(mark) == [7]


def test_a_bounded_history_keeps_the_newest_and_its_marks() -> None:
    """A mark stays right when older entries go."""
    history: History[int] = History(10)
    for number in range(995):
        history.add(number)
    mark = history.mark()
    for number in range(995, 1000):
        history.add(number)
    assert 10 <= len(history) <= 20
    assert history[-1] == 999
    assert history.since(mark) == [995, 996, 997, 998, 999]
    assert history.since(0) == list(history)


def test_thousands_of_exchanges_with_callouts_need_no_more_memory() -> None:
    """Without a trace nothing piles up, and every stream context is deleted."""
    with MockHost([Filter(CALLER)], engine=get_engine(), trace=False, clusters={"aux": Response(200)}) as host:

        def run(exchanges: int) -> None:
            for _ in range(exchanges):
                exchange = host.get("/")
                assert len(exchange.callouts) == 1
                host.clock.advance(1)

        tracemalloc.start()
        run(2500)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        run(2000)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        # The bounded histories are about as full as before; keeping every callout would add megabytes.
        assert after - before < 600_000
        assert len(host.callouts) <= 2000
        assert len(host.logs) <= 2000
        (vm,) = host.workers[0].vms.values()
        assert sorted(vm.contexts) == [0, 1]
