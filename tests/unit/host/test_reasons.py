"""Every status that is not OK says why: which argument was bad, and what is there instead."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.engine import get_engine

WASM = (Path(__file__).resolve().parents[3] / "fixtures/probe/probe.wasm").read_bytes()
CALL = ":method GET :path / :authority a"


@pytest.fixture
def run() -> Iterator[Any]:
    """Runs one exchange with a script, and gives the hostcalls that are not the probe's own logs."""
    hosts = []

    def start(*lines: str, protocol: str = "http", **options: Any) -> list[pw.Hostcall]:
        filter = pw.Filter(WASM, configuration="\n".join(lines), name="mine")
        host = pw.MockHost([filter], engine=get_engine(), protocol=protocol, **options)
        hosts.append(host)
        if protocol == "http":
            host.post("/a", headers={"x-user-id": "7"}, body="12", trailers={"t": "1"})
        else:
            host.connect().downstream_data("x")
        return [call for call in host.trace.hostcalls() if call.name != "proxy_log" or call.reason]

    yield start
    for host in hosts:
        host.close()


CASES = [
    ("rqh get 0 x-user", "NOT_FOUND", "HTTP_REQUEST_HEADERS has no 'x-user' here; near it: x-user-id"),
    ("rqh get 0 zzz", "NOT_FOUND", "HTTP_REQUEST_HEADERS has no 'zzz' here; it has: :authority, :path, :method, :sch"),
    ("rqh get 9 x", "BAD_ARGUMENT", "argument map: 9 is no MapType: they are 0 (HTTP_REQUEST_HEADERS) to 7 (HTTP_CALL"),
    ("rqh get 2 x", "BAD_ARGUMENT", "HTTP_RESPONSE_HEADERS is not there yet in proxy_on_request_headers: it comes wit"),
    ("rsh get 0 x", "BAD_ARGUMENT", "HTTP_REQUEST_HEADERS is no longer there in proxy_on_response_headers: the filter"),
    ("rqh get 1 x", "BAD_ARGUMENT", "HTTP_REQUEST_TRAILERS is not there in proxy_on_request_headers: there are no tr"),
    ("rqh get 6 x", "BAD_ARGUMENT", "HTTP_CALL_RESPONSE_HEADERS is there only in proxy_on_http_call_response, not in"),
    ("cfg get 0 x", "BAD_ARGUMENT", "HTTP_REQUEST_HEADERS belongs to a stream, and proxy_on_configure runs on a root "),
    ("log add 2 x 1", "BAD_ARGUMENT", "HTTP_RESPONSE_HEADERS cannot be changed in proxy_on_log: the stream is over"),
    ("rqh size 2", "BAD_ARGUMENT", "HTTP_RESPONSE_HEADERS is not there yet in proxy_on_request_headers"),
    ("rqh pairs 2", "OK", "HTTP_RESPONSE_HEADERS is not there yet in proxy_on_request_headers"),
    ("rqh bget 9 0 1", "BAD_ARGUMENT", "argument buffer: 9 is no BufferType: they are 0 (HTTP_REQUEST_BODY) to 8 "),
    (
        "rqh bget 7 0 1",
        "NOT_FOUND",
        "PLUGIN_CONFIGURATION is there only in proxy_on_configure, not in proxy_on_request",
    ),
    (
        "rqh bget 0 0 1",
        "OK",
        "HTTP_REQUEST_BODY is empty in proxy_on_request_headers: data is there in proxy_on_request_b",
    ),
    ("rqb#1 bset 0 1 0 x", "BAD_ARGUMENT", "start=1 lies inside the 2 bytes: Envoy writes at the front (0) or at the "),
    ("rsh bset 0 0 0 x", "BAD_ARGUMENT", "HTTP_REQUEST_BODY can be changed only in proxy_on_request_body, not in "),
    (
        "rqh rawget 0 0xfffffff0 99",
        "INVALID_MEMORY_ACCESS",
        "argument key: 99 bytes at address 0xfffffff0 do not lie in",
    ),
    ("rqh propbad 0xfffffff0 0", "INVALID_MEMORY_ACCESS", "result value: 4 bytes at address 0xfffffff0 do not lie in"),
    ("rqh rawlog 9 0 0", "BAD_ARGUMENT", "argument log_level: 9 is no LogLevel: they are 0 (TRACE) to 5 (CRITICAL)"),
    ("rqh prop requst.path", "NOT_FOUND", "the property 'requst.path': there is no 'requst'; near it: request"),
    ("rqh prop request.pth", "NOT_FOUND", "the property 'request.pth': 'request' has no 'pth'; near it: path"),
    ("rqh prop response.code", "NOT_FOUND", "the property 'response.code' has no value (yet) in proxy_on_request_he"),
    (
        "rqh prop request",
        "SERIALIZATION_FAILURE",
        "the property 'request' is a group without a value of its own; in it:",
    ),
    ("cfg prop request.path", "NOT_FOUND", "the property 'request.path' belongs to a stream; a root context has none"),
    ("cfg setprop a b", "NOT_FOUND", "a root context has no stream to store a property with"),
    ("rqh http aux 9 '' " + CALL, "BAD_ARGUMENT", "the cluster 'aux' does not exist; near it: aux2. In the test: host"),
    (
        "rqh http aux2 9 '' :method GET :path /",
        "BAD_ARGUMENT",
        "headers lack :authority: a callout needs :method, :pat",
    ),
    ("rqh http aux2 -1 '' " + CALL, "BAD_ARGUMENT", "timeout=4294967295: more than 2147483647 ms; a negative num"),
    ("rqh http none 9 '' " + CALL, "INTERNAL_FAILURE", "the cluster 'none' has no hosts (pw.NoHosts())"),
    ("rqh gcall nope s.S M 9 x", "PARSE_FAILURE", "the cluster 'nope' does not exist"),
    ("rqh gsend 6 x 1", "NOT_FOUND", "no open gRPC call or stream of this kind has the id 6; open ones: none"),
    ("rqh sdget quota", "NOT_FOUND", "no shared data 'quota' under the empty vm_id; near it: quotas"),
    ("rqh sdset quotas 1 99", "CAS_MISMATCH", "the value of 'quotas' has been set since it was read: cas=99 was given"),
    ("rqh qres '' jobs", "NOT_FOUND", "nobody has registered a queue 'jobs' under vm_id ''; near it: job"),
    ("rqh qenq 9 x", "NOT_FOUND", "no queue has the id 9; there are: 1"),
    (
        "rqh minc 99 1",
        "BAD_ARGUMENT",
        "metric 99 is a histogram: it takes samples (proxy_record_metric), no increments",
    ),
    ("rqh minc 4 -1", "BAD_ARGUMENT", "delta=-1: metric 4 is a counter, which takes deltas of 1 and more only"),
    ("rqh minc 8 1", "NOT_FOUND", "no metric has the id 8; this VM has defined: 4"),
    ("rqh mget 6", "BAD_ARGUMENT", "metric 6 is a histogram, which has no value to read"),
    ("rqh mdef 7 x", "BAD_ARGUMENT", "metric_type=7: 0 (COUNTER), 1 (GAUGE), 2 (HISTOGRAM)"),
    ("rqh effctx 77", "BAD_ARGUMENT", "context_id=77: there is no such context (any more); there are: 0, 1, 2"),
    ("rqh pdone", "NOT_FOUND", "no proxy_on_done of this root context has returned 0 and waits"),
    ("rqh foreign compres x", "NOT_FOUND", "no foreign function 'compres'; near it: compress"),
    ("rqh foreign uncompress x", "SERIALIZATION_FAILURE", "the zlib stream is cut off"),
    ("rqh foreign expr_delete x", "BAD_ARGUMENT", "the argument is no token: 4 bytes, as expr_create gave it"),
    (
        "rqh cont 9",
        "BAD_ARGUMENT",
        "argument stream_type: 9 is no StreamType: they are 0 (HTTP_REQUEST) to 3 (UPSTREAM)",
    ),
    (
        "cfg cont 0",
        "OK",
        "nothing is resumed: it was called on a context without such a stream; choose a stream's with",
    ),
    ("cfg local 403 '' '' -1", "OK", "nobody is answered: it was called on a context without such a stream"),
]
BEFORE = ("cfg qreg job", "cfg sdset quotas 1 0", "cfg mdef 0 m")


