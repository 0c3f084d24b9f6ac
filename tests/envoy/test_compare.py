"""The comparison: what it finds, and what it passes over."""

from __future__ import annotations

from typing import Any

import pytest

from .case import Case, Expected
from .compare import LOOSELY, compare, normalised
from .result import Result

STREAM = ["CB request_headers ctx=2 6 1", "RET request_headers = 0"]
END = ["CB log ctx=2", "RET log = 0", "CB done ctx=2", "CB delete ctx=2"]
TICK = ["CB tick ctx=1", "  OP tick 100 -> 0", "RET tick = 0"]


def case(log: list[str], configuration: str = "", **expected: Any) -> Case:
    """A case with this log."""
    values: dict[str, Any] = {"envoy_exit": 0, "ready": True, **expected}
    return Case(
        id="x",
        area="a",
        title="t",
        kind="http",
        filters=({"configuration": configuration},),
        expected=Expected(guest_log=tuple(log), **values),
    )


def differs(want: list[str], got: list[str], configuration: str = "", **expected: Any) -> str:
    """What the comparison of two logs says."""
    crashed = expected.pop("got_crash", False)
    return compare(case(want, configuration, **expected), Result(guest_log=got, crashed=crashed))


def test_equal_logs_agree_and_others_are_shown_as_a_diff() -> None:
    """The diff names both sides."""
    assert differs(STREAM, STREAM) == ""
    text = differs(STREAM, [STREAM[0], "RET request_headers = 1"])
    assert "--- guest_log: expected" in text
    assert "-RET request_headers = 0" in text
    assert "+RET request_headers = 1" in text


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("{x-request-id=00000000-0000-4000-8000-000000000001}", "{x-request-id=<uuid>}"),
        ("date: Wed, 01 Jan 2020 00:00:00 GMT", "date: <date>"),
        ("x-envoy-upstream-service-time: 12", "x-envoy-upstream-service-time: <ms>"),
        ("  OP time -> 0 t=1577836800000000000", "  OP time -> 0 t=<t>"),
        ("  OP w_random 8 -> 0 first8=0123456789abcdef", "  OP w_random 8 -> 0 first8=f4631675408676dc"),
        ("CB request_body ctx=2 2000000 0", "CB request_body ctx=2 1064649 0"),
        (
            "  OP pairs 2 -> 0 ptr=nz n=122 {x-envoy-upstream-service-time=1} [allocs=1 last=122]",
            "  OP pairs 2 -> 0 ptr=nz n=123 {x-envoy-upstream-service-time=<ms>} [allocs=1 last=123]",
        ),
        (
            r"  OP prop request.time -> 0 ptr=nz n=8 d=\x00\x01 [allocs=1 last=8]",
            r"  OP prop request.time -> 0 ptr=nz n=8 d=\x00\xe9 [allocs=1 last=8]",
        ),
        (
            r"  OP prop m -> 0 ptr=nz n=28 d=\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"
            r"\x01\x00\x00\x00a\x001\x00b\x002\x00 [allocs=1 last=28]",
            r"  OP prop m -> 0 ptr=nz n=28 d=\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"
            r"\x01\x00\x00\x00b\x002\x00a\x001\x00 [allocs=1 last=28]",
        ),
    ],
)
def test_what_varies_is_compared_loosely(line: str, same: str) -> None:
    """Both sides come out equal."""
    assert normalised(line) == normalised(same)


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("  OP w_random 8 -> 0 first8=0123456789abcdef", "  OP w_random 8 -> 0 first8=aaaaaaaaaaaaaaaa"),
        ("  OP w_clockres 0 -> 0 t=1", "  OP w_clockres 0 -> 0 t=1577836800000000000"),
        ("CB request_body ctx=2 15 0", "CB request_body ctx=2 5 0"),
        ("  OP prop request.time -> 1 (out untouched)", "  OP prop request.time -> 0 ptr=nz n=8 d=x [allocs=1 last=8]"),
        ("  OP get 0 a -> 0 ptr=nz n=1 d=x [allocs=1 last=1]", "  OP get 0 a -> 0 ptr=nz n=1 d=y [allocs=1 last=1]"),
        ("  OP pairs 0 -> 0 ptr=0 n=0 [allocs=0 last=8]", "  OP pairs 0 -> 0 ptr=0 n=0 [allocs=1 last=8]"),
    ],
)
def test_everything_else_is_exact(line: str, other: str) -> None:
    """The two stay different."""
    assert normalised(line) != normalised(other)


