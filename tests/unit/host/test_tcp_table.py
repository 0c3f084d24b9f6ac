"""The table of TCP connections, held against the rules of the sockets that it sums up."""

from __future__ import annotations

import itertools

import pytest

from pytest_proxywasm.host.tcp.table import TABLE, Effect, Event, State, Verdict, verdict_of

CLOSING = {Effect.CLOSE_LOCAL, Effect.CLOSE_REMOTE}
THEN_CLOSING = {Effect.READ_THEN_CLOSE, Effect.WRITE_THEN_CLOSE}


def test_every_event_has_a_row_in_every_state() -> None:
    """Nothing can happen that the table does not know."""
    assert set(TABLE) == set(itertools.product(State, Event))


def test_a_closed_connection_stays_closed() -> None:
    """Whatever its peers still do."""
    for event in Event:
        assert TABLE[State.CLOSED, event] == (Effect.NOTHING, State.CLOSED)


def test_every_state_can_be_reached() -> None:
    """From a new connection."""
    reached, ahead = set(), {State.NEW}
    while ahead:
        state = ahead.pop()
        reached.add(state)
        ahead |= {TABLE[state, event].state for event in Event} - reached
    assert reached == set(State)


def test_exactly_the_closing_effects_lead_to_the_end() -> None:
    """Effects and states cannot contradict each other."""
    for (state, _), step in TABLE.items():
        if state is not State.CLOSED:
            assert (step.state is State.CLOSED) == (step.effect in CLOSING)


@pytest.mark.parametrize("event", [Event.CLIENT_DATA, Event.CLIENT_END, Event.CLIENT_RESET])
def test_a_new_connection_is_not_read(event: Event) -> None:
    """Envoy 1.40: while a filter holds it, what the client does is not noticed, not even a reset."""
    assert TABLE[State.NEW, event] == (Effect.WAIT, State.NEW)


@pytest.mark.parametrize("event", [Event.UPSTREAM_DATA, Event.UPSTREAM_END, Event.UPSTREAM_RESET])
def test_a_new_connection_has_no_upstream(event: Event) -> None:
    """There is nobody who could do this."""
    assert TABLE[State.NEW, event].effect is Effect.IMPOSSIBLE


def test_resets_name_the_side_that_the_client_socket_saw() -> None:
    """Fact M3: a client's reset is remote; an upstream's makes the proxy close, which is local."""
    for state in set(State) - {State.NEW, State.CLOSED}:
        assert TABLE[state, Event.CLIENT_RESET].effect is Effect.CLOSE_REMOTE
        assert TABLE[state, Event.UPSTREAM_RESET].effect is Effect.CLOSE_LOCAL


class Sockets:
    """Both connections of a proxy, as Envoy keeps them: what was read of each, and what was written to it."""

    def __init__(self) -> None:
        self.client_read = self.client_written = self.upstream_read = self.upstream_written = False

    def happen(self, event: Event) -> Effect | None:
        """How the client's connection is closed by this, if it is."""
        if event is Event.CLIENT_END:
            self.client_read = True
            if self.client_written:
                return Effect.CLOSE_REMOTE
        elif event is Event.CLIENT_END_PASSED:
            self.upstream_written = True
        elif event is Event.UPSTREAM_END:
            self.upstream_read = True
        elif event is Event.UPSTREAM_END_PASSED:
            self.client_written = True
        client_over = self.client_read and self.client_written
        upstream_over = self.upstream_read and self.upstream_written
        return Effect.CLOSE_LOCAL if client_over or upstream_over else None


ENDS = (Event.CLIENT_END, Event.CLIENT_END_PASSED, Event.UPSTREAM_END, Event.UPSTREAM_END_PASSED)
AFTER = {Event.CLIENT_END_PASSED: Event.CLIENT_END, Event.UPSTREAM_END_PASSED: Event.UPSTREAM_END}


@pytest.mark.parametrize("order", [o for n in range(1, 5) for o in itertools.permutations(ENDS, n)])
def test_ends_close_a_connection_as_its_two_sockets_do(order: tuple[Event, ...]) -> None:
    """``bothSidesHalfClosed`` of either socket: every order in which ends can be read and passed on."""
    if any(event in AFTER and AFTER[event] not in order[:at] for at, event in enumerate(order)):
        return  # an end passes only after it was read
    sockets, state = Sockets(), State.OPEN
    for event in order:
        step = TABLE[state, event]
        closes = sockets.happen(event)
        if step.effect in THEN_CLOSING:
            effect = Effect.CLOSE_REMOTE if step.effect is Effect.READ_THEN_CLOSE else Effect.CLOSE_LOCAL
            assert closes is effect
            return
        assert (Effect.CLOSE_LOCAL if step.effect is Effect.CLOSE_AFTERWARDS else None) is closes
        if closes:
            return
        state = step.state


@pytest.mark.parametrize(("result", "verdict"), [(0, Verdict.CONTINUE), (1, Verdict.STOP), (2, Verdict.STOP)])
def test_only_zero_continues(result: int, verdict: Verdict) -> None:
    """Fact M4: any other result pauses, 99 too."""
    assert verdict_of(result) is verdict
    assert verdict_of(99) is Verdict.STOP