@pytest.mark.parametrize(("line", "status", "reason"), CASES, ids=[case[0] for case in CASES])
def test_the_reason_names_the_bad_argument_and_what_is_there(line: str, status: str, reason: str, run: Any) -> None:
    """It is decided where the status is decided."""
    clusters = {"aux2": pw.Response(200), "none": pw.NoHosts()}
    calls = [call for call in run(*BEFORE, line, clusters=clusters) if call.reason]
    assert calls, "no hostcall has a reason"
    assert (calls[0].status.name, calls[0].reason[: len(reason)]) == (status, reason)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("down get 0 x", "HTTP_REQUEST_HEADERS belongs to HTTP, and this context is a TCP connection"),
        ("down prop request.protocol", "the property 'request.protocol' belongs to HTTP, this is a TCP connection"),
        ("down close 0", "nothing is closed: it was called on a context without such a stream"),
    ],
)
def test_tcp_connections_have_reasons_of_their_own(line: str, reason: str, run: Any) -> None:
    """No HTTP there."""
    calls = [call for call in run(line, protocol="tcp") if call.reason]
    assert calls[0].reason.startswith(reason)


def test_a_call_that_went_well_has_none(run: Any) -> None:
    """Also when one before it failed."""
    calls = run("rqh get 0 nope", "rqh get 0 :path", "rqh get 0 nope2")
    headers = [call for call in calls if call.name == "proxy_get_header_map_value"]
    assert [bool(call.reason) for call in headers] == [True, False, True]


def test_a_reason_is_about_the_moment_of_the_call(run: Any) -> None:
    """Later changes of the map do not show; no value ever does."""
    call = next(call for call in run("rqh get 0 x-late", "rqh add 0 x-late secret") if call.reason)
    assert "near it" not in call.reason
    assert "secret" not in call.reason
    assert pickle.loads(pickle.dumps(call)).reason == call.reason


def test_restricted_capabilities_and_injected_statuses_say_so(run: Any) -> None:
    """Those are the test's doing."""
    filter = pw.Filter(WASM, configuration="rqh get 0 x", allowed_capabilities=["proxy_log", "proxy_on_configure"])
    with pw.MockHost([filter], engine=get_engine()) as host:
        denied = host.trace.hostcalls("proxy_get_buffer_bytes")
        assert denied[0].reason == "proxy_get_buffer_bytes is not among the filter's allowed_capabilities"


def test_the_text_of_a_trace_shows_reasons_on_request_only(run: Any) -> None:
    """Snapshots and comparisons with other hosts stay as they were."""
    with pw.MockHost([pw.Filter(WASM, configuration="rqh get 0 x-user")], engine=get_engine()) as host:
        trace = host.get("/").trace
    assert "^" not in trace.text()
    assert "-> NOT_FOUND\n        ^ HTTP_REQUEST_HEADERS has no 'x-user' here; it has: :authority" in trace.text(
        reasons=True
    )
