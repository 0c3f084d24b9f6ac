"""The values users see."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm import Action, Exchange, GuestLog, HeaderChanges, Headers, Request, Response, UsageError
from pytest_proxywasm.model import LogLevel, Metric, Replacement


def test_the_defaults_of_a_request_are_those_of_a_plain_get() -> None:
    """Nothing but a method, a path and a host."""
    request = Request()
    assert (request.method, request.path, request.authority, request.scheme) == ("GET", "/", "example.com", "http")
    assert (request.headers, request.body, request.trailers, request.chunks) == ([], b"", [], None)


def test_pseudo_headers_of_a_request_win_over_its_fields() -> None:
    """So that a request made from a header map says the same twice."""
    request = Request("GET", headers={":method": "PUT", ":path": "/a", ":authority": "b", ":scheme": "https"})
    assert (request.method, request.path, request.authority, request.scheme) == ("PUT", "/a", "b", "https")


def test_chunks_are_the_body_in_pieces() -> None:
    """The body is all of them together."""
    request = Request(chunks=["a", b"", "ü"])
    assert request.chunks == (b"a", b"", "ü".encode())
    assert request.body == "aü".encode()
    assert Response(chunks=[]).chunks == ()


@pytest.mark.parametrize("kind", [Request, Response])
def test_a_body_and_chunks_together_are_refused(kind: Any) -> None:
    """One of them would be lost."""
    with pytest.raises(UsageError, match=r"give either body= or chunks=, not both"):
        kind(body="a", chunks=["b"])


@pytest.mark.parametrize(("options", "what"), [({"body": 5}, "body"), ({"chunks": [5]}, "a chunk")])
def test_a_body_is_text_or_bytes(options: Any, what: str) -> None:
    """Numbers and objects are not encoded silently."""
    with pytest.raises(UsageError) as caught:
        Request(**options)
    assert str(caught.value) == f"{what} must be str or bytes, not int: 5"


def test_a_body_has_a_text_and_a_json_view() -> None:
    """The bytes stay what they are."""
    assert Response(body=b"\xff\x00a").text == "\udcff\x00a"
    assert Response(body='{"a": [1, null]}').json() == {"a": [1, None]}
    with pytest.raises(json.JSONDecodeError):
        Request().json()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({":status": "404"}, 404), ({":status": "abc"}, 200), ({":status": "²"}, 200), ({":status": "9" * 5000}, 200)],
)
def test_a_status_header_wins_where_it_is_a_number(headers: Any, status: int) -> None:
    """What is no number that Python reads stays a header only."""
    assert Response(headers=headers).status == status


def test_the_status_of_a_response_is_a_number() -> None:
    """A body in its place is noticed at once."""
    with pytest.raises(UsageError, match="the status of a response is a number, not 'hello'"):
        Response("hello")  # type: ignore[arg-type]


def test_requests_and_responses_are_values() -> None:
    """Frozen, equal by content, pickled."""
    assert Request("GET", "/a") == Request("GET", "/a") != Request("GET", "/b")
    assert pickle.loads(pickle.dumps(Response(201, {"a": "b"}, chunks=["x"]))) == Response(
        201, {"a": "b"}, chunks=["x"]
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        Request().method = "PUT"  # type: ignore[misc]


@pytest.mark.parametrize(
    "value",
    [
        Request("PUT", "/a", {"a": "b"}, b"x", {"t": "1"}),
        Response(201, {"a": "b"}, chunks=["x"]),
        pw.Reset(after_headers=True),
        pw.ConnectionRefused(),
        pw.Timeout(),
        pw.NoHosts(),
        pw.GrpcResponse(messages=("a",), status=5, message="m", trailing_metadata={"a": "b"}),
        pw.After(1.5, Response(200)),
        pw.Metric("counter", 1),
        pw.HeaderChanges(added={"a": ("1",)}),
    ],
)
def test_the_repr_of_a_value_makes_it_again(value: Any) -> None:
    """Valid Python with the public names."""
    names = {name: getattr(pw, name) for name in pw.__all__}
    assert eval(repr(value), names) == value


def test_actions_that_have_no_name_keep_their_number() -> None:
    """Guests return any number."""
    action = Action(99)
    assert (action, action.name, action.value) == (99, "99", 99)
    assert action == Action(99)
    assert hash(action) == hash(Action(99))
    assert pickle.loads(pickle.dumps(action)) == 99
    assert Action(1) is Action.PAUSE
    assert len(Action) == 5
    with pytest.raises(ValueError):
        Action("PAUSE")


def test_a_log_shows_its_text_and_keeps_its_bytes() -> None:
    """The repr is short enough for an assertion's message."""
    log = GuestLog(LogLevel.WARN, b"a\xff", 2, "mine")
    assert (log.message, log.raw) == ("a\udcff", b"a\xff")
    assert repr(log) == "GuestLog(level=LogLevel.WARN, message='a\\udcff', context_id=2, filter='mine')"


def test_header_changes_are_by_name() -> None:
    """Order between names does not count, the order of one name's values does."""
    before = Headers([("a", "1"), ("b", "2"), ("b", "3"), ("gone", "x"), ("same", "y")])
    after = Headers([("same", "y"), ("b", "3"), ("b", "2"), ("a", "1"), ("new", "p"), ("new", "q")])
    changes = HeaderChanges.between(before, after)
    assert changes.added == {"new": ("p", "q")}
    assert changes.removed == {"gone": ("x",)}
    assert changes.replaced == {"b": Replacement(before=("2", "3"), after=("3", "2"))}
    assert changes


@pytest.mark.parametrize(("before", "after"), [(None, None), (Headers(), None), (Headers([("a", "")]),) * 2])
def test_no_change_is_false(before: Headers | None, after: Headers | None) -> None:
    """A map that is not there counts as empty."""
    changes = HeaderChanges.between(before, after)
    assert not changes
    assert changes == HeaderChanges()


def test_an_exchange_says_in_a_line_how_it_stands() -> None:
    """While it runs, and when it is over."""
    assert repr(Exchange()) == "<Exchange, no request yet>"
    exchange = Exchange(request=Request("GET", "/a"))
    assert repr(exchange) == "<Exchange GET /a -> no response, running>"
    exchange.response = Response(404)
    exchange.outcome = "complete"
    assert repr(exchange) == "<Exchange GET /a -> 404, complete>"


def test_a_gRPC_response_takes_its_parts_in_any_form() -> None:  # noqa: N802
    """Messages as text or bytes, metadata as headers."""
    response = pw.GrpcResponse(messages=["a", b"b"], initial_metadata={"A": "b"})  # type: ignore[arg-type]
    assert response.messages == (b"a", b"b")
    assert response.initial_metadata == Headers([("a", "b")])
    with pytest.raises(UsageError, match="a gRPC message must be str or bytes, not int: 5"):
        pw.GrpcResponse(messages=[5])  # type: ignore[arg-type]


def test_a_metric_has_no_samples_unless_it_is_a_histogram() -> None:
    """The default."""
    assert Metric("gauge", 5).samples == ()
