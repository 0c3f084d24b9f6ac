"""Runs of pytest with a real Envoy: the summary, pytest-xdist, and that no Envoy is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.envoy.binary import find_envoy

WAIT = 120


@pytest.fixture(autouse=True)
def envoy() -> None:
    """There is an Envoy, or a reason."""
    try:
        find_envoy()
    except pw.UsageError as error:
        if os.environ.get("CI"):
            pytest.fail(f"in CI nothing is skipped: {error}", pytrace=False)
        pytest.skip(str(error))


TESTS = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_passes(proxywasm_host, number):
    assert proxywasm_host.get("/").response.status == 200

def test_injects(proxywasm_host):
    proxywasm_host.inject("proxy_done", "INTERNAL_FAILURE")
    proxywasm_host.get("/")
"""
SUMMARY = [
    "*= proxywasm: mock and Envoy =*",
    "4 of 5 exchanges were compared with Envoy *: 0 differ",
    "1 could not be compared:",
    "      1  the test injects statuses",
]


def test_the_summary_says_what_was_compared(project: pytest.Pytester) -> None:
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess("--proxywasm-host=both")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["proxywasm: engine *, host both (Envoy *)"])
    result.stdout.fnmatch_lines(SUMMARY)


def test_workers_of_xdist_add_up(project: pytest.Pytester) -> None:
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess("--proxywasm-host=both", "-n2")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(SUMMARY)


def test_in_envoy_alone(project: pytest.Pytester) -> None:
    """What Envoy cannot do fails with its name; a failing test shows the trace."""
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess("--proxywasm-host=envoy")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E  *UsageError: host.inject is not there with --proxywasm-host=envoy: Envoy's hostcalls answer *",
            "*- proxywasm trace -*",
            "> proxy_on_configure context=1 plugin_configuration_size=0",
        ]
    )


def test_the_start_of_a_filter_fails_in_envoys_words(project: pytest.Pytester) -> None:
    project.makepyfile(
        "def test_it(proxywasm):\n    proxywasm.host('refuses.wat')\n",
    )
    result = project.runpytest_subprocess("--proxywasm-host=envoy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E  *FilterStartError: Envoy does not start with this filter. Its own words:"])


# Processes.

FOREVER = """
import os, time

def test_forever(proxywasm):
    host = proxywasm.host("logs.wat")
    host.get("/")
    with open(os.environ["MARK"], "w") as mark:
        mark.write(os.environ.get("PYTEST_XDIST_WORKER", "") + " " + str(os.getpid()))
    time.sleep(600)
"""


def envoys(mark: Path) -> list[str]:
    """The processes, by their command lines, of Envoys that were started with ``mark`` in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if "bootstrap.json" in command and str(mark.parent) in command:
                found.append(command)
    return found


def until(condition: object, what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + WAIT
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize(
    ("how", "arguments"),
    [(signal.SIGINT, ()), (signal.SIGKILL, ()), (signal.SIGTERM, ()), (signal.SIGKILL, ("-n1",))],
    ids=["Ctrl-C", "killed", "terminated", "killed worker"],
)
def test_no_envoy_is_left(
    how: signal.Signals, arguments: tuple[str, ...], project: pytest.Pytester, tmp_path: Path
) -> None:
    project.makepyfile(FOREVER)
    mark = tmp_path / "mark"
    environment = {**os.environ, "MARK": str(mark), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "--proxywasm-host=envoy", "--max-worker-restart=0", *arguments]
    if not arguments:
        command.remove("--max-worker-restart=0")
    run = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until(lambda: mark.exists() and mark.read_text().split() and envoys(mark), "the test has not begun")
        os.kill(int(mark.read_text().split()[-1]), how)
        run.wait(WAIT)
        until(lambda: not envoys(mark), "an Envoy is left")
    finally:
        run.kill()
        run.wait()


@pytest.mark.parametrize("how", ["option", "ini"])
def test_guests_can_be_left_untouched(project: pytest.Pytester, how: str) -> None:
    """Then hostcalls show the sizes of what they pass."""
    project.makepyfile(
        """
        def test_sizes(proxywasm_host):
            proxywasm_host.get("/")
            call = proxywasm_host.trace.hostcalls("proxy_log")[0]
            assert list(call.args) == ["log_level", "message_size"]
            assert not proxywasm_host.trace.decoded
        """
    )
    if how == "ini":
        project.makeini("[pytest]\nproxywasm_filter = logs.wat\nproxywasm_envoy_untouched = true\n")
    options = ["--proxywasm-envoy-untouched"] if how == "option" else []
    project.runpytest_subprocess("--proxywasm-host=envoy", *options).assert_outcomes(passed=1)
