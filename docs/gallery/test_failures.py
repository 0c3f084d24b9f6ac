"""Tests that fail, one for each kind of failure: `docs/reference/failures.md` shows what pytest prints for them."""

from __future__ import annotations

import pytest
from guests import guest

import pytest_proxywasm as pw

# The assertion does not hold.


def test_wrong_status(blocking):
    """Another status than expected: who answered, and in which callback"""
    exchange = blocking.get("/orders", headers={"x-block": "yes"})
    assert exchange.response.status == 200


def test_missing_header(blocking):
    """A header that is not there: the nearest name"""
    exchange = blocking.get("/orders")
    assert "x-filtered" in exchange.response.headers


def test_headers_differ(blocking):
    """Headers that differ: what changed, aligned"""
    sent = {":path": "/orders", ":authority": "example.com", "x-user": "bob", "x-team": "blue"}
    exchange = blocking.get("/orders", headers={"x-user": "alice"})
    assert exchange.upstream_request.headers == pw.matching(sent)


def test_response_headers_differ(blocking):
    """Headers that differ as a whole"""
    exchange = blocking.get("/orders")
    assert exchange.response.headers == {":status": "200", "x-filter": "rust", "date": pw.ANY}


def test_local_response_differs(blocking):
    """A local response, field by field"""
    reply = blocking.get("/orders", headers={"x-block": "yes"}).local_response
    assert reply == pw.LocalResponse(429, pw.Headers(), b"slow down\n", "", None, "")


def test_unexpected_local_response(blocking):
    """A filter replied, and should not have"""
    assert blocking.get("/orders", headers={"x-block": "yes"}).local_response is None


def test_metric_misspelt(filter_that):
    """A metric of another name: the nearest ones"""
    host = filter_that(
        proxy_on_configure=[("proxy_define_metric", 0, "requests_total"), ("proxy_define_metric", 1, "active"), 1]
    )
    assert host.metrics["request_total"].value == 2


def test_shared_data_misspelt(filter_that):
    """Shared data under another key"""
    host = filter_that(proxy_on_configure=[("proxy_set_shared_data", "quota/alice", "10", 0), 1])
    assert host.shared_data["quotas/alice"] == b"10"


def test_hostcalls_in_another_order(blocking):
    """trace.contains: how far it got, and what comes nearest"""
    exchange = blocking.get("/orders", headers={"x-block": "yes"})
    assert exchange.trace.contains(
        [
            ("proxy_get_header_map_value", {"key": "x-block"}),
            ("proxy_send_local_response", {"status_code": 429}),
            "proxy_on_response_headers",
        ]
    )


def test_hostcall_misspelt(blocking):
    """trace.contains with a name that no hostcall has"""
    exchange = blocking.get("/orders", headers={"x-block": "yes"})
    assert exchange.trace.contains(["proxy_send_local_reply"])


def test_traces_differ(blocking):
    """Two traces: the first difference and the callback it is in"""
    first, second = blocking.get("/a", headers={"x-block": "yes"}), blocking.get("/a")
    assert first.trace == second.trace


def test_snapshot_differs(blocking):
    """The text of a trace that has changed"""
    before = (
        "proxy-wasm trace 1\n"
        "> proxy_on_response_headers context=2 num_headers=3 end_of_stream=true\n"
        '    proxy_add_header_map_value map=HTTP_RESPONSE_HEADERS key="x-filter" value="rust" -> OK\n'
        "< CONTINUE\n"
    )
    assert blocking.get("/a").trace.text(include=["proxy_on_response_headers"]) == before


# The filter does what it must not.


def test_trap(proxywasm):
    """A trap, in Rust with DWARF: the message, file and line, and the hostcalls before"""
    with proxywasm.host("fixtures/panicking/filter.wasm") as host:
        host.get("/", headers={"x-credentials": "alice"})


def test_budget(proxywasm):
    """An endless loop: where it looped"""
    with proxywasm.host("fixtures/hostile/loop_in_headers.wat", guest_budget=100_000) as host:
        host.get("/")


def test_recursion(proxywasm):
    """Endless recursion"""
    with proxywasm.host("fixtures/hostile/recursion.wat") as host:
        host.get("/")


