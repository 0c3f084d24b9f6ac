"""What a failing report shows of hosts, and where guest logs go."""

from __future__ import annotations

from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"

REQUEST = """
def test_it(proxywasm_host):
    proxywasm_host.get("/", headers={"authorization": "s3cr3t", "x-token": "token"})
    assert False
"""


class TestTraceSection:
    def test_a_failing_test_shows_the_trace_of_its_host(self, project: pytest.Pytester) -> None:
        project.makepyfile(REQUEST)
        result = project.runpytest()

        result.stdout.fnmatch_lines(
            [
                "*- proxywasm trace -*",
                "proxy-wasm trace 1",
                "> proxy_on_context_create context=1 *",
                "> proxy_on_request_headers context=2 *",
                '    proxy_log log_level=TRACE message="hello" -> OK',
                "< CONTINUE",
            ]
        )

    def test_a_passing_test_shows_none(self, project: pytest.Pytester) -> None:
        project.makepyfile("def test_it(proxywasm_host): proxywasm_host.get('/')")

        project.runpytest("-rA").stdout.no_fnmatch_line("*proxywasm trace*")

    def test_secret_headers_are_hidden(self, project: pytest.Pytester) -> None:
        project.makepyfile(REQUEST)
        text = project.runpytest("--tb=short").stdout.str()

        assert 'key="authorization" -> OK value="<redacted>"' in text
        assert "s3cr3t" not in text

    def test_which_are_secret_is_the_ini_files_choice(self, project: pytest.Pytester) -> None:
        project.makepyfile(REQUEST)
        text = project.runpytest("-o", "proxywasm_redact=x-token x-other").stdout.str()

        assert 'key="authorization" -> OK value="s3cr3t"' in text

    def test_hosts_opened_in_the_test_are_shown_each(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            def test_it(proxywasm, proxywasm_filter):
                with proxywasm.host(proxywasm_filter) as one, proxywasm.host(proxywasm_filter) as two:
                    two.get("/")
                    assert False
            """
        )
        project.runpytest().stdout.fnmatch_lines(
            ["*- proxywasm trace -*", "host 1 of 2:", "proxy-wasm trace 1", "", "host 2 of 2:", "> proxy_on_request_h*"]
        )

    def test_of_a_long_trace_what_was_before_the_last_exchange_is_left_out(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            def test_it(proxywasm_host):
                for _ in range(100):
                    proxywasm_host.get("/")
                assert False
            """
        )
        text = project.runpytest().stdout.str()
        section = text[text.index("proxywasm trace") :].split("\n------")[0].splitlines()

        assert section[1] == "proxy-wasm trace 1"
        assert section[2].endswith(
            " lines before the last exchange left out; --proxywasm-trace=retain-on-failure writes them all to a file"
        )
        assert section[3] == "> proxy_on_context_create context=101 parent_context_id=1"
        assert len(section) < 30

    def test_of_a_host_that_outlives_the_test_only_its_own_part_is_shown(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest

            @pytest.fixture(scope="module")
            def host(proxywasm, proxywasm_filter):
                with proxywasm.host(proxywasm_filter) as host:
                    yield host

            def test_first(host):
                host.get("/")

            def test_second(host):
                host.get("/")
                assert False
            """
        )
        result = project.runpytest()
        text = result.stdout.str()
        section = text[text.index("proxywasm trace") :]

        result.assert_outcomes(passed=1, failed=1)
        assert "proxy_on_configure" not in section
        assert section.count("> proxy_on_request_headers") == 1

    def test_a_failing_teardown_shows_it_as_well(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest

            @pytest.fixture
            def check(proxywasm_host):
                yield
                assert False

            def test_it(check, proxywasm_host):
                proxywasm_host.get("/")
            """
        )
        project.runpytest().stdout.fnmatch_lines(
            ["*ERROR at teardown of test_it*", "*- proxywasm trace -*", "> proxy_*"]
        )

    def test_of_a_hypothesis_test_the_last_example_is_shown_with_its_logs(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            from hypothesis import given, strategies as st, settings

            @settings(database=None)
            @given(n=st.integers())
            def test_it(proxywasm, proxywasm_filter, n):
                with proxywasm.host(proxywasm_filter) as host:
                    host.get(f"/{n}")
                    assert n < 1000
            """
        )
        text = project.runpytest().stdout.str()

        assert text.count("proxy-wasm trace 1") == 1
        assert "Captured log call" not in text
        assert "- proxywasm logs -" in text
        assert "ERROR    filter:2 hello" in text
        assert "WARN     filter:2 bad \\xff byte" in text

    def test_a_trap_ends_at_the_users_line(self, project: pytest.Pytester) -> None:
        project.makepyfile("def test_it(proxywasm): proxywasm.filter('nothing.wasm')")
        result = project.runpytest()

        result.stdout.fnmatch_lines([">*proxywasm.filter('nothing.wasm')*", "E *UsageError: there is no filter *"])
        result.stdout.no_fnmatch_line("*guest.py*")

        project.runpytest("--full-trace").stdout.fnmatch_lines(["*guest.py:*"])


class TestLogs:
    def test_they_go_to_a_logger_of_their_own_at_every_level(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import logging

            def test_it(proxywasm_host, caplog):
                proxywasm_host.get("/")
                records = [record for record in caplog.records if record.name == "proxywasm.guest"]
                assert [(record.levelno, record.getMessage()) for record in records] == [
                    (5, "hello"), (10, "hello"), (20, "hello"), (30, "hello"), (40, "hello"), (50, "hello"),
                    (30, "bad \\\\xff byte")]
                assert records[0].levelname == "TRACE"
                assert (records[0].proxywasm_filter, records[0].proxywasm_context_id) == ("", 2)

            def test_level(proxywasm_host, caplog):
                with caplog.at_level(logging.ERROR, "proxywasm.guest"):
                    proxywasm_host.get("/")
                assert len(caplog.records) == 2
            """
        )
        project.runpytest().assert_outcomes(passed=2)

    def test_a_failing_test_shows_them_with_filter_and_context(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest

            @pytest.mark.proxywasm(name="mine")
            def test_it(proxywasm_host):
                proxywasm_host.get("/")
                assert False
            """
        )
        result = project.runpytest()

        result.stdout.fnmatch_lines(["*- Captured log call -*", "ERROR * proxywasm.guest:mine:2 hello"])
        result.stdout.no_fnmatch_line("*proxywasm logs*")

    def test_without_pytests_logging_they_have_a_section_of_their_own(self, project: pytest.Pytester) -> None:
        project.makepyfile(REQUEST)

        project.runpytest("-p", "no:logging").stdout.fnmatch_lines(
            ["*- proxywasm logs -*", "TRACE    filter:2 hello", "CRITICAL filter:2 hello"]
        )

    def test_a_hypothesis_example_is_silent(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            from hypothesis import given, strategies as st

            def test_it(proxywasm, proxywasm_filter, caplog):
                @given(n=st.integers())
                def examples(n):
                    with proxywasm.host(proxywasm_filter) as host:
                        assert len(host.get("/").logs) == 7

                examples()
                assert caplog.records == []
                with proxywasm.host(proxywasm_filter) as host:
                    host.get("/")
                assert len(caplog.records) == 7
            """
        )
        project.runpytest().assert_outcomes(passed=1)

    def test_the_loggers_level_is_put_back_after_the_session(self, project: pytest.Pytester) -> None:
        import logging

        logger = logging.getLogger("proxywasm.guest")
        before = logger.level
        logger.setLevel(logging.ERROR)
        try:
            project.makepyfile("import logging\ndef test_it(): assert logging.getLogger('proxywasm.guest').level == 5")
            project.runpytest().assert_outcomes(passed=1)
            assert logger.level == logging.ERROR
        finally:
            logger.setLevel(before)


