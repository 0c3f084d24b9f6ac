"""What tests see of a host, and the messages when they ask for what is not there."""

from __future__ import annotations

from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm import Metric, NotEmulatedError, Status, UsageError


@pytest.fixture
def host(scripts: Any) -> Any:
    """A host with some of everything."""
    return scripts.start(
        *("cfg mdef 0 requests", "cfg minc 4 2", "cfg mdef 1 depth", "cfg mrec 5 7"),
        *("cfg mdef 2 sizes", "cfg mrec 6 10", "cfg mrec 6 20"),
        *("cfg sdset token abc 0", "cfg sdset %ff bin 0", "cfg qreg jobs"),
        "queue qdeq 1",
        filter={"vm_id": "vm"},
    )


def test_metrics_are_a_mapping(host: Any) -> None:
    """By the names the filter gave them."""
    assert dict(host.metrics) == {
        "requests": Metric("counter", 2),
        "depth": Metric("gauge", 7),
        "sizes": Metric("histogram", 2, (10, 20)),
    }
    assert len(host.metrics) == 3
    assert repr(host.metrics).startswith("{'requests': Metric(kind='counter', value=2, samples=())")


def test_shared_data_is_a_mapping_of_one_vm_id(host: Any) -> None:
    """Keys are text or bytes."""
    data = host.shared_data
    assert data["token"] == data[b"token"] == b"abc"
    assert data[b"\xff"] == b"bin"
    assert (data.cas("token"), data.cas(b"\xff")) == (1, 2)
    data["token"] = "new"
    assert (data["token"], data.cas("token")) == (b"new", 3)
    del data["token"]
    assert list(data) == [b"\xff"]
    assert host.vm_id("vm").shared_data[b"\xff"] == b"bin"
    assert dict(host.vm_id("other").shared_data) == {}


def test_queues_are_a_mapping_and_take_items(scripts: Any, host: Any) -> None:
    """Whoever registered a queue is told as soon as time moves."""
    assert dict(host.queues) == {"jobs": []}
    host.queues.enqueue("jobs", "1")
    assert host.queues["jobs"] == [b"1"]
    host.clock.advance(0)
    assert scripts.seen(host) == ["queue_ready 1", "  qdeq 1 -> 0 ptr=nz n=1 d=1"]
    assert host.queues["jobs"] == []


def test_properties_are_a_mapping_of_what_the_test_set(host: Any) -> None:
    """Dotted or tuple paths."""
    host.properties["xds.cluster_name"] = "web"
    host.properties["a", "b.c"] = 5
    assert host.properties["xds", "cluster_name"] == "web"
    assert list(host.properties) == [("xds", "cluster_name"), ("a", "b.c")]
    del host.properties["xds.cluster_name"]
    assert len(host.properties) == 1


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (lambda h: h.metrics["request"], "no metric 'request'; near it: requests"),
        (lambda h: h.metrics["zzz"], "no metric 'zzz'; there are: depth, requests, sizes"),
        (lambda h: h.shared_data["tokem"], "no shared data under 'tokem'; near it: token"),
        (lambda h: h.shared_data[b"tokem"], "no shared data under b'tokem'; near it: token"),
        (lambda h: h.shared_data.cas("tokem"), "no shared data under 'tokem'; near it: token"),
        (lambda h: h.shared_data.__delitem__("tokem"), "no shared data under 'tokem'; near it: token"),
        (lambda h: h.queues["job"], "no queue 'job'; near it: jobs"),
        (lambda h: h.vm_id("x").queues["job"], "no queue 'job'; there are: none"),
        (lambda h: h.properties["request.path"], "no property 'request.path' was set here; there are: none"),
        (lambda h: h.properties.__delitem__("a.b"), "no property 'a.b' was set here; there are: none"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest_that_is(look: Any, message: str, host: Any) -> None:
    """Or with all, when none is near."""
    with pytest.raises(KeyError) as caught:
        look(host)
    assert caught.value.args == (message,)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda h: h.queues.enqueue("job", "x"), "no filter has registered a queue 'job'; near it: jobs"),
        (lambda h: h.queues.enqueue("jobs", 5), "data must be str or bytes, not int: 5"),
        (lambda h: h.properties.__setitem__("", 1), "a property path has parts that are not empty: ''"),
        (lambda h: h.properties.__setitem__("a..b", 1), "a property path has parts that are not empty: 'a..b'"),
        (
            lambda h: h.inject("proxy_get_header_map_valu", 1),
            "no hostcall 'proxy_get_header_map_valu'; near it: proxy_get_header_map_value, "
            "proxy_get_header_map_pairs, proxy_add_header_map_value",
        ),
        (lambda h: h.inject("zzz", 1), "no hostcall 'zzz'"),
        (
            lambda h: h.inject("proxy_log", "OK"),
            "injecting OK would give the guest results that are not there; inject an error",
        ),
        (
            lambda h: h.inject("proxy_log", "BAD"),
            f"no status 'BAD'; there are: {', '.join(one.name for one in Status)}",
        ),
        (lambda h: h.inject("proxy_log", 99), f"no status 99; there are: {', '.join(one.name for one in Status)}"),
        (lambda h: h.inject("proxy_log", 1, times=0), "times=0: at least once"),
        (lambda h: h.get("/", worker=3), "worker=3: this host has workers 0 to 0"),
        (lambda h: h.get("/", worker=-1), "worker=-1: this host has workers 0 to 0"),
        (lambda h: h.get("/", http_version="3"), "http_version='3': it is one of '1.1', '2'"),
        (
            lambda h: h.get("/", upstream=5),
            "upstream is one of pw.Response, pw.Reset, pw.ConnectionRefused, pw.Timeout, pw.After, not 5",
        ),
        (lambda h: h.stream().request_body("x"), "request body before request headers"),
        (lambda h: h.stream().request_trailers({}), "request trailers before request headers"),
        (lambda h: h.stream().response_headers(), "response headers, but no request has reached the upstream"),
        (
            lambda h: h.stream(upstream=pw.Response()).response_headers(),
            "this stream has an upstream= that answers; open it without one to answer by hand",
        ),
        (lambda h: h.stream().reset("sideways"), 'reset(peer=\'sideways\'): it is "downstream" or "upstream"'),
        (
            lambda h: h.connect(),
            'this host has protocol="http", so its filters never see a connection: send a request with '
            'host.request() or host.stream(), or start the host with protocol="tcp"',
        ),
        (lambda h: h.clock.advance(-1), "time does not run backwards: advance(-1)"),
    ],
)
def test_a_mistake_of_the_test_is_a_usage_error(act: Any, message: str, host: Any) -> None:
    """With the words for it."""
    with pytest.raises(UsageError) as caught:
        act(host)
    assert str(caught.value) == message


