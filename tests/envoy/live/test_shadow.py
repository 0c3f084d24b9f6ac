"""Exchanges of the mock that are held against a real Envoy."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.toolkit import Toolkit

from .conftest import probe

CALL = "rqh http auth 1000 '' :method GET :path /c :authority a\nrqh ret 1\nhttp pairs 6\nhttp effctx {0}\nhttp cont 0"


def test_what_agrees_is_counted(in_both: Toolkit) -> None:
    with in_both.host(probe("rqh add 0 x 1\nrqh pairs 0\nlog prop response.code")) as host:
        for version in ("1.1", "2"):
            assert host.post("/", body=b"abc", http_version=version).response is not None
    assert isinstance(host, pw.MockHost)
    assert in_both.checks.lines() == ["2 of 2 exchanges were compared with Envoy 1.40.0: 0 differ"]


def test_answers_of_clusters_are_those_of_the_mock(in_both: Toolkit) -> None:
    """A handler runs once, and Envoy's filter gets what the mock's got."""
    asked: list[str] = []

    def auth(call: pw.Callout) -> pw.Response:
        asked.append(call.path)
        return pw.Response(200 + len(asked))

    def upstream(request: pw.Request) -> pw.Response:
        asked.append(request.path)
        return pw.Response(200, body=str(len(asked)))

    with in_both.host(probe(CALL.format(2)), clusters={"auth": auth}, upstream=upstream) as host:
        response = host.get("/u").response
    assert response is not None
    assert (response.body, asked) == (b"2", ["/c", "/u"])
    assert (in_both.checks.agreed, in_both.checks.total) == (1, 1)


@pytest.mark.parametrize(
    "script", ["rqh trap", "rqh ret 1", "rqh cont 1", "rsh cont 1"], ids=["trap", "stall", "crash", "twice"]
)
def test_failures_agree(in_both: Toolkit, script: str) -> None:
    with in_both.host(probe(script)) as host, pytest.raises(pw.FilterError) as caught:
        host.get("/")
    assert not isinstance(caught.value, pw.EnvoyDiffersError)
    assert (in_both.checks.agreed, in_both.checks.total) == (1, 1)


def test_a_refused_start_agrees(in_both: Toolkit) -> None:
    with pytest.raises(pw.FilterStartError, match="the guest returned 0"):
        in_both.host(probe("cfg ret 0"))
    assert (in_both.checks.agreed, in_both.checks.total) == (1, 1)


def test_a_difference_is_an_error_at_that_line(in_both: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock that adds a header is found out."""
    from pytest_proxywasm.host.http import ends

    finish = ends.finish_response_headers

    def wrong(headers: Any, *args: Any, **options: Any) -> None:
        headers.add(b"x-wrong", b"1")
        finish(headers, *args, **options)

    monkeypatch.setattr(ends, "finish_response_headers", wrong)
    with in_both.host(probe("")) as host:
        with pytest.raises(pw.EnvoyDiffersError) as caught:
            host.get("/a")
        assert str(caught.value) == (
            "GET /a is not the same in the mock and in Envoy 1.40.0:\n\n"
            "response.headers (- mock, + Envoy):\n"
            "    @@ -2,5 +2,4 @@\n"
            "     content-length: '0'\n"
            "     x-envoy-upstream-service-time: '<ms>'\n"
            "    -x-wrong: '1'\n"
            "     date: '<date>'\n"
            "     server: 'envoy'\n\n"
            "The test saw the mock's result. What Envoy does counts: the filter may not work there as this test says. "
            "Run the test with --proxywasm-host=envoy to see it in Envoy alone."
        )
        host.get("/b")
    assert in_both.checks.lines() == [
        "1 of 2 exchanges were compared with Envoy 1.40.0: 1 differ",
        "1 could not be compared:",
        "      1  an exchange before it was not the same",
    ]


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (lambda host: host.inject("proxy_log", "INTERNAL_FAILURE"), "the test injects statuses"),
        (lambda host: host.foreign_function("f", bytes), "the test offers a foreign function"),
        (lambda host: host.properties.update({"a": "b"}), "properties are set by the test"),
        (lambda host: host.shared_data.update({"a": b"b"}), "the test writes shared data"),
        (lambda host: host.restart(), "the test restarts the VMs"),
        (lambda host: setattr(host, "log_level", 3), "the test sets the log level"),
    ],
)
def test_what_cannot_be_compared_is_counted_with_its_reason(in_both: Toolkit, use: Any, reason: str) -> None:
    with in_both.host(probe("")) as host:
        host.get("/")
        use(host)
        host.get("/")
    assert (in_both.checks.agreed, dict(in_both.checks.unchecked)) == (1, {reason: 1})


def test_streams_driven_by_hand_are_counted(in_both: Toolkit) -> None:
    with in_both.host(probe("")) as host:
        host.stream().request_headers(end_of_stream=True)
        host.get("/")
    assert dict(in_both.checks.unchecked) == {"streams are driven by hand": 2}


