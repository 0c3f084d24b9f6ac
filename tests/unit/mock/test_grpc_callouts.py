"""gRPC calls and streams in the mock host. What the filter is told, in which order, was seen in Envoy 1.40."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm import (
    After,
    Callout,
    ConnectionRefused,
    EnvoyCrashError,
    Filter,
    GrpcResponse,
    Headers,
    MockHost,
    NoHosts,
    Reset,
    Response,
    StreamStalled,
    Timeout,
    UsageError,
)
from pytest_proxywasm.engine import get_engine

PROBE = Path(__file__).resolve().parents[3] / "fixtures" / "probe" / "probe.wasm"
CONNECT_ERROR = "upstream connect error or disconnect/reset before headers. reset reason: "
REFUSED = (
    CONNECT_ERROR + "remote connection failure{upstream_reset_before_response_started"
    "{remote_connection_failure|delayed_connect_error:_Connection_refused}}"
)
RESET = CONNECT_ERROR + "remote reset{upstream_reset_before_response_started{remote_reset}}"
CALL = "rqh gcall grpc svc.S M 300 msg x-md 1"
STREAM = "rqh gstream grpc svc.S M x-md 1"
LOOK = ("gim pairs 4", "grx bget 5 0 100", "gtm pairs 5", "gcl status")


@pytest.fixture(scope="module", params=["wasmtime", "wasmer"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Each engine."""
    if request.param == "wasmer" and sys.version_info >= (3, 11):
        pytest.skip("wasmer has wheels for CPython 3.10 and older only")
    return get_engine(request.param)


