"""Time in a mock host and in the Envoy beside it: clocks that filters read, ticks, answers between exchanges."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.engine import wat_to_wasm
from pytest_proxywasm.envoy import recordings
from pytest_proxywasm.envoy.clockwork import TICK
from pytest_proxywasm.envoy.host import EnvoyHost
from pytest_proxywasm.host.hostcalls import HOSTCALLS
from pytest_proxywasm.shadow.host import ShadowedHost
from pytest_proxywasm.toolkit import Toolkit

from .conftest import PROBE, probe

PROBE_START = PROBE.with_name("probe_start.wasm")
TICKS = "the filter ticks, and time is real in Envoy"
REFUSED = "a callout is refused by a cluster that accepts others at that time"
FETCH = "tick http auth 1000 '' :method GET :path /c :authority a"
COUNT = "cfg mdef 0 ticks\ntick minc 4 1"


def agreed(toolkit: Toolkit, count: int) -> None:
    """So many exchanges were the same, and no other was there."""
    assert dict(toolkit.checks.unchecked) == {}
    assert (toolkit.checks.agreed, toolkit.checks.differed) == (count, 0)


CLOCK = """
(module
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $now (i32.const 64)))
    ;; replies with as many bytes as whole seconds have passed since 2020
    (drop (call $reply (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 2048)
      (i32.wrap_i64
        (i64.div_u (i64.sub (i64.load (i32.const 64)) (i64.const 1577836800000000000)) (i64.const 1000000000)))
      (i32.const 0) (i32.const 0) (i32.const -1)))
    (i32.const 1)))
"""


def test_filters_read_the_tests_clock(in_both: Toolkit) -> None:
    """What they make of the time is compared: here the size of a body."""
    with in_both.host(wat_to_wasm(CLOCK)) as host:
        for seconds in (0, 3, 40):
            host.clock.advance(seconds)
            response = host.get("/").response
            assert response is not None
            assert len(response.body) == host.clock.now - 1577836800
    agreed(in_both, 3)


def test_a_filter_that_reads_no_clock_does_not_notice(in_both: Toolkit) -> None:
    with in_both.host(probe("rqh pairs 0")) as host:
        host.get("/")
        host.clock.advance(3600)
        host.get("/")
    agreed(in_both, 2)


def test_a_clock_that_is_read_too_late_is_not_compared(in_both: Toolkit) -> None:
    """Envoy had started by then, with time as it is."""
    with in_both.host(probe("rqh#1 log 2 a\nrqb time")) as host:
        host.get("/")
        host.clock.advance(1)
        host.post("/", body=b"x")
    assert dict(in_both.checks.unchecked) == {"the virtual clock was moved": 1}


def test_ticks_come_when_the_clock_is_moved(in_both: Toolkit) -> None:
    began = time.monotonic()
    with in_both.host(probe(f"cfg tick 60000\n{COUNT}\nrqh mget 4")) as host:
        for minutes in (0, 1, 5):
            host.clock.advance(60 * minutes)
            host.get("/")
        assert host.metrics["ticks"].value == 6
    assert time.monotonic() - began < 30
    agreed(in_both, 3)


def test_a_period_that_changes(in_both: Toolkit) -> None:
    """Also to none, and from a callback of a stream."""
    script = f"cfg tick 1000\n{COUNT}\ntick#2 tick 0\nrqh#2 tick 500\nrqh mget 4"
    with in_both.host(probe(script)) as host:
        for _ in range(4):
            host.clock.advance(2)
            host.get("/")
    agreed(in_both, 4)


def test_periods_are_those_of_envoys_timers(in_both: Toolkit, in_envoy: Toolkit) -> None:
    """Another period counts from when it is set, and 0 stops the ticks."""
    resumes = "tick#5 tick 0\ntick#5 effctx 2\ntick#5 cont 0"
    one = probe(f"rqh tick 100\nrqh ret 1\ntick#2 tick 300\ntick#4 tick 50\n{resumes}")
    with in_both.host(one) as host:
        began = host.clock.now
        mock = host.get("/").trace
        assert host.clock.now - began == pytest.approx(0.1 * 2 + 0.3 * 2 + 0.05)
        host.clock.advance(10)
        assert len(host.trace.callbacks(TICK)) == 5
    with in_envoy.host(one) as host:
        envoy = host.get("/").trace
        assert isinstance(host, EnvoyHost)
        assert host.seconds > 0.84  # its timers are in whole milliseconds
        time.sleep(0.3)
        assert len(host.trace.callbacks(TICK)) == 5
    assert mock.diff(envoy) == ""


def test_gauges_have_the_ids_they_have_elsewhere(in_both: Toolkit) -> None:
    """The guest's clock in Envoy is a gauge as well, which does not show."""
    script = "cfg time\ncfg mdef 1 a\ncfg mdef 1 b\ncfg mdef 0 c\nrqh mrec 5 7\nrqh minc 9 3"
    script += "".join(f"\nrqh mget {number}" for number in (4, 5, 9, 13))
    with in_both.host(probe(script)) as host:
        host.clock.advance(1)
        host.get("/")
        assert {name: metric.value for name, metric in host.metrics.items()} == {"a": 7, "b": 3, "c": 0}
    agreed(in_both, 1)


