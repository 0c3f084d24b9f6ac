"""Calls of filters to other services: clusters, their answers, and how they come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm import Callout, Filter, MockHost, Response, UsageError
from pytest_proxywasm.abi.codec import encode_pairs
from pytest_proxywasm.engine import get_engine

HEADERS = [(b":method", b"POST"), (b":path", b"/check"), (b":authority", b"auth.example"), (b"x-a", b"1")]


def escaped(data: bytes) -> str:
    """Bytes in a data segment."""
    return "".join(f"\\{byte:02x}" for byte in data)


def caller(
    *, upstream: bytes = b"aux", headers: Any = HEADERS, body: bytes = b"", trailers: Any = (), timeout: int = 1000
) -> Filter:
    """A guest that makes one call in its request headers and goes on; the status is the action it returns."""
    pairs, extra = encode_pairs(headers) if headers else b"", encode_pairs(trailers) if trailers else b""
    return Filter(
        f"""(module
          (import "env" "proxy_http_call"
            (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
          (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
          (import "env" "proxy_get_buffer_bytes" (func $body (param i32 i32 i32 i32 i32) (result i32)))
          (import "env" "proxy_get_status" (func $status (param i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "{escaped(upstream)}")
          (data (i32.const 256) "{escaped(pairs)}")
          (data (i32.const 1024) "{escaped(body)}")
          (data (i32.const 1536) "{escaped(extra)}")
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "malloc") (param i32) (result i32) (i32.const 4096))
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $call (i32.const 0) (i32.const {len(upstream)}) (i32.const 256) (i32.const {len(pairs)})
              (i32.const 1024) (i32.const {len(body)}) (i32.const 1536) (i32.const {len(extra)})
              (i32.const {timeout}) (i32.const 2048)))
            (i32.const 0))
          (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
            (drop (call $pairs (i32.const 6) (i32.const 3000) (i32.const 3004)))
            (drop (call $pairs (i32.const 7) (i32.const 3000) (i32.const 3004)))
            (drop (call $body (i32.const 4) (i32.const 0) (i32.const 999) (i32.const 3000) (i32.const 3004)))
            (drop (call $status (i32.const 3000) (i32.const 3004) (i32.const 3008)))))""",
        name="caller",
    )


@pytest.fixture
def start() -> Iterator[Any]:
    """Hosts with a caller."""
    made: list[MockHost] = []

    def make(handler: Any = None, **options: Any) -> MockHost:
        made.append(MockHost([caller(**options)], engine=get_engine(), clusters={"aux": handler}))
        return made[-1]

    yield make
    for host in made:
        host.close()


def answer(host: MockHost) -> Any:
    """The callback of the answer."""
    host.clock.advance(60)
    (event,) = host.trace.callbacks("proxy_on_http_call_response")
    return event


def told(host: MockHost) -> tuple[list[int], Any, Any]:
    """The numbers the callback got, the headers and the body it read."""
    event = answer(host)
    headers, _, body, _ = event.hostcalls
    return list(event.args.values()), headers.results["pairs"], body.results.get("value")


def test_a_call_is_recorded_with_everything_it_sent(start: Any) -> None:
    """With what Envoy adds (fact E13)."""
    host = start(Response(200), body=b"{}", trailers=[(b"t", b"1")])
    exchange = host.get("/")
    (callout,) = exchange.callouts
    assert isinstance(callout, Callout)
    assert (callout.kind, callout.cluster, callout.method, callout.path) == ("http", "aux", "POST", "/check")
    assert (callout.body, callout.timeout, callout.filter, callout.context_id, callout.id) == (
        b"{}",
        1.0,
        "caller",
        2,
        4,
    )
    assert callout.trailers == {"t": "1"}
    assert callout.headers.items()[3:] == [
        ("x-a", "1"),
        ("content-length", "2"),
        ("x-envoy-internal", "true"),
        ("x-envoy-expected-rq-timeout-ms", "1000"),
    ]


def test_ids_count_in_fours(start: Any) -> None:
    """Fact E2."""
    host = start(Response(200))
    assert [host.get("/").callouts[0].id for _ in range(3)] == [4, 8, 12]


def test_an_answer_comes_on_the_root_context(start: Any) -> None:
    """Facts E1 and E12."""
    host = start(Response(200, {"a": "b"}, "hello", {"t": "1"}))
    host.get("/")
    numbers, headers, body = told(host)
    assert answer(host).context_id == 1
    assert numbers == [4, 4, 5, 1]
    assert headers == [
        *((b":status", b"200"), (b"a", b"b"), (b"transfer-encoding", b"chunked")),
        (b"x-envoy-upstream-service-time", b"0"),
    ]
    assert body == b"hello"
    assert answer(host).hostcalls[1].results["pairs"] == [(b"t", b"1")]


REFUSED = b"upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"


@pytest.mark.parametrize(
    ("handler", "status", "body"),
    [
        (pw.ConnectionRefused(), b"503", REFUSED),
        (pw.Reset(), b"503", REFUSED.replace(b"remote connection failure", b"connection termination")),
        (pw.Timeout(), b"504", b"upstream request timeout"),
        (pw.After(2, Response(200)), b"504", b"upstream request timeout"),
        (pw.After(0.5, Response(200, body="x")), b"200", b"x"),
        (lambda callout: Response(201, body=callout.path), b"201", b"/check"),
        ([Response(202, body="first"), Response(203)], b"202", b"first"),
    ],
)
def test_each_kind_of_answer(handler: Any, status: bytes, body: bytes, start: Any) -> None:
    """Facts E8 and E9."""
    host = start(handler)
    host.get("/")
    numbers, headers, got = told(host)
    assert headers[0] == (b":status", status)
    assert got == body
    assert numbers[2] == len(body)


def test_a_reset_after_the_headers_leaves_nothing_to_read(start: Any) -> None:
    """Fact E10: the status is BROKEN_CONNECTION."""
    host = start(pw.Reset(after_headers=True))
    host.get("/")
    event = answer(host)
    assert list(event.args.values()) == [4, 0, 0, 0]
    headers, _, body, status = event.hostcalls
    assert (headers.results, body.status) == ({"pairs": []}, pw.Status.NOT_FOUND)
    assert status.results == {"status_code": 11, "message": "reset"}


def test_without_a_timeout_a_call_waits_for_ever(start: Any) -> None:
    """Fact E7."""
    host = start(pw.Timeout(), timeout=0)
    host.get("/")
    host.clock.advance(3600)
    assert host.trace.callbacks("proxy_on_http_call_response") == []
    assert host.callouts[0].timeout is None


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"upstream": b"other"}, "BAD_ARGUMENT"),
        ({"upstream": b""}, "BAD_ARGUMENT"),
        ({"headers": HEADERS[1:]}, "BAD_ARGUMENT"),
        ({"headers": [HEADERS[0], HEADERS[2]]}, "BAD_ARGUMENT"),
        ({"headers": HEADERS[:2]}, "BAD_ARGUMENT"),
        ({"headers": []}, "BAD_ARGUMENT"),
        ({"timeout": 0x80000000}, "BAD_ARGUMENT"),
        ({"timeout": 0x7FFFFFFF}, "OK"),
    ],
)
def test_a_call_that_cannot_be_made_is_a_bad_argument(options: Any, status: str, start: Any) -> None:
    """Fact E6: no callback follows."""
    host = start(Response(200), **options)
    (call,) = host.get("/").trace.hostcalls("proxy_http_call")
    assert call.status.name == status
    assert len(host.callouts) == (status == "OK")


def test_a_cluster_without_hosts_fails_at_once(start: Any) -> None:
    """Fact E11: recorded, without an id and without a callback."""
    host = start(pw.NoHosts())
    (call,) = host.get("/").trace.hostcalls("proxy_http_call")
    assert call.status is pw.Status.INTERNAL_FAILURE
    assert (host.callouts[0].id, host.callouts[0].outcome) == (0, pw.NoHosts())
    host.clock.advance(10)
    assert host.trace.callbacks("proxy_on_http_call_response") == []


def test_the_outcome_says_how_it_was_answered(start: Any) -> None:
    """And is None before."""
    host = start()
    host.get("/")
    assert host.callouts[0].outcome is None
    (pending,) = host.pending_callouts
    assert repr(pending) == "<PendingCallout 4: POST /check to cluster 'aux'>"
    pending.respond(Response(404))
    assert host.callouts[0].outcome == Response(404)
    assert host.pending_callouts == []


def test_a_call_is_answered_once(start: Any) -> None:
    """The message says what it was answered."""
    host = start()
    host.get("/")
    (pending,) = host.pending_callouts
    pending.time_out()
    with pytest.raises(UsageError) as caught:
        pending.respond(Response(200))
    assert str(caught.value) == "callout 4 has been answered before: Timeout()"


def test_a_list_that_is_used_up_names_the_call_too_many(start: Any) -> None:
    """Raised from the request that caused it."""
    host = start([Response(200)])
    host.get("/")
    with pytest.raises(UsageError) as caught:
        host.get("/")
    assert str(caught.value) == "cluster 'aux' has 1 answers, and this is call 2: POST /check"


@pytest.mark.parametrize("handler", [5, "200", lambda callout: None, [5]])
def test_a_handler_must_give_an_answer(handler: Any, start: Any) -> None:
    """The message shows what it gave."""
    host = start(handler)
    with pytest.raises(UsageError) as caught:
        host.get("/")
    assert str(caught.value).startswith("the handler of cluster 'aux' gave ")
    assert "pw.After(seconds, answer)" in str(caught.value)


def test_a_grpc_answer_does_not_fit_an_http_call(start: Any) -> None:
    """A usage error."""
    host = start(pw.GrpcResponse())
    with pytest.raises(UsageError, match="cluster 'aux' answers gRPC, but the filter made an HTTP call: POST "):
        host.get("/")


def test_an_error_in_a_handler_comes_out(start: Any) -> None:
    """Through the guest, unchanged."""

    def handler(callout: Callout) -> Response:
        raise ZeroDivisionError(callout.path)

    host = start(handler)
    with pytest.raises(ZeroDivisionError, match="/check"):
        host.get("/")
