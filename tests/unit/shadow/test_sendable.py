"""What cannot go over a real connection as it is, is not compared."""

from __future__ import annotations

from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.shadow.sendable import (
    FRAMES,
    HTTP1,
    REFUSED_BODY,
    UPSTREAM,
    problem_with_answer,
    problem_with_request,
)


@pytest.mark.parametrize(
    "request_",
    [
        pw.Request(),
        pw.Request("POST", "/a?b=c", {"x": b"\xff\tx", "content-length": "2"}, b"ab"),
        pw.Request("PUT", chunks=[b"a", b"b"], trailers={"t": "1"}),
    ],
)
def test_legal_requests_are_sent(request_: pw.Request) -> None:
    assert problem_with_request(request_, "1.1") == ""
    assert problem_with_request(request_, "2") == ""


@pytest.mark.parametrize(
    "request_",
    [
        pw.Request("BAD METHOD"),
        pw.Request(path="/a b"),
        pw.Request(path="*"),
        pw.Request(headers={"x": "a\nb"}),
        pw.Request(headers={"x": " a"}),
        pw.Request(headers={"x y": "a"}),
        pw.Request(headers={"connection": "close"}),
        pw.Request(headers={"content-length": "9"}, body=b"a"),
        pw.Request(scheme="https"),
        pw.Request(authority=""),
        pw.Request(headers={":odd": "a"}),
    ],
)
def test_others_are_not(request_: pw.Request) -> None:
    assert problem_with_request(request_, "1.1") == HTTP1


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (pw.Response(200, {"x": "y"}, b"a"), ""),
        (pw.Response(204), ""),
        (pw.Response(chunks=[b"a", b"b"], trailers={"t": "1"}), ""),
        (pw.Response(200, {"content-length": "7"}, b"a"), UPSTREAM),
        (pw.Response(100), UPSTREAM),
        (pw.Response(200, {"x": "\0"}), UPSTREAM),
        (pw.Reset(), ""),
        (pw.ConnectionRefused(), ""),
        (pw.After(1, pw.ConnectionRefused()), "a connection that is refused after a while"),
    ],
)
def test_answers(answer: Any, problem: str) -> None:
    assert problem_with_answer(answer, pw.Request()) == problem


def test_a_refused_connection_shows_before_a_body_arrives() -> None:
    assert problem_with_answer(pw.ConnectionRefused(), pw.Request(body=b"a")) == REFUSED_BODY


def test_http2_has_frames() -> None:
    request = pw.Request("POST", body=b"a" * 16385)
    assert problem_with_request(request, "2") == FRAMES
    assert problem_with_request(request, "1.1") == ""
