"""What the tests of the replay share."""

from __future__ import annotations

import pytest

from pytest_proxywasm.engine import Engine, EngineUnavailable, get_engine


@pytest.fixture(scope="module", params=["wasmtime", "wasmer"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """An engine; wasmer has wheels for CPython 3.10 only."""
    name: str = request.param
    try:
        return get_engine(name)
    except EngineUnavailable as error:
        pytest.skip(f"{name} is not here (wasmer needs CPython 3.10 and the packages wasmer*): {error}")
