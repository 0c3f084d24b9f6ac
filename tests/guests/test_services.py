"""Filters that work beside the streams: on ticks, on queues, with metrics of every kind, and with other clusters."""

from __future__ import annotations

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.mock import MockHost
from pytest_proxywasm.toolkit import Toolkit

from .conftest import Configure, Gallery, said


def fetched(host: MockHost) -> str:
    """What the fetcher tells the upstream of a request."""
    exchange = host.get("/")
    assert exchange.upstream_request is not None
    return exchange.upstream_request.headers["x-fetched"]


def counts(host: MockHost) -> tuple[int, int]:
    """Fetches, and those that failed."""
    return host.metrics["gallery_fetches"].value, host.metrics["gallery_fetch_failures"].value


class TestFetcher:
    """filter=fetcher"""

    LINES = ("filter=fetcher", "cluster=config", "path=/v1/config?x=1", "period-ms=2500")

    def test_fetches_on_every_tick_and_hands_on_the_newest(self, start: Gallery) -> None:
        versions = [pw.Response(200, body=f"version {number}") for number in (1, 2, 3)]
        host = start(*self.LINES, clusters={"config": versions})
        assert fetched(host) == "-"
        host.clock.advance(2.4)
        assert host.callouts == []
        host.clock.advance(0.1)
        call = host.callouts[0]
        assert (call.cluster, call.method, call.path, call.timeout) == ("config", "GET", "/v1/config?x=1", 1.0)
        assert call.headers[":authority"] == "config"
        assert fetched(host) == "version 1"
        host.clock.advance(5)
        assert len(host.callouts) == 3
        assert fetched(host) == "version 3"
        assert host.shared_data["gallery_fetched"] == b"version 3"
        assert host.shared_data.cas("gallery_fetched") == 3
        assert counts(host) == (3, 0)

    def test_has_defaults(self, start: Gallery) -> None:
        host = start("filter=fetcher", "cluster=config", clusters={"config": pw.Response(200)})
        host.clock.advance(1)
        assert [call.path for call in host.callouts] == ["/config"]

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(pw.Response(503, body="down"), id="503"),
            pytest.param(pw.Response(204), id="204"),
            pytest.param(pw.ConnectionRefused(), id="refused"),
            pytest.param(pw.NoHosts(), id="no hosts"),
            pytest.param(pw.Reset(), id="reset"),
            pytest.param(pw.Reset(after_headers=True), id="reset after headers"),
        ],
    )
    def test_a_failing_cluster_leaves_what_was_fetched_before(self, start: Gallery, answer: object) -> None:
        host = start(*self.LINES, clusters={"config": [pw.Response(200, body="good"), answer]})
        host.clock.advance(5)
        assert fetched(host) == "good"
        assert counts(host) == (1, 1)

    def test_an_unknown_cluster_fails_at_once_on_every_tick(self, start: Gallery) -> None:
        host = start(*self.LINES)
        host.clock.advance(7.5)
        assert host.callouts == []
        assert fetched(host) == "-"
        assert counts(host) == (0, 3)

    def test_a_silent_cluster_fails_a_second_later(self, start: Gallery) -> None:
        host = start(*self.LINES, clusters={"config": [pw.Timeout(), pw.After(0.9, pw.Response(200, body="late"))]})
        host.clock.advance(2.5 + 0.999)
        assert counts(host) == (0, 0)
        host.clock.advance(0.001)
        assert counts(host) == (0, 1)
        host.clock.advance(1.5 + 0.899)
        assert fetched(host) == "-"
        host.clock.advance(0.001)
        assert fetched(host) == "late"

    def test_an_empty_document_counts_as_fetched(self, start: Gallery) -> None:
        host = start(*self.LINES, clusters={"config": pw.Response(200)})
        host.clock.advance(2.5)
        assert host.shared_data["gallery_fetched"] == b""
        assert fetched(host) == "-"
        assert counts(host) == (1, 0)

    def test_fetches_without_a_chain(self, configure: Configure, toolkit: Toolkit) -> None:
        """As a Wasm service, which is not part of any filter chain."""
        cluster = {"config": pw.Response(200, body="alone")}
        with toolkit.host(services=[configure(*self.LINES)], clusters=cluster) as host:
            host.clock.advance(25)
            assert counts(host) == (10, 0)
            assert host.shared_data["gallery_fetched"] == b"alone"

    def test_every_worker_fetches_for_all(self, start: Gallery) -> None:
        host = start(*self.LINES, workers=3, clusters={"config": pw.Response(200, body="shared")})
        host.clock.advance(2.5)
        assert counts(host) == (3, 0)
        assert [fetched(host) for _ in range(3)] == ["shared"] * 3

    def test_a_period_that_is_no_number_is_refused(self, start: Gallery) -> None:
        with pytest.raises(pw.FilterStartError, match="bad configuration: period-ms=1s"):
            start("filter=fetcher", "cluster=config", "period-ms=1s")


