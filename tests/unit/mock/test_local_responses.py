"""Answers that filters give instead of the upstream."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import EnvoyCrashError, Response

END = ["log", "done", "delete"]
REPLY = "local 403 not_allowed denied -1 x-why because"


def test_a_reply_to_a_request_never_reaches_the_upstream(scripts: Any) -> None:
    """Facts D1 to D4: the filter's own response callbacks see it."""
    host = scripts.start(f"rqh {REPLY}", "rqh ret 0", filter={"name": "mine"})
    exchange = host.get("/")
    assert [line.removeprefix("mine: ") for line in scripts.seen(host)][1:] == [
        "request_headers 6 1",
        f"  {REPLY} -> 0",
        "response_headers 4 0",
        "response_body 6 1",
        *END,
    ]
    assert exchange.upstream_request is None
    assert exchange.response.headers.keys() == [
        *(":status", "x-why", "content-length", "content-type", "date", "server")
    ]
    assert (exchange.response.status, exchange.response.text) == (403, "denied")
    reply = exchange.local_response
    assert (reply.status, reply.text, reply.details, reply.filter) == (403, "denied", "not_allowed", "mine")
    assert reply.headers == {"x-why": "because"}
    assert reply.grpc_status is None
    assert exchange.details == "not_allowed"


def test_blanks_in_the_details_become_underscores(scripts: Any) -> None:
    """Fact D15."""
    host = scripts.start("rqh local 403 a%20b%09c '' -1")
    assert host.get("/").details == "a_b_c"


def test_an_empty_reply_has_no_body(scripts: Any) -> None:
    """Fact D5."""
    host = scripts.start("rqh local 401 '' '' -1")
    exchange = host.get("/")
    assert "response_headers 1 1" in scripts.seen(host)
    assert exchange.response.body == b""


def test_the_first_of_two_replies_counts(scripts: Any) -> None:
    """Fact D11."""
    host = scripts.start("rqh local 403 a first -1", "rqh local 500 b second -1")
    exchange = host.get("/")
    assert (exchange.response.status, exchange.response.text, exchange.local_response.details) == (403, "first", "a")


def test_a_reply_wins_over_resuming(scripts: Any) -> None:
    """Fact E24."""
    host = scripts.start("rqh local 403 '' no -1", "rqh cont 0")
    assert host.get("/").response.status == 403
    assert host.last_exchange.upstream_request is None


@pytest.mark.parametrize(("given", "status"), [(0, 0), (99, 99), (600, 600), (1000, 1000), (65536, 0), (65939, 403)])
def test_statuses_are_not_checked_but_have_sixteen_bits(given: int, status: int, scripts: Any) -> None:
    """Fact D13."""
    host = scripts.start(f"rqh local {given} '' no -1")
    assert host.get("/").response.status == status


def test_grpc_requests_get_their_status_in_headers(scripts: Any) -> None:
    """Fact D12."""
    host = scripts.start("rqh local 403 '' not%20you -1")
    exchange = host.post("/", headers={"content-type": "application/grpc"}, body="x")
    assert exchange.response.status == 200
    assert exchange.response.headers["grpc-status"] == "7"
    assert exchange.response.headers["grpc-message"] == "not you"
    assert exchange.response.body == b""


def test_given_headers_are_lower_cased_and_some_are_envoys(scripts: Any) -> None:
    """Fact D6: repeats stay; the length and the status are Envoy's."""
    host = scripts.start("rqh local 403 '' no -1 X-A 1 x-a 2 content-length 99 :status 200 Content-Type text/html")
    exchange = host.get("/")
    assert exchange.response.status == 403
    assert exchange.response.headers.get_all("x-a") == ["1", "2"]
    assert exchange.response.headers["content-length"] == "2"
    assert exchange.response.headers.get_all("content-type") == ["text/html"]


