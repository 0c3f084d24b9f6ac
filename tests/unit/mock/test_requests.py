"""Whole requests: what filters see, what reaches the upstream, what comes back."""

from __future__ import annotations

from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm import Headers, Request, Response, UsageError

END = ["log", "done", "delete"]


def test_a_get_from_its_beginning_to_its_end(scripts: Any) -> None:
    """Facts B1 and B2: the body's end is a callback of its own."""
    host = scripts.start()
    exchange = host.get("/", upstream=Response(200, body="hello world"))
    assert scripts.seen(host) == [
        "context_create 1",
        "request_headers 6 1",
        "response_headers 3 0",
        "response_body 11 0",
        "response_body 0 1",
        *END,
    ]
    assert (exchange.outcome, exchange.details) == ("complete", "via_upstream")
    assert repr(exchange) == "<Exchange GET / -> 200, complete>"


def test_a_body_is_one_piece_and_its_end_another(scripts: Any) -> None:
    """Fact B3; over HTTP/2 the end comes with the data (fact B4)."""
    host = scripts.start()
    host.post("/", body="hello")
    assert scripts.seen(host)[1:4] == ["request_headers 7 0", "request_body 5 0", "request_body 0 1"]
    host.logs.clear()
    host.post("/", body="hello", http_version="2")
    assert scripts.seen(host)[1:3] == ["request_headers 7 0", "request_body 5 1"]


def test_chunks_are_one_callback_each_and_have_no_length(scripts: Any) -> None:
    """There are no empty ones over HTTP/1.1."""
    host = scripts.start()
    exchange = host.post("/", chunks=["ab", "", "cde"])
    assert scripts.seen(host)[1:5] == [
        "request_headers 6 0",
        "request_body 2 0",
        "request_body 3 0",
        "request_body 0 1",
    ]
    assert exchange.upstream_request.body == b"abcde"
    assert "content-length" not in exchange.upstream_request.headers


def test_with_trailers_the_trailers_are_the_end(scripts: Any) -> None:
    """Fact B6."""
    host = scripts.start()
    exchange = host.post(
        "/", body="1234", trailers={"a": "1", "b": "2"}, upstream=Response(200, body="x", trailers={"t": "3"})
    )
    assert scripts.seen(host)[1:-3] == [
        *("request_headers 6 0", "request_body 4 0", "request_trailers 2"),
        *("response_headers 3 0", "response_body 1 0", "response_trailers 1"),
    ]
    assert exchange.upstream_request.trailers == {"a": "1", "b": "2"}
    assert exchange.response.trailers == {"t": "3"}


@pytest.mark.parametrize(
    ("method", "response"),
    [("GET", Response(204)), ("GET", Response(304)), ("HEAD", Response(200, body="hello")), ("GET", Response(200))],
)
def test_a_response_without_a_body_ends_with_its_headers(method: str, response: Response, scripts: Any) -> None:
    """Fact B5: end of stream is true there."""
    host = scripts.start()
    exchange = host.request(method, "/", upstream=response)
    assert next(line for line in scripts.seen(host) if line.startswith("response")).endswith(" 1")
    assert not [line for line in scripts.seen(host) if line.startswith("response_body")]
    assert exchange.response.body == b""


def test_request_maps_have_envoys_order_and_additions(scripts: Any) -> None:
    """Facts C1 and C4: no host, pseudo headers first, the connection manager's own last."""
    host = scripts.start()
    exchange = host.get("/a?b=c", headers=[("X-One", "1"), ("host", "h.example"), ("x-two", b"\xff")])
    assert exchange.request_before.raw == (
        (b":authority", b"h.example"),
        (b":path", b"/a?b=c"),
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b"x-one", b"1"),
        (b"x-two", b"\xff"),
        (b"x-forwarded-proto", b"http"),
        (b"x-request-id", b"00000000-0000-4000-8000-000000000001"),
    )
    assert exchange.upstream_request.headers.raw[-1] == (b"x-envoy-expected-rq-timeout-ms", b"15000")
    assert host.get("/").request_before["x-request-id"].endswith("-000000000002")


