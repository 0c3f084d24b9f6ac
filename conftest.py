"""For all tests: pytester, and a cache of their own, so that they neither use nor fill the developer's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory for this session, unless the environment names one."""
    given = os.environ.get("PYTEST_PROXYWASM_CACHE_DIR")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PYTEST_PROXYWASM_CACHE_DIR"] = str(folder)
    return folder
