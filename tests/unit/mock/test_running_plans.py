"""Plans and schedules, as a host runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pytest_proxywasm as pw

WASM = (Path(__file__).resolve().parents[3] / "fixtures" / "probe" / "probe.wasm").read_bytes()


def guest(*script: str) -> pw.Filter:
    """The probe guest with a script."""
    return pw.Filter(WASM, configuration="\n".join(script).encode())


def test_a_plan_is_an_exchange(hosts: Any) -> None:
    host = hosts.host(guest())
    plan = pw.ExchangePlan(request=pw.Request("POST", "/a", chunks=[b"a", b"b"]), upstream=pw.Response(404))
    exchange = host.run(plan)
    assert exchange.response is not None
    assert exchange.response.status == 404
    assert [c.args["body_size"] for c in exchange.trace.callbacks("proxy_on_request_body")] == [1, 1, 0]
    assert [run.plan for run in host.runs] == [plan]


def test_callouts_are_answered_in_order_and_every_cluster_exists(hosts: Any) -> None:
    call = "http anywhere 1000 '' :method GET :path / :authority a"
    host = hosts.host(guest(f"rqh {call}", f"rqh {call}", f"rqh {call}"))
    outcomes = (pw.Response(403), pw.Reset())
    exchange = host.run(pw.ExchangePlan(callouts=outcomes))
    assert [callout.outcome for callout in exchange.callouts] == [*outcomes, pw.Response(200)]
    host.get("/")
    assert len(host.callouts) == 3, "without a plan the cluster is unknown again"


def test_a_client_that_goes_away(hosts: Any) -> None:
    host = hosts.host(guest())
    request = pw.Request("POST", "/", [("content-length", "100")], chunks=[b"a", b"b"])
    exchange = host.run(pw.ExchangePlan(request=request, client_resets_after=1))
    assert exchange.outcome == "reset"
    assert len(exchange.trace.callbacks("proxy_on_request_body")) == 1


def test_a_plan_that_stalls_says_so(hosts: Any) -> None:
    host = hosts.host(guest("rqh ret 1"))
    with pytest.raises(pw.StreamStalled, match="GET / stalled: proxy_on_request_headers paused it"):
        host.run(pw.ExchangePlan())
    with pytest.raises(pw.StreamStalled, match="GET / stalled: proxy_on_request_headers paused it"):
        host.run(pw.Schedule())


def test_streams_of_a_schedule_take_turns(hosts: Any) -> None:
    host = hosts.host(guest())
    streams = tuple(pw.ExchangePlan(request=pw.Request(path=path)) for path in ("/1", "/2"))
    steps = (pw.Step(0), pw.Step(1), pw.Step(0), pw.Step(1))
    first, second = host.run(pw.Schedule(streams=streams, steps=steps))
    assert first.request is not None
    assert (first.request.path, first.outcome, second.outcome) == ("/1", "complete", "complete")
    order = [c.context_id for c in host.trace if c.name in ("proxy_on_request_headers", "proxy_on_response_headers")]
    assert order == [order[0], order[1], order[0], order[1]]


def test_drops_waits_and_answers_of_a_schedule(hosts: Any) -> None:
    host = hosts.host(guest("rqh http a 9000 '' :method GET :path / :authority a"))
    steps = (pw.Step(0), pw.Step(1), pw.Wait(1.5), pw.Answer(1, pw.Response(500)), pw.Drop(0))
    first, second = host.run(pw.Schedule(streams=(pw.ExchangePlan(), pw.ExchangePlan()), steps=steps))
    assert (first.outcome, second.outcome) == ("reset", "complete")
    assert host.callouts[1].outcome == pw.Response(500)
    assert host.clock.now == 1_577_836_801.5


def test_a_tcp_plan_is_a_connection(hosts: Any) -> None:
    host = hosts.host(guest(), protocol="tcp")
    stream = host.run(pw.TcpPlan(steps=(("downstream", b"a"), ("upstream", b"b"), ("downstream", b""))))
    assert (stream.sent_upstream, stream.sent_downstream) == (b"a", b"b")
    assert stream.finished
    with pytest.raises(pw.UsageError, match='this host has protocol="tcp"'):
        host.run(pw.ExchangePlan())
