"""A real Envoy behind the surface of the mock host."""

from __future__ import annotations

import time
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.toolkit import Toolkit

from .conftest import Start, probe

HTTP = ("1.1", "2")


def sizes(exchange: pw.Exchange, name: str) -> list[tuple[int, bool]]:
    """Size and end of each body callback."""
    return [(event.args["body_size"], event.args["end_of_stream"]) for event in exchange.trace.callbacks(name)]


@pytest.mark.parametrize("version", HTTP)
def test_a_whole_exchange(start: Start, version: str) -> None:
    host = start("rqh add 0 x-added 1\nrsh add 2 x-answered 2\nrqb bget 0 0 10")
    exchange = host.post(
        "/orders?x=1",
        headers=[("x-a", b"\xff"), ("x-a", "2")],
        chunks=[b"one ", b"two"],
        trailers={"x-t": "3"},
        authority="shop.test",
        http_version=version,
        upstream=pw.Response(201, {"x-up": "yes"}, chunks=[b"a", b"bc"], trailers={"x-end": "4"}),
    )
    assert exchange.outcome == "complete"
    assert exchange.details == "via_upstream"
    upstream, response = exchange.upstream_request, exchange.response
    assert upstream is not None
    assert response is not None
    assert (upstream.method, upstream.path, upstream.authority) == ("POST", "/orders?x=1", "shop.test")
    assert upstream.headers.get_all("x-a") == ["\udcff", "2"]
    assert upstream.headers["x-added"] == "1"
    assert (upstream.body, upstream.trailers["x-t"]) == (b"one two", "3")
    assert (response.status, response.body, response.trailers["x-end"]) == (201, b"abc", "4")
    assert response.headers["x-answered"] == "2"
    assert exchange.request_changes.added == {"x-added": ("1",)}
    assert exchange.response_changes.added == {"x-answered": ("2",)}
    assert exchange.local_response is None
    assert exchange.upstream_response is not None
    assert exchange.upstream_response.status == 201
    assert [log.message for log in exchange.logs if "OP bget" in log.message]


@pytest.mark.parametrize("version", HTTP)
def test_chunks_are_kept_apart(start: Start, version: str) -> None:
    """Each is written when the worker has taken in the one before."""
    answer = pw.Response(200, chunks=[b"abc", b"d", b"efgh"])
    exchange = start().post("/", chunks=[b"1", b"22", b"333"], http_version=version, upstream=answer)
    request = (
        [(1, False), (2, False), (3, False), (0, True)] if version == "1.1" else [(1, False), (2, False), (3, True)]
    )
    assert sizes(exchange, "proxy_on_request_body") == request
    assert sizes(exchange, "proxy_on_response_body") == [(3, False), (1, False), (4, False), (0, True)]


def test_the_trace_has_callbacks_and_hostcalls(start: Start) -> None:
    trace = start("rqh get 0 x-none").get("/").trace
    call = trace.hostcalls("proxy_get_header_map_value")[0]
    assert dict(call.args) == {"map": pw.MapType.HTTP_REQUEST_HEADERS, "key": "x-none"}
    assert call.status is pw.Status.NOT_FOUND
    assert call.callback is not None
    assert call.callback.name == "proxy_on_request_headers"
    assert [event.context_id for event in trace.callbacks("proxy_on_request_headers")] == [2]


def test_a_local_response(start: Start) -> None:
    exchange = start("rqh local 403 teapot denied 16 x-why because").get("/")
    reply = exchange.local_response
    assert reply is not None
    assert (reply.status, reply.body, reply.details, reply.grpc_status) == (403, b"denied", "teapot", 16)
    assert reply.headers == {"x-why": "because"}
    assert exchange.upstream_request is None


@pytest.mark.parametrize(
    ("upstream", "outcome", "status", "details"),
    [
        (pw.Reset(), "complete", 503, "upstream_reset_before_response_started{connection_termination}"),
        (pw.Reset(after_headers=True), "cut", 200, "upstream_reset_after_response_started{protocol_error}"),
        (
            pw.ConnectionRefused(),
            "complete",
            503,
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
        ),
        (pw.After(0.05, pw.Response(204)), "complete", 204, "via_upstream"),
        (lambda request: pw.Response(200, body=request.path), "complete", 200, "via_upstream"),
    ],
    ids=["reset", "reset after headers", "refused", "later", "callable"],
)
def test_the_upstream_does_what_the_test_says(
    start: Start, upstream: Any, outcome: str, status: int, details: str
) -> None:
    host = start()
    exchange = host.get("/p", upstream=upstream)
    assert exchange.response is not None
    assert (exchange.outcome, exchange.response.status, exchange.details) == (outcome, status, details)
    assert host.get("/p").outcome == "complete"


def test_what_a_callable_raises_reaches_the_test(start: Start) -> None:
    def upstream(request: pw.Request) -> pw.Response:
        assert request.path == "/other"
        return pw.Response()

    with pytest.raises(AssertionError):
        start().get("/", upstream=upstream)


def test_clusters_are_servers(start: Start) -> None:
    script = (
        "rqh http {} 1000 '' :method GET :path /c :authority a\nrqh ret 1\nhttp pairs 6\nhttp effctx 2\nhttp cont 0"
    )
    host = start(script.format("later"), clusters={"first": pw.Response(200)})
    host.cluster("later", [pw.Response(418, {"x-tea": "pot"})])
    exchange = host.get("/")
    (call,) = exchange.callouts
    assert (call.kind, call.cluster, call.method, call.path, call.timeout) == ("http", "later", "GET", "/c", 1.0)
    assert any("418" in log.message and "x-tea" in log.message for log in exchange.logs)
    assert host.callouts == [call]


