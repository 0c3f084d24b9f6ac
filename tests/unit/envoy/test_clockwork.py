"""A guest with the clockwork in it takes its time and its ticks from a metronome; here both run in the mock."""

from __future__ import annotations

import struct
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.engine import BadModule, wat_to_wasm
from pytest_proxywasm.envoy import metronome
from pytest_proxywasm.envoy.clockwork import CLOCK, hidden, own_gauge, tick_queue
from pytest_proxywasm.envoy.metronome import Metronome, metronome_wasm
from pytest_proxywasm.envoy.process import EnvoyFailure
from pytest_proxywasm.envoy.recorder import recorded
from pytest_proxywasm.envoy.setup import METRONOME
from pytest_proxywasm.host.clock import START_NS

QUEUE = tick_queue("0123456789")
GUEST = """
(module
  (import "env" "proxy_set_tick_period_milliseconds" (func $period (param i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $wasi (param i32 i64 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
  (import "env" "proxy_get_metric" (func $get (param i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "the first bytes.")
  (data (i32.const 128) "tick") (data (i32.const 144) "ready") (data (i32.const 160) "mine")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32)
    (drop (call $wasi (i32.const 0) (i64.const 0) (i32.const 64)))
    (i32.const 1024))
  (func (export "_initialize") (drop (call $wasi (i32.const 0) (i64.const 0) (i32.const 64))) (call $tell))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $period (i32.const 1000)))
    (drop (call $register (i32.const 160) (i32.const 4) (i32.const 80)))
    (drop (call $define (i32.const 1) (i32.const 160) (i32.const 4) (i32.const 80)))
    (drop (call $record (i32.load (i32.const 80)) (i64.const 77)))
    (drop (call $get (i32.load (i32.const 80)) (i32.const 88)))
    (drop (call $log (i32.const 2) (i32.const 80) (i32.const 16)))
    (i32.const 1))
  (func $tell (drop (call $log (i32.const 2) (i32.const 64) (i32.const 8))))
  (func $first (drop (call $log (i32.const 2) (i32.const 0) (i32.const 16))))
  (func (export "proxy_on_tick") (param i32)
    (drop (call $log (i32.const 2) (i32.const 128) (i32.const 4)))
    (drop (call $now (i32.const 64))) (call $tell)
    (drop (call $wasi (i32.const 1) (i64.const 0) (i32.const 64))) (call $tell)
    (call $first))
  READY)
"""
ON_READY = """
  (func (export "proxy_on_queue_ready") (param i32 i32)
    (drop (call $log (i32.const 2) (i32.const 144) (i32.const 5))))
"""


def order(offset_ns: int, queue: bytes = b"") -> pw.Response:
    """What a metronome is told."""
    return pw.Response(
        200, body=struct.pack("<Q", offset_ns) + (struct.pack("<II", 1, len(queue)) + b"v" + queue if queue else b"")
    )


class Conductor:
    """What answers the metronome: orders one after the other, each 100 ms later."""

    def __init__(self, *orders: pw.Response) -> None:
        self.asked: list[str] = []
        self._orders = iter(orders)

    def __call__(self, call: pw.Callout) -> pw.After | pw.Timeout:
        self.asked.append(call.path)
        found = next(self._orders, None)
        return pw.After(0.1, found) if found is not None else pw.Timeout()


def said(proxywasm: pw.Toolkit, guest: str, conductor: Conductor) -> list[bytes]:
    """What the guest's copy logs itself while the conductor's orders come in."""
    copy = pw.Filter(recorded(wat_to_wasm(guest), queue=QUEUE), vm_id="v")
    with proxywasm.host(copy, services=[metronome_wasm()], clusters={METRONOME: conductor}) as host:
        host.clock.advance(30)
        logs = [log.raw for log in host.logs if log.level == pw.LogLevel.INFO]
        assert host.metrics["mine"].value == 77
    return logs


def tick_at(offset_ns: int) -> list[bytes]:
    """What the guest logs on a tick."""
    return [b"tick", at(offset_ns), at(offset_ns), b"the first bytes."]


def at(offset_ns: int) -> bytes:
    """A time as a guest logs it."""
    return struct.pack("<Q", START_NS + offset_ns)


