"""The recorded upstream: what it reads, keeps and answers."""

from __future__ import annotations

import json

import pytest

from pytest_proxywasm.headers import Headers
from pytest_proxywasm.model import After, Callout, Reset, Response
from pytest_proxywasm.recording.upstream import Answer, Incoming, Piece, answer_to

from .upstream import Upstream, encoded_request

HEADERS = [(b":authority", b"h"), (b":path", b"/p"), (b":method", b"POST"), (b":scheme", b"http")]


def get(path: str, method: str = "GET") -> Answer:
    """The answer to a request without a body."""
    return answer_to(Incoming(line=f"{method} {path} HTTP/1.1", headers=((b"host", b"h"),)))


def test_fixed() -> None:
    """A body with content-length."""
    answer = get("/fixed")
    assert (answer.status, answer.body) == (200, b"hello world")
    assert answer.headers == ((b"content-type", b"text/plain"), (b"content-length", b"11"))


def test_head_is_answered_without_a_body() -> None:
    """With the headers of the body that is not there."""
    answer = get("/fixed", "HEAD")
    assert answer.headers[-1] == (b"content-length", b"11")
    assert answer.pieces == ()


@pytest.mark.parametrize("path", ["/echo", "/anything?else=1"])
def test_every_other_path_echoes(path: str) -> None:
    """The request it saw, as JSON."""
    answer = get(path)
    assert answer.headers[:2] == ((b"content-type", b"application/json"), (b"X-Up", b"Yes"))
    assert json.loads(answer.body) == {
        "line": f"GET {path} HTTP/1.1",
        "headers": ["host: h"],
        "body": "",
        "chunks": [],
        "trailers": [],
    }


def test_aux_echoes_with_201() -> None:
    """Its own header and status."""
    answer = get("/aux")
    assert (answer.status, answer.headers[0]) == (201, (b"X-Aux", b"yes"))


def test_chunks_come_apart() -> None:
    """n letters sz times, d seconds apart, with trailers on demand."""
    answer = get("/chunked?n=2&sz=3&d=0.1&tr=1")
    assert answer.pieces == (Piece(0, b"aaa"), Piece(0.1, b"bbb"))
    assert answer.trailers == ((b"X-Trail", b"tv"), (b"x-trail2", b"tv2"))
    assert get("/chunked").trailers == ()
    assert answer.seconds == 0.1


@pytest.mark.parametrize(("code", "headers"), [(204, ()), (404, ((b"content-length", b"0"),))])
def test_status(code: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Empty, with a length where one is allowed."""
    answer = get(f"/status?c={code}")
    assert (answer.status, answer.headers, answer.pieces) == (code, headers, ())


def test_other_paths() -> None:
    """Slow, big, cut and repeated."""
    assert get("/slow?d=0.4").delay == 0.4
    assert get("/big?n=3").body == b"BBB"
    assert get("/cut").cut
    assert [name for name, _ in get("/dup").headers].count(b"Set-Cookie") == 2


def test_a_body_over_its_length_belongs_to_no_request() -> None:
    """Fact B19."""
    request = Incoming(line="POST / HTTP/1.1", headers=((b"content-length", b"3"),), pieces=[b"ab", b"cd"])
    assert request.complete
    assert request.record()["body"] == "abc"


def test_a_chunked_body_is_recorded_with_its_chunks() -> None:
    """Empty pieces are no chunks."""
    request = Incoming(line="POST / HTTP/1.1", headers=((b"transfer-encoding", b"chunked"),), pieces=[b"ab", b"", b"c"])
    assert not request.complete
    request.finished = True
    assert request.complete
    assert request.record()["chunks"] == [2, 1]


def test_what_breaks_off_is_kept_unless_it_is_chunked() -> None:
    """The server keeps the rest of a body, and loses one within its chunks."""
    upstream = Upstream()
    upstream.broken_off(Incoming(line="POST /a HTTP/1.1", headers=((b"content-length", b"9"),)))
    upstream.broken_off(Incoming(line="POST /b HTTP/1.1", headers=((b"transfer-encoding", b"chunked"),)))
    assert [request["line"] for request in upstream.record()] == ["POST /a HTTP/1.1"]


def test_envoys_request_codec() -> None:
    """host for :authority, framing last, a length of zero where a body could be."""
    line, headers = encoded_request([*HEADERS, (b"x", b"1")], has_body=True)
    assert line == "POST /p HTTP/1.1"
    assert headers == ((b"host", b"h"), (b"x", b"1"), (b"transfer-encoding", b"chunked"))
    assert encoded_request(HEADERS, has_body=False)[1][-1] == (b"content-length", b"0")
    get_headers = [(n, b"GET" if n == b":method" else v) for n, v in HEADERS]
    assert encoded_request(get_headers, has_body=False)[1] == ((b"host", b"h"),)


def callout(path: str, body: bytes = b"") -> Callout:
    """A call as a filter makes it."""
    headers = [(b":method", b"GET"), (b":path", path.encode()), (b":authority", b"a")]
    return Callout(
        kind="http",
        cluster="aux",
        method="GET",
        path=path,
        headers=Headers(headers),
        body=body,
        trailers=Headers(),
        timeout=1,
        filter="",
        context_id=2,
        id=4,
    )


def test_calls_are_kept_and_answered() -> None:
    """With the time the answer takes."""
    upstream = Upstream()
    answer = upstream.http_call(callout("/slow?d=0.5"))
    assert isinstance(answer, After)
    assert isinstance(answer.answer, Response)
    assert answer.seconds >= 0.5
    assert upstream.record()[0]["headers"] == ["host: a"]


def test_a_call_that_is_cut_is_reset_after_its_headers() -> None:
    """Fact E10."""
    answer = Upstream().http_call(callout("/cut"))
    assert isinstance(answer, After)
    assert answer.answer == Reset(after_headers=True)
