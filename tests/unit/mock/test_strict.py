"""strict=: what a test does not want to happen unnoticed."""

from __future__ import annotations

from typing import Any

import pytest

import pytest_proxywasm as pw

ADD = "rqh add 2 x-a 1"
CALL = "rqh http aux 1000 '' :method GET :path / :authority a"


def refused(host: Any, **options: Any) -> str:
    """What a request fails with."""
    with pytest.raises(pw.StrictError) as caught:
        host.post("/", body="12", **options)
    assert caught.value.exchange is host.last_exchange
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            ADD,
            "proxy_add_header_map_value answered BAD_ARGUMENT: HTTP_RESPONSE_HEADERS is not there yet in "
            "proxy_on_request_headers: it comes with proxy_on_response_headers",
        ),
        (
            "rqh bget 0 0 9",
            "proxy_get_buffer_bytes answered OK without effect: HTTP_REQUEST_BODY is empty in "
            "proxy_on_request_headers: data is there in proxy_on_request_body",
        ),
        ("rqh log 3 careful", 'logged at level WARN: "careful"'),
        (
            CALL,
            "proxy_http_call answered BAD_ARGUMENT: the cluster 'aux' does not exist; there are: nothing. In the test: "
            'host.cluster("aux", pw.Response(200))',
        ),
        ("rqh cont 3", "proxy_continue_stream answered UNIMPLEMENTED: Envoy cannot resume the upstream side"),
        ("rqh close 2", "proxy_close_stream answered OK without effect: nothing is closed"),
    ],
)
def test_a_surprise_fails_the_request_it_happens_in(line: str, said: str, scripts: Any) -> None:
    """The first line of the error is the cause."""
    assert refused(scripts.start(line, strict=True)).startswith(said)


def test_the_error_tells_what_was_before_and_how_to_allow_it(scripts: Any) -> None:
    """The hostcall it is about is marked."""
    text = refused(scripts.start("rqh get 0 :path", ADD, "rqh log 4 bad", strict=True))
    assert "the filter, during: proxy_on_request_headers context=2" in text
    assert '\n    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key=":path" -> OK value="/"' in text
    assert '\n  > proxy_add_header_map_value map=HTTP_RESPONSE_HEADERS key="x-a" value="1" -> BAD_ARGUMENT' in text
    assert 'and 1 more in this callback:\n    logged at level ERROR: "bad"' in text
    assert '\n    host.allow(("proxy_add_header_map_value", {"key": "x-a"}))\n' in text


def test_what_the_message_says_allows_it(scripts: Any) -> None:
    """Steps are those of trace.contains."""
    host = scripts.start(ADD, strict=True)
    host.allow(("proxy_add_header_map_value", {"key": "x-a"}))
    host.get("/")
    again = scripts.start(ADD, "rqh get 0 x-b", strict=pw.Strict(allow=["proxy_add_header_map_value"]))
    assert refused(again).startswith("proxy_get_header_map_value answered NOT_FOUND")
    again.allow(("proxy_get_header_map_value", {"status": "NOT_FOUND", "key": pw.matching("^x-")}))
    again.get("/")


@pytest.mark.parametrize(
    ("line", "check"),
    [(ADD, "hostcalls"), ("rqh bget 0 0 9", "no_effect"), ("rqh log 4 x", "logs"), (CALL, "callouts")],
)
def test_each_check_can_be_had_alone_and_left_out(line: str, check: str, scripts: Any) -> None:
    """By name, or as a field of Strict."""
    refused(scripts.start(line, strict={check}))
    refused(scripts.start(line, strict=check))
    scripts.start(line, strict=pw.Strict(**{check: False})).get("/")


def test_a_healthy_filter_passes(scripts: Any) -> None:
    """So do debug messages, empty queues and statuses the test injects itself."""
    host = scripts.start("cfg qreg q", "rqh log 1 fine", "rqh qdeq 1", "rqh rem 0 nothing", ADD, strict=True)
    host.inject("proxy_add_header_map_value", "BAD_ARGUMENT")
    host.get("/")
    assert [call.status.name for call in host.trace.hostcalls("proxy_dequeue_shared_queue")] == ["EMPTY"]


def test_a_surprise_at_the_start_is_raised_by_the_start(scripts: Any) -> None:
    """The host does not come about."""
    with pytest.raises(pw.StrictError, match="proxy_get_shared_data answered NOT_FOUND: no shared data 'k' under"):
        scripts.start("cfg sdget k", strict=True)


def test_a_trap_is_told_of_with_the_surprise_before_it(scripts: Any) -> None:
    """A guest that panics over a status has it among its last hostcalls, with the reason."""
    host = scripts.start(ADD, "rqh trap", strict=True)
    with pytest.raises(pw.GuestTrap) as caught:
        host.get("/")
    assert "-> BAD_ARGUMENT\n        ^ HTTP_RESPONSE_HEADERS is not there yet in" in str(caught.value)


def test_surprises_of_later_callbacks_are_named(scripts: Any) -> None:
    """The first is raised."""
    text = refused(scripts.start(ADD, "rsh log 3 later", strict=True))
    assert text.endswith('and after it:\n    logged at level WARN: "later"')


def test_it_fails_also_where_traps_go_on(scripts: Any) -> None:
    """The exchange lists it as well."""
    host = scripts.start(ADD, strict=True, on_trap="continue")
    refused(host)
    assert [type(error) for error in host.last_exchange.errors] == [pw.StrictError]


def test_a_callout_nobody_answers_fails_when_the_host_closes(scripts: Any) -> None:
    """It was made, and the test never looked at it."""
    host = scripts.start(CALL, strict=True, clusters={"aux": None})
    host.get("/")
    with pytest.raises(
        pw.StrictError, match="callouts were made that nobody has answered:\n    GET / to cluster 'aux'"
    ):
        host.close()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda s: s.start(strict={"hostcall"}), "names of checks: 'hostcalls', 'no_effect', 'logs', 'callouts'"),
        (lambda s: s.start(strict=True, trace=False), "strict= looks at the trace, so it needs trace=True"),
        (lambda s: s.start().allow("proxy_log"), "host.allow.. is for strict hosts"),
    ],
)
def test_mistakes_are_refused(act: Any, said: str, scripts: Any) -> None:
    """With the way out."""
    with pytest.raises(pw.UsageError, match=said):
        act(scripts)


def test_the_error_is_an_expectation_and_the_filters_doing() -> None:
    """So that either can be caught."""
    assert issubclass(pw.StrictError, pw.FilterError)
    assert issubclass(pw.StrictError, pw.ExpectationError)
    assert issubclass(pw.StrictError, AssertionError)