class Probe:
    """Hosts with the probe guest, whose configuration is a script: lines ``event operation``."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._hosts: list[MockHost] = []

    def host(self, *script: str, answer: Any = None, **options: Any) -> MockHost:
        """A host whose cluster ``grpc`` answers like this; ends with the test."""
        one = Filter(PROBE.read_bytes(), configuration="\n".join(script).encode())
        host = MockHost([one], engine=self._engine, **{"clusters": {"grpc": answer}, **options})
        self._hosts.append(host)
        return host

    def told(self, *script: str, answer: Any = None, **options: Any) -> list[str]:
        """What the filter is told of its callout in the course of a request."""
        host = self.host(*script, answer=answer, **options)
        host.get("/")
        host.clock.advance(10)
        return seen(host)

    def close(self) -> None:
        """End all hosts."""
        for host in self._hosts:
            host.close()


@pytest.fixture
def probe(engine: Any) -> Iterator[Probe]:
    """Hosts with the probe guest."""
    made = Probe(engine)
    yield made
    made.close()


def seen(host: MockHost) -> list[str]:
    """The gRPC callbacks and what hostcalls said, allocations left out."""
    lines = []
    for log in host.logs:
        line = re.sub(r" \[allocs.*?\]", "", log.message)
        if line.startswith("CB (nested") or re.match(r"CB grpc", line):
            lines.append(line.removeprefix("CB "))
        elif line.startswith("  OP "):
            lines.append(line.removeprefix("  OP "))
    host.logs.clear()
    return lines


class TestCalls:
    """Unary calls: one callback at the end, on the root context."""

    def test_success_is_one_message(self, probe: Probe) -> None:
        """No metadata, no close; the message is readable only there."""
        answer = GrpcResponse(messages=[b"reply"], initial_metadata={"a": "b"}, trailing_metadata={"c": "d"})
        assert probe.told(CALL, *LOOK, "grx pairs 4", "rsh bget 5 0 9", answer=answer) == [
            "gcall grpc svc.S M 300 msg x-md 1 -> 0 token=5",
            "grpc_receive ctx=1 5 5",
            "bget 5 0 100 -> 0 ptr=nz n=5 d=reply",
            "pairs 4 -> 0 ptr=0 n=0",
            "bget 5 0 9 -> 0 ptr=0 n=0",
        ]

    def test_the_message_can_be_overwritten(self, probe: Probe) -> None:
        """Buffer 5 is writable in its callback, as no other buffer of a callout is."""
        told = probe.told(CALL, "grx bset 5 0 0 >", "grx bget 5 0 9", answer=GrpcResponse(messages=[b"x"]))
        assert told[-2:] == ["bset 5 0 0 > -> 0", "bget 5 0 9 -> 0 ptr=nz n=2 d=>x"]

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (
                GrpcResponse(messages=[b"one", b"two!"]),
                ["grpc_receive ctx=1 5 4", "bget 5 0 100 -> 0 ptr=nz n=4 d=two!"],
            ),
            (GrpcResponse(messages=[b""]), ["grpc_receive ctx=1 5 0", "bget 5 0 100 -> 0 ptr=0 n=0"]),
            (GrpcResponse(), ["grpc_close ctx=1 5 13", "status -> 0 ptr=0 n=0 code=13"]),
        ],
    )
    def test_the_last_message_counts_and_none_is_an_error(self, probe: Probe, answer: Any, told: list[str]) -> None:
        """INTERNAL without a text for a success without a message."""
        assert probe.told(CALL, *LOOK, answer=answer)[1:] == told

    @pytest.mark.parametrize(
        ("answer", "code", "text"),
        [
            (GrpcResponse(status=5, message="nf"), 5, "nf{via_upstream}"),
            (GrpcResponse(status=5), 5, "via_upstream"),
            (GrpcResponse(messages=[b"part"], status=5, message="nf"), 5, "nf{via_upstream}"),
            (GrpcResponse(status=5, message="100% é"), 5, "100%25 %C3%A9{via_upstream}"),
            (GrpcResponse(status=99, message="odd"), 4294967295, "odd{via_upstream}"),
            (Response(500), 2, "via_upstream"),
            (Response(503), 14, "via_upstream"),
            (Response(404), 12, "via_upstream"),
            (Response(401), 16, "via_upstream"),
            (Response(503, body=b"oops"), 14, "via_upstream"),
            (Response(500, {"grpc-status": "8", "grpc-message": "gm"}), 8, "gm{via_upstream}"),
            (Response(200, body=b"hello world"), 13, "via_upstream"),
            (Response(200, body=b"\0\0\0\0\0"), 2, "via_upstream"),
            (Response(200, body=b"\0\0\0\0\0", trailers={"x": "y"}), 2, "via_upstream"),
            (Response(200, body=b"\0\0\0\0\0", trailers={"grpc-status": "abc"}), 4294967295, "via_upstream"),
            (ConnectionRefused(), 14, REFUSED),
            (Reset(), 14, RESET),
            (Reset(after_headers=True), 13, "upstream_reset_after_response_started{remote_reset}"),
            (Timeout(), 14, "upstream request timeout{response_timeout}"),
            (After(1, GrpcResponse(messages=[b"late"])), 14, "upstream request timeout{response_timeout}"),
        ],
        ids=str,
    )
    def test_failure_is_a_close_with_code_and_text(self, probe: Probe, answer: Any, code: int, text: str) -> None:
        """Percent-encoded as it was sent; -1 for a status that gRPC does not know."""
        shown = code if code < 100 else -1
        assert probe.told(CALL, *LOOK, answer=answer)[1:] == [
            f"grpc_close ctx=1 5 {code}",
            f"status -> 0 ptr=nz n={len(text)} d={text} code={shown}",
        ]

    def test_a_plain_gRPC_answer_over_http(self, probe: Probe) -> None:  # noqa: N802
        """A Response whose body and trailers are gRPC is one."""
        answer = Response(200, {"content-type": "application/grpc"}, b"\0\0\0\0\2hi", {"grpc-status": "0"})
        assert probe.told(CALL, *LOOK, answer=answer)[1:] == [
            "grpc_receive ctx=1 5 2",
            "bget 5 0 100 -> 0 ptr=nz n=2 d=hi",
        ]

    def test_the_code_stays_and_the_text_goes(self, probe: Probe) -> None:
        """``proxy_get_status`` after the callback."""
        told = probe.told(CALL, "rsh status", "gcl effctx 2", answer=GrpcResponse(status=5, message="nf"))
        assert "status -> 0 ptr=0 n=0 code=5" in told

    def test_a_timeout_after_the_answer_began(self, probe: Probe) -> None:
        """INTERNAL then, and no text but the details."""
        host = probe.host(CALL, *LOOK)
        host.get("/")
        host.pending_callouts[0].send_initial_metadata()
        host.clock.advance(1)
        assert seen(host)[1:] == ["grpc_close ctx=1 5 13", "status -> 0 ptr=nz n=16 d=response_timeout code=13"]

    def test_timeout_0_is_none(self, probe: Probe) -> None:
        """It waits for ever."""
        host = probe.host(CALL.replace("300", "0"))
        host.get("/")
        host.clock.advance(10**6)
        assert host.callouts[0].timeout is None
        assert len(host.pending_callouts) == 1

    def test_a_changed_content_type_changes_envoys_own_answers(self, probe: Probe) -> None:
        """The request does not look like gRPC any more, so Envoy answers with HTTP 504."""
        told = probe.told(CALL + " content-type foo", *LOOK, answer=Timeout())
        assert told[1:] == ["grpc_close ctx=1 5 14", "status -> 0 ptr=nz n=16 d=response_timeout code=14"]

    def test_what_was_called(self, probe: Probe) -> None:
        """The callout as the test sees it."""
        host = probe.host(CALL, answer=GrpcResponse(messages=[b"reply"]))
        exchange = host.get("/")
        (callout,) = host.callouts
        assert exchange.callouts == [callout]
        assert (callout.kind, callout.cluster, callout.path) == ("grpc_call", "grpc", "/svc.S/M")
        assert (callout.body, callout.messages, callout.timeout) == (b"msg", [b"msg"], 0.3)
        assert (callout.id, callout.context_id) == (5, 2)
        assert callout.headers["x-md"] == "1"
        assert callout.outcome == GrpcResponse(messages=[b"reply"])
        assert host.pending_callouts == []

    def test_answers_come_in_the_order_of_the_calls_also_among_http_calls(self, probe: Probe) -> None:
        """Those that take equally long."""
        script = (CALL, "rqh http web 100 '' :method GET :path /a :authority a", CALL.replace("msg", "m2"))
        host = probe.host(*script, clusters={"grpc": GrpcResponse(messages=[b"r"]), "web": Response(200)})
        host.get("/")
        told = [log.message for log in host.logs if re.match(r"CB (grpc|http)", log.message)]
        assert told == ["CB grpc_receive ctx=1 5 1", "CB http_call_response ctx=1 4 3 0 0", "CB grpc_receive ctx=1 9 1"]

    def test_the_filter_resumes_its_stream_from_the_callback(self, probe: Probe) -> None:
        """As with an HTTP call: with the stream's context made effective."""
        script = (CALL, "rqh ret 1", "grx effctx 2", "grx cont 0")
        exchange = probe.host(*script, answer=After(0.1, GrpcResponse(messages=[b"r"]))).get("/")
        assert exchange.response is not None
        assert exchange.response.status == 200


