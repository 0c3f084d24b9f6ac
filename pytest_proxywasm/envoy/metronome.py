"""Moves the clock of guests with the clockwork in them: a Wasm service beside them, which does as it is told.

The service runs in Envoy's main thread, so its own hostcalls are in no worker's trace. It asks a server of ours what to
do, over and over; an answer is the time, and, for a tick, the queue to put an item on. See `clockwork`.
"""

from __future__ import annotations

import queue
import struct
import threading
from typing import TYPE_CHECKING

from ..engine import wat_to_wasm
from ..headers import Headers
from ..model import Response
from .clockwork import CLOCK
from .process import EnvoyFailure
from .servers import HttpServer, Served
from .setup import METRONOME

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Metronome", "metronome_wasm"]

SECONDS = 20.0
STATUSES = {"0": "", "1": "the guest's queue for ticks is not there"}
_PAIRS = ((b":method", b"GET"), (b":path", b"/0"), (b":authority", b"metronome"))
_MAP = struct.pack(
    f"<{1 + 2 * len(_PAIRS)}I", len(_PAIRS), *(len(part) for pair in _PAIRS for part in pair)
) + b"".join(part + b"\0" for pair in _PAIRS for part in pair)
_DATA = "".join(f"\\{byte:02x}" for byte in _MAP)
_STATUS_AT = 256 + _MAP.index(b"/0") + 1
_WAT = f"""
(module
  (import "env" "proxy_set_tick_period_milliseconds" (func $period (param i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
  (import "env" "proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) "{CLOCK.decode()}")
  (data (i32.const 128) "{METRONOME}")
  (data (i32.const 256) "{_DATA}")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $define (i32.const 1) (i32.const 64) (i32.const {len(CLOCK)}) (i32.const 32)))
    (drop (call $period (i32.const 5)))
    (i32.const 1))
  (func $ask (result i32)
    (call $call
      (i32.const 128) (i32.const {len(METRONOME)}) (i32.const 256) (i32.const {len(_MAP)})
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000000000) (i32.const 16)))
  (func (export "proxy_on_tick") (param i32)
    (if (i32.eqz (call $ask)) (then (drop (call $period (i32.const 0))))))
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (local $status i32)
    (local.set $status (i32.const 0x30))
    (if (i32.ge_u (local.get 3) (i32.const 8)) (then
      (drop (call $buffer (i32.const 4) (i32.const 0) (local.get 3) (i32.const 16) (i32.const 20)))
      (drop (call $record (i32.load (i32.const 32)) (i64.load (i32.const 4096))))))
    (if (i32.gt_u (local.get 3) (i32.const 8)) (then
      (if
        (call $resolve
          (i32.const 4112) (i32.load (i32.const 4104))
          (i32.add (i32.const 4112) (i32.load (i32.const 4104))) (i32.load (i32.const 4108)) (i32.const 24))
        (then (local.set $status (i32.const 0x31)))
        (else (drop (call $enqueue (i32.load (i32.const 24)) (i32.const 0) (i32.const 0)))))))
    (i32.store8 (i32.const {_STATUS_AT}) (local.get $status))
    (if (call $ask) (then (drop (call $period (i32.const 5)))))))
"""


def metronome_wasm() -> bytes:
    """The service's code.

    It asks with ``GET /0``, or with ``GET /1`` if the last queue was not there. An answer's body is the nanoseconds
    since the virtual clock's start (64 bits), and for a tick the sizes (32 bits each) of vm_id and queue name, and
    those.
    """
    return wat_to_wasm(_WAT)


class Metronome:
    """The server that tells the service what to do.

    Attributes:
        file: where Envoy finds the service's code.
    """

    def __init__(self, folder: Path) -> None:
        self._orders: queue.Queue[bytes | None] = queue.Queue()
        self._asked: queue.Queue[str | BaseException] = queue.Queue()
        self._idle = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.file = folder / "metronome.wasm"
        self.file.write_bytes(metronome_wasm())
        self._server = HttpServer(METRONOME, self)

    @property
    def port(self) -> int:
        """Where the service asks."""
        return self._server.port

    def set(self, offset_ns: int, tick: tuple[str, bytes] | None = None) -> None:
        """Set the time, and have a guest tick; both have been passed on when this returns.

        Args:
            offset_ns: nanoseconds since the virtual clock's start.
            tick: vm_id and name of the guest's queue for ticks.

        Raises:
            EnvoyFailure: the service does not ask, or the guest has no queue for ticks.
        """
        order = struct.pack("<Q", offset_ns)
        if tick is not None:
            vm_id = tick[0].encode("utf-8", "surrogateescape")
            order += struct.pack("<II", len(vm_id), len(tick[1])) + vm_id + tick[1]
        with self._lock:
            if not self._idle:
                self._wait()
                self._idle = True
            self._orders.put(order)
            problem = STATUSES.get(self._wait(), "it does not speak as it should")
        if problem:
            raise EnvoyFailure(f"the service that moves the clock in Envoy failed: {problem}")

    def _wait(self) -> str:
        try:
            asked = self._asked.get(timeout=SECONDS)
        except queue.Empty:
            raise EnvoyFailure(
                f"the service that moves the clock in Envoy has not asked what to do for {SECONDS:g} seconds"
            ) from None
        if isinstance(asked, BaseException):
            raise EnvoyFailure(f"the server that moves the clock in Envoy failed: {asked}") from asked
        return asked[1:]

    def close(self) -> None:
        """Stop answering."""
        self._over.set()
        self._orders.put(None)
        self._server.close()

    # What the server asks.

    def begin(self, cluster: str, port: int) -> Served:
        """The service asks."""
        return Served(cluster)

    def answer(self, served: Served) -> Response | None:
        """What the service is to do, as soon as there is something."""
        self._asked.put(served.request().path)
        order = self._orders.get()
        return Response(200, body=order, headers=Headers()) if order is not None else None

    def failed(self, error: BaseException) -> None:
        """The server has failed, which whoever waits for it is told."""
        self._asked.put(error)

    def between_chunks(self) -> None:
        """Nothing has to be waited for."""

    def wait(self, seconds: float) -> bool:
        """Let time pass."""
        return not self._over.wait(seconds)
