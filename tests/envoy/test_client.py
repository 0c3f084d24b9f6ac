"""The recorded client: what it makes of what Envoy writes."""

from __future__ import annotations

from .client import ClientReader

OK = [(b":status", b"200"), (b"server", b"envoy")]
WAITING = {"status": "<timeout>", "headers": [], "body": "", "trailers": []}


def reader(headers: list[tuple[bytes, bytes]], *, has_body: bool = True, head_request: bool = False) -> ClientReader:
    """A reader that has got these headers."""
    client = ClientReader(head_request=head_request)
    client.head(headers, has_body=has_body)
    client.deliver()
    return client


def test_a_response_without_a_length_is_chunked() -> None:
    """The codec's framing comes last, and there is no end before the end (fact B20)."""
    client = reader(OK)
    client.body(b"abc")
    client.deliver()
    assert client.view() == WAITING
    client.end([(b"x-t", b"1")])
    client.deliver()
    assert client.view() == {
        "status": "HTTP/1.1 200 OK",
        "headers": ["server: envoy", "transfer-encoding: chunked"],
        "body": "abc",
        "trailers": ["x-t: 1"],
    }


def test_an_empty_response_gets_content_length_zero() -> None:
    """But not a 204."""
    assert reader(OK, has_body=False).view()["headers"] == ["server: envoy", "content-length: 0"]
    assert reader([(b":status", b"204")], has_body=False).view()["headers"] == []


def test_a_body_that_is_too_long_is_cut_at_its_length() -> None:
    """Fact B19."""
    client = reader([*OK, (b"content-length", b"2")])
    client.body(b"abc")
    client.deliver()
    assert client.served
    assert client.view()["body"] == "ab"


def test_a_body_that_is_too_short_keeps_the_client_waiting() -> None:
    """Even when Envoy is done."""
    client = reader([*OK, (b"content-length", b"4")])
    client.body(b"abc")
    client.end()
    client.deliver()
    assert client.view() == WAITING


def test_a_cut_response_shows_what_arrived() -> None:
    """Headers and a part of the body, then the connection ends."""
    client = reader([*OK, (b"content-length", b"4")])
    client.body(b"abc")
    client.close()
    client.deliver()
    assert client.view()["body"] == "abc"


def test_a_connection_that_ends_without_a_byte_is_closed() -> None:
    """Not the same as waiting in vain."""
    client = ClientReader()
    assert client.view()["status"] == "<timeout>"
    client.close()
    client.deliver()
    assert client.view()["status"] == "<closed>"


def test_100_is_not_the_final_response() -> None:
    """Fact D13."""
    client = reader([(b":status", b"100"), (b"content-length", b"4")])
    client.body(b"body")
    client.end()
    client.deliver()
    assert client.view() == WAITING


def test_what_a_crashing_envoy_wrote_last_never_arrives() -> None:
    """It dies with the bytes in its buffers."""
    client = ClientReader()
    client.head([*OK, (b"content-length", b"0")], has_body=False)
    client.crash()
    assert client.view()["status"] == "<closed>"


def test_a_request_for_close_is_answered() -> None:
    """Before the codec's framing."""
    client = ClientReader()
    client.head(OK, has_body=False, wants_close=True)
    client.deliver()
    assert client.view()["headers"] == ["server: envoy", "connection: close", "content-length: 0"]


def test_a_transfer_encoding_in_the_map_is_not_sent() -> None:
    """Framing is the codec's."""
    headers = [*OK, (b"transfer-encoding", b"chunked"), (b"content-length", b"0")]
    assert reader(headers).view()["headers"] == ["server: envoy", "content-length: 0"]