@pytest.mark.parametrize("ready", ["", ON_READY], ids=["no other queues", "other queues"])
def test_time_and_ticks_are_the_metronomes(proxywasm: pw.Toolkit, ready: str) -> None:
    """Not the host's, which ticks every second here; the guest's memory, gauges and queues are as they were."""
    conductor = Conductor(order(5), order(7, QUEUE), order(9, b"mine"), order(11, QUEUE))
    logs = said(proxywasm, GUEST.replace("READY", ready), conductor)
    own = [b"ready"] if ready else []
    assert logs == [at(0), struct.pack("<QQ", 5, 77), *tick_at(7), *own, *tick_at(11)]
    assert conductor.asked == ["/0"] * 5


def test_a_queue_that_is_not_there_is_told(proxywasm: pw.Toolkit) -> None:
    conductor = Conductor(order(5, b"nothing"), order(6))
    said(proxywasm, GUEST.replace("READY", ""), conductor)
    assert conductor.asked == ["/0", "/1", "/0"]


def test_a_guest_that_does_not_tick_is_not_made_to(proxywasm: pw.Toolkit) -> None:
    guest = GUEST.replace("READY", "").replace('(func (export "proxy_on_tick")', "(func $unused")
    assert said(proxywasm, guest, Conductor(order(5))) == [at(0), struct.pack("<QQ", 5, 77)]


def test_a_guest_that_has_stopped_its_ticks_gets_none(proxywasm: pw.Toolkit) -> None:
    stop = '(func (export "proxy_on_tick") (param i32) (drop (call $period (i32.const 0)))'
    guest = GUEST.replace("READY", "").replace('(func (export "proxy_on_tick") (param i32)', stop)
    logs = said(proxywasm, guest, Conductor(order(5, QUEUE), order(6, QUEUE)))
    assert logs.count(b"tick") == 1


def test_another_type_of_the_callback_is_refused() -> None:
    ready = '(func (export "proxy_on_queue_ready") (param i32))'
    with pytest.raises(BadModule, match="its proxy_on_queue_ready has another type than that of the ABI"):
        recorded(wat_to_wasm(GUEST.replace("READY", ready)), queue=QUEUE)


def test_its_own_calls_are_told_from_the_guests() -> None:
    assert hidden("proxy_define_metric", [1, 0, 8, 8])
    assert not hidden("proxy_define_metric", [1, 0, 8, 64])
    assert not hidden("proxy_get_property", [0, 8, 4])
    assert [own_gauge(number) for number in (4, 5, 6, 8, 9, 13)] == [4, 5, 6, 8, 5, 9]
    assert len(QUEUE) == len(CLOCK) == 8


@pytest.fixture
def conductor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metronome]:
    """The server of a metronome."""
    monkeypatch.setattr(metronome, "SECONDS", 0.2)
    server = Metronome(tmp_path)
    yield server
    server.close()


def ask(server: Metronome, *paths: str) -> threading.Thread:
    """Be a service that asks so."""

    def run() -> None:
        for path in paths:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{server.port}/{path}", timeout=5).read()
            except OSError:
                return  # the server is closed

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_service_that_does_not_ask(conductor: Metronome) -> None:
    with pytest.raises(EnvoyFailure, match=r"has not asked what to do for 0\.2 seconds"):
        conductor.set(1)


def test_a_service_that_failed(conductor: Metronome) -> None:
    ask(conductor, "0", "1")
    with pytest.raises(EnvoyFailure, match="moves the clock in Envoy failed: the guest's queue for ticks is not there"):
        conductor.set(1, ("", QUEUE))


def test_a_server_that_failed(conductor: Metronome) -> None:
    conductor.failed(ValueError("why"))
    with pytest.raises(EnvoyFailure, match="the server that moves the clock in Envoy failed: why"):
        conductor.set(1)


def test_a_service_that_has_done_it(conductor: Metronome) -> None:
    thread = ask(conductor, "0", "0", "0")
    conductor.set(1)
    conductor.set(2)
    conductor.close()
    thread.join(5)
    assert not thread.is_alive()
