"""The HTTP driver, around a real mock host with the probe guest."""

from __future__ import annotations

from typing import Any

from pytest_proxywasm.engine import get_engine

from .case import Case, Expected
from .check import PROBE
from .result import Result
from .run import run


def replay(request: bytes, *parts: bytes, script: str = "", **envoy: Any) -> Result:
    """The result of a case with the probe guest."""
    case = Case(
        id="x",
        area="a",
        title="t",
        kind="http",
        filters=({"wasm": "probe.wasm", "configuration": script},),
        request=request,
        parts=parts,
        envoy=envoy,
        expected=Expected(envoy_exit=0, ready=True, guest_log=()),
    )
    return run(case, get_engine("auto"), PROBE)


GET = b"GET /fixed HTTP/1.1\r\nHost: h\r\n\r\n"


def test_an_exchange_is_seen_from_both_sides() -> None:
    """Client, upstream and guest."""
    result = replay(GET)
    assert result.problem == ""
    assert result.client is not None
    assert result.client["body"] == "hello world"
    assert result.upstream is not None
    assert [request["line"] for request in result.upstream] == ["GET /fixed HTTP/1.1"]
    assert result.guest_log[0] == "CB context_create ctx=2 1"


def test_a_second_request_waits_for_the_first() -> None:
    """One connection, one after the other, also when both come in one write."""
    result = replay(GET * 2)
    created = [line for line in result.guest_log if line.startswith(("CB context_create", "CB delete"))]
    assert created == [
        "CB context_create ctx=2 1",
        "CB delete ctx=2",
        "CB context_create ctx=3 1",
        "CB delete ctx=3",
    ]


def test_a_refused_request_is_logged_by_the_filters() -> None:
    """Fact A10."""
    result = replay(b"nonsense\r\n\r\n", script="log prop response.code_details")
    assert result.guest_log[2] == "CB log ctx=2"
    assert "http1.codec_error" in result.guest_log[3]
    assert result.client is not None
    assert result.client["status"] == "HTTP/1.1 400 Bad Request"
    assert result.client["headers"][-1] == "connection: close"


def test_a_request_that_is_given_up_at_once_never_reaches_the_upstream() -> None:
    """Envoy had no connection yet."""
    post = b"POST /fixed HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    assert replay(post, script="rqb local 400 a b -1").upstream == []


def test_a_cut_response_is_seen_as_far_as_it_came() -> None:
    """Status and headers, the bytes, and the end."""
    result = replay(b"GET /cut HTTP/1.1\r\nHost: h\r\n\r\n")
    assert result.client is not None
    assert (result.client["status"], result.client["body"]) == ("HTTP/1.1 200 OK", "abc")


def test_a_client_that_waits_in_vain_disconnects() -> None:
    """The filters learn of it."""
    result = replay(GET, script="rqh ret 1\nlog prop response.code_details")
    assert result.client is not None
    assert result.client["status"] == "<timeout>"
    assert "downstream_remote_disconnect" in "".join(result.guest_log)


def test_what_is_not_known_is_named() -> None:
    """Rather than left out."""
    assert "envoy.nope" in replay(GET, nope=1).problem
    assert "hcm_extra.nope" in replay(GET, hcm_extra={"nope": 1}).problem