def test_http_2_keeps_the_order_of_pseudo_headers_and_joins_cookies(scripts: Any) -> None:
    """Fact C2."""
    host = scripts.start()
    exchange = host.get(
        "/", headers=[(":path", "/p"), ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")], http_version="2"
    )
    assert exchange.request_before.keys() == [
        *(":path", ":method", ":scheme", ":authority", "x", "cookie", "x-forwarded-proto", "x-request-id")
    ]
    assert exchange.request_before["cookie"] == "a=1; b=2"


def test_response_maps_have_envoys_order_and_additions(scripts: Any) -> None:
    """Facts C3 and C24: date and server come after the filters."""
    host = scripts.start()
    exchange = host.get("/", upstream=Response(201, {"x-a": "1", "server": "mine"}, "hi"))
    assert exchange.response_before.keys() == [
        ":status",
        *("x-a", "server", "content-length", "x-envoy-upstream-service-time"),
    ]
    assert exchange.response.headers == [
        (":status", "201"),
        ("x-a", "1"),
        ("server", "envoy"),
        ("content-length", "2"),
        ("x-envoy-upstream-service-time", "0"),
        ("date", "Wed, 01 Jan 2020 00:00:00 GMT"),
    ]


def test_without_envoys_headers_maps_hold_what_the_test_gave(scripts: Any) -> None:
    """An option of the host."""
    host = scripts.start(envoy_headers=False)
    exchange = host.get("/", upstream=Response(200, {"a": "b"}))
    assert exchange.upstream_request.headers.keys() == [":authority", ":path", ":method", ":scheme"]
    assert exchange.response.headers.keys() == [":status", "a", "content-length"]


def test_what_filters_changed_is_between_the_first_and_the_last(scripts: Any) -> None:
    """Without what Envoy adds on the way."""
    host = scripts.start("rqh add 0 x-new n", "rqh rep 0 :path /other", "rqh rem 0 x-old", "rsh rep 2 :status 418")
    exchange = host.get("/", headers={"x-old": "1"})
    changes = exchange.request_changes
    assert (changes.added, changes.removed) == ({"x-new": ("n",)}, {"x-old": ("1",)})
    assert changes.replaced == {":path": (("/",), ("/other",))}
    assert exchange.response_changes.replaced == {":status": (("200",), ("418",))}
    assert exchange.response.status == 418
    assert exchange.upstream_request.path == "/other"
    assert exchange.upstream_response.status == 200


def test_the_request_is_what_the_client_sent(scripts: Any) -> None:
    """Whatever filters made of it."""
    host = scripts.start("rqh rep 0 :path /other", "rqb bset 0 0 100 new")
    exchange = host.post("/mine", body="old", headers={"a": "b"})
    assert exchange.request == Request("POST", "/mine", {"a": "b"}, "old")
    assert exchange.upstream_request.body.startswith(b"new")


# The upstream.


def test_an_upstream_may_be_a_function_of_the_complete_request(scripts: Any) -> None:
    """It gets what the filters let go."""
    host = scripts.start("rqh add 0 x-user me", "rqb! ret 1", "rqb$ bset 0 0 999 changed")
    got: list[Request] = []

    def upstream(request: Request) -> Response:
        got.append(request)
        return Response(202, {"echo": request.headers["x-user"]}, request.body)

    exchange = host.post("/p", body="body", trailers={}, upstream=upstream)
    assert (exchange.response.status, exchange.response.headers["echo"]) == (202, "me")
    assert [(request.method, request.path, request.body) for request in got] == [("POST", "/p", b"changed")]


@pytest.mark.parametrize(
    ("upstream", "status", "details"),
    [
        (
            pw.ConnectionRefused(),
            503,
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
        ),
        (pw.Reset(), 503, "upstream_reset_before_response_started{connection_termination}"),
        (pw.Timeout(), 504, "response_timeout"),
        (pw.After(20, Response(200)), 504, "response_timeout"),
        (pw.After(14, Response(200)), 200, "via_upstream"),
    ],
)
def test_an_upstream_that_fails_is_answered_by_envoy(upstream: Any, status: int, details: str, scripts: Any) -> None:
    """And the filters see that answer as any other (fact B24)."""
    host = scripts.start()
    exchange = host.get("/", upstream=upstream)
    assert (exchange.response.status, exchange.details, exchange.outcome) == (status, details, "complete")
    assert [line.split()[0] for line in scripts.seen(host) if line.startswith("response_h")] == ["response_headers"]


def test_an_upstream_that_breaks_off_after_its_headers_cuts_the_response(scripts: Any) -> None:
    """The client has a part of it."""
    host = scripts.start()
    exchange = host.get("/", upstream=pw.Reset(after_headers=True))
    assert (exchange.outcome, exchange.response.status) == ("cut", 200)
    assert scripts.seen(host)[-3:] == END


def test_time_passes_only_as_far_as_the_answer(scripts: Any) -> None:
    """Not to the timeout."""
    host = scripts.start()
    before = host.clock.now
    exchange = host.get("/", upstream=pw.After(2.5, Response(200)))
    assert host.clock.now - before == 2.5
    assert exchange.response.headers["x-envoy-upstream-service-time"] == "2500"


# Chains.


def test_requests_go_through_a_chain_and_responses_back(scripts: Any) -> None:
    """Facts Q1 and C25: each sees what the one before made of it."""
    host = scripts.host(
        scripts.filter("rqh add 0 x a", "rsh get 2 y", name="A"),
        scripts.filter("rqh get 0 x", "rsh add 2 y b", name="B"),
    )
    host.logs.clear()
    exchange = host.get("/")
    assert scripts.seen(host) == [
        *("A: context_create 1", "A: request_headers 6 1", "  add 0 x a -> 0"),
        *("B: context_create 2", "B: request_headers 7 1", "  get 0 x -> 0 ptr=nz n=1 d=a"),
        *("B: response_headers 3 1", "  add 2 y b -> 0"),
        *("A: response_headers 4 1", "  get 2 y -> 0 ptr=nz n=1 d=b"),
        *("A: log", "B: log", "A: done", "A: delete", "B: done", "B: delete"),
    ]
    assert exchange.upstream_request.headers["x"] == "a"
    assert exchange.response.headers["y"] == "b"


def test_a_filter_that_buffers_gives_the_next_one_piece(scripts: Any) -> None:
    """Fact Q2."""
    host = scripts.host(scripts.filter("rqb! ret 1", "rqb$ bset 0 0 0 >>", name="A"), scripts.filter(name="B"))
    host.logs.clear()
    exchange = host.post("/", chunks=["12345", "67890"])
    assert [line for line in scripts.seen(host) if "request_body" in line] == [
        *("A: request_body 5 0", "A: request_body 10 0", "A: request_body 10 1", "B: request_body 12 1"),
    ]
    assert exchange.upstream_request.body == b">>1234567890"


def test_equal_filters_share_a_root_context_and_have_a_stream_context_each(scripts: Any) -> None:
    """Fact A7; of another name they are not equal (seen in Envoy 1.40)."""
    one = scripts.filter(name="A")
    host = scripts.host(one, one)
    assert [event.context_id for event in host.trace.callbacks("proxy_on_configure")] == [1]
    other = scripts.host(one, one.replace(name="B"))
    assert [event.context_id for event in other.trace.callbacks("proxy_on_configure")] == [1, 2]
    host.get("/")
    assert [event.context_id for event in host.trace.callbacks("proxy_on_request_headers")] == [2, 3]


def test_filters_of_one_guest_share_a_vm_with_a_root_context_each(scripts: Any) -> None:
    """Facts A3 and A6; another vm_id is another VM, where ids begin again."""
    first, second = scripts.filter(name="A"), scripts.filter("log log 2 x", name="B")
    host = scripts.host(first, second, scripts.filter(name="C", vm_id="other"))
    assert [event.context_id for event in host.trace.callbacks("proxy_on_vm_start")] == [1, 2, 1]
    host.get("/")
    assert [event.context_id for event in host.trace.callbacks("proxy_on_request_headers")] == [3, 4, 2]


# Limits.


def test_a_request_body_over_the_limit_is_413(scripts: Any) -> None:
    """Fact B23: the filter sees that answer."""
    host = scripts.start("rqb ret 1", buffer_limit=10)
    exchange = host.post("/", chunks=["12345", "67890", "!"])
    assert (exchange.response.status, exchange.response.body) == (413, b"Payload Too Large")
    assert exchange.details == "request_payload_too_large"
    assert exchange.response.headers["connection"] == "close"
    assert scripts.seen(host)[-5:] == ["response_headers 3 0", "response_body 17 1", *END]


def test_a_response_body_over_the_limit_cuts_the_response(scripts: Any) -> None:
    """Fact B23: its headers are with the client already."""
    host = scripts.start("rsb ret 1", buffer_limit=10)
    exchange = host.get("/", upstream=Response(200, body="12345678901"))
    assert (exchange.outcome, exchange.details) == ("cut", "response_payload_too_large")
    assert exchange.response.body == b""


# Properties of one request.


def test_properties_of_one_request_end_with_it(scripts: Any) -> None:
    """They win over those of the stream, and leave those of the host."""
    host = scripts.start("rqh prop xds.cluster_name", "rqh prop plugin_name", filter={"name": "mine"})
    host.properties["plugin_name"] = "everywhere"
    host.get("/", properties={"xds.cluster_name": "once", ("plugin_name",): b"here"})
    host.get("/")
    assert [line.rpartition("d=")[2] for line in scripts.said(host)] == ["once", "here", "web", "everywhere"]


@pytest.mark.parametrize("wrong", [{"properties": {"plugin_name": 1, "": 2}}, {"worker": 99}, {"http_version": "3"}])
def test_a_request_that_is_refused_leaves_nothing_behind(wrong: Any, scripts: Any) -> None:
    """No property of it is there for the next one."""
    host = scripts.start("rqh prop plugin_name", filter={"name": "mine"})
    with pytest.raises(UsageError):
        host.get("/", **{"properties": {"plugin_name": "gone"}, **wrong})
    host.get("/")
    assert [line.rpartition("d=")[2] for line in scripts.said(host)] == ["mine"]


def test_workers_take_turns_unless_one_is_chosen(scripts: Any) -> None:
    """Each has its own VM."""
    host = scripts.start(workers=2)
    for worker in (None, None, None, 0):
        host.get("/", worker=worker)
    assert [event.worker for event in host.trace.callbacks("proxy_on_request_headers")] == [0, 1, 0, 0]
    assert len(host.workers) == 2


def test_the_exchange_has_its_own_part_of_logs_and_trace(scripts: Any) -> None:
    """The start is in the host's only."""
    host = scripts.start("rqh log 2 first", "log log 3 last")
    host.get("/one")
    exchange = host.get("/two")
    assert [log.message for log in exchange.logs if log.message in ("first", "last")] == ["first", "last"]
    assert [event.name for event in exchange.trace][:2] == ["proxy_on_context_create", "proxy_on_request_headers"]
    assert len(host.trace.callbacks("proxy_on_configure")) == 1
    assert exchange.trace.callbacks("proxy_on_configure") == []


def test_headers_of_the_exchange_are_values(scripts: Any) -> None:
    """They do not change with the next request."""
    host = scripts.start()
    first = host.get("/1")
    before = first.upstream_request.headers
    host.get("/2")
    assert first.upstream_request.headers == before == Headers(before)
    assert host.exchanges[0] is first
