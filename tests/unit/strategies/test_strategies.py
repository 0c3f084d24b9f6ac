"""What strategies draw is legal, shrinks to the simplest, and is known to Hypothesis by its type."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import pytest_proxywasm as pw
from pytest_proxywasm import strategies as pws
from pytest_proxywasm.strategies import vocabulary

QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None)
TOKEN = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")


@pytest.mark.parametrize(
    ("strategy", "simplest"),
    [
        (pws.headers(), pw.Headers()),
        (pws.trailers(), pw.Headers()),
        (pws.requests(), pw.Request()),
        (pws.responses(), pw.Response(200)),
        (pws.callout_outcomes(), pw.Response(200)),
        (pws.grpc_callout_outcomes(), pw.GrpcResponse()),
        (pws.chunkings(b"abc"), (b"abc",)),
        (pws.paths(), "/"),
        (pws.exchange_plans(), pw.ExchangePlan()),
        (pws.schedules(), pw.Schedule()),
        (pws.tcp_streams(), pw.TcpPlan()),
    ],
    ids=lambda value: "" if isinstance(value, st.SearchStrategy) else type(value).__name__,
)
def test_a_strategy_shrinks_to_the_simplest(strategy: st.SearchStrategy[Any], simplest: object) -> None:
    phases = [Phase.generate, Phase.shrink]
    found = find(strategy, lambda _: True, settings=settings(QUICK, phases=phases))
    assert found == simplest


@QUICK
@given(headers=pws.headers())
def test_headers_are_what_envoy_lets_pass(headers: pw.Headers) -> None:
    for name, value in headers.raw:
        assert TOKEN.fullmatch(name)
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value)
        assert value == value.strip(b" \t")


@QUICK
@given(plan=pws.exchange_plans())
def test_a_content_length_is_true_unless_the_client_goes_away(plan: pw.ExchangePlan) -> None:
    said = plan.request.headers.get("content-length")
    if said is not None and plan.client_resets_after is None:
        assert said == str(len(plan.request.body))
    if plan.request.method == "HEAD":
        assert not plan.request.body


@QUICK
@given(data=st.data(), body=st.binary(max_size=30))
def test_chunkings_put_together_are_the_body(data: st.DataObject, body: bytes) -> None:
    chunks = data.draw(pws.chunkings(body))
    assert b"".join(chunks) == body
    assert all(chunks)


def test_strange_shapes_come_up() -> None:
    """Each of these within a few hundred examples."""
    seen = set()

    @settings(QUICK, max_examples=400)
    @given(plan=pws.exchange_plans())
    def look(plan: pw.ExchangePlan) -> None:
        request = plan.request
        names = [name for name, _ in request.headers.raw]
        seen.update(
            name
            for name, holds in {
                "repeated header": len(set(names)) < len(names),
                "not UTF-8": any(b"\xff" in value for _, value in request.headers.raw),
                "long path": len(request.path) > 2000,
                "several pieces": len(request.chunks or ()) > 1,
                "trailers": len(request.trailers) > 0,
                "client goes away": plan.client_resets_after is not None,
                "upstream fails": not isinstance(plan.upstream, pw.Response),
                "callout breaks off": pw.Reset(after_headers=True) in plan.callouts,
                "HTTP/2": plan.http_version == "2",
            }.items()
            if holds
        )

    look()
    assert len(seen) == 9, seen


def test_types_are_known_to_hypothesis() -> None:
    """By the entry point, which loads no strategy before one is drawn."""
    code = "import hypothesis, sys; print([n for n in sys.modules if n.startswith('pytest_proxywasm.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pytest_proxywasm.registration" in done.stdout
    assert "pytest_proxywasm.strategies'" not in done.stdout
    assert "pytest_proxywasm.mock" not in done.stdout
    for kind in (pw.Headers, pw.Request, pw.Response, pw.ExchangePlan, pw.Schedule, pw.TcpPlan):
        assert isinstance(find(st.from_type(kind), lambda _: True, settings=QUICK), kind)


def test_words_of_the_filter_are_drawn() -> None:
    vocabulary.offer(lambda: vocabulary.words_in(["x-only-here", ":path"], [b"token=s3cret /private"]))
    try:
        options = settings(QUICK, max_examples=500)
        assert find(pws.headers(), lambda headers: "x-only-here" in headers, settings=options)
        assert find(pws.header_values(), lambda value: value == b"Bearer s3cret", settings=options)
        assert find(pws.paths(), lambda path: path == "/private", settings=options)
    finally:
        vocabulary.offer(None)
    assert vocabulary.current() == vocabulary.NOTHING


def test_configurations_follow_a_schema() -> None:
    schema = {"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["limit"]}
    found = find(pws.configurations(schema), lambda _: True, settings=QUICK)
    assert found == {"limit": 0}


def test_configurations_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis_jsonschema", None)
    with pytest.raises(pw.UsageError, match=r"pip install 'pytest-proxywasm\[jsonschema\]'"):
        pws.configurations({})
