"""What `pw.check` says: names, explanations, the way out; and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.invariants import INVARIANTS

WASM = (Path(__file__).resolve().parents[3] / "fixtures" / "probe" / "probe.wasm").read_bytes()


def host(*script: str, **options: object) -> pw.MockHost:
    """A host with the probe guest, whose configuration is a script."""
    guest = pw.Filter(WASM, configuration="\n".join(script).encode())
    return pw.MockHost([guest], engine=get_engine(), **options)  # type: ignore[arg-type]


def test_a_filter_that_does_nothing_passes_every_invariant() -> None:
    with host() as one:
        one.post("/a", body=b"ab", upstream=pw.Response(200, body=b"cd"))
        report = pw.check(one, skip=["memory"])
    assert report.checked == tuple(name for name in INVARIANTS if name != "memory")
    assert report.left_out == {"memory": "skip= or only="}
    assert report.ignored_errors == ()


def test_the_host_itself_stays_as_it_is() -> None:
    with host() as one:
        one.get("/")
        before = one.trace.text()
        pw.check(one)
        assert one.trace.text() == before
        assert len(one.exchanges) == 1


def test_a_second_reply_is_told_with_both() -> None:
    with host("rqh local 403 a '' '' 0", "rqh local 401 b '' '' 0") as one:
        one.get("/")
        with pytest.raises(pw.InvariantError) as caught:
            pw.check(one)
    text = str(caught.value)
    assert text.startswith("one_reply: the filter replied twice to one stream: 403 ")
    assert "then 401 " in text
    assert "The rule: a filter replies to a stream at most once." in text
    assert 'To leave this out: pw.check(host, skip=["one_reply"])' in text
    assert isinstance(caught.value, AssertionError)
    assert caught.value.invariant is INVARIANTS["one_reply"]


def test_a_body_that_is_not_as_long_as_announced() -> None:
    with host("rsb$ bset 1 0 9 longer", "rsb! ret 1") as one:
        one.get("/", upstream=pw.Response(200, body=b"ab"))
        with pytest.raises(pw.InvariantError, match="client got has content-length '2' and a body of 6 bytes"):
            pw.check(one, only=["content_length"])


def test_ignored_errors_are_listed() -> None:
    with host("rqh rep 2 x-a 1") as one:
        one.get("/")
        report = pw.check(one, only=["one_reply"])
    assert [call.name for call in report.ignored_errors] == ["proxy_replace_header_map_value"]


def test_injected_statuses_leave_out_what_runs_again() -> None:
    with host() as one:
        one.get("/")
        one.inject("proxy_log", "BAD_ARGUMENT")
        report = pw.check(one)
    assert set(report.left_out) == {"chunking", "trailers", "used_vm", "other_streams", "memory"}
    assert "injected" in report.left_out["memory"]


def test_an_unknown_name_is_refused() -> None:
    with host() as one:
        with pytest.raises(pw.UsageError, match=r"skip=: there is no invariant 'chunks'; there are: no_trap"):
            pw.check(one, skip=["chunks"])
        with pytest.raises(pw.UsageError, match=r"only= takes a list of names: only=\['memory'\]"):
            pw.check(one, only="memory")
        with pytest.raises(pw.UsageError, match="repeats=2: at least 8 exchanges"):
            pw.check(one, repeats=2)


@pytest.mark.parametrize("name", INVARIANTS)
def test_every_invariant_explains_itself(name: str) -> None:
    one = INVARIANTS[name]
    error = pw.InvariantError(one, "something happened")
    assert str(error).startswith(f"{name}: something happened\n")
    assert one.says in str(error)
    assert one.why in str(error)
    assert f'skip=["{name}"]' in str(error)