class TestStreams:
    """Streams: initial metadata, messages, trailing metadata, close."""

    def test_an_answer_in_full(self, probe: Probe) -> None:
        """With the maps readable, but not writable, and of no size, each in its callback."""
        answer = GrpcResponse(
            messages=[b"one", b"two"], initial_metadata={"X-Init": "iv"}, trailing_metadata={"x-t": "tv"}
        )
        extra = ("gim get 4 x-init", "gim size 4", "gim add 4 a b", "gim bget 5 0 9", "gcl pairs 5")
        assert probe.told(STREAM, "rqh gsend T msg 0", "rqh gclose T", *LOOK, *extra, answer=answer) == [
            "gstream grpc svc.S M x-md 1 -> 0 token=6",
            "gsend T msg 0 -> 0",
            "gclose T -> 0",
            "grpc_receive_initial_metadata ctx=1 6 4",
            "pairs 4 -> 0 ptr=nz n=120 count=4 {:status=200} {content-type=application/grpc} {x-init=iv} "
            "{x-envoy-upstream-service-time=0}",
            "get 4 x-init -> 0 ptr=nz n=2 d=iv",
            "size 4 -> 2 v=untouched",
            "add 4 a b -> 2",
            "bget 5 0 9 -> 0 ptr=0 n=0",
            "grpc_receive ctx=1 6 3",
            "bget 5 0 100 -> 0 ptr=nz n=3 d=one",
            "grpc_receive ctx=1 6 3",
            "bget 5 0 100 -> 0 ptr=nz n=3 d=two",
            "grpc_receive_trailing_metadata ctx=1 6 2",
            "pairs 5 -> 0 ptr=nz n=41 count=2 {grpc-status=0} {x-t=tv}",
            "grpc_close ctx=1 6 0",
            "status -> 0 ptr=nz n=12 d=via_upstream code=0",
            "pairs 5 -> 0 ptr=0 n=0",
        ]

    def test_no_service_time_before_the_filter_has_closed(self, probe: Probe) -> None:
        """Envoy measures from the end of the request."""
        told = probe.told(STREAM, "rqh gsend T msg 0", *LOOK, answer=GrpcResponse(messages=[b"r"]))
        assert told[3] == "pairs 4 -> 0 ptr=nz n=62 count=2 {:status=200} {content-type=application/grpc}"

    def test_an_error_alone_is_one_header_block(self, probe: Probe) -> None:
        """Then the initial metadata is empty and the trailing metadata has everything."""
        assert probe.told(STREAM, "rqh gclose T", *LOOK, answer=GrpcResponse(status=5, message="nf"))[2:] == [
            "grpc_receive_initial_metadata ctx=1 6 0",
            "pairs 4 -> 0 ptr=0 n=0",
            "grpc_receive_trailing_metadata ctx=1 6 5",
            "pairs 5 -> 0 ptr=nz n=148 count=5 {:status=200} {content-type=application/grpc} {grpc-status=5} "
            "{grpc-message=nf} {x-envoy-upstream-service-time=0}",
            "grpc_close ctx=1 6 5",
            "status -> 0 ptr=nz n=16 d=nf{via_upstream} code=5",
        ]

    @pytest.mark.parametrize(
        ("answer", "trailing", "code", "text"),
        [
            (Response(500), 0, 2, "via_upstream"),
            (Response(503, body=b"oops"), 0, 14, "via_upstream"),
            (Response(500, {"grpc-status": "8"}), 4, 8, "via_upstream"),
            (ConnectionRefused(), 4, 14, REFUSED),
            (Reset(), 4, 14, RESET),
        ],
        ids=str,
    )
    def test_failures_before_the_answer(self, probe: Probe, answer: Any, trailing: int, code: int, text: str) -> None:
        """Empty initial metadata; Envoy's own answers are gRPC."""
        told = probe.told(STREAM, "rqh gsend T msg 1", "gcl status", answer=answer)
        assert told[2:] == [
            "grpc_receive_initial_metadata ctx=1 6 0",
            f"grpc_receive_trailing_metadata ctx=1 6 {trailing}",
            f"grpc_close ctx=1 6 {code}",
            f"status -> 0 ptr=nz n={len(text)} d={text} code={code}",
        ]

    def test_a_reset_in_the_middle(self, probe: Probe) -> None:
        """Empty trailing metadata and INTERNAL."""
        host = probe.host(STREAM, "gcl status")
        host.get("/")
        seen(host)
        pending = host.pending_callouts[0]
        pending.send(b"one")
        pending.reset()
        assert seen(host) == [
            "grpc_receive_initial_metadata ctx=1 6 2",
            "grpc_receive ctx=1 6 3",
            "grpc_receive_trailing_metadata ctx=1 6 0",
            "grpc_close ctx=1 6 13",
            "status -> 0 ptr=nz n=51 d=upstream_reset_after_response_started{remote_reset} code=13",
        ]
        assert host.callouts[0].outcome == Reset(after_headers=True)

    def test_an_answer_waits_for_the_first_message(self, probe: Probe) -> None:
        """A server answers a request, not a connection; closing will do as well."""
        script = ("cfg gstream grpc svc.S M", "rqh gsend 6 hello 0")
        host = probe.host(*script, answer=lambda callout: GrpcResponse(messages=[b"to " + callout.messages[0]]))
        host.clock.advance(5)
        assert not any("CB grpc" in log.message for log in host.logs)
        host.get("/")
        assert "CB grpc_receive ctx=1 6 8" in [log.message for log in host.logs]

    def test_nothing_arrives_after_the_filters_end(self, probe: Probe) -> None:
        """Sending stays OK."""
        host = probe.host(STREAM, "rqh gsend T one 0", "rqh gsend T two 1", "rqh gsend T three 0", "rqh gclose T")
        host.get("/")
        assert all(line.endswith("-> 0") for line in seen(host)[1:])
        assert host.callouts[0].messages == host.pending_callouts[0].sent == [b"one", b"two"]
        assert host.pending_callouts[0].closed


