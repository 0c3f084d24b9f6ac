"""What becomes of streams when the guest has failed, by failure policy."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import FilterStartError, GuestTrap, Response

ONCE = "rqh#1 trap"


def statuses(host: Any, count: int = 3) -> list[int]:
    """The statuses of so many requests; the host goes on after traps."""
    return [host.get("/").response.status for _ in range(count)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("fail_closed", [503, 503, 503]),
        ("fail_open", [503, 200, 200]),
        ("fail_open_legacy", [200, 200, 200]),
        ("fail_reload", [503, 503, 503]),
    ],
)
def test_the_policy_says_what_the_trapping_and_later_requests_get(
    policy: str, expected: list[int], scripts: Any
) -> None:
    """Facts L1, L3 and L4."""
    host = scripts.start("rqh trap", filter={"failure_policy": policy}, on_trap="continue")
    assert statuses(host) == expected


def test_a_failed_filter_is_never_called_again(scripts: Any) -> None:
    """Fact L1: no log, done or delete either, and the reply is bare."""
    host = scripts.start("rqh trap", on_trap="continue")
    exchange = host.get("/")
    assert scripts.seen(host) == ["context_create 1", "request_headers 6 1"]
    assert exchange.response.headers.keys() == [":status", "date", "server"]
    assert exchange.response.headers["server"] == "envoy"
    assert exchange.details == "wasm_fail_stream"
    host.logs.clear()
    host.get("/")
    assert scripts.seen(host) == []


def test_a_reloading_filter_gets_a_new_vm_after_a_second(scripts: Any) -> None:
    """Fact L4: everything starts again, ids too."""
    host = scripts.start("rqh trap", filter={"failure_policy": "fail_reload"}, on_trap="continue")
    assert statuses(host, 2) == [503, 503]
    host.clock.advance(0.5)
    assert statuses(host, 1) == [503]
    host.logs.clear()
    host.clock.advance(0.6)
    assert statuses(host, 1) == [503]
    assert scripts.seen(host)[:5] == [
        *("_initialize", "context_create 0", "vm_start 0", "configure 8", "context_create 1")
    ]
    assert host.trace.callbacks("proxy_on_request_headers")[-1].context_id == 2


@pytest.mark.parametrize(
    ("line", "status", "outcome"),
    [
        ("ctx#1 log 0 x", 200, "complete"),
        ("rqb trap", 503, "complete"),
        ("rqt trap", 503, "complete"),
        ("rsh trap", 503, "complete"),
        ("rsb trap", 200, "cut"),
        ("rst trap", 200, "cut"),
        ("log trap", 200, "complete"),
        ("done trap", 200, "complete"),
        ("del trap", 200, "complete"),
    ],
)
def test_a_failure_answers_or_cuts_by_how_far_the_stream_was(
    line: str, status: int, outcome: str, scripts: Any
) -> None:
    """Fact L5."""
    host = scripts.start(line, on_trap="continue")
    exchange = host.post("/", body="hi", trailers={"a": "b"}, upstream=Response(200, body="hello", trailers={"a": "b"}))
    assert (exchange.response.status, exchange.outcome) == (status, outcome)
    failed = line.endswith("trap")
    assert [type(error) for error in exchange.errors] == [GuestTrap] * failed
    assert host.get("/").response.status == (503 if failed else 200)


def test_with_continue_the_exchange_lists_what_happened(scripts: Any) -> None:
    """Each error knows its exchange."""
    host = scripts.start("rqh trap", on_trap="continue")
    exchange = host.get("/")
    (error,) = exchange.errors
    assert (error.callback, error.kind, error.exchange) == ("proxy_on_request_headers", "unreachable", exchange)
    assert host.get("/").errors == []


def test_a_failure_between_requests_is_told_to_whoever_caused_it(scripts: Any) -> None:
    """Moving time, answering a callout."""
    host = scripts.start("cfg tick 100", "tick#2 trap")
    with pytest.raises(GuestTrap, match="trapped in proxy_on_tick") as caught:
        host.clock.advance(1)
    assert caught.value.exchange is None
    assert host.clock.now - 1_577_836_800 == 1
    assert host.get("/").response.status == 503


@pytest.mark.parametrize("answer", ["respond", "time_out", "reset", "refuse"])
def test_a_failure_in_an_answer_is_told_to_whoever_gave_it(answer: str, scripts: Any) -> None:
    """With the exchange of the one stream that is open."""
    call = "rqh http aux 1000 '' :method GET :path / :authority a"
    host = scripts.start(call, "rqh ret 1", "http trap", clusters={"aux": None})
    stream = host.stream()
    stream.request_headers(end_of_stream=True)
    (pending,) = host.pending_callouts
    with pytest.raises(GuestTrap, match="trapped in proxy_on_http_call_response") as caught:
        getattr(pending, answer)(*([Response(200)] if answer == "respond" else []))
    assert caught.value.exchange is stream.exchange
    stream.close()


def test_an_answer_that_fails_inside_a_request_is_told_by_the_request(scripts: Any) -> None:
    """After everything else has been done."""
    call = "rqh http aux 1000 '' :method GET :path / :authority a"
    host = scripts.start(call, "http trap", clusters={"aux": Response(200)})
    with pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert caught.value.exchange is host.last_exchange


def test_other_vms_go_on(scripts: Any) -> None:
    """Only the failed filter's streams are answered for it."""
    host = scripts.host(
        scripts.filter("rqh trap", name="bad", vm_id="bad", failure_policy="fail_open"),
        scripts.filter(name="good", vm_id="good"),
        on_trap="continue",
    )
    assert statuses(host) == [503, 200, 200]
    assert host.trace.callbacks("proxy_on_request_headers")[-1].filter == "good"


def test_a_new_vm_by_hand_is_as_after_a_crash(scripts: Any) -> None:
    """Shared data stays, ids begin again."""
    host = scripts.start("rqh#1 sdset k v 0")
    host.get("/")
    host.restart()
    host.get("/")
    assert [event.context_id for event in host.trace.callbacks("proxy_on_request_headers")] == [2, 2]
    assert host.shared_data.cas("k") == 2


@pytest.mark.parametrize("policy", ["fail_open", "fail_open_legacy", "fail_reload"])
@pytest.mark.parametrize("line", ["cfg ret 0", "cfg trap"])
def test_no_policy_makes_up_for_a_start_that_fails(policy: str, line: str, scripts: Any) -> None:
    """Facts A13 and A14: Envoy does not start."""
    with pytest.raises(FilterStartError, match="Failed to configure base Wasm plugin"):
        scripts.start(line, filter={"failure_policy": policy})
