"""Guests that do anything, in chains, with any request: the host answers or raises an error of this package."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_proxywasm as pw
from pytest_proxywasm import Filter, MockHost, ProxyWasmError, Response, UsageError
from pytest_proxywasm.engine import get_engine

WASM = (Path(__file__).resolve().parents[3] / "fixtures" / "probe" / "probe.wasm").read_bytes()

EVENTS = st.sampled_from("ctx rqh rqb rqt rsh rsb rst log done del tick queue http gim grx gtm gcl".split())
WORDS = st.sampled_from(
    """
'' a x-a :path :status :method :authority host %ff%fe abc%00d 999999999999999999999999999999 200 -1
content-length grpc-status transfer-encoding connection
""".split()
)
NUMBERS = st.sampled_from(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "99", "100", str(2**31), str(2**32 - 1)])
CLUSTERS = st.sampled_from(["http", "grpc", "none", "''", "%0a%06%0a%04none"])
PATHS = st.sampled_from(
    """
request request.path request.headers request.headers.x-a request.total_size response.code response.headers
response.trailers response.grpc_status upstream.address xds.node xds.node.metadata.list.0 xds.route_name
filter_state connection.id metadata
""".split()
)
FUNCTIONS = st.sampled_from(["compress", "uncompress", "none", "clear_route_cache", "declare_property"])
# What stands for a word, a number and so on in an operation.
PARTS = {"W": WORDS, "N": NUMBERS, "C": CLUSTERS, "P": PATHS, "F": FUNCTIONS}
OPERATIONS = (
    """
get N W|add N W W|rep N W W|rem N W|pairs N|setpairs N W W W W|rawsetpairs N W|size N|bget N N N|bset N N N W|bstat N
prop P|setprop W W|local N W W N W W|cont 0|cont N|close N|tick 0|tick 100|ret N|ret 0|ret 1|status|time|log N W
http C N W :method GET :path / :authority a W W|sdset W W N|sdget W|qreg W|qdeq N|qenq N W|qres '' W|pdone|effctx N
mdef N W|minc N N|mrec N N|mget N|foreign F W|gcall C s m N W a b|gstream C s m a b|gsend T W N|gclose T|gcancel N
trap|allocfail 1|growmem 1|w_write N W
""".strip()
    .replace("\n", "|")
    .split("|")
)


@st.composite
def lines(draw: Any) -> str:
    """One line of a script."""
    which = draw(st.sampled_from(["", "", "#1", "#2", "$", "!"]))
    words = draw(st.sampled_from(OPERATIONS)).split()
    return " ".join([f"{draw(EVENTS)}{which}", *(draw(PARTS[word]) if word in PARTS else word for word in words)])


FILTERS = st.builds(
    Filter,
    st.just(WASM),
    configuration=st.lists(lines(), max_size=8).map("\n".join),
    name=st.sampled_from(["a", "b"]),
    allow_on_headers_stop_iteration=st.booleans(),
    failure_policy=st.sampled_from(["fail_closed", "fail_open", "fail_reload", "fail_open_legacy"]),
)
FAILURES = [pw.Timeout(), pw.Reset(), pw.Reset(after_headers=True), pw.ConnectionRefused()]
ANSWERS = st.sampled_from([Response(200, body="x", trailers={"t": "1"}), pw.After(0.05, Response(204)), *FAILURES])
GRPC = st.sampled_from([pw.GrpcResponse(messages=(b"a", b"b")), pw.GrpcResponse(status=3), pw.NoHosts(), None])
HOSTS = st.fixed_dictionaries(
    {
        "on_trap": st.sampled_from(["raise", "continue"]),
        "buffer_limit": st.sampled_from([4, 1 << 20]),
        "envoy_headers": st.booleans(),
        "clusters": st.fixed_dictionaries({"http": ANSWERS | st.just(pw.NoHosts()) | st.none(), "grpc": GRPC}),
    }
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "HEAD"]),
        "headers": st.sampled_from([{}, {"content-type": "application/grpc"}, {"x-a": "1"}]),
        "chunks": st.sampled_from([None, ["ab", "cd"], [""]]),
        "trailers": st.sampled_from([{}, {"t": "1"}]),
        "http_version": st.sampled_from(["1.1", "2"]),
        "upstream": ANSWERS,
        "timeout": st.just(5),
    }
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["request_headers", "request_body", "request_trailers", "advance", "answer", "reset"])
        | st.sampled_from(["response_headers", "response_body", "response_trailers"]),
        st.booleans(),
    ),
    max_size=10,
)


@given(st.lists(FILTERS, min_size=1, max_size=3), HOSTS, st.lists(REQUESTS, min_size=1, max_size=2))
@settings(max_examples=150, deadline=None)
def test_any_exchange_ends_or_raises_an_error_of_ours(filters: list[Filter], options: Any, requests: Any) -> None:
    """And its trace can be written down."""
    with contextlib.suppress(ProxyWasmError), MockHost(filters, engine=get_engine(), **options) as host:
        for request in requests:
            with contextlib.suppress(ProxyWasmError):
                exchange = host.request(path="/a?b", **request)
                assert exchange.outcome in ("complete", "reset", "cut")
                assert (exchange.response is None) == (exchange.outcome == "reset")
                assert exchange.trace.text(wasi=True).startswith("proxy-wasm trace 1\n")


@given(st.lists(FILTERS, min_size=1, max_size=2), HOSTS, STEPS)
@settings(max_examples=150, deadline=None)
def test_any_steps_of_a_stream_are_done_or_refused(filters: list[Filter], options: Any, steps: Any) -> None:
    """In whatever order they come."""
    with contextlib.suppress(ProxyWasmError), MockHost(filters, engine=get_engine(), **options) as host:
        stream = host.stream()
        for step, end in steps:
            with contextlib.suppress(UsageError):
                if step == "advance":
                    host.clock.advance(0.1)
                elif step == "answer":
                    for pending in host.pending_callouts[:1]:
                        pending.respond(Response(200))
                elif step == "reset":
                    stream.reset("downstream" if end else "upstream")
                elif step.endswith("trailers"):
                    getattr(stream, step)({"t": "1"})
                elif step.endswith("headers"):
                    getattr(stream, step)(end_of_stream=end)
                else:
                    getattr(stream, step)("ab", end_of_stream=end)
            assert repr(stream).startswith("<HttpStream ")