class TestIds:
    """Tokens: which are known, and which kind they are."""

    def test_statuses(self, probe: Probe) -> None:
        """Wrong kind BAD_ARGUMENT, unknown NOT_FOUND; a call cannot be sent on."""
        told = probe.told(
            *(f"rqh {op}" for op in ("gsend 999 x 0", "gclose 999", "gcancel 999", "gsend 998 x 0", "gclose 1000")),
            CALL,
            "rqh gsend 5 x 0",
            "rqh gcancel 5",
            "rqh gcancel 5",
            answer=Timeout(),
        )
        assert told == [
            "gsend 999 x 0 -> 2",
            "gclose 999 -> 2",
            "gcancel 999 -> 2",
            "gsend 998 x 0 -> 1",
            "gclose 1000 -> 2",
            "gcall grpc svc.S M 300 msg x-md 1 -> 0 token=5",
            "gsend 5 x 0 -> 2",
            "gcancel 5 -> 0",
            "gcancel 5 -> 1",
        ]

    def test_ids_count_per_kind(self, probe: Probe) -> None:
        """5, 9, ... and 6, 10, ...; an unknown plain name uses none up, an unknown cluster in a message does."""
        told = probe.told(
            CALL, STREAM, "rqh gcall nope S M 1 x", "rqh gcall %0a%04%0a%02no S M 1 x", CALL, STREAM, answer=Timeout()
        )
        assert [line.partition("-> ")[2] for line in told[:6]] == [
            "0 token=5",
            "0 token=6",
            "4 token=untouched",
            "10 token=untouched",
            "0 token=13",
            "0 token=10",
        ]

    def test_a_streams_id_lives_until_both_sides_have_closed(self, probe: Probe) -> None:
        """Here the cluster closes first; the id is gone with the filter's close."""
        script = (STREAM, "rqh gsend T one 0", "rqh tick 100", "tick tick 0")
        after = ("tick gsend 6 late 0", "tick gclose 6", "tick gclose 6", "tick gcancel 6")
        told = probe.told(*script, *after, answer=GrpcResponse(messages=[b"bye"]))
        assert told[-4:] == ["gsend 6 late 0 -> 0", "gclose 6 -> 0", "gclose 6 -> 1", "gcancel 6 -> 1"]

    def test_in_the_close_callback_the_id_is_still_known(self, probe: Probe) -> None:
        """Of calls and of streams."""
        error = GrpcResponse(status=5)
        assert probe.told(CALL, "gcl gclose 5", "gcl gcancel 5", answer=error)[-2:] == [
            "gclose 5 -> 0",
            "gcancel 5 -> 1",
        ]
        told = probe.told(STREAM, "rqh gclose T", "gcl gsend 6 x 0", "gcl gclose 6", "gcl gclose 6", answer=error)
        assert told[-3:] == ["gsend 6 x 0 -> 0", "gclose 6 -> 0", "gclose 6 -> 1"]

    @pytest.mark.parametrize("event", ["rqh", "gim", "grx"])
    def test_nothing_is_delivered_after_a_cancel(self, probe: Probe, event: str) -> None:
        """Not even what had already arrived."""
        answer = GrpcResponse(messages=[b"one", b"two"])
        host = probe.host(STREAM, "rqh gsend T msg 0", f"{event} gcancel T", answer=answer)
        host.get("/")
        callbacks = [line for line in seen(host) if line.startswith("grpc_")]
        whole = ["grpc_receive_initial_metadata ctx=1 6 2", "grpc_receive ctx=1 6 3"]
        assert callbacks == whole[: ("rqh", "gim", "grx").index(event)]
        assert host.callouts[0].outcome == "cancelled"
        assert host.pending_callouts == []

    def test_closing_a_call_cancels_it(self, probe: Probe) -> None:
        """``proxy_grpc_close`` of a call."""
        assert probe.told(CALL, "rqh gclose T", answer=GrpcResponse(messages=[b"r"]))[1:] == ["gclose T -> 0"]


