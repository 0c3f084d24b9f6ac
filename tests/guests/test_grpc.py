"""A filter that makes gRPC calls, of every SDK that has them: filter=grpc."""

from __future__ import annotations

import pytest

import pytest_proxywasm as pw

from .conftest import Gallery, toolchains

WITHOUT = ("go", "assemblyscript")
"""SDKs that cannot make gRPC calls."""

with_grpc = pytest.mark.parametrize("sdk", [sdk for sdk in toolchains.SDKS if sdk not in WITHOUT], indirect=True)
LINES = ("filter=grpc", "cluster=auth")


@with_grpc
class TestGrpc:
    """filter=grpc"""

    def test_a_message_lets_the_request_go_on(self, start: Gallery) -> None:
        host = start(*LINES, clusters={"auth": pw.GrpcResponse(messages=(b"welcome",))})
        exchange = host.get("/who?x=1")
        assert exchange.upstream_request is not None
        assert exchange.upstream_request.headers["x-grpc"] == "welcome"
        call = exchange.callouts[0]
        assert (call.kind, call.cluster, call.path) == ("grpc_call", "auth", "/gallery.Auth/Check")
        assert (call.body, call.timeout) == (b"/who?x=1", 0.5)

    def test_the_answer_can_depend_on_the_message(self, start: Gallery) -> None:
        def auth(call: pw.Callout) -> pw.GrpcResponse:
            return pw.GrpcResponse(messages=(call.body.upper(),)) if call.body != b"/no" else pw.GrpcResponse(status=7)

        host = start(*LINES, clusters={"auth": auth})
        exchange = host.get("/yes")
        assert exchange.upstream_request is not None
        assert exchange.upstream_request.headers["x-grpc"] == "/YES"
        assert host.get("/no").local_response is not None

    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            pytest.param(pw.GrpcResponse(status=7, message="not you"), 7, id="status"),
            pytest.param(pw.GrpcResponse(messages=(b"lost",), status=16), 16, id="status after a message"),
            pytest.param(pw.Response(500), 2, id="no gRPC"),
            pytest.param(pw.ConnectionRefused(), 14, id="refused"),
            pytest.param(pw.Reset(), 14, id="reset"),
        ],
    )
    def test_an_error_is_answered_with_its_status(self, start: Gallery, answer: object, status: int) -> None:
        exchange = start(*LINES, clusters={"auth": answer}).get("/")
        assert exchange.upstream_request is None
        assert exchange.local_response is not None
        assert (exchange.local_response.status, exchange.local_response.text) == (503, f"grpc {status}\n")

    def test_no_answer_in_time_is_an_error(self, start: Gallery) -> None:
        host = start(*LINES, clusters={"auth": pw.Timeout()})
        before = host.clock.now
        exchange = host.get("/")
        assert exchange.local_response is not None
        assert exchange.local_response.text == "grpc 14\n"
        assert host.clock.now - before == pytest.approx(0.5)

    def test_an_answer_may_take_its_time(self, start: Gallery) -> None:
        host = start(*LINES, clusters={"auth": pw.After(0.499, pw.GrpcResponse(messages=(b"late",)))})
        exchange = host.get("/")
        assert exchange.upstream_request is not None
        assert exchange.upstream_request.headers["x-grpc"] == "late"

    def test_an_unknown_cluster_is_refused_at_once(self, start: Gallery) -> None:
        exchange = start(*LINES).get("/")
        assert exchange.local_response is not None
        assert (exchange.local_response.status, exchange.local_response.text) == (503, "grpc refused\n")
        assert exchange.callouts == []

    def test_answers_come_in_any_order(self, start: Gallery) -> None:
        host = start(*LINES, clusters={"auth": None})
        streams = [host.stream(upstream=pw.Response(200)) for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.request_headers({":path": f"/{number}"}, end_of_stream=True)
        first, second = host.pending_callouts
        second.respond(pw.GrpcResponse(messages=(b"b",)))
        first.respond(pw.GrpcResponse(messages=(b"a",)))
        requests = [stream.exchange.upstream_request for stream in streams]
        assert [request.headers["x-grpc"] for request in requests if request is not None] == ["a", "b"]

    def test_an_answer_after_the_client_has_gone_is_of_no_use(self, start: Gallery) -> None:
        host = start(*LINES, clusters={"auth": None})
        for answer in (pw.GrpcResponse(messages=(b"late",)), pw.GrpcResponse(status=13)):
            stream = host.stream()
            stream.request_headers({":path": "/"}, end_of_stream=True)
            stream.reset()
            (call,) = host.pending_callouts
            call.respond(answer)
            assert stream.exchange.upstream_request is None
            assert stream.exchange.local_response is None


@pytest.mark.parametrize("sdk", WITHOUT, indirect=True)
def test_an_sdk_without_grpc_says_so(start: Gallery) -> None:
    with pytest.raises(pw.FilterStartError, match="bad configuration: filter=grpc"):
        start(*LINES, clusters={"auth": None})