def test_what_filters_fetch_on_ticks(in_both: Toolkit) -> None:
    """Answers, failures, a timeout in real time; clusters that refuse at times."""
    answers = [
        pw.Response(200, body=b"one"),
        pw.Reset(),
        pw.ConnectionRefused(),
        pw.Timeout(),
        pw.NoHosts(),
        pw.After(0.5, pw.Response(503)),
        *[pw.Response(200, body=b"more")] * 6,
    ]
    script = f"cfg tick 2000\n{FETCH}\nhttp get 6 :status\nhttp bget 4 0 9\nhttp time"
    with in_both.host(probe(script), clusters={"auth": answers}) as host:
        for _ in range(6):
            host.clock.advance(2)
            host.clock.advance(1.5)
            host.get("/")
            host.clock.advance(0.5)
        assert len(host.callouts) == 12
    agreed(in_both, 6)


def test_ticks_during_an_exchange(in_both: Toolkit) -> None:
    """A request that waits for a tick; the third resumes it."""
    script = "cfg tick 10000\nrqh ret 1\ntick#3 effctx 2\ntick#3 rep 0 x-late 1\ntick#3 cont 0\nlog time"
    with in_both.host(probe(script)) as host:
        exchange = host.get("/")
        assert exchange.upstream_request is not None
        assert exchange.upstream_request.headers["x-late"] == "1"
        assert len(exchange.trace.callbacks("proxy_on_tick")) == 3
    agreed(in_both, 1)


def test_an_upstream_that_is_slower_than_ticks(in_both: Toolkit) -> None:
    script = f"cfg tick 250\n{COUNT}\nrsh mget 4"
    with in_both.host(probe(script), upstream=pw.After(0.6, pw.Response(200))) as host:
        host.get("/")
        assert host.metrics["ticks"].value == 2
    agreed(in_both, 1)


def test_a_filter_that_traps_in_a_tick(in_both: Toolkit) -> None:
    with in_both.host(probe("cfg tick 1000\ntick#2 trap"), on_trap="continue") as host:
        host.clock.advance(1)
        host.get("/")
        host.clock.advance(1)
        response = host.get("/").response
        assert response is not None
        assert response.status == 503
    agreed(in_both, 2)


def test_streams_by_hand_after_ticks(in_both: Toolkit) -> None:
    script = f"cfg tick 1000\n{COUNT}\nrqh time"
    with in_both.host(probe(script)) as host:
        for _ in range(2):
            host.clock.advance(2)
            host.stream(upstream=pw.Response(200)).request_headers({":path": "/a"}, end_of_stream=True)
    agreed(in_both, 2)