class TestServices:
    """What goes wrong before anything is sent."""

    def test_an_unknown_cluster(self, probe: Probe) -> None:
        """The close comes right after the running callback, for calls and streams."""
        host = probe.host("rqh gcall %0a%04%0a%02no S M 9 x", "rqh gstream %0a%04%0a%02no S M", "gcl status")
        host.get("/")
        names = [log.message for log in host.logs if re.match(r"(CB|RET) (request|response|grpc)", log.message)][:6]
        assert names == [
            "CB request_headers ctx=2 6 1",
            "RET request_headers = 0",
            "CB grpc_close ctx=1 5 14",
            "RET grpc_close = 0",
            "CB grpc_close ctx=1 6 14",
            "RET grpc_close = 0",
        ]
        assert seen(host)[3] == "status -> 0 ptr=nz n=21 d=Cluster not available code=14"
        assert host.callouts == []

    def test_no_hosts(self, probe: Probe) -> None:
        """A call fails and closes after the callback; a stream's metadata is told inside the hostcall."""
        told = probe.told("rqh gstream grpc S M", "rqh gcall grpc S M 9 x", "gcl status", answer=NoHosts())
        status = "status -> 0 ptr=nz n=40 d=no healthy upstream{no_healthy_upstream} code=14"
        assert [re.sub("token=.*", "", line) for line in told] == [
            "(nested 1) grpc_receive_initial_metadata ctx=1 6 0",
            "(nested 1) grpc_receive_trailing_metadata ctx=1 6 4",
            "gstream grpc S M -> 10 ",
            "gcall grpc S M 9 x -> 10 ",
            "grpc_close ctx=1 6 14",
            status,
            "grpc_close ctx=1 5 14",
            status,
        ]

    def test_no_hosts_after_another_failure_hangs_envoy(self, probe: Probe) -> None:
        """Its worker spins for ever."""
        host = probe.host("rqh gcall grpc S M 9 x", "rqh gstream grpc S M", answer=NoHosts())
        with pytest.raises(EnvoyCrashError, match="the worker never comes back"):
            host.get("/")

    @pytest.mark.parametrize("call", ["gcall '' S M 9 x", "gstream '' S M", "gcall auth_grpc S M 9 x"])
    def test_no_service_crashes_envoy(self, probe: Probe, call: str) -> None:
        """An empty one, and a cluster name that reads as an empty message."""
        host = probe.host(f"rqh {call}", clusters={"auth_grpc": GrpcResponse()})
        with pytest.raises(EnvoyCrashError, match="Envoy") as caught:
            host.get("/")
        assert caught.value.callback == "proxy_on_request_headers"

    def test_answers_to_a_vm_that_is_gone_go_nowhere(self, probe: Probe) -> None:
        """``host.restart()`` drops what the old VM had called."""
        host = probe.host(CALL, "rqh gstream grpc S M", "rqh http grpc 100 '' :method GET :path /a :authority a")
        host.get("/")
        old = host.pending_callouts[0]
        host.restart()
        seen(host)
        host.clock.advance(5)
        assert host.pending_callouts == []
        assert seen(host) == []
        with pytest.raises(
            UsageError, match=r"gRPC call 5 \(/svc.S/M\) is gone: the filter cancelled it, or its VM was"
        ):
            old.respond(GrpcResponse())


