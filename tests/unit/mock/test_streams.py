"""Streams that a test drives step by step: pausing, resuming, maps and buffers while it waits."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import Action, EnvoyCrashError, Response

ALLOW = {"allow_on_headers_stop_iteration": True}
RESUME = ("rqh tick 100", "rqh#1 ret 1", "tick effctx 2", "tick cont 0", "tick tick 0")
RESUME_RESPONSE = ("rsh tick 100", "rsh#1 ret 1", "tick effctx 2", "tick cont 1", "tick tick 0")


def test_each_step_returns_the_action_of_the_last_callback_it_caused(scripts: Any) -> None:
    """None if it caused none."""
    host = scripts.start("rqb! ret 1", "rsh ret 0")
    stream = host.stream()
    assert stream.request_headers() is Action.CONTINUE
    assert stream.request_body("12") is Action.PAUSE
    assert stream.paused
    assert stream.request_body("34", end_of_stream=True) is Action.CONTINUE
    assert not stream.paused
    assert stream.upstream_complete
    assert stream.response_headers({":status": "201"}) is Action.CONTINUE
    assert stream.response_body("56") is Action.CONTINUE
    assert stream.response_trailers({"t": "1"}) is Action.CONTINUE
    exchange = stream.exchange
    assert stream.finished
    assert (exchange.upstream_request.body, exchange.response.status, exchange.response.body) == (b"1234", 201, b"56")
    assert exchange.response.trailers == {"t": "1"}
    assert exchange.request.body == b"1234"
    assert exchange.upstream_response.body == b"56"
    assert repr(stream) == "<HttpStream finished, <Exchange GET / -> 201, complete>>"


def test_a_guest_without_callbacks_causes_no_action(hosts: Any) -> None:
    """Everything passes."""
    from pytest_proxywasm import Filter

    frame = '(func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 64))'
    stream = hosts.host(Filter(f'(module (memory (export "memory") 1) {frame})')).stream()
    assert stream.request_headers(end_of_stream=True) is None
    assert stream.response_headers(end_of_stream=True) is None
    assert stream.exchange.outcome == "complete"


def test_missing_pseudo_headers_are_filled_in(scripts: Any) -> None:
    """Those of GET http://example.com/, and a status of 200."""
    host = scripts.start("rqh pairs 0", "rsh pairs 2")
    stream = host.stream()
    stream.request_headers({":path": "/p", "x": "y"}, end_of_stream=True)
    stream.response_headers({"a": "b"}, end_of_stream=True)
    assert stream.exchange.request_before.items()[:5] == [
        *((":authority", "example.com"), (":path", "/p"), (":method", "GET"), (":scheme", "http"), ("x", "y"))
    ]
    assert stream.exchange.response_before.items()[:2] == [(":status", "200"), ("a", "b")]


def test_streams_may_be_interleaved(scripts: Any) -> None:
    """Each has its own context, and its own exchange."""
    host = scripts.start("rqb! ret 1")
    first, second = host.stream(), host.stream()
    first.request_headers({":path": "/1"})
    second.request_headers({":path": "/2"})
    first.request_body("a")
    second.request_body("bb")
    second.request_body("", end_of_stream=True)
    first.request_body("c", end_of_stream=True)
    for stream, status in ((first, 201), (second, 202)):
        stream.response_headers({":status": str(status)}, end_of_stream=True)
    assert [(s.exchange.upstream_request.path, s.exchange.upstream_request.body) for s in (first, second)] == [
        ("/1", b"ac"),
        ("/2", b"bb"),
    ]
    assert [s.exchange.response.status for s in (first, second)] == [201, 202]
    assert [event.context_id for event in host.trace.callbacks("proxy_on_request_headers")] == [2, 3]


# Stopped headers.


@pytest.mark.parametrize("result", [1, 3, 4, 5, 99])
def test_headers_that_stop_hold_the_body_too(result: int, scripts: Any) -> None:
    """Facts S2, S4 and E17: after resuming, the body is one piece."""
    host = scripts.start(*RESUME, f"rqh ret {result}")
    stream = host.stream(upstream=Response(200))
    assert stream.request_headers() == result
    assert stream.request_body("12345") is None
    assert stream.request_body("67890", end_of_stream=True) is None
    assert not stream.upstream_complete
    host.clock.advance(0.1)
    assert "request_body 10 1" in scripts.seen(host)
    assert stream.exchange.upstream_request.body == b"1234567890"


@pytest.mark.parametrize("result", [0, 2])
def test_headers_that_continue_let_the_body_pass(result: int, scripts: Any) -> None:
    """Fact S1."""
    host = scripts.start(f"rqh ret {result}")
    host.post("/", chunks=["12345", "67890"])
    assert [line for line in scripts.seen(host) if "body" in line] == [
        *("request_body 5 0", "request_body 5 0", "request_body 0 1")
    ]