class TestQueue:
    """filter=queue-sender and filter=queue-receiver"""

    SENDER = ("filter=queue-sender", "queue=jobs")
    RECEIVER = ("filter=queue-receiver", "queue=jobs")

    def test_requests_reach_a_service_in_another_vm(self, configure: Configure, toolkit: Toolkit) -> None:
        sender = configure(*self.SENDER, "vm-id=back", name="sender", vm_id="front")
        receiver = configure(*self.RECEIVER, name="receiver", vm_id="back")
        with toolkit.host(sender, services=[receiver]) as host:
            for method, path in (("GET", "/a"), ("POST", "/b?c=d")):
                exchange = host.request(method, path)
                assert exchange.response is not None
                assert exchange.response.headers["x-queued"] == "yes"
            assert said(host) == ["received: GET /a", "received: POST /b?c=d"]
            assert {log.filter for log in host.logs if log.message.startswith("received")} == {"receiver"}
            assert host.metrics["gallery_received"].value == 2
            assert host.vm_id("back").queues["jobs"] == []

    def test_requests_reach_a_filter_of_the_same_vm_id(self, configure: Configure, toolkit: Toolkit) -> None:
        with toolkit.host(configure(*self.SENDER), configure(*self.RECEIVER)) as host:
            exchange = host.get("/x")
            assert exchange.response is not None
            assert exchange.response.headers["x-queued"] == "yes"
            assert said(host) == ["received: GET /x"]

    @pytest.mark.parametrize("lines", [("queue=jobs",), ("queue=jobs", "vm-id=elsewhere"), ("queue=tasks", "vm-id=v")])
    def test_a_queue_that_nobody_registered_is_not_there(
        self, configure: Configure, toolkit: Toolkit, lines: tuple[str, ...]
    ) -> None:
        sender = configure("filter=queue-sender", *lines)
        with toolkit.host(sender, services=[configure(*self.RECEIVER, vm_id="v")]) as host:
            exchange = host.get("/")
            assert exchange.response is not None
            assert exchange.response.headers["x-queued"] == "no"
            assert said(host) == []

    def test_items_from_elsewhere_are_received_as_they_are(self, configure: Configure, toolkit: Toolkit) -> None:
        with toolkit.host(services=[configure(*self.RECEIVER, vm_id="back")]) as host:
            queues = host.vm_id("back").queues
            for item in ("first", "second", "größer"):
                queues.enqueue("jobs", item)
            host.clock.advance(0)
            assert said(host) == ["received: first", "received: second", "received: größer"]
            assert queues["jobs"] == []

    def test_an_empty_item_does_not_stop_what_comes_after_it(self, configure: Configure, toolkit: Toolkit) -> None:
        """The Rust SDK takes it for the end of the queue, and goes on at the next call; there is one for each item."""
        with toolkit.host(services=[configure(*self.RECEIVER)]) as host:
            for item in (b"", b"after"):
                host.queues.enqueue("jobs", item)
            host.clock.advance(0)
            assert said(host)[-1] == "received: after"
            assert host.queues["jobs"] == []

    def test_the_worker_that_registered_last_gets_everything(self, configure: Configure, toolkit: Toolkit) -> None:
        chain = configure(*self.SENDER, name="sender"), configure(*self.RECEIVER, name="receiver")
        with toolkit.host(*chain, workers=2) as host:
            for _ in range(4):
                host.get("/")
            ready = list(host.trace.callbacks("proxy_on_queue_ready"))
            assert [callback.worker for callback in ready] == [1, 1, 1, 1]
            assert host.metrics["gallery_received"].value == 4

    def test_a_queue_without_a_name_is_refused(self, start: Gallery) -> None:
        for name in ("queue-sender", "queue-receiver"):
            with pytest.raises(pw.FilterStartError, match="bad configuration: no queue"):
                start(f"filter={name}")


