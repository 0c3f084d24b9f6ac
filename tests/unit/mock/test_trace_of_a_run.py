"""The trace of whole runs: exact text, the same in every run, on every engine, with every Python."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm import Filter, Response
from pytest_proxywasm.abi.enums import MapType
from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.mock import MockHost

PROBE = (Path(__file__).resolve().parents[3] / "fixtures" / "probe" / "probe.wasm").read_bytes()
QUIET = ["proxy_log", "proxy_get_buffer_bytes"]
EVERYTHING = (
    "rqh get 0 :path",
    "rqh get 0 nothing",
    "rqh add 0 x-bytes %ff%fe",
    "rqh setprop my.key value",
    "rqh prop request.headers.x-bytes",
    "rqh sdset key value 0",
    "rqh sdget key",
    "rqh mdef 0 requests",
    "rqh minc 4 1",
    "rqh qreg jobs",
    "rqh http aux 1000 body :method GET :path / :authority a",
    "rqh w_clock 0",
    "rqh w_write 2 oops%0a",
    "rqb! ret 1",
    "rqb$ bget 0 0 99",
    "rsh setpairs 2 :status 201 a b",
    "log status",
)
TEXT = r"""proxy-wasm trace 1
> proxy_on_context_create context=2 parent_context_id=1
< done
> proxy_on_request_headers context=2 num_headers=7 end_of_stream=false
    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key=":path" -> OK value="/p"
    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key="nothing" -> NOT_FOUND
    proxy_add_header_map_value map=HTTP_REQUEST_HEADERS key="x-bytes" value="\xff\xfe" -> OK
    proxy_set_property path=["my.key"] value="value" -> OK
    proxy_get_property path=["request", "headers", "x-bytes"] -> OK value="\xff\xfe"
    proxy_set_shared_data key="key" value="value" cas=0 -> OK
    proxy_get_shared_data key="key" -> OK value="value" cas=1
    proxy_define_metric metric_type=COUNTER name="requests" -> OK metric_id=4
    proxy_increment_metric metric_id=4 delta=1 -> OK
    proxy_register_shared_queue queue_name="jobs" -> OK queue_id=1
    proxy_http_call upstream="aux" headers=[(":method", "GET"), (":path", "/"), (":authority", "a")] body="body" trailers=[] timeout=1000 -> OK call_id=4
    fd_write fd=2 data="oops\n" -> SUCCESS
< CONTINUE
> proxy_on_request_body context=2 body_size=2 end_of_stream=false
< PAUSE
> proxy_on_request_body context=2 body_size=2 end_of_stream=true
< CONTINUE
> proxy_on_http_call_response context=1 call_id=4 num_headers=3 body_size=2 num_trailers=0
< done
> proxy_on_response_headers context=2 num_headers=3 end_of_stream=true
    proxy_set_header_map_pairs map=HTTP_RESPONSE_HEADERS pairs=[(":status", "201"), ("a", "b")] -> OK
< CONTINUE
> proxy_on_log context=2
    proxy_get_status -> OK status_code=0 message=""
< done
> proxy_on_done context=2
< true
> proxy_on_delete context=2
< done
"""  # noqa: E501


def run(engine: Any, *script: str, **options: Any) -> Any:
    """An exchange and its host."""
    one = Filter(PROBE, configuration="\n".join(script).encode())
    with MockHost([one], engine=engine, clusters={"aux": Response(200, body="hi")}, **options) as host:
        return host.post("/p", body="12")


def test_the_trace_of_an_exchange_reads_like_this(engine: Any) -> None:
    """Every kind of argument and result."""
    assert run(engine, *EVERYTHING).trace.text(exclude=QUIET) == TEXT


def test_the_same_run_gives_the_same_trace() -> None:
    """Ids, times, random bytes: all of it."""
    script = (*EVERYTHING, "rqh time", "rqh w_random 8", "rqh prop request.id", "rqh prop request.time")
    engine = get_engine()
    first, second = run(engine, *script), run(engine, *script)
    assert first.trace.text(wasi=True) == second.trace.text(wasi=True)
    assert first.trace == second.trace
    assert first.trace.diff(second.trace) == ""


def test_both_engines_give_the_same_trace() -> None:
    """To the letter."""
    if sys.version_info >= (3, 11):
        pytest.skip("wasmer has wheels for CPython 3.10 and older only")
    script = (*EVERYTHING, "rqh w_random 8")
    one, other = (run(get_engine(name), *script).trace for name in ("wasmtime", "wasmer"))
    assert one.diff(other) == ""
    assert one.text(wasi=True) == other.text(wasi=True)


def test_another_seed_gives_other_random_bytes_only() -> None:
    """Everything else stays."""
    texts = [run(get_engine(), "rqh w_random 8", seed=seed).trace.text(exclude=["proxy_log"]) for seed in (0, 1)]
    assert texts[0] == texts[1]
    logs = [
        [log.raw for log in run(get_engine(), "rqh w_random 8", seed=seed).logs if b"w_random" in log.raw]
        for seed in (0, 0, 1)
    ]
    assert logs[0] == logs[1] != logs[2]


def test_a_trace_finds_what_happened() -> None:
    """In order, with arguments and results."""
    trace = run(get_engine(), *EVERYTHING).trace
    assert trace.contains(
        [
            "proxy_on_request_headers",
            ("proxy_get_header_map_value", {"map": MapType.HTTP_REQUEST_HEADERS, "key": ":path", "value": b"/p"}),
            ("proxy_http_call", {"upstream": "aux", "call_id": 4}),
            ("proxy_on_request_body", {"end_of_stream": True, "body_size": 2}),
            "proxy_on_delete",
        ]
    )
    assert not trace.contains(["proxy_on_log", "proxy_on_request_headers"])
    (call,) = trace.hostcalls("proxy_http_call")
    assert (call.args["upstream"], call.results["call_id"]) == ("aux", 4)
    assert call.callback.name == "proxy_on_request_headers"
    assert trace.callbacks("proxy_on_request_body")[0].action.name == "PAUSE"


def test_without_a_trace_nothing_is_kept_but_the_result_is_the_same() -> None:
    """An option of the host, for speed."""
    exchange = run(get_engine(), *EVERYTHING, trace=False)
    assert len(exchange.trace) == 0
    assert exchange.response.status == 201
    assert exchange.logs
    assert [callout.cluster for callout in exchange.callouts] == ["aux"]


def test_several_workers_are_named() -> None:
    """At the beginning of each callback."""
    one = Filter(PROBE, name="mine")
    with MockHost([one], engine=get_engine(), workers=2) as host:
        lines = host.get("/", worker=1).trace.text(exclude=QUIET).splitlines()
    assert lines[1] == "> [mine worker=1] proxy_on_context_create context=2 parent_context_id=1"
