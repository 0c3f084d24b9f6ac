"""The same filters written with every SDK behave the same, on every engine."""

from __future__ import annotations

import pytest

from pytest_proxywasm import FilterStartError, GuestTrap, LogLevel, Response

from .conftest import Gallery


class TestHeaders:
    """filter=headers"""

    def test_edits_reach_the_upstream_and_the_client(self, start: Gallery) -> None:
        host = start(
            "filter=headers",
            "# comments and blank lines are fine",
            "",
            "request-remove=x-secret",
            "request-set=x-team: blue",
            "request-add=x-tag: one",
            "request-add=x-tag: two",
            "response-remove=x-powered-by",
            "response-set=x-served-by: gallery",
            "response-add=vary: origin",
        )
        exchange = host.get(
            "/a", headers={"X-Secret": "1", "x-team": "red"}, upstream=Response(200, {"x-powered-by": "php"})
        )
        assert exchange.upstream_request is not None
        assert exchange.response is not None
        assert exchange.request_changes.removed == {"x-secret": ("1",)}
        assert exchange.request_changes.added == {"x-tag": ("one", "two")}
        assert exchange.upstream_request.headers["x-team"] == "blue"
        assert exchange.upstream_request.headers.get_all("x-tag") == ["one", "two"]
        assert "x-powered-by" not in exchange.response.headers
        assert exchange.response.headers["x-served-by"] == "gallery"
        assert exchange.response.headers["vary"] == "origin"

    def test_logs_the_request(self, start: Gallery) -> None:
        exchange = start("filter=headers").get("/path?q=1")
        # The AssemblyScript SDK adds debug messages of its own, which cannot be turned off.
        logs = [(log.level, log.message) for log in exchange.logs if log.level >= LogLevel.INFO]
        assert logs == [(LogLevel.INFO, "headers: GET /path?q=1")]

    @pytest.mark.parametrize(
        ("configuration", "said"),
        [("filter=headers\nnonsense", "nonsense"), ("filter=nope", "nope"), ("", "empty")],
    )
    def test_a_bad_configuration_is_refused(self, start: Gallery, configuration: str, said: str) -> None:
        with pytest.raises(FilterStartError, match="Failed to configure base Wasm plugin") as caught:
            start(configuration)
        assert "bad configuration: " in str(caught.value)
        assert said in str(caught.value)


class TestBody:
    """filter=body"""

    @pytest.mark.parametrize("chunks", [[b"one fish, two fish"], [b"one fi", b"sh, two", b" fish"], [b"", b"one fish"]])
    def test_replaces_over_chunk_borders_both_ways(self, start: Gallery, chunks: list[bytes]) -> None:
        host = start("filter=body", "find=fish", "replace=bird")
        whole = b"".join(chunks)
        exchange = host.post("/", chunks=chunks, upstream=Response(200, chunks=chunks))
        assert exchange.upstream_request is not None
        assert exchange.response is not None
        assert exchange.upstream_request.body == whole.replace(b"fish", b"bird")
        assert exchange.response.body == whole.replace(b"fish", b"bird")

    def test_keeps_bytes_that_are_no_text(self, start: Gallery) -> None:
        host = start("filter=body", "find=a", "replace=bb", "on=request")
        exchange = host.post("/", body=b"\xff\x00a\xfe")
        assert exchange.upstream_request is not None
        assert exchange.upstream_request.body == b"\xff\x00bb\xfe"
        assert "content-length" not in exchange.upstream_request.headers

    def test_works_when_trailers_end_the_body(self, start: Gallery) -> None:
        host = start("filter=body", "find=x", "replace=yy")
        exchange = host.post(
            "/", body="axb", trailers={"t": "1"}, upstream=Response(200, body="xx", trailers={"u": "2"})
        )
        assert exchange.upstream_request is not None
        assert exchange.response is not None
        assert exchange.upstream_request.body == b"ayyb"
        assert exchange.upstream_request.trailers == {"t": "1"}
        assert exchange.response.body == b"yyyy"


class TestAuth:
    """filter=auth"""

    def test_lets_the_right_token_pass(self, start: Gallery) -> None:
        exchange = start("filter=auth", "token=s3cret").get("/", headers={"authorization": "Bearer s3cret"})
        assert exchange.upstream_request is not None
        assert exchange.response is not None
        assert exchange.response.status == 200
        assert exchange.upstream_request.headers["x-user"] == "known"
        assert "authorization" not in exchange.upstream_request.headers

    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": b"Bearer \xff\xfe"}])
    def test_answers_403_to_all_others(self, start: Gallery, headers: dict[str, str | bytes]) -> None:
        exchange = start("filter=auth", "token=s3cret").get("/", headers=headers)
        assert exchange.upstream_request is None
        assert exchange.response is not None
        assert exchange.response.status == 403
        assert exchange.response.body == b"denied\n"
        assert exchange.local_response is not None
        assert exchange.local_response.headers == {"x-denied-by": "auth"}
        assert exchange.outcome == "complete"