def test_the_clock_is_not_moved_beside_open_streams(in_both: Toolkit) -> None:
    with in_both.host(probe(""), upstream=pw.Response(200)) as host:
        stream = host.stream()
        host.clock.advance(1)
        stream.request_headers({":path": "/a"}, end_of_stream=True)
        stream.reset()
    assert dict(in_both.checks.unchecked) == {"the virtual clock was moved": 1}


def test_connections_after_ticks(in_both: Toolkit) -> None:
    script = f"cfg tick 1000\n{COUNT}\nnew time\nnew mget 4"
    with in_both.host(probe(script), protocol="tcp") as host:
        for _ in range(2):
            host.clock.advance(3)
            connection = host.connect()
            connection.downstream_data(b"abc", end_of_stream=True)
            connection.close()
        assert host.metrics["ticks"].value == 6
    agreed(in_both, 2)


def test_the_clock_is_not_moved_beside_open_connections(in_both: Toolkit) -> None:
    with in_both.host(probe("cfg tick 1000"), protocol="tcp") as host:
        connection = host.connect()
        host.clock.advance(1)
        connection.downstream_data(b"abc", end_of_stream=True)
    assert in_both.checks.agreed == 0
    assert dict(in_both.checks.unchecked) == {"the virtual clock was moved": 1}


def test_filters_that_tick_in_virtual_machines_of_their_own(in_both: Toolkit) -> None:
    """Each with its own period, and vm_id; one is written in another guest."""
    first = probe(f"cfg tick 1000\n{COUNT}", name="first", vm_id="one")
    second = pw.Filter(
        PROBE_START, configuration="cfg tick 1500\ncfg mdef 0 others\ntick minc 4 1", name="second", vm_id="two"
    )
    with in_both.host(first, second) as host:
        for _ in range(2):
            host.clock.advance(3)
            host.get("/")
        assert (host.metrics["ticks"].value, host.metrics["others"].value) == (6, 4)
    agreed(in_both, 2)


def test_equal_guests_that_tick_are_not_told_apart(in_both: Toolkit) -> None:
    first, second = (probe("cfg tick 1000", name=name, vm_id=name) for name in ("first", "second"))
    with in_both.host(first, second) as host:
        host.get("/")
        host.clock.advance(1)
        host.get("/")
    assert (in_both.checks.agreed, dict(in_both.checks.unchecked)) == (1, {TICKS: 1})


def test_filters_that_tick_and_use_queues_are_not_compared(in_both: Toolkit) -> None:
    """The ids of queues would be others."""
    with in_both.host(probe("cfg tick 1000\ncfg qreg q")) as host:
        host.get("/")
    reason = "filters tick and use queues, and the ticks take a queue of their own in Envoy"
    assert dict(in_both.checks.unchecked) == {reason: 1}


def test_services_have_a_time_of_their_own(in_both: Toolkit) -> None:
    """They run on Envoy's main thread, where ticks would count twice."""
    with in_both.host(probe(""), services=[probe("cfg tick 1000", name="beside")]) as host:
        host.get("/")
    assert dict(in_both.checks.unchecked) == {TICKS: 1}


def test_every_worker_ticks(in_both: Toolkit) -> None:
    with in_both.host(probe("cfg tick 1000"), workers=2) as host:
        host.get("/", worker=0)
        host.clock.advance(1)
        host.get("/", worker=0)
    assert (in_both.checks.agreed, dict(in_both.checks.unchecked)) == (1, {"several workers are used": 1})


@pytest.mark.parametrize("how", ["untouched", "capabilities"])
def test_guests_as_they_are_have_real_time(envoy: Path, how: str) -> None:
    toolkit = Toolkit(Path(__file__).parent, backend="both", envoy=str(envoy), envoy_untouched=how == "untouched")
    allowed = [*HOSTCALLS, "proxy_on_configure", "proxy_on_tick", "proxy_on_vm_start", "proxy_on_request_headers"]
    options = {"allowed_capabilities": allowed} if how == "capabilities" else {}
    with toolkit.host(probe("cfg tick 1000", **options)) as host:
        host.get("/")
    toolkit.close()
    assert dict(toolkit.checks.unchecked) == {TICKS: 1}


