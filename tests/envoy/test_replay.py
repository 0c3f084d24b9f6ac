"""Every exchange recorded from Envoy, in the mock host, on every engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_proxywasm.engine import Engine, EngineUnavailable, get_engine

from .case import Case, load
from .check import check

CASES = load(Path(__file__).with_name("cases.jsonl"))


@pytest.fixture(scope="module", params=["wasmtime", "wasmer"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """An engine; wasmer has wheels for CPython 3.10 only."""
    name: str = request.param
    try:
        return get_engine(name)
    except EngineUnavailable as error:
        pytest.skip(f"{name} is not here (wasmer needs CPython 3.10 and the packages wasmer*): {error}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_mock_does_what_envoy_did(case: Case, engine: Engine) -> None:
    """Guest log, client, upstream, and whether Envoy started and survived are as recorded."""
    difference = check(case, engine)
    if difference:
        pytest.fail(f"{case.id}: {case.title}\n{difference}", pytrace=False)
