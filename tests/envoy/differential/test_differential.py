"""A few generated hosts on which mock and Envoy agree; ``python -m tests.envoy.differential`` runs many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

import pytest_proxywasm as pw
from pytest_proxywasm.envoy.binary import find_envoy
from pytest_proxywasm.toolkit import Toolkit

from .lives import Life, probe_lives
from .mutations import MUTATIONS, catch, draw_lives
from .run import run

QUICK = ("a date stands after the server", "a reply has no content-length", "filters do not see trailers")
PROBE = Path(__file__).parents[3] / "fixtures/probe/probe.wasm"


@pytest.fixture(scope="module")
def toolkit() -> Iterator[Toolkit]:
    """Opens hosts with an Envoy beside them."""
    try:
        find_envoy()
    except pw.UsageError as error:
        if os.environ.get("CI"):
            pytest.fail(f"in CI nothing is skipped: {error}", pytrace=False)
        pytest.skip(str(error))
    toolkit = Toolkit(PROBE.parent, backend="both")
    yield toolkit
    toolkit.close()


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(life=probe_lives())
def check_agreement(toolkit: Toolkit, life: Life) -> None:
    """Whatever the filter does, and whatever client and upstream send; what chance decides is not so twice."""
    try:
        run(toolkit, toolkit.filter(PROBE), life)
    except pw.EnvoyDiffersError:
        run(toolkit, toolkit.filter(PROBE), life)


def test_the_mock_does_what_envoy_does(toolkit: Toolkit) -> None:
    check_agreement(toolkit)
    assert toolkit.checks.agreed > 10


def test_planted_mistakes_are_caught(toolkit: Toolkit) -> None:
    """A generator that has grown weak fails here; ``python -m tests.envoy.differential.mutations`` plants all."""
    lives = draw_lives(150, seed=1)
    usual: dict[int, list[str]] = {}
    for name in QUICK:
        assert catch(toolkit, MUTATIONS[name], lives, usual) is not None, name