@pytest.mark.parametrize(
    ("script", "clusters", "reason"),
    [
        (f"cfg tick 1000\n{FETCH}\n{FETCH}", [pw.Response(200), pw.ConnectionRefused()], REFUSED),
        (f"cfg tick 1000\n{FETCH.replace('1000', '7000')}", pw.Timeout(), "it waits for virtual time to pass"),
        ("cfg tick 1", pw.Timeout(), "more than 1000 ticks before an exchange and during it"),
    ],
    ids=["refused", "waits", "ticks"],
)
def test_what_cannot_be_played_before_an_exchange(in_both: Toolkit, script: str, clusters: object, reason: str) -> None:
    with in_both.host(probe(script), clusters={"auth": clusters}) as host:
        host.clock.advance(1 if isinstance(clusters, list) and len(clusters) == 2 else 8)
        host.get("/")
    assert reason in in_both.checks.unchecked


def test_a_difference_before_an_exchange_is_an_error(in_both: Toolkit) -> None:
    """Here the mock seems to have forgotten something."""
    with in_both.host(probe("cfg tick 1000\ntick log 2 tick")) as host:
        host.get("/")
        host.clock.advance(1)
        host.trace[-1].hostcalls.clear()
        with pytest.raises(pw.EnvoyDiffersError, match=r"GET / is not the same .*\n\nbefore it, hostcalls"):
            host.get("/")
        host.get("/")
    assert in_both.checks.differed == 1
    assert dict(in_both.checks.unchecked) == {"what happened before it was not the same": 1}