class TestByHand:
    """Answers of a test, step by step."""

    def test_a_conversation(self, probe: Probe) -> None:
        """Each step is told at once."""
        host = probe.host(STREAM, "rqh gsend T hi 0", "grx#1 gsend T again 1")
        host.get("/")
        seen(host)
        pending = host.pending_callouts[0]
        assert repr(pending) == "<GrpcPendingCallout 6: /svc.S/M to cluster 'grpc'>"
        assert pending.sent == [b"hi"]
        pending.send_initial_metadata({"a": "b"})
        assert seen(host) == ["grpc_receive_initial_metadata ctx=1 6 3"]
        pending.send("one")
        assert pending.sent == [b"hi", b"again"]
        pending.finish(3, "bad", {"t": "u"})
        assert seen(host) == [
            "grpc_receive ctx=1 6 3",
            "gsend T again 1 -> 0",
            "grpc_receive_trailing_metadata ctx=1 6 3",
            "grpc_close ctx=1 6 3",
        ]
        assert pending.callout.outcome == GrpcResponse(
            messages=[b"one"], status=3, message="bad", initial_metadata={"a": "b"}, trailing_metadata={"t": "u"}
        )

    def test_misuse(self, probe: Probe) -> None:
        """What cannot be, and what to do instead."""
        host = probe.host(STREAM)
        host.get("/")
        pending = host.pending_callouts[0]
        with pytest.raises(UsageError) as caught:
            pending.time_out()
        assert str(caught.value) == "gRPC stream 6 (/svc.S/M) has no timeout; use .reset() or .finish(status=4)"
        with pytest.raises(UsageError) as caught:
            pending.respond(Timeout())  # type: ignore[arg-type]
        assert str(caught.value) == (
            "gRPC stream 6 (/svc.S/M) is answered with a pw.GrpcResponse or a pw.Response, not with Timeout()"
        )
        pending.send_initial_metadata()
        with pytest.raises(UsageError, match="has got its initial metadata before"):
            pending.send_initial_metadata()
        with pytest.raises(UsageError, match="has been answered already; it cannot be refused any more"):
            pending.refuse()
        pending.finish()
        with pytest.raises(UsageError, match=r"gRPC stream 6 \(/svc.S/M\) is over: GrpcResponse\("):
            pending.send(b"x")

    def test_in_any_order_and_after_the_stream(self, probe: Probe) -> None:
        """The request is long over."""
        host = probe.host(CALL, CALL)
        host.get("/")
        seen(host)
        first, second = host.pending_callouts
        second.respond(GrpcResponse(messages=[b"2"]))
        first.time_out()
        assert seen(host) == ["grpc_receive ctx=1 9 1", "grpc_close ctx=1 5 14"]

    def test_a_stall_says_how_to_answer(self, probe: Probe) -> None:
        """With a gRPC answer."""
        host = probe.host(CALL.replace("300", "0"), "rqh ret 1")
        with pytest.raises(StreamStalled) as caught:
            host.get("/")
        assert "POST /svc.S/M to cluster 'grpc'" in str(caught.value)
        assert 'host.cluster("grpc", pw.GrpcResponse(messages=[b"..."]))' in str(caught.value)


