"""For all tests: pytester, and a cache of their own, so that they neither use nor fill the developer's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# A machine that others use may stop an example for a second: that says nothing about the code under test.
settings.register_profile(
    "suite",
    settings.get_profile("ci" if os.environ.get("CI") else "default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory for this session, unless the environment names one."""
    given = os.environ.get("PYTEST_PROXYWASM_CACHE_DIR")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PYTEST_PROXYWASM_CACHE_DIR"] = str(folder)
    return folder


WITHOUT_WASMER = "the tests of the wasmer engine do not run here: it has wheels for CPython 3.10 and older only"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where wasmer cannot be, its half of the tests is deselected and said to be, not skipped one by one."""
    if sys.version_info < (3, 11):
        return
    kept, left_out = [], []
    for item in items:
        callspec = getattr(item, "callspec", None)
        is_of_wasmer = callspec is not None and "wasmer" in [v for v in callspec.params.values() if isinstance(v, str)]
        (left_out if is_of_wasmer else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where it is seen."""
    if sys.version_info >= (3, 11) and terminalreporter.stats.get("deselected"):
        terminalreporter.write_line(WITHOUT_WASMER)