def test_a_clockwork_that_changes_a_guest_is_not_used(
    envoy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason: here it is another guest."""
    usual = recordings.recorded

    def other(wasm: bytes, *, queue: bytes = b"") -> bytes:
        return wat_to_wasm(CLOCK) if queue else usual(wasm)

    monkeypatch.setattr(recordings, "recorded", other)
    toolkit = Toolkit(Path(__file__).parent, backend="both", envoy=str(envoy), cache_dir=tmp_path)
    said = "taking its time from the test changes what this guest does, so in Envoy its time is real: _init.* became"
    with toolkit.host(probe("cfg tick 1000")) as host, pytest.warns(RuntimeWarning, match=said):
        host.get("/")
    toolkit.close()
    assert dict(toolkit.checks.unchecked) == {TICKS: 1}


def test_what_is_fetched_before_streams_by_hand(in_both: Toolkit) -> None:
    script = f"cfg tick 1000\n{FETCH}\nhttp bget 4 0 9"
    answers = [pw.Response(200, body=b"one"), pw.ConnectionRefused(), pw.Response(200, body=b"two")]
    with in_both.host(probe(script), clusters={"auth": answers}, upstream=pw.Response(200)) as host:
        host.clock.advance(1)
        host.get("/")
        host.clock.advance(2)
        host.stream(upstream=pw.Response(200)).request_headers({":path": "/a"}, end_of_stream=True)
    agreed(in_both, 2)


def test_an_envoy_that_ends_on_a_tick(in_both: Toolkit) -> None:
    """Which the mock did not: here it is killed."""
    with in_both.host(probe(f"cfg tick 1000\n{COUNT}")) as host:
        host.get("/")
        assert isinstance(host, ShadowedHost)
        assert host._shadow._host is not None
        host._shadow._host.instance.process.stop()
        host.clock.advance(1)
        with pytest.raises(
            pw.EnvoyDiffersError, match=r"before it, Envoy (is gone|has closed the connection that asks)"
        ):
            host.get("/")


LATER = "log {call}\nhttp pairs 6\nhttp bget 4 0 9\ngcl prop plugin_name\nrqh time"
CALLS = {
    "http": "http auth 60000 '' :method GET :path /c :authority a",
    "grpc": "gcall auth pkg.Service Method 60000 X",
}


@pytest.mark.parametrize("kind", CALLS)
def test_calls_that_are_answered_after_the_exchange(in_both: Toolkit, kind: str) -> None:
    """By the test, in another order than they were made."""
    answers: dict[str, Any] = {"http": pw.Response(200, body=b"ok"), "grpc": pw.GrpcResponse(status=7, message="no")}
    with in_both.host(probe(LATER.format(call=CALLS[kind])), clusters={"auth": None}) as host:
        for _ in range(3):
            host.get("/")
        first, second, third = host.pending_callouts
        for call in (second, first):
            call.respond(answers[kind])
        host.get("/")
        host.clock.advance(10)
        third.respond(answers[kind])
        host.get("/")
    agreed(in_both, 5)


def test_slow_clusters_answer_between_exchanges(in_both: Toolkit) -> None:
    """And between ticks; one answer comes too late."""
    script = f"cfg tick 10000\n{FETCH.replace('1000', '4000')}\nhttp bget 4 0 9\nhttp time"
    slow = [pw.After(3, pw.Response(200, body=b"one")), pw.After(5, pw.Response(200)), pw.After(0.1, pw.Reset())]
    with in_both.host(probe(script), clusters={"auth": slow}) as host:
        for seconds in (10, 2, 2, 6, 1, 2, 2, 5):
            host.clock.advance(seconds)
            host.get("/")
    agreed(in_both, 8)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda host: host.pending_callouts[0].refuse(), "a callout is refused that has reached its cluster"),
        (lambda host: host.clock.advance(3), "a callout of an exchange before is answered during this one"),
    ],
    ids=["refused", "during another"],
)
def test_late_answers_that_cannot_be_played(in_both: Toolkit, act: Any, reason: str) -> None:
    cluster = None if "reached" in reason else pw.After(4, pw.Response(200))
    script = f"rqh {CALLS['http']}\nrqb ret 1\nhttp#1 effctx 3\nhttp#1 cont 0"
    with in_both.host(probe(script), clusters={"auth": cluster}, on_trap="continue") as host:
        host.get("/", upstream=pw.Response(204))
        act(host)
        host.request("GET" if cluster is None else "POST", "/", body=b"" if cluster is None else b"held")
    assert (in_both.checks.agreed, dict(in_both.checks.unchecked)) == (1, {reason: 1})


def test_a_grpc_stream_that_goes_on_is_not_compared(in_both: Toolkit) -> None:
    with in_both.host(probe("rqh gstream auth pkg.Service Method"), clusters={"auth": None}) as host:
        host.get("/")
    assert dict(in_both.checks.unchecked) == {"a gRPC stream is still under way when the exchange ends": 1}


def test_answers_that_are_slower_than_ticks(in_both: Toolkit) -> None:
    """Before an exchange they come in the mock's order."""
    script = f"cfg tick 1000\n{FETCH.replace('1000', '9000')}\nhttp bget 4 0 9\nhttp time"
    answers = [pw.After(seconds, pw.Response(200, body=f"{seconds}")) for seconds in (2.5, 0.1, 1.2, 0.3, 3.5, 0.1)]
    with in_both.host(probe(script), clusters={"auth": [*answers, *[pw.Response(200)] * 9]}) as host:
        for seconds in (5.9, 0.2, 5):
            host.clock.advance(seconds)
            host.get("/")
    agreed(in_both, 3)


def test_an_answer_that_is_slower_than_ticks_during_an_exchange(in_both: Toolkit) -> None:
    script = f"cfg tick 1000\n{FETCH.replace('tick', 'tick#1').replace('1000', '9000')}\nrqh ret 1\n"
    script += "tick#3 effctx 2\ntick#3 cont 0"
    with in_both.host(probe(script), clusters={"auth": pw.After(1.5, pw.Response(200))}) as host:
        host.get("/")
    assert dict(in_both.checks.unchecked) == {"a filter ticks while an answer to it is under way": 1}