class TestScripts:
    """Generators that answer along the way."""

    def test_echo(self, probe: Probe) -> None:
        """``yield`` sends and gives the next message, ``None`` at the end; returning ends the stream."""
        got = []

        def echo(callout: Callout) -> Generator[Any, Any, Any]:
            message = yield Headers({"x-init": callout.path})
            while message is not None:
                got.append(message)
                message = yield b"E:" + message
            return GrpcResponse(status=0, trailing_metadata={"n": str(len(got))})

        told = probe.told(STREAM, "rqh gsend T one 0", "rqh gsend T two 1", "gtm pairs 5", answer=echo)
        assert got == [b"one", b"two"]
        assert told[3:] == [
            "grpc_receive_initial_metadata ctx=1 6 4",
            "grpc_receive ctx=1 6 5",
            "grpc_receive ctx=1 6 5",
            "grpc_receive_trailing_metadata ctx=1 6 2",
            "pairs 5 -> 0 ptr=nz n=38 count=2 {grpc-status=0} {n=2}",
            "grpc_close ctx=1 6 0",
        ]

    def test_a_call_is_a_short_stream(self, probe: Probe) -> None:
        """One message, then the end."""

        def double(callout: Callout) -> Generator[Any, Any, Any]:
            message = yield
            assert (yield message + message) is None

        assert probe.told(CALL, *LOOK, answer=double)[1:] == [
            "grpc_receive ctx=1 5 6",
            "bget 5 0 100 -> 0 ptr=nz n=6 d=msgmsg",
        ]

    def test_a_callable_may_choose_a_script(self, probe: Probe) -> None:
        """By what was sent first."""

        def script() -> Generator[Any, Any, Any]:
            first = yield
            yield [first, b"and more"]

        told = probe.told(STREAM, "rqh gsend T a 0", "rqh gclose T", *LOOK, answer=lambda callout: script())
        assert [line for line in told if line.startswith("bget")] == [
            "bget 5 0 100 -> 0 ptr=nz n=1 d=a",
            "bget 5 0 100 -> 0 ptr=nz n=8 d=and more",
        ]

    def test_a_cancel_ends_the_script(self, probe: Probe) -> None:
        """Where it stands."""
        ended = []

        def wait(callout: Callout) -> Generator[Any, Any, Any]:
            try:
                yield b"hi"
            finally:
                ended.append(callout.outcome)

        probe.told(STREAM, "grx gcancel T", answer=wait)
        assert ended == ["cancelled"]

    @pytest.mark.parametrize(
        ("yielded", "returned", "message"),
        [
            (
                7,
                None,
                "yielded 7; it must yield a message (bytes), a list of messages, pw.Headers as initial metadata, "
                "or None",
            ),
            (b"x", 7, "returned 7; it must return a pw.GrpcResponse, another answer, or None for status 0"),
        ],
    )
    def test_what_a_script_may_give(self, probe: Probe, yielded: Any, returned: Any, message: str) -> None:
        """Texts of the refusals."""

        def script(callout: Callout) -> Generator[Any, Any, Any]:
            yield yielded
            return returned

        host = probe.host(STREAM, "rqh gclose T", answer=script)
        with pytest.raises(UsageError) as caught:
            host.get("/")
        assert str(caught.value) == f"the handler of cluster 'grpc' {message}"

    def test_an_endless_script(self, probe: Probe) -> None:
        """One that does not notice the end."""

        def deaf(callout: Callout) -> Generator[Any, Any, Any]:
            while True:
                yield

        host = probe.host(STREAM, "rqh gclose T", answer=deaf)
        with pytest.raises(
            UsageError, match="does not end: it was resumed 10000 times after the filter had closed its side"
        ):
            host.get("/")

    def test_http_calls_are_not_answered_by_scripts(self, probe: Probe) -> None:
        """A generator is no HTTP answer."""

        def script(callout: Callout) -> Generator[Any, Any, Any]:
            yield b"x"

        host = probe.host("rqh http grpc 100 '' :method GET :path /a :authority a", answer=script)
        with pytest.raises(UsageError, match="the handler of cluster 'grpc' gave <generator"):
            host.get("/")