def test_normalising_twice_changes_nothing() -> None:
    """Recorded lines hold placeholders already."""
    for line in ("t=<t>", "{x-request-id=<uuid>}", "x-envoy-upstream-service-time: <ms>", "127.0.0.1:<port>"):
        assert normalised(normalised(line)) == normalised(line)


def test_late_callbacks_of_root_contexts_are_passed_over() -> None:
    """The replay waits longer than the recorder did."""
    assert differs([*STREAM, *END], [*STREAM, *END, *TICK]) == ""
    assert differs([*STREAM, *END], [*STREAM, *TICK, *END]) == ""


def test_callbacks_too_many_in_the_middle_are_found() -> None:
    """The recording goes on with the stream there."""
    assert differs([*STREAM, *STREAM, *END], [*STREAM, *TICK, *STREAM, *END])


def test_missing_callbacks_are_found() -> None:
    """A recorded tick must come."""
    assert differs([*STREAM, *END, *TICK], [*STREAM, *END])


def test_ticks_that_run_from_the_start_may_stand_anywhere() -> None:
    """They must come, and do the same."""
    want, got = [*STREAM, *TICK, *END, *TICK], [*TICK, *STREAM, *END, *TICK, *TICK]
    assert differs(want, got)
    assert differs(want, got, "cfg tick 100") == ""
    assert differs(want, [*STREAM, *END], "cfg tick 100")
    assert differs(want, [*STREAM, *END, "CB tick ctx=1", "RET tick = 0"], "cfg tick 100")


def test_a_truncated_recording_ends_the_comparison() -> None:
    """What follows is not known."""
    assert differs([*STREAM, "...truncated"], [*STREAM, "CB other ctx=1"]) == ""
    assert differs([*STREAM, "...truncated"], STREAM[:1])


def test_envoys_own_lines_are_not_the_guests() -> None:
    """Addresses of the recorded process."""
    assert differs(["HOST(trace) [host->vm] _initialize()", *STREAM], STREAM) == ""


def test_a_crash_ends_within_the_crashing_callback() -> None:
    """And must be raised."""
    crash: dict[str, Any] = {"envoy_exit": -11, "got_crash": True}
    assert differs(STREAM, STREAM[:1], **crash) == ""
    assert differs([*STREAM, *END], STREAM, **crash)
    assert differs([*STREAM, *END], STREAM[:1], **crash)
    assert differs(STREAM, [], **crash)
    assert differs([*STREAM, *END[:2], *END[:2], END[0]], [*STREAM, *END[:2]], **crash) == ""
    assert "EnvoyCrashError" in differs(STREAM, STREAM, envoy_exit=-11)


def test_a_problem_is_reported() -> None:
    """Whatever else agrees."""
    assert compare(case([]), Result(problem="NotEmulatedError: no")) == "NotEmulatedError: no"


def test_a_refused_configuration_must_be_refused() -> None:
    """And the other way round."""
    assert compare(case([], ready=False, envoy_exit=1), Result(ready=False)) == ""
    assert "accepted" in compare(case([], ready=False, envoy_exit=1), Result())
    assert "refused" in compare(case([]), Result(ready=False))


def client(status: str, body: str = "") -> dict[str, Any]:
    """A client's view."""
    return {"status": status, "headers": [], "body": body, "trailers": []}


def test_a_client_that_left_early_may_have_missed_the_close() -> None:
    """Fact E23; not the other way round."""
    assert compare(case([], client=client("<timeout>")), Result(client=client("<closed>"))) == ""
    assert compare(case([], client=client("<closed>")), Result(client=client("<timeout>")))


def test_long_bodies_are_compared_as_far_as_they_were_kept() -> None:
    """1500 characters."""
    assert compare(case([], client=client("s", "B" * 1500)), Result(client=client("s", "B" * 2000))) == ""
    assert compare(case([], client=client("s", "B" * 1500)), Result(client=client("s", "B" * 1499)))


def test_every_row_gives_a_reason() -> None:
    """Nothing is passed over without one."""
    assert all(row.what and row.why for row in LOOSELY)
