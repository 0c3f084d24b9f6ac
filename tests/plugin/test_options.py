"""Options and ini values, and what is said when they name what is not there."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

FAILS = """
import pytest

@pytest.mark.parametrize("name", ["a", "b/c"])
def test_it(proxywasm_host, name):
    proxywasm_host.get("/", headers={"authorization": "s3cr3t"})
    assert name == "a"
"""


def installed(name: str) -> str:
    """What the header says of an engine."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} (not installed)"


@pytest.mark.parametrize(
    ("arguments", "engine"),
    [((), "wasmtime"), (("--proxywasm-engine=wasmtime",), "wasmtime"), (("-o", "proxywasm_engine=auto"), "wasmtime")],
)
def test_the_header_names_engine_and_host(arguments: tuple[str, ...], engine: str, project: pytest.Pytester) -> None:
    result = project.runpytest(*arguments)

    result.stdout.fnmatch_lines([f"proxywasm: engine {installed(engine)}, host mock"])


def test_the_header_does_not_import_the_engine(project: pytest.Pytester) -> None:
    project.makeconftest("import sys\ndef pytest_unconfigure(): print('wasmtime:', 'wasmtime' in sys.modules)\n")
    project.makepyfile("def test_it(): pass")

    project.runpytest_subprocess("-s").stdout.fnmatch_lines(["proxywasm: engine wasmtime *", "wasmtime: False"])


def test_help_lists_options_and_ini_values(project: pytest.Pytester) -> None:
    text = project.runpytest("--help").stdout.str()

    for name in ("engine", "host", "envoy", "trace", "output"):
        assert f"--proxywasm-{name}=" in text
    for name in ("engine", "host", "envoy", "trace", "output", "filter", "build", "redact"):
        assert re.search(rf"^  proxywasm_{name}\b", text, re.MULTILINE)
    assert "--proxywasm-filter" not in text