class TestStart:
    """Callouts made while starting the way Envoy does."""

    def test_the_canarys_callouts_never_leave(self, probe: Probe) -> None:
        """The main thread's and the worker's do; on all three the guest gets an id."""
        script = ("cfg gcall grpc S M 300 x", "cfg http web 300 '' :method GET :path /a :authority a")
        answers = {"grpc": GrpcResponse(messages=[b"r"]), "web": Response(200)}
        host = probe.host(*script, clusters=answers, starts="envoy")
        host.clock.advance(1)
        messages = [log.message for log in host.logs]
        assert sum("gcall" in line and "token=5" in line for line in messages) == 3
        assert sum("http web" in line and "token=4" in line for line in messages) == 3
        assert [callout.kind for callout in host.callouts] == ["grpc_call", "http"] * 2
        assert messages.count("CB grpc_receive ctx=1 5 1") == 2
        assert sum(line.startswith("CB http_call_response ctx=1 4") for line in messages) == 2

    def test_the_main_threads_ticks_come_first(self, probe: Probe) -> None:
        """Workers start a little later, so that an answer to the one's tick may come before the other's tick."""
        script = ("cfg tick 200", "tick tick 0", "tick gcall grpc S M 300 x")
        host = probe.host(*script, answer=After(0.001, GrpcResponse(messages=[b"r"])), starts="envoy")
        host.clock.advance(1)
        order = [log.message.split()[1] for log in host.logs if re.match("CB (tick|grpc)", log.message)]
        assert order == ["tick", "grpc_receive", "tick", "grpc_receive"]