def test_a_reply_in_the_request_body_closes_the_connection(scripts: Any) -> None:
    """Fact D10: the rest of the request was not read."""
    host = scripts.start("rqb#1 local 413 '' no -1")
    exchange = host.post("/", body="hello")
    assert (exchange.response.status, exchange.response.headers["connection"]) == (413, "close")


def test_a_reply_to_a_response_replaces_it_without_further_callbacks(scripts: Any) -> None:
    """Fact D8."""
    host = scripts.start("rsh local 502 '' bad -1")
    exchange = host.get("/", upstream=Response(200, body="hello"))
    assert [line for line in scripts.seen(host) if line.startswith("response")] == ["response_headers 3 0"]
    assert (exchange.response.status, exchange.response.text) == (502, "bad")
    assert exchange.upstream_response.status == 200


@pytest.mark.parametrize("line", ["rsb", "rst"])
def test_a_reply_after_the_response_has_begun_cuts_it(line: str, scripts: Any) -> None:
    """Fact D9: the client has the status already."""
    host = scripts.start(f"{line} local 502 '' bad -1")
    exchange = host.get("/", upstream=Response(200, body="hello", trailers={"a": "b"}))
    assert (exchange.outcome, exchange.response.status) == ("cut", 200)


def test_the_filter_may_change_its_own_reply(scripts: Any) -> None:
    """Fact D7."""
    host = scripts.start(f"rqh {REPLY}", "rsh rep 2 x-why changed", "rsb bset 1 0 99 other!")
    exchange = host.get("/")
    assert exchange.response.headers["x-why"] == "changed"
    assert exchange.response.text == "other!"
    assert exchange.local_response.headers == {"x-why": "because"}


def test_earlier_filters_see_the_reply_of_a_later_one(scripts: Any) -> None:
    """Fact D19; filters behind it see only the end."""
    host = scripts.host(scripts.filter(name="A"), scripts.filter(f"rqh {REPLY}", name="B"), scripts.filter(name="C"))
    host.logs.clear()
    host.get("/")
    lines = [line for line in scripts.seen(host) if not line.startswith("  ")]
    assert lines == [
        *("A: context_create 1", "A: request_headers 6 1", "B: context_create 2", "B: request_headers 6 1"),
        *("B: response_headers 4 0", "A: response_headers 4 0", "B: response_body 6 1", "A: response_body 6 1"),
        *("A: log", "B: log", "C: context_create 3", "C: log"),
        *("A: done", "A: delete", "B: done", "B: delete", "C: done", "C: delete"),
    ]


@pytest.mark.parametrize("event", ["start", "cfg", "tick"])
def test_without_a_stream_a_reply_goes_nowhere(event: str, scripts: Any) -> None:
    """Fact D16."""
    lines = [f"{event} local 403 '' no -1", "cfg tick 1000"]
    host = scripts.start(*lines, filter={"vm_configuration": lines[0]})
    host.clock.advance(1)
    assert host.get("/").response.status == 200


@pytest.mark.parametrize(("event", "callback"), [("log", "log"), ("done", "done"), ("del", "delete")])
def test_a_reply_when_the_stream_is_over_kills_envoy(event: str, callback: str, scripts: Any) -> None:
    """Fact D17: the error says so, and the host is as dead as Envoy is."""
    host = scripts.start(f"{event} local 403 '' no -1", filter={"name": "mine"})
    with pytest.raises(EnvoyCrashError) as caught:
        host.get("/")
    assert str(caught.value) == (
        f"filter 'mine' called proxy_send_local_response in proxy_on_{callback}, when its stream had already ended. "
        "A real Envoy process crashes there (segmentation fault)."
    )
    assert caught.value.callback == f"proxy_on_{callback}"
    with pytest.raises(EnvoyCrashError):
        host.get("/")


def test_a_head_request_gets_the_headers_only(scripts: Any) -> None:
    """Fact D14."""
    host = scripts.start(f"rqh {REPLY}")
    exchange = host.head("/")
    assert "response_headers 4 1" in scripts.seen(host)
    assert exchange.response.body == b""
