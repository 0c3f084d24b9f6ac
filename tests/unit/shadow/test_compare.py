"""What counts as a difference between the mock and Envoy, and what differs by nature."""

from __future__ import annotations

from typing import Any

import pytest_proxywasm as pw
from pytest_proxywasm.envoy.varying import stable
from pytest_proxywasm.model import Metric
from pytest_proxywasm.shadow.compare import compare_exchanges, compare_metrics
from pytest_proxywasm.shadow.traces import trace_lines
from pytest_proxywasm.trace import Arguments, Callback, Hostcall, Trace


def event(action: int = 0, **call: Any) -> Callback:
    """A callback with one hostcall."""
    found = Callback("proxy_on_request_headers", Arguments(num_headers=7, end_of_stream=True), 2, "f", 0)
    found.action = pw.Action(action)
    status = call.pop("status", pw.Status.OK)
    found.hostcalls.append(Hostcall("proxy_replace_header_map_value", Arguments(call), status, Arguments(), found))
    return found


def exchange(trace: Trace | None = None, **fields: Any) -> pw.Exchange:
    """An exchange."""
    made = pw.Exchange(outcome="complete", details="via_upstream", **fields)
    made.trace = trace if trace is not None else Trace()
    return made


DECODED = {"map": pw.MapType.HTTP_REQUEST_HEADERS, "key": "x", "value": b"abc"}
RAW = {"map": 0, "key_size": 1, "value_size": 3}


def test_a_decoded_trace_agrees_with_the_same_in_raw_integers() -> None:
    left, right = trace_lines(Trace([event(**DECODED)]), Trace([event(**RAW)], decoded=False))
    assert left == right
    assert left == [
        "> proxy_on_request_headers context=2 num_headers=7 end_of_stream=1",
        "    proxy_replace_header_map_value map=0 key_size=1 value_size=3 -> 0",
        "< 0",
    ]


def test_sizes_statuses_and_actions_count() -> None:
    for other in (
        event(**{**RAW, "value_size": 4}),
        event(**RAW, status=pw.Status.BAD_ARGUMENT),
        event(1, **RAW),
    ):
        left, right = trace_lines(Trace([event(**DECODED)]), Trace([other], decoded=False))
        assert left != right


def test_the_size_of_what_varies_does_not_count() -> None:
    varying = {**DECODED, "value": b"127.0.0.1:80"}
    left, right = trace_lines(Trace([event(**varying)]), Trace([event(**{**RAW, "value_size": 15})], decoded=False))
    assert left == right


def test_a_difference_is_shown_as_a_diff_of_lines() -> None:
    found = compare_exchanges(
        exchange(Trace([event(**DECODED)]), response=pw.Response(200, {":status": "200", "x": "1"})),
        exchange(
            Trace([event(**RAW, status=pw.Status.NOT_FOUND)], decoded=False),
            response=pw.Response(200, {":status": "200"}),
        ),
    )
    assert found == [
        "response.headers (- mock, + Envoy):\n    @@ -1,2 +1 @@\n     :status: '200'\n    -x: '1'",
        "hostcalls (- mock, + Envoy):\n"
        "    @@ -1,3 +1,3 @@\n"
        "     > proxy_on_request_headers context=2 num_headers=7 end_of_stream=1\n"
        "    -    proxy_replace_header_map_value map=0 key_size=1 value_size=3 -> 0\n"
        "    +    proxy_replace_header_map_value map=0 key_size=1 value_size=3 -> 1\n"
        "     < 0",
    ]


def test_request_ids_dates_and_durations_differ_by_nature() -> None:
    def answer(number: int) -> pw.Response:
        return pw.Response(
            headers={
                "x-request-id": f"0000000{number}-0000-4000-8000-000000000001",
                "date": f"Wed, 0{number} Jan 2020 00:00:00 GMT",
                "x-envoy-upstream-service-time": str(number),
            }
        )

    assert compare_exchanges(exchange(response=answer(1)), exchange(response=answer(2))) == []
    assert stable(b"at 1577836800000000000 from 127.0.0.1:40001") == b"at <time> from 127.0.0.1:<port>"


def test_an_empty_message_may_say_so() -> None:
    """HTTP/1.1 adds what the header map does not hold."""
    assert not compare_exchanges(
        exchange(response=pw.Response(503)), exchange(response=pw.Response(503, {"content-length": "0"}))
    )


def test_when_envoy_is_slow_sizes_say_nothing() -> None:
    """x-envoy-upstream-service-time may have two digits."""
    ours, theirs = event(**DECODED), event(**{**RAW, "value_size": 4})
    one, other = exchange(Trace([ours])), exchange(Trace([theirs], decoded=False))
    one.logs = [pw.GuestLog(pw.LogLevel.INFO, b"n=89", 2, "")]
    other.logs = [pw.GuestLog(pw.LogLevel.INFO, b"n=90", 2, "")]
    assert len(compare_exchanges(one, other)) == 2
    assert compare_exchanges(one, other, slow=True) == []


def test_metrics_count_from_the_start() -> None:
    """Envoy runs start callbacks on several VMs."""
    started, thrice = {"c": Metric("counter", 1)}, {"c": Metric("counter", 3)}
    now, there = {"c": Metric("counter", 2)}, {"c": Metric("counter", 4)}
    assert compare_metrics(now, started, there, thrice) == []
    assert compare_metrics(now, started, thrice, thrice) == ["metric 'c' since the start: 1 in the mock, 0 in Envoy"]
    assert compare_metrics(now, {}, {}, {}) == [
        "metric 'c': Metric(kind='counter', value=2, samples=()) in the mock, None in Envoy"
    ]


def test_outcomes_and_details_count() -> None:
    other = exchange()
    other.outcome, other.details = "cut", "x"
    assert compare_exchanges(exchange(), other) == [
        "outcome: 'complete' in the mock, 'cut' in Envoy",
        "details: 'via_upstream' in the mock, 'x' in Envoy",
    ]
