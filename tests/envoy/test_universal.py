"""Every hostcall in every callback, with good and bad arguments: the mock host answers what a real Envoy did.

``python -m tests.envoy.universal`` recorded the answers, with the guest in ``fixtures/universal``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_proxywasm.abi.callbacks import CALLBACKS, NEVER_CALLED
from pytest_proxywasm.engine import Engine

from .universal.calls import calls
from .universal.events import EVENTS, Event
from .universal.mock import MockProxy
from .universal.table import GUESTS, load
from .universal.trials import CRASH, NOT_MADE, carry_out

ABI = json.loads((Path(__file__).parents[1] / "unit" / "data" / "abi.json").read_text(encoding="utf-8"))
RECORDED = load()
NOT_LOADED = {"path_link", "path_symlink"}
"""Envoy has these with types of its own: no guest that imports them as WASI has them loads there."""
SHOWN = 12
"""How many differences a failure lists."""


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_the_mock_answers_what_envoy_did(event: Event, engine: Engine) -> None:
    """Statuses, what is written, how often the allocator is called, what follows, and where Envoy crashes."""
    expected = {call: answer for (where, call), answer in RECORDED.items() if where == str(event)}
    got = {call: answer for (_, call), answer in carry_out(event, MockProxy(engine, GUESTS)).items()}
    assert set(got) == set(expected)
    different = [
        f"{call}\n    Envoy: {' -> '.join(expected[call])}\n    mock:  {' -> '.join(got[call])}"
        for call in expected
        if expected[call] != got[call]
    ]
    if different:
        more = f"\n... and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
        pytest.fail(f"in {event}:\n" + "\n".join(different[:SHOWN]) + more, pytrace=False)


def test_every_hostcall_is_called() -> None:
    """Of the ABI's versions and of WASI."""
    names = {call.name for version in ("0.2.1", "0.1.0") for call in calls(version)}
    assert names == {*ABI["hostcalls"], *ABI["wasi"]} - NOT_LOADED


def test_every_callback_calls_them() -> None:
    """But for those that are documented as never called."""
    called = {f"proxy_on_{event.name.removeprefix('root_')}" for event in EVENTS}
    assert called == {f"proxy_on_{name.removeprefix('proxy_on_')}" for name in CALLBACKS} - {*NEVER_CALLED}


def test_the_recording_holds_every_pair() -> None:
    """Each callback with each call of its version, and each call was made there."""
    assert set(RECORDED) == {(str(event), str(call)) for event in EVENTS for call in calls(event.version)}
    assert not [pair for pair, (result, _) in RECORDED.items() if result == NOT_MADE]
    assert sum(CRASH in result for result, _ in RECORDED.values()) > 100