def test_forgotten_resume(filter_that):
    """A stall: the filter pauses and nothing resumes it"""
    host = filter_that(proxy_on_request_headers=[("proxy_add_header_map_value", 0, "x-seen", "1"), 1])
    host.get("/orders")


CALL = ("proxy_http_call", "authz", {":method": "GET", ":path": "/check", ":authority": "authz"}, "", {}, 1000)


def test_missing_cluster(filter_that):
    """A callout to a cluster the test has not declared (BAD_ARGUMENT), after which the filter waits all the same"""
    host = filter_that(proxy_on_request_headers=[CALL, 1])
    host.cluster("auth", pw.Response(200))
    host.get("/orders")


def test_unanswered_callout(filter_that):
    """A callout nobody answers"""
    host = filter_that(proxy_on_request_headers=[CALL, 1])
    host.cluster("authz")
    host.get("/orders")


def test_strict_hostcall(filter_that):
    """strict=True: a hostcall that answered an error, and why"""
    host = filter_that(
        strict=True, proxy_on_request_headers=[("proxy_add_header_map_value", 2, "x-served-by", "edge"), 0]
    )
    host.get("/orders")


def test_strict_missing_header(filter_that):
    """strict=True: a header the filter looks for and does not find"""
    host = filter_that(strict=True, proxy_on_request_headers=[("proxy_get_header_map_value", 0, "x-user"), 0])
    host.get("/orders", headers={"x-user-id": "7"})


def test_strict_without_effect(filter_that):
    """strict=True: a hostcall that answered OK without effect"""
    host = filter_that(strict=True, proxy_on_request_headers=[("proxy_get_buffer_bytes", 0, 0, 100), 0])
    host.post("/orders", body=b"two apples")


def test_strict_log(filter_that):
    """strict=True: a warning"""
    host = filter_that(strict=True, proxy_on_request_headers=[("proxy_log", 3, "no token in the request"), 0])
    host.get("/orders")


def test_crash(filter_that):
    """What would crash a real Envoy"""
    reply = ("proxy_send_local_response", 403, "", "", {}, 0)
    host = filter_that(proxy_on_log=[reply])
    host.get("/orders")


# The filter does not start.


def test_configuration_refused(filter_that):
    """A configuration the filter refuses, with what it logged"""
    filter_that(proxy_on_configure=[("proxy_log", 4, "no key 'upstream' in the configuration"), 0])


def test_unknown_root_id(proxywasm):
    """A root_id the filter does not register: C++ and AssemblyScript guests give up on it"""
    asks = guest(proxy_on_context_create=[("proxy_get_property", "plugin_root_id")])
    gives_up = asks.replace("(i32.const 2052)))", "(i32.const 2052))) (unreachable)")
    proxywasm.host(proxywasm.filter(gives_up, root_id="authz"))


def test_higress(proxywasm):
    """An import that only another host offers"""
    proxywasm.host(
        """(module
          (import "env" "proxy_redis_init" (func (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "malloc") (param i32) (result i32) (i32.const 1024)))"""
    )


def test_unknown_import(proxywasm):
    """An import that no host offers"""
    proxywasm.host("fixtures/hostile/unknown_import.wat")


def test_corrupt(proxywasm):
    """A module that is cut off"""
    proxywasm.host(b"\0asm\1\0\0\0\1\7\1")


def test_not_a_module(proxywasm):
    """Something that is no module"""
    proxywasm.filter("pyproject.toml")


# The test uses the plugin in a way that cannot work.


def test_missing_file(proxywasm):
    """A filter that is not there"""
    proxywasm.filter("fixtures/probe/prob.wasm")


def test_unknown_option(proxywasm):
    """An option that does not exist"""
    proxywasm.host("fixtures/wat/header.wat", worker=2)


@pytest.mark.proxywasm(configuraton="x")
def test_marker_misspelt(proxywasm_host):
    """A marker with an option that does not exist"""


@pytest.mark.proxywasm(configuration="x")
def test_marker_without_fixture(proxywasm):
    """A marker on a test that does not use proxywasm_host"""
