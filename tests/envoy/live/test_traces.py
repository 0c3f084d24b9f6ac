"""With the recorder in the guest a trace from a real Envoy is, to the letter, that of the mock."""

from __future__ import annotations

from pathlib import Path

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.announce import Report
from pytest_proxywasm.engine import wat_to_wasm
from pytest_proxywasm.engine.cache import ModuleCache
from pytest_proxywasm.envoy import recordings
from pytest_proxywasm.toolkit import Toolkit

from .conftest import probe

CALLS = """
rqh pairs 0
rqh add 0 x-bytes %ffx
rqh get 0 x-bytes
rqh get 0 x-none
rqh get 9 x
rqh prop request.path
rqh sdset key value 0
rqh sdget key
rqh sdset key other 7
rqh qreg queue
rqh mdef 0 counter
rqh minc 4 2
rqh mget 4
rqb bget 0 0 100
rqb bset 0 0 1 changed
rqt pairs 1
rsh pairs 2
rsh setpairs 2 :status 200 x-new 1
rsh foreign compress abc
rsb bget 1 0 100
log prop response.code_details
log pairs 0
"""

NUMBERS = (
    "source.port",
    "destination.port",
    "upstream.port",
    "upstream.local_address",
    "upstream.address",
    "source.address",
    "request.time",
    "request.duration",
    "response.backend_latency",
    "connection.id",
)


def run(toolkit: Toolkit, script: str, version: str) -> tuple[pw.Exchange, pw.Trace]:
    """Two exchanges; the second, and the trace of the host."""
    upstream = pw.Response(200, {"x-up": "1"}, chunks=[b"ab", b"c"], trailers={"x-end": "1"})
    with toolkit.host(probe(script), upstream=upstream) as host:
        for number in range(2):
            exchange = host.post(
                f"/{number}",
                headers=[("x-a", b"\xff"), ("x-a", "2")],
                chunks=[b"one", b"two"],
                trailers={"x-t": "1"},
                http_version=version,
            )
        return exchange, host.trace[:]


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_the_same_trace_in_the_mock_and_in_envoy(in_envoy: Toolkit, version: str) -> None:
    mock, trace = run(Toolkit(Path(__file__).parent), CALLS, version)
    envoy, other = run(in_envoy, CALLS, version)
    assert other.decoded
    assert trace.diff(other) == ""
    assert trace == other  # the WASI calls as well
    assert mock.trace.diff(envoy.trace) == ""
    assert mock.request_before == envoy.request_before
    assert mock.response_after == envoy.response_after
    assert [log.raw for log in mock.logs] == [log.raw for log in envoy.logs]


def test_numbers_that_differ_by_nature_are_the_mocks(in_envoy: Toolkit) -> None:
    """What the guest makes of them is its own."""
    script = "\n".join(f"log prop {name}" for name in NUMBERS)
    _, trace = run(Toolkit(Path(__file__).parent), script, "1.1")
    _, other = run(in_envoy, script, "1.1")
    assert trace.text(exclude=["proxy_log"]) == other.text(exclude=["proxy_log"])


def test_the_reply_of_a_filter_is_known_in_full(in_envoy: Toolkit) -> None:
    """From what it passed, not from what the client got."""
    script = (
        "rqh local 403 teapot denied 16 X-Why because\nrsh rem 2 x-why\nrsh rem 2 content-length\nrsb bset 1 0 9 no"
    )
    replies = []
    for toolkit in (in_envoy, Toolkit(Path(__file__).parent)):
        with toolkit.host(probe(script)) as host:
            exchange = host.get("/")
            assert exchange.response is not None
            assert exchange.response.body == b"no"
            replies.append(exchange.local_response)
    there, here = replies
    assert there == here
    assert there is not None
    assert (there.body, there.headers["x-why"]) == (b"denied", "because")


def test_without_the_recorder_there_are_numbers(in_envoy: Toolkit) -> None:
    """The guest as it is, where it may not log."""
    allowed = frozenset(
        {"proxy_on_context_create", "proxy_on_request_headers", "proxy_get_header_map_value", "proxy_on_configure"}
    )
    one = probe("rqh get 0 x-none").replace(allowed_capabilities=allowed)
    with in_envoy.host(one) as host:
        trace = host.get("/").trace
    assert not trace.decoded


def check(envoy: Path, cache: Path, *filters: pw.Filter, report: Report | None = None) -> list[bool]:
    """Whether hosts with each of these filters, one after the other, are decoded."""
    toolkit = Toolkit(Path(__file__).parent, backend="envoy", envoy=str(envoy), cache_dir=cache, report=report)
    found = []
    for one in filters:
        with toolkit.host(one) as host:
            found.append(host.trace.decoded)
    toolkit.close()
    return found


def test_a_guest_is_checked_once(envoy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this version of Envoy; the copy is kept."""
    said: list[str] = []
    monkeypatch.setattr(recordings, "LARGE", 1000)
    one = probe("")
    assert check(envoy, tmp_path, one, one.replace(configuration="rqh ret 0"), one, report=said.append) == [True] * 3
    assert check(envoy, tmp_path, one.replace(name="named"), report=said.append) == [True]
    assert said == ["checking the trace recorder with a filter in Envoy, once"]
    assert len(list((tmp_path / "compiled").glob("recorder*.bin"))) == 1
    assert ModuleCache(tmp_path).problem == ""


def test_a_recorder_that_changes_a_guest_is_not_used(
    envoy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason: here it is another guest."""
    other = wat_to_wasm(
        '(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))'
        '(func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 64)))'
    )
    monkeypatch.setattr(recordings, "recorded", lambda wasm, **options: other)
    with pytest.warns(RuntimeWarning, match="the trace recorder changes what this guest does"):
        assert check(envoy, tmp_path, probe("")) == [False]
    assert list((tmp_path / "compiled").glob("recorder*.bin")) == []