@pytest.mark.parametrize("given", ["command line", "ini"])
@pytest.mark.parametrize("host", ["envoy", "both"])
def test_without_an_envoy_nothing_runs_instead(given: str, host: str, project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(proxywasm_host): pass")
    arguments = (f"--proxywasm-host={host}",) if given == "command line" else ("-o", f"proxywasm_host={host}")
    result = project.runpytest(*arguments, "--proxywasm-envoy=no/such/envoy")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --proxywasm-envoy=no/such/envoy: there is no such program"])


def test_what_is_no_envoy_is_not_run(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(proxywasm_host): pass")
    result = project.runpytest("--proxywasm-host=envoy", "--proxywasm-envoy=/bin/true")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: */bin/true does not seem to be an Envoy: asked for its --version it said true (*"]
    )


def test_the_toolkit_refuses_other_backends(tmp_path: Path) -> None:
    import pytest_proxywasm as pw

    with pytest.raises(pw.UsageError, match=r"^--proxywasm-host=moc does not exist; did you mean 'mock'\?$"):
        pw.Toolkit(tmp_path, backend="moc")


def test_the_command_line_wins_over_the_ini_file(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(proxywasm_host): pass")

    project.runpytest("-o", "proxywasm_host=both", "--proxywasm-host=mock").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("setting", "choices"),
    [
        ("engine", "auto, wasmtime, wasmer"),
        ("host", "mock, envoy, both"),
        ("trace", "off, on, retain-on-failure"),
    ],
)
def test_an_impossible_value_is_refused(setting: str, choices: str, project: pytest.Pytester) -> None:
    result = project.runpytest("-o", f"proxywasm_{setting}=nonsense")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: proxywasm_{setting} = nonsense: choose one of {choices}"])

    result = project.runpytest(f"--proxywasm-{setting}=nonsense")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--proxywasm-{setting}: invalid choice: 'nonsense'*"])


def test_an_engine_that_is_not_there_is_refused_once_and_says_which_python_has_it(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_proxywasm.engine import EngineUnavailable

    def get_engine(choice: str, **options: object) -> None:
        assert choice == "wasmer"
        raise EngineUnavailable("the engine wasmer has wheels for CPython 3.10 and older only")

    monkeypatch.setattr("pytest_proxywasm.engine.get_engine", get_engine)
    project.makepyfile("def test_it(proxywasm_host): pass")
    result = project.runpytest("--proxywasm-engine=wasmer")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --proxywasm-engine=wasmer: the engine wasmer has wheels for CPython 3.10 and older only"]
    )


def test_an_engine_that_is_broken_is_a_short_error(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_proxywasm.engine import EngineUnavailable

    def get_engine(choice: str, **options: object) -> None:
        raise EngineUnavailable("the engine wasmtime cannot be imported")

    monkeypatch.setattr("pytest_proxywasm.engine.get_engine", get_engine)
    project.makepyfile("def test_it(proxywasm_host): pass")
    result = project.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["UsageError: --proxywasm-engine=auto: the engine wasmtime cannot be imported"])


def test_wasmer_runs_or_says_which_python_has_wheels(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(proxywasm_host): assert proxywasm_host.get('/').response.status == 200")
    result = project.runpytest("--proxywasm-engine=wasmer")

    if result.ret == pytest.ExitCode.USAGE_ERROR:
        result.stderr.fnmatch_lines(["ERROR: --proxywasm-engine=wasmer: *3.10*"])
    else:
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines([f"proxywasm: engine {installed('wasmer')}, host mock"])


class TestTraceFiles:
    def test_by_default_none_are_written(self, project: pytest.Pytester) -> None:
        project.makepyfile(FAILS)
        project.runpytest().assert_outcomes(passed=1, failed=1)

        assert not (project.path / "proxywasm-results").exists()

    def test_on_writes_one_for_each_test(self, project: pytest.Pytester) -> None:
        project.makepyfile(test_x=FAILS)
        project.runpytest("--proxywasm-trace=on").assert_outcomes(passed=1, failed=1)

        passed = project.path / "proxywasm-results" / "test_x.py-test_it-a" / "trace.txt"
        assert passed.read_text().startswith("proxy-wasm trace 1\n> ")
        assert len(list((project.path / "proxywasm-results").glob("test_x.py-test_it-b-c-*/trace.txt"))) == 1

    def test_on_failure_writes_those_that_fail_and_removes_them_once_they_pass(self, project: pytest.Pytester) -> None:
        project.makepyfile(test_x=FAILS)
        project.runpytest("-o", "proxywasm_trace=retain-on-failure").assert_outcomes(passed=1, failed=1)
        folders = list((project.path / "proxywasm-results").iterdir())
        assert len(folders) == 1
        assert sorted(path.name for path in folders[0].iterdir()) == ["logs.txt", "trace.html", "trace.txt"]

        project.makepyfile(test_x=FAILS.replace("assert name", "#"))
        project.runpytest("--proxywasm-trace=retain-on-failure").assert_outcomes(passed=2)
        assert list((project.path / "proxywasm-results").iterdir()) == []

    def test_the_output_folder_is_relative_to_where_it_is_named(self, project: pytest.Pytester) -> None:
        sub = project.mkdir("sub")
        (sub / "test_x.py").write_text("def test_it(proxywasm_host): pass\n")
        project.runpytest("--proxywasm-trace=on", "-o", "proxywasm_output=by-ini", "sub")
        assert (project.path / "by-ini" / "sub-test_x.py-test_it" / "trace.txt").is_file()

        project.chdir()
        import os

        os.chdir(sub)
        project.runpytest("--proxywasm-trace=on", "--proxywasm-output=by-option")
        assert (sub / "by-option" / "sub-test_x.py-test_it" / "trace.txt").is_file()

    def test_several_hosts_have_a_file_each(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            test_x="""
            def test_it(proxywasm, proxywasm_filter, proxywasm_host):
                with proxywasm.host(proxywasm_filter) as host:
                    host.get("/")
            """
        )
        project.runpytest("--proxywasm-trace=on").assert_outcomes(passed=1)

        folder = project.path / "proxywasm-results" / "test_x.py-test_it"
        assert sorted(path.name for path in folder.iterdir()) == [
            *("logs.txt", "trace-2.html", "trace-2.txt", "trace.html", "trace.txt")
        ]
        assert "proxy_on_request_headers" in (folder / "trace-2.txt").read_text()

    def test_secret_headers_are_hidden(self, project: pytest.Pytester) -> None:
        project.makepyfile(test_x=FAILS)
        project.runpytest("--proxywasm-trace=on")
        text = (project.path / "proxywasm-results" / "test_x.py-test_it-a" / "trace.txt").read_text()

        assert 'key="authorization" -> OK value="<redacted>"' in text
        assert "s3cr3t" not in text

    def test_a_test_without_hosts_leaves_nothing(self, project: pytest.Pytester) -> None:
        project.makepyfile("def test_it(): pass")
        project.runpytest("--proxywasm-trace=on").assert_outcomes(passed=1)

        assert not (project.path / "proxywasm-results").exists()


class TestFolderNames:
    @pytest.mark.parametrize(
        ("test_id", "name"),
        [
            ("tests/test_a.py::test_b", "tests-test_a.py-test_b"),
            ("tests/test_a.py::TestC::test_b[1]", "tests-test_a.py-TestC-test_b-1"),
        ],
    )
    def test_plain_ids_stay_readable(self, test_id: str, name: str) -> None:
        from pytest_proxywasm.artefacts import folder_name

        assert folder_name(test_id) == name

    def test_others_are_told_apart_by_a_digest(self) -> None:
        from pytest_proxywasm.artefacts import folder_name

        ids = [
            *("a.py::t[x/y]", "a.py::t[x-y]", "a.py::t[x y]", "a.py::t[x::y]", "a.py::t[../../etc]", "a.py::t[\u00fc]"),
            *("a.py::t[" + "x" * 300 + "]", "a.py::t[" + "x" * 301 + "]", "a.py::t[\udc80]", "a-b.py::t", "a/b.py::t"),
        ]
        names = [folder_name(test_id) for test_id in ids]

        assert len(set(names)) == len(ids)
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,140}", name) and not name.startswith(".") for name in names)