class TestOpenHosts:
    def test_an_unclosed_host_is_closed_at_the_tests_end_with_a_warning(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            test_x="""
            hosts = []

            def test_it(proxywasm, proxywasm_filter):
                hosts.append(proxywasm.host(proxywasm_filter))

            def test_then():
                assert hosts[0].closed
            """
        )
        result = project.runpytest()

        result.assert_outcomes(passed=2, warnings=1)
        result.stdout.fnmatch_lines(
            [
                "test_x.py::test_it",
                "*test_x.py:3: ResourceWarning: proxywasm: test_x.py::test_it left a host open; use "
                "'with proxywasm.host(...) as host:' or host.close()",
            ]
        )

    def test_the_users_warning_filters_win(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            def test_it(proxywasm, proxywasm_filter):
                for _ in range(3):
                    proxywasm.host(proxywasm_filter)
            """
        )
        result = project.runpytest("-W", "error")

        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["E *ResourceWarning: proxywasm: *::test_it left 3 hosts open; use *"])
        project.runpytest("-W", "ignore::ResourceWarning").assert_outcomes(passed=1, warnings=0)

    def test_a_host_that_is_closed_somehow_is_fine(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest

            @pytest.fixture
            def host(proxywasm, proxywasm_filter, request):
                host = proxywasm.host(proxywasm_filter)
                request.addfinalizer(host.close)
                return host

            def test_finalizer(host): host.get("/")

            def test_close(proxywasm, proxywasm_filter):
                proxywasm.host(proxywasm_filter).close()
            """
        )
        project.runpytest("-W", "error").assert_outcomes(passed=2)

    @pytest.mark.parametrize("scope", ["class", "module", "session"])
    @pytest.mark.parametrize("dynamic", [False, True])
    def test_a_host_of_a_longer_lived_fixture_lives_as_long(
        self, scope: str, dynamic: bool, project: pytest.Pytester
    ) -> None:
        get = "request.getfixturevalue('proxywasm').host('logs.wat')" if dynamic else "proxywasm.host('logs.wat')"
        project.makepyfile(
            f"""
            import pytest

            @pytest.fixture(scope="{scope}")
            def host({"request" if dynamic else "proxywasm"}):
                with {get} as host:
                    yield host

            class TestIt:
                def test_first(self, host): host.get("/")
                def test_second(self, host): host.get("/")
            """
        )
        project.runpytest("-W", "error").assert_outcomes(passed=2)

    def test_one_that_such_a_fixture_forgets_is_closed_with_it(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest

            @pytest.fixture(scope="module")
            def host(proxywasm, proxywasm_filter):
                return proxywasm.host(proxywasm_filter)

            def test_first(host): host.get("/")
            def test_second(host): host.get("/")
            """
        )
        result = project.runpytest()

        result.assert_outcomes(passed=2, warnings=1)
        result.stdout.fnmatch_lines(["*ResourceWarning: proxywasm: fixture host left a host open; use *"])

    def test_closing_hides_neither_the_tests_error_nor_the_guests(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest_proxywasm as pw

            DIES = '''(module
              (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
              (func (export "malloc") (param i32) (result i32) (i32.const 1024))
              (func (export "proxy_on_done") (param i32) (result i32) unreachable))'''

            def test_it(proxywasm):
                proxywasm.host(DIES)
                proxywasm.host("logs.wat")
                raise ValueError("mine")
            """
        )
        result = project.runpytest()

        result.assert_outcomes(failed=1, errors=1, warnings=1)
        result.stdout.fnmatch_lines(["*ERROR at teardown of test_it*", "*GuestTrap*", "*ValueError: mine*"])
        result.stdout.fnmatch_lines(["*ResourceWarning: proxywasm: *::test_it left 2 hosts open*"])