def steps(*actions: Any) -> Any:
    """A stream after these steps."""

    def run(host: Any) -> None:
        stream = host.stream()
        for action in actions:
            action(stream)

    return run


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            steps(lambda s: s.request_headers(), lambda s: s.request_headers()),
            "this stream has got its request headers already",
        ),
        (
            steps(lambda s: s.request_headers(end_of_stream=True), lambda s: s.request_body("x")),
            "request body after the end of the request",
        ),
        (
            steps(lambda s: s.request_headers(), lambda s: s.request_body("", True), lambda s: s.request_trailers({})),
            "request trailers after the end of the request",
        ),
        (
            steps(lambda s: s.request_headers(end_of_stream=True), lambda s: s.response_body("x")),
            "response body before response headers",
        ),
        (
            steps(lambda s: s.request_headers(), lambda s: s.response_headers(), lambda s: s.response_headers()),
            "this stream has got its response headers already",
        ),
    ],
)
def test_steps_of_a_stream_come_in_order(act: Any, message: str, host: Any) -> None:
    """Each message says what came too early or too late."""
    with pytest.raises(UsageError) as caught:
        act(host)
    assert str(caught.value) == message


def test_a_closed_host_does_nothing_more(host: Any) -> None:
    """Whatever is asked of it."""
    host.close()
    host.close()
    for act in (host.get, host.stream, host.connect, host.restart):
        with pytest.raises(UsageError, match="this host is closed"):
            act()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers=0: a host has at least one worker"),
        ({"protocol": "udp"}, "protocol='udp': it is one of 'http', 'tcp'"),
        ({"starts": "twice"}, "starts='twice': it is one of 'once', 'envoy'"),
        ({"on_trap": "ignore"}, "on_trap='ignore': it is one of 'raise', 'continue'"),
        (
            {"protocol": "tcp", "upstream": pw.Response()},
            'upstream= is for HTTP requests; with protocol="tcp" the test itself is the upstream: '
            "host.connect().upstream_data(...)",
        ),
    ],
)
def test_options_are_checked(options: Any, message: str, scripts: Any) -> None:
    """Before anything starts."""
    with pytest.raises(UsageError) as caught:
        scripts.start(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda s: s.start(routes=[{"match": {"prefix": "/"}, "route": {"cluster": "web"}, "typed": 1}]),
            "routes: the mock host does not emulate route.typed of Envoy's routes",
        ),
        (
            lambda s: s.start(routes=[{"match": {"safe_regex": "x"}}]),
            "routes: the mock host does not emulate match.safe_regex of Envoy's routes",
        ),
    ],
)
def test_what_is_not_emulated_says_so(act: Any, message: str, scripts: Any) -> None:
    """No answer is made up."""
    with pytest.raises(NotEmulatedError) as caught:
        act(scripts)
    assert str(caught.value) == message


def test_a_host_needs_a_filter(scripts: Any) -> None:
    """Or a service."""
    with pytest.raises(UsageError) as caught:
        scripts.host()
    assert str(caught.value) == ("a host needs at least one filter: proxywasm.host(filter), or services=[filter]")
    host = scripts.host(services=[scripts.filter()])
    with pytest.raises(UsageError, match="this host has only services: there is no chain to send a request through"):
        host.get("/")


def test_an_injected_status_reaches_the_guest_as_often_as_wanted(scripts: Any) -> None:
    """The condition gets the arguments as the trace shows them."""
    host = scripts.start("rqh get 0 :path", "rqh get 0 :method", "rqh get 0 :path")
    host.inject("proxy_get_header_map_value", Status.INTERNAL_FAILURE, when=lambda args: args["key"] == ":path")
    exchange = host.get("/")
    assert [line.partition(" ptr")[0] for line in scripts.said(host)] == [
        "get 0 :path -> 10 (out untouched)",
        "get 0 :method -> 0",
        "get 0 :path -> 0",
    ]
    assert [call.injected for call in exchange.trace.hostcalls("proxy_get_header_map_value")] == [True, False, False]
    host.inject("proxy_get_header_map_value", 1, times=2)
    host.get("/")
    assert [line.split()[4] for line in scripts.said(host)[3:]] == ["1", "1", "0"]
