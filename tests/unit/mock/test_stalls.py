"""Streams that nothing will resume, and the ways out."""

from __future__ import annotations

from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm import Response, StreamStalled

CALL = "rqh http aux 1000 '' :method GET :path /check :authority a"
FORGOTTEN = (
    "\n\nIn Envoy this request hangs until a timeout. Either the filter forgets to resume (proxy_continue_stream, "
    "or Continue at the end of the body), or it waits for something this test does not provide."
)


def stall(host: Any, **options: Any) -> StreamStalled:
    """The error of a request that stalls."""
    with pytest.raises(StreamStalled) as caught:
        host.post("/a", body="12", **options)
    return caught.value


@pytest.mark.parametrize(
    ("line", "callback"),
    [
        ("rqh ret 1", "proxy_on_request_headers"),
        ("rqb ret 1", "proxy_on_request_body"),
        ("rqt ret 1", "proxy_on_request_trailers"),
        ("rsh ret 1", "proxy_on_response_headers"),
        ("rsb ret 1", "proxy_on_response_body"),
        ("rst ret 1", "proxy_on_response_trailers"),
    ],
)
def test_the_callback_that_paused_is_named(line: str, callback: str, scripts: Any) -> None:
    """The error has the exchange and the trace, and the stream has ended."""
    host = scripts.start(line)
    trailers = {"t": "1"} if "trailers" in callback else {}  # trailers let a body go that was held
    error = stall(host, trailers=trailers, upstream=Response(200, body="hi", trailers=trailers))
    said, _, event = str(error).partition("\n\nit paused in: ")
    assert said == f"POST /a stalled: {callback} paused it, and nothing is due that could resume it{FORGOTTEN}"
    assert event.startswith(f"{callback} context=2 ")
    assert error.callback == callback
    assert error.exchange is host.last_exchange
    assert error.exchange.outcome in ("reset", "cut")
    assert error.trace.callbacks(callback)
    assert scripts.seen(host)[-3:] == ["log", "done", "delete"]


def test_a_stall_does_not_disturb_the_next_request(scripts: Any) -> None:
    """The stream is gone."""
    host = scripts.start("rqh ret 1")
    stall(host)
    assert str(stall(host)).startswith("POST /a stalled")


def test_waiting_ends_with_the_timeout(scripts: Any) -> None:
    """Something was due, but did not resume the stream."""
    host = scripts.start("rqh tick 1000", "rqh ret 1")
    before = host.clock.now
    error = stall(host, timeout=5)
    assert str(error).splitlines()[0] == (
        "POST /a stalled: proxy_on_request_headers paused it, and it was not resumed within 5 virtual seconds"
    )
    assert host.clock.now - before == 5


def test_a_callout_without_a_handler_stalls_at_once_and_the_message_says_what_to_do(scripts: Any) -> None:
    """No time passes, so the callout's own timeout does not hide the mistake."""
    host = scripts.start(CALL, "rqh ret 1", clusters={"aux": None})
    before = host.clock.now
    assert str(stall(host)).startswith(
        "POST /a stalled: proxy_on_request_headers paused it, and a callout waits for an answer\n\n"
        "callouts without an answer:\n"
        "    GET /check to cluster 'aux'\n\n"
        'Give the cluster an answer: host.cluster("aux", pw.Response(200)),\n'
        "or drive the stream by hand: host.stream(), then host.pending_callouts[0].respond(pw.Response(200))."
    )
    assert host.clock.now == before


def test_both_ways_out_work(scripts: Any) -> None:
    """A handler, and an answer by hand."""
    resume = ("rqh ret 1", "http effctx 2", "http cont 0", "http effctx 3", "http cont 0")
    host = scripts.start(CALL, *resume)
    host.cluster("aux", pw.Response(200))
    assert host.get("/").response.status == 200
    host.cluster("aux")
    stream = host.stream(upstream=pw.Response(201))
    stream.request_headers(end_of_stream=True)
    assert stream.paused
    host.pending_callouts[0].respond(pw.Response(200))
    host.clock.advance(0)
    assert stream.exchange.response.status == 201


def test_a_callout_that_holds_nothing_up_is_left_alone(scripts: Any) -> None:
    """The stream goes on without its answer."""
    host = scripts.start(CALL, clusters={"aux": None})
    assert host.get("/", upstream=pw.After(2, pw.Response(204))).response.status == 204
    assert [str(pending) for pending in host.pending_callouts] == []
    (callout,) = host.callouts
    assert callout.outcome == pw.Timeout()


def test_a_timeout_is_an_answer_too(scripts: Any) -> None:
    """Time moves to it then."""
    host = scripts.start(CALL, "rqh ret 1", "http effctx 2", "http cont 0", clusters={"aux": pw.Timeout()})
    before = host.clock.now
    assert host.get("/").outcome == "complete"
    assert host.clock.now - before == 1


def test_an_answer_of_a_list_that_is_none_is_the_tests(scripts: Any) -> None:
    """It stalls at once, as a call to a cluster without a handler does."""
    host = scripts.start(CALL, "rqh ret 1")
    host.cluster("aux", [None])
    before = host.clock.now
    assert "a callout waits for an answer" in str(stall(host)).splitlines()[0]
    assert host.clock.now == before


def test_a_grpc_call_that_a_list_leaves_to_the_test_stalls_at_once(scripts: Any) -> None:
    """Also where the filter set a timeout."""
    host = scripts.start("rqh gcall rpc s M 1000 m", "rqh ret 1")
    host.cluster("rpc", [None])
    before = host.clock.now
    assert "a callout waits for an answer" in str(stall(host)).splitlines()[0]
    assert host.clock.now == before
