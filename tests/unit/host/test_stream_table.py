"""The one table of HTTP streams, and what the numbers that callbacks return mean."""

from __future__ import annotations

import pytest

from pytest_proxywasm.host.http.table import (
    TABLE,
    DataVerdict,
    Effect,
    Event,
    HeadersVerdict,
    Iteration,
    TrailersVerdict,
    data_verdict,
    headers_verdict,
    trailers_verdict,
)

SHOWN = (Iteration.CONTINUE, Iteration.STOP_SINGLE)
HELD = (Iteration.STOP_ALL_BUFFER, Iteration.STOP_ALL_WATERMARK)
VERDICTS = {verdict.value for kind in (DataVerdict, TrailersVerdict) for verdict in kind}  # type: ignore[attr-defined]


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", Iteration)
def test_the_table_is_total_but_for_verdicts_of_filters_that_are_shown_nothing(state: Iteration, event: Event) -> None:
    """A filter that stopped everything is shown no data and no trailers, so it returns nothing about them."""
    assert ((state, event) in TABLE) is not (state in HELD and event in VERDICTS)


def test_the_table_has_no_other_rows() -> None:
    """Each is a state and an event."""
    assert all(isinstance(state, Iteration) and isinstance(event, Event) for state, event in TABLE)


@pytest.mark.parametrize("event", [Event.DATA_ARRIVES, Event.TRAILERS_ARRIVE])
def test_what_arrives_is_shown_exactly_to_filters_that_did_not_stop_everything(event: Event) -> None:
    """Others hold it."""
    for state in Iteration:
        assert (TABLE[state, event].effect is Effect.CALL) is (state in SHOWN)
        assert TABLE[state, event].state is state
        assert state.stopped_all is (state in HELD)


def test_resuming_lets_everything_go_and_shows_it_to_filters_that_have_not_seen_it() -> None:
    """Data that was kept without being shown begins with the filter itself."""
    for state in Iteration:
        step = TABLE[state, Event.RESUME]
        assert step.state is Iteration.CONTINUE
        assert step.effect is (Effect.RESUME_HERE if state in HELD else Effect.RESUME)


def test_continuing_with_data_that_was_held_back_resumes() -> None:
    """With what was kept before."""
    assert TABLE[Iteration.STOP_SINGLE, Event.DATA_CONTINUE].effect is Effect.KEEP_AND_RESUME
    assert TABLE[Iteration.CONTINUE, Event.DATA_CONTINUE].effect is Effect.NEXT
    assert TABLE[Iteration.STOP_SINGLE, Event.TRAILERS_CONTINUE].effect is Effect.RESUME


@pytest.mark.parametrize(
    ("event", "effect"),
    [
        (Event.DATA_STOP_AND_BUFFER, Effect.KEEP),
        (Event.DATA_STOP_AND_WATERMARK, Effect.KEEP_STREAMING),
        (Event.DATA_STOP_NO_BUFFER, Effect.DROP),
        (Event.TRAILERS_STOP, Effect.HOLD),
    ],
)
def test_stopping_says_what_becomes_of_the_data(event: Event, effect: Effect) -> None:
    """The filter is shown what comes next."""
    for state in SHOWN:
        assert TABLE[state, event] == (effect, Iteration.STOP_SINGLE)


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("result", [0, 1, 2, 3, 4, 5, 99, 0xFFFFFFFF])
def test_a_headers_result_means(result: int, allow: bool) -> None:
    """Facts S1 to S4: 1 stops everything unless the filter may stop iteration only; unknown ones do, too."""
    everything = HeadersVerdict.STOP_ALL_ITERATION_AND_WATERMARK
    expected = {
        0: HeadersVerdict.CONTINUE,
        1: HeadersVerdict.STOP_ITERATION if allow else everything,
        2: HeadersVerdict.CONTINUE,
        3: HeadersVerdict.STOP_ALL_ITERATION_AND_BUFFER,
    }.get(result, everything)
    assert headers_verdict(result, local_response=False, allow_stop_iteration=allow) is expected
    assert headers_verdict(result, local_response=True, allow_stop_iteration=allow) is everything


@pytest.mark.parametrize("result", [0, 1, 2, 3, 4, 7, 0xFFFFFFFF])
def test_a_body_result_means(result: int) -> None:
    """Fact B8: unknown ones lose the data."""
    lost = DataVerdict.STOP_ITERATION_NO_BUFFER
    kept = (DataVerdict.CONTINUE, DataVerdict.STOP_ITERATION_AND_BUFFER, DataVerdict.STOP_ITERATION_AND_WATERMARK)
    assert data_verdict(result, local_response=False) is (kept[result] if result < 3 else lost)
    assert data_verdict(result, local_response=True) is lost


@pytest.mark.parametrize("result", [0, 1, 2, 0xFFFFFFFF])
def test_a_trailers_result_means(result: int) -> None:
    """Everything but 0 stops."""
    stop = TrailersVerdict.STOP_ITERATION
    assert trailers_verdict(result, local_response=False) is (stop if result else TrailersVerdict.CONTINUE)
    assert trailers_verdict(result, local_response=True) is stop
