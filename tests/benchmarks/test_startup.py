"""What the plugin costs a project that does not use it: one empty test, with and without the plugin, in one run."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROUNDS = 15
ALLOWED = 1.05
OTHERS = ("cacheprovider", "benchmark", "hypothesispytest", "platformdirs", "syrupy", "xdist", "xdist.looponfail")
WITHOUT = ("-p", "no:proxywasm")


@pytest.fixture
def empty_project(tmp_path: Path) -> Path:
    """A project with one empty test."""
    # Without the other plugins, against which a few milliseconds would not show.
    unwanted = " ".join(f"-p no:{name}" for name in OTHERS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = {unwanted}\n")
    (tmp_path / "test_empty.py").write_text("def test_empty(): pass\n")
    return tmp_path


def run(project: Path, *arguments: str) -> None:
    """Run the project's test in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # Modules are compiled once, as on any developer's machine.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=project,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.benchmark(group="startup")
@pytest.mark.parametrize("arguments", [(), WITHOUT], ids=["with", "without"])
def test_one_empty_test(benchmark: Any, empty_project: Path, arguments: tuple[str, ...]) -> None:
    benchmark.pedantic(run, args=(empty_project, *arguments), rounds=ROUNDS, warmup_rounds=2)


def test_the_plugin_costs_an_empty_test_at_most_five_percent(empty_project: Path) -> None:
    """Runs alternate, so that whatever else the machine does hits both."""

    def timed(*arguments: str) -> float:
        start = time.perf_counter()
        run(empty_project, *arguments)
        return time.perf_counter() - start

    for _ in range(2):
        timed()
        timed(*WITHOUT)
    pairs = [(timed(), timed(*WITHOUT)) for _ in range(ROUNDS)]
    best = min(with_it for with_it, _ in pairs) / min(without for _, without in pairs)
    middle = statistics.median(with_it / without for with_it, without in pairs)
    print(f"with / without the plugin: {best:.3f} by the fastest runs, {middle:.3f} by the median")

    assert min(best, middle) <= ALLOWED
