"""Plans are values: they check what they hold, and print as code that makes them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import pretty

import pytest_proxywasm as pw
from pytest_proxywasm import strategies as pws


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(plan=st.one_of(pws.exchange_plans(), pws.schedules(), pws.tcp_streams()))
def test_a_plan_prints_as_the_code_that_makes_it(plan: object) -> None:
    assert eval(repr(plan), {"pw": pw}) == plan
    assert eval(pretty(plan), {"pw": pw}) == plan


def test_what_is_usual_is_not_printed() -> None:
    assert repr(pw.ExchangePlan()) == "pw.ExchangePlan()"
    assert repr(pw.ExchangePlan(request=pw.Request("POST", "/a", body="b"))) == (
        "pw.ExchangePlan(request=pw.Request(method='POST', path='/a', body=b'b'))"
    )
    assert repr(pw.Schedule(steps=[pw.Step(0), pw.Wait(1), pw.Answer(0), pw.Drop(0)])) == (
        "pw.Schedule(streams=(pw.ExchangePlan(),), steps=(pw.Step(0), pw.Wait(1), pw.Answer(0), pw.Drop(0)))"
    )


def test_what_repeats_itself_is_printed_as_a_product() -> None:
    assert repr(pw.ExchangePlan(request=pw.Request(path="/" + "a" * 1024))) == (
        "pw.ExchangePlan(request=pw.Request(path='/' + 'a' * 1024))"
    )


def test_a_long_plan_takes_several_lines() -> None:
    plan = pw.ExchangePlan(
        request=pw.Request("POST", "/", [("x-a", "1"), ("x-a", b"\xff")], chunks=[b"a", b"b"]),
        upstream=pw.After(1.0, pw.Response(404)),
        callouts=[pw.Reset(after_headers=True)],
    )
    assert pretty(plan).splitlines() == [
        "pw.ExchangePlan(",
        "    request=pw.Request(",
        "        method='POST',",
        "        headers=[('x-a', '1'), ('x-a', b'\\xff')],",
        "        chunks=[b'a', b'b'],",
        "    ),",
        "    upstream=pw.After(1.0, pw.Response(404)),",
        "    callouts=(pw.Reset(after_headers=True),),",
        ")",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pw.ExchangePlan(upstream=200), "upstream is one of pw.Response, pw.Reset"),
        (lambda: pw.ExchangePlan(http_version="3"), 'http_version=\'3\': it is "1.1" or "2"'),
        (lambda: pw.ExchangePlan(callouts=[pw.GrpcResponse()]), "what answers an HTTP callout is one of"),
        (lambda: pw.ExchangePlan(client_resets_after=-1), "client_resets_after=-1: a number of body pieces, or None"),
        (lambda: pw.Schedule(steps=[pw.Step(1)]), r"pw.Step\(1\): the schedule has streams 0 to 0"),
        (lambda: pw.Schedule(steps=[1]), "a step of a schedule is one of pw.Step, pw.Wait, pw.Answer, pw.Drop, not 1"),
        (lambda: pw.Drop(0, "client"), 'it is "downstream" or "upstream"'),
        (lambda: pw.TcpPlan(steps=[("client", b"")]), '\'client\' sends nothing: it is "downstream" or "upstream"'),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(make: object, message: str) -> None:
    with pytest.raises(pw.UsageError, match=message):
        make()  # type: ignore[operator]
