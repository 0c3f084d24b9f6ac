"""The downstream codec: what a client's bytes become."""

from __future__ import annotations

import pytest

from .front import Data, Head, Refusal, RequestReader, Settings, Trailers, reason_phrase, settings_of

HEAD = b"POST /p HTTP/1.1\r\nHost: h\r\n"


def read(*writes: bytes, **settings: object) -> list[list[object]]:
    """The events of each write."""
    reader = RequestReader(Settings(**settings))  # type: ignore[arg-type]
    return [list(reader.feed(data)) for data in writes]


def head_of(raw: bytes) -> Head:
    """The one head in some bytes."""
    head = read(raw)[0][0]
    assert isinstance(head, Head)
    return head


def test_pseudo_headers_come_first_and_the_rest_as_sent() -> None:
    """Names are lower-cased, host is :authority, and repeated headers stay apart (fact C1)."""
    assert head_of(b"GET /x?y HTTP/1.1\r\nX-A: 1\r\nHost: h\r\nx-a:  2 \r\nX-E:\r\n\r\n") == Head(
        (
            (b":authority", b"h"),
            (b":path", b"/x?y"),
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b"x-a", b"1"),
            (b"x-a", b"2"),
            (b"x-e", b""),
        ),
        end_of_stream=True,
        wants_close=False,
    )


@pytest.mark.parametrize("name", ["Connection", "Proxy-Connection"])
def test_a_client_may_want_its_connection_closed(name: str) -> None:
    """The header itself is the connection manager's to take away."""
    assert head_of(HEAD + name.encode() + b": close\r\n\r\n").wants_close
    assert not head_of(HEAD + name.encode() + b": keep-alive\r\n\r\n").wants_close


def test_the_end_of_a_body_with_content_length_is_its_own_event() -> None:
    """Fact B3."""
    events = read(HEAD + b"Content-Length: 5\r\n\r\nhello")[0]
    assert events[1:] == [Data(b"hello", False), Data(b"", True)]


def test_a_body_in_parts_comes_write_by_write() -> None:
    """Each write is one piece; the last one is followed by the end."""
    events = read(HEAD + b"Content-Length: 4\r\n\r\n", b"ab", b"cd")
    assert isinstance(events[0][0], Head)
    assert events[1:] == [[Data(b"ab", False)], [Data(b"cd", False), Data(b"", True)]]


def test_chunks_of_one_write_become_one_piece() -> None:
    """Fact B7."""
    raw = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\naaaa\r\n4\r\nbbbb\r\n0\r\n\r\n"
    assert read(raw)[0][1:] == [Data(b"aaaabbbb", False), Data(b"", True)]


def test_a_chunk_may_be_split_anywhere() -> None:
    """Byte by byte gives the same bytes, and one end."""
    raw = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n0\r\n\r\n"
    events = [event for write in read(*(raw[i : i + 1] for i in range(len(raw)))) for event in write]
    assert events[1:] == [Data(b"a", False), Data(b"b", False), Data(b"c", False), Data(b"", True)]


def test_trailers_end_the_request() -> None:
    """Fact B6."""
    raw = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n"
    assert read(raw)[0][1:] == [Data(b"a", False), Trailers(((b"x-t", b"1"),))]


def test_content_length_zero_ends_with_the_headers() -> None:
    """Fact B5."""
    (head,) = read(HEAD + b"Content-Length: 0\r\n\r\n")[0]
    assert isinstance(head, Head)
    assert head.end_of_stream


def test_several_requests_in_one_write() -> None:
    """What follows a complete request is the next one."""
    assert len(read(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2)[0]) == 2


@pytest.mark.parametrize(
    ("raw", "status", "details"),
    [
        (b"GET / HTTP/1.0\r\nHost: h\r\n\r\n", 426, "low_version"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "missing_host_header"),
        (b"nonsense\r\n\r\n", 400, "http1.codec_error"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", 400, "http1.codec_error"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nx y: 1\r\n\r\n", 400, "http1.codec_error"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "http1.codec_error"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "http1.codec_error"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501, "http1.invalid_transfer_encoding"),
        (HEAD + b"X: " + b"x" * 70000, 431, "http1.headers_too_large"),
        (HEAD + b"X: y\r\n" * 101 + b"\r\n", 431, "http1.too_many_headers"),
    ],
)
def test_what_envoy_refuses(raw: bytes, status: int, details: str) -> None:
    """The reply's body is the reason phrase."""
    refusal = read(raw)[0][-1]
    assert refusal == Refusal(status, details)
    assert isinstance(refusal, Refusal)
    assert refusal.body.decode() == reason_phrase(str(status))


def test_nothing_is_read_after_a_refusal() -> None:
    """The connection is given up."""
    assert read(b"x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")[1] == []


def test_use_remote_address_adds_what_envoy_adds() -> None:
    """Fact C27; a client on the loopback interface counts with the proxy's own address."""
    settings, unknown = settings_of({"use_remote_address": True, "tracing": {}})
    assert unknown == ["tracing"]
    head = RequestReader(settings).feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")[0]
    assert isinstance(head, Head)
    assert [name for name, _ in head.headers[4:]] == [
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-envoy-external-address",
    ]


@pytest.mark.parametrize(
    ("status", "phrase"), [("200", "OK"), ("418", "Unknown"), ("0", "Unknown"), ("abc", "Unknown")]
)
def test_reason_phrases(status: str, phrase: str) -> None:
    """Envoy has its own list (fact C24)."""
    assert reason_phrase(status) == phrase
