"""Every exchange recorded from Envoy, in the mock host, on every engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_proxywasm.engine import Engine

from .case import Case, load
from .check import check

CASES = load(Path(__file__).with_name("cases.jsonl"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_mock_does_what_envoy_did(case: Case, engine: Engine) -> None:
    """Guest log, client, upstream, and whether Envoy started and survived are as recorded."""
    difference = check(case, engine)
    if difference:
        pytest.fail(f"{case.id}: {case.title}\n{difference}", pytrace=False)