def test_workers_of_xdist_build_once_and_write_their_own_files(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    (project.path / "build.py").write_text(
        "import shutil, time\nopen('runs', 'a').write('run\\n'); time.sleep(0.5); shutil.copy('logs.wat', 'b.wat')\n"
    )
    import sys

    project.makeini(f"[pytest]\nproxywasm_filter = b.wat\nproxywasm_build = '{sys.executable}' build.py\n")
    project.makepyfile(
        test_x="""
        import pytest

        @pytest.mark.parametrize("n", range(6))
        def test_it(proxywasm_host, n):
            proxywasm_host.get("/")
            assert n != 3

        def test_open(proxywasm, proxywasm_filter):
            proxywasm.host(proxywasm_filter)
        """
    )
    result = project.runpytest_subprocess("-n2", "--proxywasm-trace=on")

    result.assert_outcomes(passed=6, failed=1, warnings=1)
    result.stdout.fnmatch_lines(["*- proxywasm trace -*", "> proxy_on_request_headers *"])
    assert (project.path / "runs").read_text() == "run\n"
    folders = sorted(path.parent.name for path in (project.path / "proxywasm-results").glob("*/trace.txt"))
    assert folders == [*(f"test_x.py-test_it-{n}" for n in range(6)), "test_x.py-test_open"]


class TestExchangeSection:
    def test_it_says_first_what_became_of_the_last_exchange(self, project: pytest.Pytester) -> None:
        (project.path / "header.wat").write_text((FIXTURES / "wat/header.wat").read_text(encoding="utf-8"))
        project.makepyfile(
            """
            import pytest

            @pytest.mark.proxywasm(wasm="header.wat", name="block")
            def test_it(proxywasm_host):
                proxywasm_host.get("/first")
                exchange = proxywasm_host.get("/orders", headers={"x-block": "1"})
                assert exchange.local_response is None
            """
        )
        project.runpytest().stdout.fnmatch_lines(
            [
                "E *AssertionError: assert filter 'block' replied: 403 b'denied\\n'",
                "*- proxywasm exchange -*",
                "GET /orders -> 403 (complete)",
                "answered by filter 'block': 403 \"denied\\n\" in proxy_on_request_headers",
                "the request never reached the upstream",
                "*- proxywasm trace -*",
            ]
        )

    def test_secret_headers_are_hidden_in_it(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            from pytest_proxywasm.summary import exchange_summary
            from pytest_proxywasm import Exchange, Headers, Request

            def test_it():
                exchange = Exchange(request=Request("GET", "/"))
                exchange.request_before = Headers({"cookie": "s3cr3t", "a": "1"})
                exchange.request_after = Headers({"a": "2"})
                text = "\\n".join(exchange_summary(exchange, ["Cookie"]))
                assert '    - cookie: "<redacted>"' in text
                assert '    ~ a: "1" -> "2"' in text
            """
        )
        project.runpytest().assert_outcomes(passed=1)


class TestContains:
    def test_a_failing_one_says_how_far_it_got(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            def test_it(proxywasm_host):
                exchange = proxywasm_host.get("/")
                assert exchange.trace.contains([("proxy_log", {"log_level": "WARN"}), "proxy_lgo"])
            """
        )
        project.runpytest().stdout.fnmatch_lines(
            [
                "E *AssertionError: step 2 of 2 is not in the trace: proxy_lgo",
                "E *there is no proxy_lgo; near it: proxy_log",
                'E *found: step 1, proxy_log log_level="WARN"',
                "E * assert False",
                "E *  where False = contains(*",
            ]
        )

    def test_other_assertions_are_left_alone(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            def test_it(proxywasm_host):
                assert not proxywasm_host.get("/").trace.contains(["nothing"])
                assert 1 == 2
            """
        )
        project.runpytest().stdout.no_fnmatch_line("*not in the trace*")


class TestFiles:
    def test_their_paths_are_properties_in_junits_report(self, project: pytest.Pytester) -> None:
        import xml.etree.ElementTree as ET

        project.makepyfile(test_x=REQUEST)
        project.runpytest("--proxywasm-trace=retain-on-failure", "--junitxml=report.xml")

        properties = {
            one.get("name"): one.get("value")
            for one in ET.parse(project.path / "report.xml").getroot().iter("property")
        }
        folder = project.path / "proxywasm-results" / "test_x.py-test_it"
        assert properties == {
            "proxywasm_trace": str(folder / "trace.txt"),
            "proxywasm_trace_page": str(folder / "trace.html"),
            "proxywasm_logs": str(folder / "logs.txt"),
        }
        assert "s3cr3t" not in (folder / "trace.txt").read_text()
        assert "CRITICAL filter:2 hello\n" in (folder / "logs.txt").read_text()

    def test_a_section_that_leaves_something_out_names_the_folder(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            test_x="""
            def test_it(proxywasm_host):
                stream = proxywasm_host.stream()
                stream.request_headers({"x": "1"})
                for n in range(100):
                    stream.request_body(b"x")
                    proxywasm_host.get("/")
                assert False
            """
        )
        text = project.runpytest("--proxywasm-trace=retain-on-failure").stdout.str()

        assert f"left out; all of them: {project.path / 'proxywasm-results' / 'test_x.py-test_it'}" in text
        whole = (project.path / "proxywasm-results" / "test_x.py-test_it" / "trace.txt").read_text()
        assert whole.count("> proxy_on_request_headers") == 101

    def test_pytest_html_has_the_whole_trace(self, project: pytest.Pytester) -> None:
        pytest.importorskip("pytest_html")
        project.makepyfile(REQUEST)
        project.runpytest_subprocess("--html=report.html", "--self-contained-html").assert_outcomes(failed=1)

        page = (project.path / "report.html").read_text(encoding="utf-8")
        assert "proxywasm trace" in page


class TestSnapshots:
    def test_a_trace_that_differs_from_its_snapshot_shows_the_first_difference_first(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("syrupy")
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider -p no:benchmark")
        project.makepyfile(
            test_x="""
            from pathlib import Path

            def test_it(proxywasm_host, snapshot):
                path = "/new" if Path("changed").exists() else "/old"
                exchange = proxywasm_host.get(path, headers={"authorization": path})
                assert exchange.trace.text() == snapshot
            """
        )
        project.runpytest_subprocess("--snapshot-update").assert_outcomes(passed=1)
        project.runpytest_subprocess().assert_outcomes(passed=1)
        (project.path / "changed").touch()
        project.runpytest_subprocess().stdout.fnmatch_lines(
            [
                "E *the trace is not that of the snapshot: first difference, in proxy_on_request_headers, callback 2:",
                'E *now * key="authorization" -> OK value="/new"',
                'E *snapshot * key="authorization" -> OK value="/old"',
                "E *1 of * lines only in now, 1 of * only in snapshot",
            ]
        )


class TestStrict:
    def test_the_marker_makes_a_host_strict(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            """
            import pytest
            import pytest_proxywasm as pw

            @pytest.mark.proxywasm(strict=True)
            def test_all(proxywasm_host):
                proxywasm_host.get("/")

            @pytest.mark.proxywasm(strict=pw.Strict(logs=False, allow=["proxy_get_header_map_value"]))
            def test_allowed(proxywasm_host):
                proxywasm_host.get("/")
            """
        )
        result = project.runpytest()
        result.assert_outcomes(failed=1, errors=0, passed=1)
        result.stdout.fnmatch_lines(
            ['E *StrictError: logged at level WARN: "hello"', "E *If it is meant to happen:", "E * host.allow(*"]
        )
