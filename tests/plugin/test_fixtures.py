"""The fixtures `proxywasm`, `proxywasm_filter` and `proxywasm_host`."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys

import pytest


class TestFilter:
    def test_it_comes_from_the_ini_file(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest_proxywasm as pw

            def test_filter(proxywasm, proxywasm_filter, pytestconfig):
                assert isinstance(proxywasm, pw.Toolkit)
                assert isinstance(proxywasm_filter, pw.Filter)
                assert proxywasm_filter.path == pytestconfig.rootpath / "logs.wat"
            """
        )
        project.runpytest().assert_outcomes(passed=1)

    def test_its_path_is_relative_to_the_ini_file(self, project: pytest.Pytester) -> None:
        sub = project.mkdir("sub")
        (sub / "pytest.ini").write_text("[pytest]\nproxywasm_filter = ../logs.wat\n")
        (sub / "test_it.py").write_text("def test_filter(proxywasm_filter): assert proxywasm_filter.abi_version\n")
        result = project.runpytest("-c", "sub/pytest.ini", "--rootdir", ".", "sub")

        result.assert_outcomes(passed=1)

    def test_a_conftest_overrides_it(self, project: pytest.Pytester) -> None:
        project.makeconftest(
            """
            import pytest

            @pytest.fixture(scope="session")
            def proxywasm_filter(proxywasm):
                return proxywasm.filter("logs.wat", name="mine")
            """
        )
        project.makepyfile(
            """
            def test_filter(proxywasm_filter, proxywasm_host):
                assert proxywasm_filter.name == "mine"
                assert {event.filter for event in proxywasm_host.trace} == {"mine"}
            """
        )
        project.runpytest().assert_outcomes(passed=1)

    def test_a_conftest_may_parametrize_it(self, project: pytest.Pytester) -> None:
        project.makeconftest(
            """
            import pytest

            @pytest.fixture(scope="session", params=["a", "b"])
            def proxywasm_filter(proxywasm, request):
                return proxywasm.filter("logs.wat", name=request.param)
            """
        )
        project.makepyfile("def test_it(proxywasm_host): assert proxywasm_host.get('/').response.status == 200")
        result = project.runpytest("-v")

        result.stdout.fnmatch_lines(["*::test_it?a? PASSED*", "*::test_it?b? PASSED*"])

    def test_it_is_built_by_the_ini_files_command(self, project: pytest.Pytester) -> None:
        (project.path / "build.py").write_text("import shutil; shutil.copy('logs.wat', 'built.wat')\n")
        project.makeini(f"[pytest]\nproxywasm_filter = built.wat\nproxywasm_build = '{sys.executable}' build.py\n")
        project.makepyfile("def test_it(proxywasm_host): proxywasm_host.get('/')")

        project.runpytest().assert_outcomes(passed=1)
        assert (project.path / "built.wat").is_file()

    def test_a_failed_build_is_a_short_error_with_its_output(self, project: pytest.Pytester) -> None:
        (project.path / "build.py").write_text("import sys; sys.exit('error[E0425]: cannot find value')\n")
        project.makeini(f"[pytest]\nproxywasm_filter = built.wat\nproxywasm_build = '{sys.executable}' build.py\n")
        project.makepyfile("def test_it(proxywasm_host): pass", test_more="def test_it(proxywasm_host): pass")
        result = project.runpytest()

        result.assert_outcomes(errors=2)
        result.stdout.fnmatch_lines(
            [
                "*ERROR at setup of test_it*",
                f"UsageError: building built.wat failed: {sys.executable} build.py",
                f"in {project.path} ended with status 1.",
                "Its output:",
                "    error?E0425?: cannot find value",
                "Whole log: *build.log",
            ]
        )
        result.stdout.no_fnmatch_line("*toolkit.py*")

    def test_a_slow_build_is_announced(self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pytest_proxywasm.build.NOTICE_AFTER", 0.01)
        (project.path / "build.py").write_text(
            "import shutil, time; shutil.copy('logs.wat', 'b.wat'); time.sleep(0.2)\n"
        )
        project.makeini(f"[pytest]\nproxywasm_filter = b.wat\nproxywasm_build = '{sys.executable}' build.py\n")
        project.makepyfile("def test_it(proxywasm_filter): pass")

        project.runpytest().stdout.fnmatch_lines([f"proxywasm: building b.wat: {sys.executable} build.py"])

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
    def test_a_slow_build_on_a_terminal_shows_its_time(self, project: pytest.Pytester) -> None:
        import pty

        (project.path / "build.py").write_text(
            "import shutil, time; shutil.copy('logs.wat', 'b.wat'); time.sleep(0.5)\n"
        )
        project.makeini(f"[pytest]\nproxywasm_filter = b.wat\nproxywasm_build = '{sys.executable}' build.py\n")
        project.makeconftest(
            """
            import pytest_proxywasm.build, pytest_proxywasm.announce

            pytest_proxywasm.build.NOTICE_AFTER = 0.01
            pytest_proxywasm.announce.INTERVAL = 0.05
            """
        )
        project.makepyfile("def test_it(proxywasm_filter): pass")
        environment = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS")}
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        with subprocess.Popen(command, cwd=project.path, env=environment, stdout=theirs, stdin=theirs) as process:
            os.close(theirs)
            output = b""
            # Linux ends the reading of a terminal that nobody writes to any more by an error.
            with contextlib.suppress(OSError):
                while piece := os.read(ours, 65536):
                    output += piece
        os.close(ours)
        assert process.returncode == 0, output.decode()
        times = re.findall(rb"\rproxywasm: building b\.wat: [^\r\n]* \(\d+ s\)", output)
        assert times, output.decode()
        assert b"1 passed" in output

    def test_a_missing_file_is_a_short_error_and_no_skip(self, project: pytest.Pytester) -> None:
        project.makeini("[pytest]\nproxywasm_filter = log.wat\n")
        project.makepyfile("def test_it(proxywasm_filter): pass")
        result = project.runpytest()

        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(
            [
                f"UsageError: there is no filter {project.path / 'log.wat'}",
                f"its folder {project.path} is there, and holds: logs.wat, *",
                "Build it before the tests, or have it built: proxywasm.filter(*",
            ]
        )
        result.stdout.no_fnmatch_line("*plugin.py*")

    @pytest.mark.parametrize(
        ("test", "outcome"),
        [
            ("def test_it(proxywasm_filter): pass", {"errors": 1}),
            ("def test_it(proxywasm_host): pass", {"errors": 1}),
            ("def test_it(proxywasm, proxywasm_filter): proxywasm.host(proxywasm_filter)", {"errors": 1}),
            ("def test_it(proxywasm, request): request.getfixturevalue('proxywasm_filter').name", {"failed": 1}),
            (
                "def test_it(proxywasm, request): proxywasm.host(request.getfixturevalue('proxywasm_filter'))",
                {"failed": 1},
            ),
        ],
    )
    def test_without_one_it_is_said_how_to_name_it(
        self, test: str, outcome: dict[str, int], project: pytest.Pytester
    ) -> None:
        project.makeini("[pytest]\n")
        project.makepyfile(test)
        result = project.runpytest()

        result.assert_outcomes(**outcome)
        result.stdout.fnmatch_lines(
            [
                "*UsageError: no filter is configured. Name it in the ini file, relative to that file:",
                "*    proxywasm_filter = build/my_filter.wasm",
                "*or override the fixture in conftest.py:",
                '*    @pytest.fixture(scope="session")',
                "*    def proxywasm_filter(proxywasm):",
                '*        return proxywasm.filter("build/my_filter.wasm")',
            ]
        )

    def test_a_project_without_one_may_use_the_toolkit(self, project: pytest.Pytester) -> None:
        project.makeini("[pytest]\n")
        project.makepyfile(
            """
            import pytest

            def test_toolkit(proxywasm):
                with proxywasm.host("logs.wat") as host:
                    host.get("/")

            @pytest.mark.proxywasm(filters=["logs.wat"])
            def test_chain(proxywasm_host):
                proxywasm_host.get("/")

            @pytest.mark.proxywasm(wasm="logs.wat", name="x")
            def test_wasm(proxywasm_host):
                assert proxywasm_host.trace[0].filter == "x"
            """
        )
        project.runpytest().assert_outcomes(passed=3)


class TestToolkit:
    def test_it_cannot_be_changed(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest

            def test_it(proxywasm):
                with pytest.raises(AttributeError, match="the toolkit cannot be changed; its options come from"):
                    proxywasm.backend = "envoy"
                assert repr(proxywasm) == "<proxywasm toolkit: engine auto, host mock>"
            """
        )
        project.runpytest().assert_outcomes(passed=1)

    def test_filter_takes_paths_from_the_rootdir_and_refuses_unknown_options(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest, pytest_proxywasm as pw

            def test_path(proxywasm, tmp_path, monkeypatch):
                monkeypatch.chdir(tmp_path)
                assert proxywasm.filter("logs.wat", configuration={"a": 1}).configuration == b'{"a":1}'

            def test_option(proxywasm):
                with pytest.raises(pw.UsageError) as caught:
                    proxywasm.filter("logs.wat", config="x")
                assert str(caught.value) == "a filter has no option 'config'; did you mean 'configuration'?"
            """
        )
        project.runpytest().assert_outcomes(passed=2)

    def test_host_refuses_what_it_does_not_know(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest, pytest_proxywasm as pw

            def complaint(proxywasm, *args, **options):
                with pytest.raises(pw.UsageError) as caught:
                    proxywasm.host(*args, **options)
                return str(caught.value)

            def test_it(proxywasm, proxywasm_filter):
                assert complaint(proxywasm, proxywasm_filter, worker=2) == (
                    "proxywasm.host() has no option 'worker'; did you mean 'workers'?")
                assert complaint(proxywasm, proxywasm_filter, zzz=2).startswith(
                    "proxywasm.host() has no option 'zzz'; there are: protocol, services, workers, ")
                assert complaint(proxywasm, proxywasm_filter, configuration={}) == (
                    "configuration= is an option of the filter, not of proxywasm.host(): "
                    "proxywasm.host(proxywasm_filter.replace(configuration=...))")
                assert complaint(proxywasm, [proxywasm_filter]) == (
                    "filters are given one by one, as in proxywasm.host(*filters), not as a list")
                assert complaint(proxywasm) == (
                    "a host without any filter runs nothing: proxywasm.host(proxywasm_filter), "
                    "or proxywasm.host(services=[...]) for Wasm services")
                assert complaint(proxywasm, services=proxywasm_filter).startswith("services= takes a list of filters")
            """
        )
        project.runpytest().assert_outcomes(passed=1)

    def test_host_starts_chains_and_services(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            def test_it(proxywasm, proxywasm_filter):
                one, two = proxywasm_filter.replace(name="one"), proxywasm_filter.replace(name="two")
                with proxywasm.host(one, two, services=["logs.wat"], seed=7) as host:
                    exchange = host.get("/")
                assert [log.filter for log in exchange.logs][::7] == ["one", "two"]
                assert host.closed
            """
        )
        project.runpytest().assert_outcomes(passed=1)

    def test_manifests_are_not_there_yet(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest, pytest_proxywasm as pw

            def test_it(proxywasm):
                with pytest.raises(pw.NotEmulatedError, match=r"proxywasm.from_manifest\\(\\) is not there yet"):
                    proxywasm.from_manifest("deploy.yaml")
            """
        )
        project.runpytest().assert_outcomes(passed=1)


class TestHost:
    def test_it_is_fresh_for_each_test_and_closed_afterwards(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest

            seen = []

            @pytest.mark.parametrize("n", [1, 2])
            def test_it(proxywasm_host, n):
                assert proxywasm_host not in seen
                assert all(host.closed for host in seen)
                assert not proxywasm_host.closed
                seen.append(proxywasm_host)
                assert len(proxywasm_host.trace.callbacks("proxy_on_configure")) == 1
            """
        )
        project.runpytest().assert_outcomes(passed=2)

    def test_a_start_that_fails_is_a_short_error(self, project: pytest.Pytester) -> None:
        project.makeini("[pytest]\nproxywasm_filter = refuses.wat\n")
        project.makepyfile("def test_it(proxywasm_host): pass")
        result = project.runpytest()

        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", "FilterStartError: * refuses to start*"])
        result.stdout.no_fnmatch_line("*plugin.py*")

    def test_under_given_it_is_an_error_with_the_right_form(self, project: pytest.Pytester) -> None:
        project.makeconftest(
            """
            import pytest

            @pytest.fixture
            def client(proxywasm_host):
                return proxywasm_host
            """
        )
        project.makepyfile(
            """
            from hypothesis import given, strategies as st

            @given(n=st.integers())
            def test_it(proxywasm_host, n): pass

            class TestIt:
                @given(n=st.integers())
                def test_indirect(self, client, n): pass
            """
        )
        result = project.runpytest()

        result.assert_outcomes(errors=2)
        for name in ("test_it", "test_indirect"):
            result.stdout.fnmatch_lines(
                [
                    "UsageError: proxywasm_host is one host for all examples of a @given test. "
                    "Start a fresh one in each example:",
                    "",
                    "    @given(request=pws.requests())",
                    f"    def {name}(proxywasm, proxywasm_filter, request):",
                    "        with proxywasm.host(proxywasm_filter) as host:",
                ]
            )