@pytest.mark.parametrize("answer", [pw.ConnectionRefused(), pw.NoHosts()])
def test_clusters_that_do_not_answer(start: Start, answer: Any) -> None:
    host = start("rqh http dead 1000 '' :method GET :path /c :authority a\nhttp pairs 6", clusters={"dead": answer})
    exchange = host.get("/")
    status = exchange.trace.hostcalls("proxy_http_call")[0].status
    assert status is (pw.Status.OK if answer == pw.ConnectionRefused() else pw.Status.INTERNAL_FAILURE)


def test_grpc(start: Start) -> None:
    host = start(
        "rqh gcall auth svc.S Ok 1000 hello\nrqh ret 1\ngrx bget 5 0 100\ngrx effctx 2\ngrx cont 0",
        clusters={"auth": pw.GrpcResponse(messages=(b"welcome",))},
    )
    exchange = host.get("/")
    (call,) = exchange.callouts
    assert (call.kind, call.path, call.messages) == ("grpc_call", "/svc.S/Ok", [b"hello"])
    assert any("welcome" in log.message for log in exchange.logs)


def test_metrics(start: Start) -> None:
    lines = ["mdef 0 c", "minc 4 5", "mdef 1 g", "mrec 5 7", "mdef 2 h", "mrec 6 3"]
    host = start("\n".join(f"rqh {line}" for line in lines))
    host.get("/")
    assert host.metrics["c"] == pw.model.Metric("counter", 5)  # type: ignore[attr-defined]
    assert (host.metrics["g"].kind, host.metrics["g"].value) == ("gauge", 7)
    deadline = time.monotonic() + 30
    while host.metrics["h"].value == 0 and time.monotonic() < deadline:
        time.sleep(0.01)  # Envoy merges the histograms of its workers a little later
    assert (host.metrics["h"].kind, host.metrics["h"].value) == ("histogram", 1)
    with pytest.raises(KeyError, match="no metric 'x'; there are: c, g, h"):
        host.metrics["x"]


def test_a_trap_has_envoys_words(start: Start) -> None:
    host = start("rqh trap")
    with pytest.raises(pw.GuestTrap) as caught:
        host.get("/")
    assert caught.value.kind == "unreachable"
    assert caught.value.callback == "proxy_on_request_headers"
    assert "Uncaught RuntimeError: unreachable" in str(caught.value)
    assert caught.value.exchange.response.status == 503


def test_a_trap_may_go_on(start: Start) -> None:
    host = start("rqh trap", on_trap="continue", failure_policy="fail_open")
    first = host.get("/")
    assert [type(error) for error in first.errors] == [pw.GuestTrap]
    assert (first.response, host.get("/").response) != (None, None)
    assert host.exchanges[-1].errors == []


def test_a_stalled_stream_is_given_up(start: Start) -> None:
    host = start("rqh#1 ret 1")
    with pytest.raises(pw.StreamStalled, match="GET / stalled in a real Envoy: proxy_on_request_headers paused it"):
        host.get("/")
    assert host.exchanges[0].outcome == "reset"


def test_a_crash_of_envoy_is_an_error(start: Start) -> None:
    host = start("rqh cont 1")
    with pytest.raises(pw.EnvoyCrashError, match=r"Envoy has ended \(exit status -\d+\)"):
        host.get("/")
    with pytest.raises(pw.EnvoyCrashError):
        host.get("/")


def test_a_filter_that_refuses_to_start(in_envoy: Toolkit) -> None:
    with pytest.raises(pw.FilterStartError) as caught:
        in_envoy.host(probe("cfg ret 0"))
    assert "Envoy does not start with this filter. Its own words:" in str(caught.value)
    assert "Failed to configure base Wasm plugin" in str(caught.value)
    assert "proxy_on_configure" in caught.value.trace.text()


def test_what_envoy_cannot_do_is_refused_by_name(start: Start) -> None:
    host: Any = start()
    for use, words in (
        (lambda: host.clock, "host.clock is not there with --proxywasm-host=envoy: time is real"),
        (lambda: host.stream(), "host.stream is not there"),
        (lambda: host.shared_data, "host.shared_data is not there"),
        (lambda: host.get("/", properties={"a": 1}), "host.properties is not there"),
        (lambda: host.get("/", worker=1), "host.workers is not there"),
        (lambda: start(seed=1), "seed= is not there"),
        (lambda: start(workers=2), "workers= is not there"),
    ):
        with pytest.raises(pw.UsageError, match=words):
            use()
    with pytest.raises(pw.UsageError, match=r"over HTTP/1\.1 without TLS the scheme is http"):
        host.get("/", scheme="https")


def test_a_closed_host_is_not_used(start: Start) -> None:
    host = start()
    host.get("/")
    host.close()
    assert host.closed
    assert len(host.trace) > 0
    with pytest.raises(pw.UsageError, match="this host is closed"):
        host.get("/")


def test_tcp(start: Start) -> None:
    host = start("new log 2 hello", protocol="tcp")
    stream = host.connect()
    assert stream.downstream_data(b"ping") == pw.Action.CONTINUE
    assert stream.sent_upstream == b"ping"
    assert stream.upstream_data(b"pong", end_of_stream=True) == pw.Action.CONTINUE
    assert (stream.sent_downstream, stream.downstream_complete) == (b"pong", True)
    stream.close()
    assert (stream.finished, stream.closed_by, stream.upstream_complete) == (True, "upstream", True)
    assert [event.name for event in stream.trace.callbacks("proxy_on_done")] == ["proxy_on_done"]