def test_metrics_of_every_kind(start: Gallery) -> None:
    """filter=kinds"""
    host = start("filter=kinds")
    responses = [host.get("/").response for _ in range(2)]
    assert [r.headers["x-kinds"] for r in responses if r is not None] == ["2 4", "4 4"]
    assert host.metrics["kinds_c"] == pw.Metric("counter", 4)
    assert host.metrics["kinds_g"] == pw.Metric("gauge", 4)
    assert host.metrics["kinds_h"] == pw.Metric("histogram", 2, (5, 5))


def test_metrics_are_common_to_all_workers(start: Gallery) -> None:
    host = start("filter=kinds", workers=2)
    responses = [host.get("/", worker=worker).response for worker in (0, 1, 0)]
    assert [r.headers["x-kinds"] for r in responses if r is not None] == ["2 4", "4 4", "6 4"]


class TestCallout:
    """filter=callout, where the cluster does not answer as it should"""

    LINES = ("filter=callout", "cluster=authz", "path=/check", "timeout-ms=500")

    @pytest.mark.parametrize(
        ("answer", "status", "body", "waited"),
        [
            pytest.param(pw.After(0.4, pw.Response(403)), 403, b"denied by authz\n", 0.4, id="late"),
            pytest.param(pw.Timeout(), 403, b"denied by authz\n", 0.5, id="timeout"),
            pytest.param(pw.ConnectionRefused(), 403, b"denied by authz\n", 0, id="refused"),
            pytest.param(pw.Reset(after_headers=True), 503, b"authz unavailable\n", 0, id="reset after headers"),
            pytest.param(pw.NoHosts(), 503, b"authz unavailable\n", 0, id="no hosts"),
        ],
    )
    def test_whatever_is_no_permission_is_answered(
        self, start: Gallery, answer: object, status: int, body: bytes, waited: float
    ) -> None:
        host = start(*self.LINES, clusters={"authz": answer})
        before = host.clock.now
        exchange = host.get("/x")
        assert exchange.upstream_request is None
        assert exchange.local_response is not None
        assert (exchange.local_response.status, exchange.local_response.body) == (status, body)
        assert host.clock.now - before == pytest.approx(waited)

    def test_answers_come_in_any_order(self, start: Gallery) -> None:
        host = start(*self.LINES, clusters={"authz": None})
        streams = [host.stream(upstream=pw.Response(200)) for _ in range(3)]
        for number, stream in enumerate(streams):
            stream.request_headers({":path": f"/{number}"}, end_of_stream=True)
        first, second, third = host.pending_callouts
        assert [call.callout.headers["x-original-path"] for call in (first, second, third)] == ["/0", "/1", "/2"]
        third.respond(pw.Response(200))
        first.respond(pw.Response(401))
        second.respond(pw.Response(200))
        host.clock.advance(0)  # the upstream answers the two that went on
        statuses = [stream.exchange.response.status for stream in streams if stream.exchange.response is not None]
        assert statuses == [403, 200, 200]

    def test_an_answer_after_the_client_has_gone_is_of_no_use(self, start: Gallery) -> None:
        host = start(*self.LINES, clusters={"authz": None})
        stream = host.stream()
        stream.request_headers({":path": "/"}, end_of_stream=True)
        stream.reset()
        host.pending_callouts[0].respond(pw.Response(200))
        assert stream.exchange.upstream_request is None
        host.cluster("authz", pw.Timeout())
        assert host.get("/", timeout=1).local_response is not None