def test_flags_of_failed_upstreams_agree(in_both: Toolkit) -> None:
    with in_both.host(probe("log prop response.flags\nlog prop response.code_details")) as host:
        for upstream in (pw.Reset(), pw.Reset(after_headers=True), pw.ConnectionRefused(), pw.Response(503)):
            host.get("/", upstream=upstream)
    assert (in_both.checks.agreed, in_both.checks.total) == (4, 4)


@pytest.mark.parametrize(
    ("script", "request_", "reason"),
    [
        (
            "rqh http auth 1000 '' :method GET :path /c :authority a",
            {"method": "GET"},
            "a callout is answered while the request or the upstream's answer is under way as well",
        ),
        (
            CALL.format(2),
            {"method": "POST", "body": b"x", "clusters": {"auth": pw.ConnectionRefused()}},
            "a callout is refused before the request's body has arrived",
        ),
        (
            "rst add 3 :odd 1",
            {"method": "GET", "http_version": "2", "upstream": pw.Response(200, body=b"x", trailers={"x": "1"})},
            "a filter has put a pseudo header into trailers, which HTTP/2 does not allow",
        ),
        (
            "rqh local 204 why body -1\nrsb ret 1",
            {"method": "GET"},
            "a filter holds the body of a response whose status allows none: the client has all of it",
        ),
        (
            "rsh close 0\nrsh local 403 why body -1",
            {"method": "GET"},
            "the filter replies to a stream that it has closed",
        ),
        (
            "ctx close 0",
            {"method": "POST", "body": b"x"},
            "the filter replies to a stream that has ended, or closes it again, which Envoy sometimes survives",
        ),
        (
            "rsh cont 1",
            {"method": "GET", "upstream": pw.Response(200, body=b"x")},
            "the filter does what breaks the stream in Envoy in no defined way",
        ),
    ],
)
def test_what_chance_decides_is_not_compared(
    in_both: Toolkit, script: str, request_: dict[str, Any], reason: str
) -> None:
    """It is counted, with the reason."""
    clusters = request_.pop("clusters", {"auth": pw.Response(200)})
    ends = contextlib.suppress(pw.StreamStalled, pw.EnvoyCrashError)
    with in_both.host(probe(script), clusters=clusters, on_trap="continue") as host, ends:
        host.request(**request_)
    assert in_both.checks.agreed == 0
    assert dict(in_both.checks.unchecked) == {reason: 1}


def test_empty_chunks_agree(in_both: Toolkit) -> None:
    """HTTP/1.1 has none; over HTTP/2 each is a frame."""
    upstream = pw.Response(200, chunks=[b"", b"a", b""])
    with in_both.host(probe("rqb bget 0 0 9\nrsb bget 1 0 9"), upstream=upstream) as host:
        for version in ("1.1", "2"):
            for chunks in ([b"a", b"", b"b"], [b""], []):
                host.post("/", chunks=chunks, http_version=version)
    assert (in_both.checks.agreed, in_both.checks.total) == (6, 6)


def test_one_of_several_workers_is_compared(in_both: Toolkit) -> None:
    with in_both.host(probe(""), workers=3) as host:
        for worker in (1, 1, 2):
            host.get("/", worker=worker)
    assert in_both.checks.agreed == 2
    assert dict(in_both.checks.unchecked) == {"several workers are used": 1}


def test_streams_by_hand_are_played_in_envoy(in_both: Toolkit) -> None:
    """Several at a time, their callouts answered in an order of the test's own, as gRPC calls and upstreams are."""
    script = "\n".join(
        ["rqh http auth 1000 '' :method GET :path /c :authority a", "rqh ret 1", "rsh pairs 2"]
        + [f"http#{number} effctx {context}\nhttp#{number} cont 0" for number, context in ((1, 3), (2, 4), (3, 2))]
    )
    with in_both.host(probe(script), clusters={"auth": None}) as host:
        streams = [host.stream(upstream=pw.Response(200, {"x": "1"}, body=b"abc")) for _ in range(3)]
        for number, stream in enumerate(streams):
            stream.request_headers({":path": f"/{number}"}, end_of_stream=True)
        first, second, third = host.pending_callouts
        for call in (second, third, first):
            call.respond(pw.Response(200))
        host.clock.advance(0)
        assert all(stream.exchange.response is not None for stream in streams)
        assert in_both.checks.agreed == 3
    assert in_both.checks.differed == 0


def test_a_client_that_leaves_is_played_as_well(in_both: Toolkit) -> None:
    with in_both.host(probe(CALL.format(2)), clusters={"auth": None}) as host:
        stream = host.stream()
        stream.request_headers(end_of_stream=True)
        stream.reset()
        assert in_both.checks.agreed == 1
        host.pending_callouts[0].respond(pw.Response(200))
        host.cluster("auth", pw.Response(200))
        with pytest.raises(pw.StreamStalled):
            host.get("/")
    assert (in_both.checks.agreed, in_both.checks.total) == (2, 2)