def test_where_headers_may_stop_alone_the_body_is_shown_and_releases_them(scripts: Any) -> None:
    """Facts S3 and C18: the map can be changed until then."""
    host = scripts.start("rqh ret 1", "rqb add 0 x-late 1", "rqb! ret 1", filter=ALLOW)
    exchange = host.post("/", body="12")
    assert scripts.said(host) == ["add 0 x-late 1 -> 0"] * 2
    assert exchange.upstream_request.headers.get_all("x-late") == ["1", "1"]
    assert exchange.upstream_request.body == b"12"


def test_paused_response_headers_hold_the_response(scripts: Any) -> None:
    """Facts S5 and E21."""
    host = scripts.start(*RESUME_RESPONSE)
    exchange = host.get("/", upstream=Response(200, body="hello world"))
    assert [line for line in scripts.seen(host) if "response_body" in line] == ["response_body 11 1"]
    assert exchange.response.text == "hello world"
    assert exchange.response.headers["date"] == "Wed, 01 Jan 2020 00:00:00 GMT"


# Resuming.


def test_resuming_in_the_callback_that_pauses_goes_on(scripts: Any) -> None:
    """Fact E18; the map is gone at once (fact C17)."""
    host = scripts.start("rqh cont 0", "rqh get 0 :path", "rqh ret 1")
    exchange = host.get("/")
    assert scripts.said(host) == ["cont 0 -> 0", "get 0 :path -> 2 (out untouched)"]
    assert exchange.outcome == "complete"


def test_resuming_what_is_not_paused_is_harmless(scripts: Any) -> None:
    """Facts E18 and E22."""
    host = scripts.start("rqh cont 0", "rqb cont 0", "rqb cont 2", "rsb cont 0", "log cont 0")
    assert host.post("/", body="x", upstream=Response(200, body="y")).outcome == "complete"
    assert {line.partition(" -> ")[2] for line in scripts.said(host)} == {"0"}


def test_a_root_context_resumes_nothing_by_itself(scripts: Any) -> None:
    """Fact E3: it must choose the stream's context first."""
    host = scripts.start("rqh tick 100", "rqh#1 ret 1", "tick cont 0", "tick tick 0")
    stream = host.stream()
    stream.request_headers(end_of_stream=True)
    host.clock.advance(1)
    assert scripts.said(host)[1:2] == ["cont 0 -> 0"]
    assert stream.paused


def test_callbacks_never_run_inside_one_another(scripts: Any) -> None:
    """Fact E16: what resuming causes comes after the running callback has returned."""
    host = scripts.start(*RESUME, "tick cont 0")
    host.post("/", body="12")
    lines = scripts.seen(host)
    assert not [line for line in lines if "nested" in line]
    assert lines.index("request_body 2 1") > lines.index("  tick 0 -> 0")


def test_resuming_a_response_that_does_not_exist_kills_envoy(scripts: Any) -> None:
    """Fact E19."""
    host = scripts.start("rqh cont 1", filter={"name": "mine"})
    with pytest.raises(EnvoyCrashError) as caught:
        host.get("/")
    assert str(caught.value) == (
        "filter 'mine' resumed the response (proxy_continue_stream HTTP_RESPONSE) of a stream that has no response "
        "headers yet. A real Envoy process crashes there (segmentation fault)."
    )


@pytest.mark.parametrize("number", [4, 99])
def test_directions_that_do_not_exist_are_a_bad_argument(number: int, scripts: Any) -> None:
    """Fact E22."""
    host = scripts.start(f"rqh cont {number}", f"rqh close {number}", "rqh cont 3")
    host.get("/")
    assert [line.rpartition(" ")[2] for line in scripts.said(host)] == ["2", "2", "12"]


# Closing.


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize(("event", "details"), [("rqh", "wasm_close_stream"), ("rsh", "via_upstream")])
def test_a_filter_may_reset_its_stream(event: str, details: str, direction: int, scripts: Any) -> None:
    """Fact E23: not a byte of a response; the result of the callback does not matter; details that are there stay."""
    host = scripts.start(f"{event} close {direction}", f"{event} ret 0")
    exchange = host.get("/", upstream=Response(200, body="x"))
    assert (exchange.outcome, exchange.details, exchange.response) == ("reset", details, None)
    assert scripts.seen(host)[-3:] == ["log", "done", "delete"]


