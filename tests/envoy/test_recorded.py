"""Every exchange that our own recorder has recorded from Envoy, in the mock host, on every engine.

``recorded/`` holds a file for each area. Its cases were written down in ``scripts``, and recorded with
``python -m pytest_proxywasm record``; how to make one is in ``scripts/README.md``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_proxywasm.engine import Engine

from .case import Case, load
from .check import check

FILES = sorted((Path(__file__).parent / "recorded").glob("*.jsonl"))
CASES = [case for path in FILES for case in load(path)]


def test_ids_are_unique() -> None:
    """Over all files, so that a failure names one case."""
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_mock_does_what_envoy_did(case: Case, engine: Engine) -> None:
    """Guest log, clients, upstream, and whether Envoy started and survived are as recorded."""
    difference = check(case, engine)
    if difference:
        pytest.fail(f"{case.id}: {case.title}\n{difference}", pytrace=False)