@pytest.mark.parametrize("how", ["half", "response", "http2"])
def test_streams_that_no_real_peers_make_are_not_compared(in_both: Toolkit, how: str) -> None:
    with in_both.host(probe("")) as host:
        stream = host.stream(http_version="2" if how == "http2" else "1.1")
        stream.request_headers({":method": "POST"}, end_of_stream=how != "half")
        if how == "half":
            stream.request_body(b"x", end_of_stream=True)
        stream.response_headers(end_of_stream=True)
    assert in_both.checks.agreed == 0
    assert dict(in_both.checks.unchecked) == {"streams are driven by hand": 1}


def test_streams_that_are_open_at_the_end_are_played_as_far_as_they_got(in_both: Toolkit) -> None:
    with in_both.host(probe(CALL.format(2)), clusters={"auth": None}) as host:
        host.stream().request_headers(end_of_stream=True)
        host.pending_callouts[0].respond(pw.Response(200))
    assert (in_both.checks.agreed, in_both.checks.total) == (1, 1)


@pytest.mark.parametrize("how", ["nothing sent", "refused upstream", "refused call", "timed out"])
def test_streams_with_other_ends_are_not_compared(in_both: Toolkit, how: str) -> None:
    upstream = pw.ConnectionRefused() if how == "refused upstream" else None
    with in_both.host(probe("" if upstream else CALL.format(2)), clusters={"auth": None}, on_trap="continue") as host:
        stream = host.stream(upstream=upstream)
        if how != "nothing sent":
            stream.request_headers(end_of_stream=True)
        for call in host.pending_callouts:
            call.refuse() if how == "refused call" else call.time_out()
    assert in_both.checks.agreed == 0
    assert dict(in_both.checks.unchecked) == {"streams are driven by hand": 1}


def test_equal_callouts_are_told_apart(in_both: Toolkit) -> None:
    script = "rqh http auth 1000 '' :method GET :path /c :authority a\nrqh ret 1\n" + "\n".join(
        f"http#{number} effctx {number + 1}\nhttp#{number} cont 0" for number in (1, 2)
    )
    with in_both.host(probe(script), clusters={"auth": None}) as host:
        for _ in range(2):
            host.stream(upstream=pw.Response(200)).request_headers(end_of_stream=True)
        for call in host.pending_callouts:
            call.respond(pw.Response(200))
        host.clock.advance(0)
        assert in_both.checks.agreed == 2


def test_a_request_beside_open_streams_is_not_compared(in_both: Toolkit) -> None:
    with in_both.host(probe("")) as host:
        host.stream()
        host.get("/")
    assert dict(in_both.checks.unchecked) == {"streams are driven by hand": 2}


def test_a_difference_of_streams_by_hand_is_an_error(in_both: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_proxywasm.host.http import ends

    usual = ends.finish_response_headers

    def wrong(headers: Any, *args: Any, **options: Any) -> None:
        usual(headers, *args, **options)
        headers.add(b"x-wrong", b"1")

    monkeypatch.setattr(ends, "finish_response_headers", wrong)
    with in_both.host(probe("")) as host:
        stream = host.stream(upstream=pw.Response(200))
        with pytest.raises(pw.EnvoyDiffersError, match=r"response of stream 1\.headers"):
            stream.request_headers(end_of_stream=True)
    assert in_both.checks.differed == 1


@pytest.mark.parametrize("kind", ["", "application/grpc"])
def test_an_upstream_that_breaks_off_while_a_filter_holds_the_response(in_both: Toolkit, kind: str) -> None:
    """The client has not seen any of it, and gets a reply."""
    with in_both.host(probe("rsh ret 1\nlog pairs 2\nlog prop response.flags")) as host:
        response = host.get("/", headers={"content-type": kind}, upstream=pw.Reset(after_headers=True)).response
    assert response is not None
    assert response.status == (200 if kind else 502)
    assert (in_both.checks.agreed, in_both.checks.total) == (1, 1)


@pytest.mark.parametrize("script", ["", "rqh rem 0 x-request-id", "rqh rep 0 x-request-id other"])
@pytest.mark.parametrize("given", [{}, {"x-request-id": "mine"}], ids=["Envoy's id", "own id"])
def test_a_stream_by_hand_and_its_request_at_the_upstream(in_both: Toolkit, script: str, given: dict[str, str]) -> None:
    """Whatever a filter makes of the id by which it is known there."""
    with in_both.host(probe(script), upstream=pw.Response(404)) as host:
        stream = host.stream(upstream=pw.Response(200, {"x": "1"}))
        stream.request_headers({":path": "/a", **given}, end_of_stream=True)
        response = stream.exchange.response
        assert response is not None
        assert response.status == 200
    assert (in_both.checks.agreed, in_both.checks.total) == (1, 1)
