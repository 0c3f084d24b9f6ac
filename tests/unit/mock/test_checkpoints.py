"""Checkpoints: everything a host and its guests hold, to go back to."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import Filter, GrpcResponse, Response, UsageError
from pytest_proxywasm.errors import GuestTrap

COUNTING = """(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $queue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $metric (mut i32) (i32.const 0))
  (global $count (mut i32) (i32.const 48))
  (data (i32.const 0) "count")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $define (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 64)))
    (global.set $metric (i32.load (i32.const 64)))
    (drop (call $queue (i32.const 0) (i32.const 5) (i32.const 68)))
    (drop (call $tick (i32.const 1000)))
    (i32.const 1))
  (func $note
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store8 (i32.const 32) (global.get $count))
    (drop (call $log (i32.const 2) (i32.const 32) (i32.const 1)))
    (drop (call $set (i32.const 0) (i32.const 5) (i32.const 32) (i32.const 1) (i32.const 0)))
    (drop (call $enqueue (i32.load (i32.const 68)) (i32.const 32) (i32.const 1)))
    (drop (call $increment (global.get $metric) (i64.const 1))))
  (func (export "proxy_on_tick") (param i32) (call $note))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $note)
    (if (i32.gt_s (global.get $count) (i32.const 55)) (then unreachable))
    (drop (memory.grow (i32.const 1)))
    (i32.const 0)))"""


def everything(host: Any) -> tuple[Any, ...]:
    """All that a test can see of a host."""
    return (
        host.trace.text(wasi=True),
        [log.message for log in host.logs],
        dict(host.metrics),
        {key: (value, host.shared_data.cas(key)) for key, value in host.shared_data.items()},
        dict(host.queues),
        host.clock.now_ns,
        len(host.exchanges),
        [callout.outcome for callout in host.callouts],
        len(host.pending_callouts),
    )


def use(host: Any) -> list[Any]:
    """Exchanges and ticks, and what could be seen after each."""
    seen = []
    for path in ("/a", "/b"):
        exchange = host.get(path)
        seen.append((exchange.trace.text(wasi=True), exchange.upstream_request.headers.raw, everything(host)))
        host.clock.advance(1.5)
        seen.append(everything(host))
    return seen


@pytest.fixture
def counting(hosts: Any) -> Any:
    return hosts.host(Filter(COUNTING, name="counting"))


def test_everything_comes_back(counting: Any) -> None:
    """Memory that has grown, globals, logs, trace, metrics, shared data, queues, clock, ticks, request ids."""
    counting.get("/before")
    checkpoint, before = counting.checkpoint(), everything(counting)
    first = use(counting)
    assert everything(counting) != before

    for _ in range(3):
        counting.restore(checkpoint)
        assert everything(counting) == before
        assert use(counting) == first


def test_several_checkpoints_in_any_order(counting: Any) -> None:
    moments = []
    for n in range(3):
        moments.append((counting.checkpoint(), everything(counting)))
        counting.get(f"/{n}")
    for n in (2, 0, 1, 1, 0, 2):
        checkpoint, seen = moments[n]
        counting.restore(checkpoint)
        assert everything(counting) == seen
        counting.get("/other")


def test_back_from_a_trap_and_from_a_restart(counting: Any) -> None:
    """A guest that failed, and a VM that was replaced, are as before."""
    checkpoint, before = counting.checkpoint(), everything(counting)
    for _ in range(7):
        counting.get("/")
    with pytest.raises(GuestTrap):
        counting.get("/")
    counting.restore(checkpoint)
    assert everything(counting) == before
    counting.restart()
    counting.get("/")
    counting.restore(checkpoint)
    assert everything(counting) == before
    assert counting.get("/").outcome == "complete"


def test_views_and_lists_a_test_holds_follow(counting: Any) -> None:
    logs, trace, metrics = counting.logs, counting.trace, counting.metrics
    checkpoint = counting.checkpoint()
    counting.get("/")
    counting.restore(checkpoint)
    assert (len(logs), metrics["count"].value) == (0, 0)
    assert [event.name for event in trace][-1] == "proxy_on_configure"


def test_what_the_test_has_set_comes_back(counting: Any) -> None:
    """Properties, clusters, injections, the log level."""
    counting.properties["a.b"] = 1
    counting.inject("proxy_log", "INTERNAL_FAILURE", times=2)
    counting.log_level = 3
    checkpoint = counting.checkpoint()
    first = use(counting)
    counting.properties["a.b"] = 2
    counting.log_level = 0
    counting.cluster("late", Response(200))
    counting.restore(checkpoint)
    assert dict(counting.properties) == {("a", "b"): 1}
    assert counting.log_level == 3
    assert "late" not in counting._proxy.clusters
    assert use(counting) == first
    assert "INTERNAL_FAILURE" in counting.trace.text()


class TestCallouts:
    """Callouts that wait, or are answered later, go with the checkpoint."""

    CALL = "rqh http aux 1000 '' :method GET :path /check :authority a"

    def test_a_pending_callout_can_be_answered_in_several_ways(self, scripts: Any) -> None:
        host = scripts.start(self.CALL, clusters={"aux": None})
        host.get("/")
        (pending,) = host.pending_callouts
        checkpoint = host.checkpoint()
        answers = []
        for answer in (lambda: pending.respond(Response(204)), pending.time_out, lambda: host.clock.advance(500)):
            answer()
            assert not host.pending_callouts
            answers.append(scripts.seen(host)[-1])
            host.restore(checkpoint)
            assert host.pending_callouts == [pending]
            assert pending.callout.outcome is None
        assert answers[0] != answers[1]
        assert answers[1] == answers[2]

    def test_answers_of_a_list_are_given_again(self, scripts: Any) -> None:
        host = scripts.start(self.CALL, clusters={"aux": [Response(201), Response(202)]})
        checkpoint = host.checkpoint()
        for _ in range(2):
            for status in (201, 202):
                host.get("/")
                assert host.callouts[-1].outcome.status == status
            with pytest.raises(UsageError, match="has 2 answers, and this is call 3"):
                host.get("/")
            host.restore(checkpoint)

    def test_a_callout_made_since_is_gone(self, scripts: Any) -> None:
        host = scripts.start(self.CALL, clusters={"aux": None})
        checkpoint = host.checkpoint()
        host.get("/")
        (pending,) = host.pending_callouts
        host.restore(checkpoint)
        with pytest.raises(UsageError) as error:
            pending.respond(Response(200))
        assert str(error.value) == (
            f"callout {pending.callout.id} is gone: its VM was replaced, or its host was restored to a checkpoint from "
            "before it was made"
        )

    GRPC = "rqh gcall aux svc.S M 300 msg x-md 1"

    def test_a_grpc_call_made_since_is_gone(self, scripts: Any) -> None:
        host = scripts.start(self.GRPC, clusters={"aux": None})
        checkpoint = host.checkpoint()
        host.get("/")
        (pending,) = host.pending_callouts
        host.restore(checkpoint)
        with pytest.raises(UsageError, match="is gone: its host was restored to a checkpoint from before it was made"):
            pending.respond(GrpcResponse())

    def test_a_grpc_call_that_a_generator_answers_is_refused(self, scripts: Any) -> None:
        def answer(callout: Any) -> Any:
            while (yield) is not None:
                pass

        host = scripts.start(self.GRPC.replace("gcall", "gstream").replace(" 300 msg", ""), clusters={"aux": answer})
        host.get("/")
        with pytest.raises(UsageError) as error:
            host.checkpoint()
        assert str(error.value) == (
            "checkpoint(): a generator answers gRPC stream 6 (/svc.S/M), and how far it has come cannot be saved; take "
            "the checkpoint before the call, or when it is over"
        )


def test_a_stream_opened_since_is_gone(counting: Any) -> None:
    checkpoint = counting.checkpoint()
    stream = counting.stream()
    stream.request_headers()
    counting.restore(checkpoint)
    with pytest.raises(UsageError) as error:
        stream.response_headers()
    assert str(error.value) == "this stream is gone: its host was restored to a checkpoint while it was open"
    stream.close()
    assert counting.get("/").outcome == "complete"


class TestRefused:
    """What a checkpoint cannot hold is refused by name."""

    def test_open_streams(self, counting: Any) -> None:
        stream = counting.stream()
        stream.request_headers()
        with pytest.raises(UsageError) as error:
            counting.checkpoint()
        assert str(error.value) == (
            "checkpoint(): 1 streams are open; a checkpoint is taken between exchanges: end them first, with "
            "stream.close()"
        )
        stream.close()
        counting.checkpoint()

    def test_of_another_host(self, counting: Any, hosts: Any) -> None:
        other = hosts.host(Filter(COUNTING))
        with pytest.raises(UsageError, match="a checkpoint of another host; a host goes back to its own only"):
            other.restore(counting.checkpoint())
        with pytest.raises(UsageError, match=r"restore\(\): None is no checkpoint; host.checkpoint\(\) gives one"):
            other.restore(None)

    def test_of_a_closed_host(self, counting: Any) -> None:
        checkpoint = counting.checkpoint()
        counting.close()
        with pytest.raises(UsageError, match="this host is closed"):
            counting.restore(checkpoint)
        with pytest.raises(UsageError, match="this host is closed"):
            counting.checkpoint()

    def test_while_a_handler_runs(self, counting: Any) -> None:
        checkpoint = counting.checkpoint()
        said = []

        def upstream(request: Any) -> Response:
            for action in (counting.checkpoint, lambda: counting.restore(checkpoint)):
                with pytest.raises(UsageError) as error:
                    action()
                said.append(str(error.value))
            return Response(200)

        exchange = counting.post("/", body="x", upstream=upstream)
        assert exchange.outcome == "complete"
        assert said == [
            f"{name}(): an exchange or a callback is going on; call it between exchanges, not from a handler"
            for name in ("checkpoint", "restore")
        ]

    def test_a_guest_with_other_state(self, hosts: Any) -> None:
        wat = COUNTING.replace(
            "(memory (export",
            '(table 1 funcref) (func (export "x") (table.set (i32.const 0) (ref.null func)))(memory (export',
        )
        host = hosts.host(Filter(wat, name="odd"))
        with pytest.raises(UsageError) as error:
            host.checkpoint()
        assert str(error.value) == (
            "checkpoint(): filter 'odd' has state that cannot be saved: tables or segments that it changes. Start "
            "another host instead"
        )