@pytest.mark.parametrize("peer", ["downstream", "upstream"])
def test_either_side_may_break_off(peer: str, scripts: Any) -> None:
    """The client gets nothing any more, or Envoy's answer for the upstream."""
    host = scripts.start()
    stream = host.stream()
    stream.request_headers(end_of_stream=True)
    stream.reset(peer)
    exchange = stream.exchange
    assert exchange.outcome == ("reset" if peer == "downstream" else "complete")
    assert (exchange.response.status if exchange.response else None) == (None if peer == "downstream" else 503)
    stream.reset(peer)
    stream.close()
    assert scripts.seen(host).count("log") == 1


def test_nothing_happens_to_a_stream_that_is_over(scripts: Any) -> None:
    """Late pieces of the request go nowhere."""
    host = scripts.start("rqh local 403 '' no -1")
    stream = host.stream()
    stream.request_headers()
    assert stream.finished
    before = len(host.logs)
    assert stream.request_body("late") is None
    assert len(host.logs) == before


# Maps.


def test_the_request_map_lives_while_its_headers_are_held(scripts: Any) -> None:
    """Fact C17: from its callback until the headers are let go; and in the log, to be read only (fact C20)."""
    host = scripts.start(
        "rqh add 0 a 1",
        "rqb get 0 a",
        "rsh add 0 a 2",
        "log get 0 a",
        "log add 0 a 3",
        "done get 0 a",
        "del pairs 0",
    )
    host.post("/", chunks=[], upstream=Response(200))
    assert scripts.said(host) == [
        "add 0 a 1 -> 0",
        "get 0 a -> 2 (out untouched)",
        "add 0 a 2 -> 2",
        "get 0 a -> 0 ptr=nz n=1 d=1",
        "add 0 a 3 -> 2",
        "get 0 a -> 2 (out untouched)",
        "pairs 0 -> 0 ptr=0 n=0",
    ]


def test_the_response_map_of_a_resumed_response_stays(scripts: Any) -> None:
    """Fact C19: other than that of the request."""
    host = scripts.start(*RESUME_RESPONSE, "rsb get 2 :status")
    host.get("/", upstream=Response(200, body="x"))
    assert scripts.said(host)[-1] == "get 2 :status -> 0 ptr=nz n=3 d=200"


def test_maps_of_later_phases_are_not_there_yet(scripts: Any) -> None:
    """Fact C21."""
    host = scripts.start("rqh get 2 :status", "rqh pairs 2", "rqh get 1 a", "rqh size 3", "rqh add 3 a b")
    host.get("/")
    assert [line.partition(" -> ")[2].split()[0] for line in scripts.said(host)] == ["2", "0", "2", "2", "2"]


def test_trailers_can_be_read_and_changed_in_their_callback(scripts: Any) -> None:
    """Fact C26; the headers cannot."""
    host = scripts.start("rqt get 1 t", "rqt rep 1 t 2", "rqt add 1 u 3", "rqt get 0 :path", "rst rem 3 t")
    exchange = host.post("/", trailers={"t": "1"}, upstream=Response(200, trailers={"t": "1", "v": "4"}))
    assert scripts.said(host)[0] == "get 1 t -> 0 ptr=nz n=1 d=1"
    assert scripts.said(host)[3] == "get 0 :path -> 2 (out untouched)"
    assert exchange.upstream_request.trailers == {"t": "2", "u": "3"}
    assert exchange.response.trailers == {"v": "4"}


def test_trailers_can_be_added_with_the_last_piece_of_a_body(scripts: Any) -> None:
    """Fact C22: not before; their callback does not run."""
    host = scripts.start("rqh add 1 t 0", "rqb$ add 1 t 1", "rsb! add 3 t 0", "rsb$ add 3 t 1")
    exchange = host.post("/", body="x", upstream=Response(200, body="y"))
    assert [line.rpartition(" ")[2] for line in scripts.said(host)] == ["2", "0", "2", "0"]
    assert exchange.upstream_request.trailers == {"t": "1"}
    assert exchange.response.trailers == {"t": "1"}
    assert not [line for line in scripts.seen(host) if "trailers" in line]


def test_buffers_outside_their_phase_are_empty_and_cannot_be_written(scripts: Any) -> None:
    """Fact B22."""
    host = scripts.start("rqh bget 0 0 9", "rqh bset 0 0 0 x", "rqh bget 4 0 9", "rqh bget 9 0 9", "rqh bget 1 0 9")
    host.get("/")
    assert [line.partition(" -> ")[2] for line in scripts.said(host)] == [
        *("0 ptr=0 n=0", "2", "1 (out untouched)", "2 (out untouched)", "0 ptr=0 n=0")
    ]


def test_the_content_length_is_never_adjusted(scripts: Any) -> None:
    """Fact B19: that is the filter's business."""
    host = scripts.start("rqb$ bset 0 0 0 more")
    exchange = host.post("/", body="x")
    assert exchange.upstream_request.headers["content-length"] == "1"
    assert exchange.upstream_request.body == b"xmore"