def test_trailers_are_counted_and_marked(start: Gallery) -> None:
    exchange = start("filter=trailers").post(
        "/", body="b", trailers={"a": "1", "b": "2"}, upstream=Response(200, body="r", trailers={"c": "3"})
    )
    assert exchange.upstream_request is not None
    assert exchange.response is not None
    assert exchange.upstream_request.trailers == {"a": "1", "b": "2", "x-trailer-count": "2"}
    assert exchange.response.trailers == {"c": "3", "x-trailer-count": "1"}


def test_properties_are_read_and_set(start: Gallery) -> None:
    exchange = start("filter=properties").get("/p?q=1")
    assert exchange.upstream_request is not None
    assert exchange.response is not None
    headers = exchange.upstream_request.headers
    assert headers["x-prop-path"] == "/p?q=1"
    assert headers["x-prop-method"] == "GET"
    assert headers["x-prop-protocol"] == "HTTP/1.1"
    assert headers["x-prop-source"].startswith("127.0.0.1:")
    assert headers["x-prop-plugin"] == "gallery"
    assert headers["x-prop-missing"] == "none"
    assert exchange.response.headers["x-marker"] == "/p?q=1"


def test_metrics_count_requests_and_bytes(start: Gallery) -> None:
    host = start("filter=metrics")
    first = host.post("/", body="12345")
    second = host.post("/", chunks=[b"12", b"345678"])
    assert first.response is not None
    assert second.response is not None
    assert (first.response.headers["x-requests"], second.response.headers["x-requests"]) == ("1", "2")
    assert host.metrics["gallery_requests"].value == 2
    assert host.metrics["gallery_requests"].kind == "counter"
    assert host.metrics["gallery_in_flight"].value == 0
    assert host.metrics["gallery_request_bytes"].samples == (5, 8)


def test_shared_data_counts_hits(start: Gallery) -> None:
    host = start("filter=shared")
    responses = [host.get("/").response for _ in range(3)]
    assert [r.headers["x-hits"] for r in responses if r is not None] == ["1", "2", "3"]
    assert host.shared_data["gallery_hits"] == b"3"
    assert host.shared_data.cas("gallery_hits") == 3


class TestCallout:
    """filter=callout"""

    LINES = ("filter=callout", "cluster=authz", "path=/check", "timeout-ms=500")

    def test_an_allowed_request_goes_on(self, start: Gallery) -> None:
        host = start(*self.LINES, clusters={"authz": Response(200)})
        exchange = host.get("/x")
        assert exchange.upstream_request is not None
        assert exchange.upstream_request.headers["x-authz"] == "allowed"
        assert [(c.method, c.path, c.cluster) for c in exchange.callouts] == [("GET", "/check", "authz")]
        assert exchange.callouts[0].headers["x-original-path"] == "/x"

    def test_a_denied_request_is_answered(self, start: Gallery) -> None:
        exchange = start(*self.LINES, clusters={"authz": Response(403)}).get("/x")
        assert exchange.upstream_request is None
        assert exchange.local_response is not None
        assert (exchange.local_response.status, exchange.local_response.body) == (403, b"denied by authz\n")

    def test_an_unknown_cluster_is_answered_at_once(self, start: Gallery) -> None:
        exchange = start(*self.LINES).get("/x")
        assert exchange.local_response is not None
        assert (exchange.local_response.status, exchange.local_response.body) == (503, b"authz unavailable\n")


def test_a_panic_is_a_trap_with_its_words_and_functions(start: Gallery) -> None:
    host = start("filter=panic")
    with pytest.raises(GuestTrap) as caught:
        host.get("/", headers={"x-panic": "1"})
    error = caught.value
    assert error.callback == "proxy_on_request_headers"
    assert "gallery panic" in "\n".join([str(error), *(log.message for log in host.logs)])
    assert error.exchange.response.status == 503
    assert error.exchange.details == "wasm_fail_stream"


def test_an_exchange_is_the_same_over_hosts(start: Gallery) -> None:
    """A fresh host gives the same trace, to the letter."""
    lines = ("filter=headers", "request-set=x-a: 1")
    first, second = (start(*lines).get("/same") for _ in range(2))
    assert first.trace.text(wasi=True) == second.trace.text(wasi=True)
