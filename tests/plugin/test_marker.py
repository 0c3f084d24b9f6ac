"""The marker `proxywasm`: what it changes, how markers merge, and what is said when it cannot work."""

from __future__ import annotations

import pytest


def errors_of(project: pytest.Pytester, test: str) -> pytest.RunResult:
    """Run one test that fails at set-up."""
    project.makepyfile("import pytest\n" + test)
    result = project.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_it*"])
    result.stdout.no_fnmatch_line("*plugin.py*")
    return result


def test_it_changes_options_of_filter_and_host(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        import pytest_proxywasm as pw

        @pytest.mark.proxywasm(configuration={"a": 1}, name="mine", upstream=pw.Response(204))
        def test_marked(proxywasm_host, proxywasm_filter):
            (call,) = proxywasm_host.trace.hostcalls("proxy_get_buffer_bytes")
            assert call.results["value"] == b'{"a":1}'
            exchange = proxywasm_host.get("/")
            assert exchange.response.status == 204
            assert exchange.logs[0].filter == "mine"
            assert proxywasm_filter.configuration == b""

        def test_unmarked(proxywasm_host):
            assert proxywasm_host.get("/").logs[0].filter == ""
        """
    )
    project.runpytest("--strict-markers").assert_outcomes(passed=2)


def test_nested_markers_merge_by_key_and_the_innermost_wins(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        import pytest_proxywasm as pw

        pytestmark = pytest.mark.proxywasm(name="module", upstream=pw.Response(201), seed=1)

        def seen(host):
            exchange = host.get("/")
            return exchange.logs[0].filter, exchange.response.status

        def test_module(proxywasm_host):
            assert seen(proxywasm_host) == ("module", 201)

        @pytest.mark.proxywasm(name="class")
        class TestIt:
            def test_class(self, proxywasm_host):
                assert seen(proxywasm_host) == ("class", 201)

            @pytest.mark.proxywasm(name="outer", upstream=pw.Response(202))
            @pytest.mark.proxywasm(name="inner")
            def test_function(self, proxywasm_host):
                assert seen(proxywasm_host) == ("inner", 202)

            @pytest.mark.proxywasm(name="function")
            @pytest.mark.parametrize("name", [
                pytest.param("parameter", marks=pytest.mark.proxywasm(name="parameter")), "function"])
            def test_parameter(self, proxywasm_host, name):
                assert seen(proxywasm_host) == (name, 201)
        """
    )
    project.runpytest().assert_outcomes(passed=5)


def test_filters_makes_a_chain_of_paths_filters_and_changes_of_the_filter_under_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        import pytest_proxywasm as pw

        WAT = '''(module
          (func (export "proxy_abi_version_0_2_1")) (memory (export "memory") 1)
          (func (export "malloc") (param i32) (result i32) (i32.const 0))
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))'''
        OTHER = pw.Filter(WAT, name="other")

        @pytest.mark.proxywasm(filters=[{"name": "one"}, OTHER, "logs.wat"], seed=3)
        def test_it(proxywasm_host):
            exchange = proxywasm_host.get("/")
            callbacks = exchange.trace.callbacks("proxy_on_request_headers")
            assert [event.filter for event in callbacks][:2] == ["one", "other"]
            assert len(exchange.logs) == 14

        @pytest.mark.proxywasm(filters=[], services=["logs.wat"])
        def test_services_only(proxywasm_host):
            assert len(proxywasm_host.trace.callbacks("proxy_on_configure")) == 1
        """
    )
    project.runpytest().assert_outcomes(passed=2)


def test_it_is_documented(project: pytest.Pytester) -> None:
    project.runpytest("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.proxywasm(?*options): what proxywasm_host starts *"]
    )


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (
            "configuraton={}",
            "UsageError: the marker proxywasm has no option 'configuraton'; did you mean 'configuration' or "
            "'vm_configuration'?",
        ),
        (
            "zzz={}",
            "UsageError: the marker proxywasm has no option 'zzz'; there are: filters, wasm, *, max_memory",
        ),
        (
            "'a', 1",
            "UsageError: the marker proxywasm takes keywords only, not 'a', 1: @pytest.mark.proxywasm(*=...)",
        ),
        ("failure_policy='x'", "UsageError: failure_policy='x' does not exist; there are: fail_closed, *"),
        ("wasm='x.wasm'", "UsageError: there is no filter */x.wasm"),
        ("filters='x.wasm'", "UsageError: the marker's filters= takes a list, not 'x.wasm'"),
        ("filters=[{'nam': 'x'}]", "UsageError: Filter.replace() has no option 'nam'; did you mean 'name'?"),
        (
            "filters=['logs.wat'], name='x', root_id='y'",
            "UsageError: the marker proxywasm has both filters= and name=, root_id=, and it is unclear which filter of "
            "the chain is meant: *",
        ),
        ("on_trap='x'", "UsageError: *on_trap*"),
    ],
)
def test_a_mistake_in_it_is_a_short_error_at_set_up(marker: str, message: str, project: pytest.Pytester) -> None:
    result = errors_of(project, f"@pytest.mark.proxywasm({marker})\ndef test_it(proxywasm_host): pass\n")

    result.stdout.fnmatch_lines([message.replace("[", "?").replace("]", "?")])


def test_without_the_fixture_it_is_an_error_that_shows_both_ways_out(project: pytest.Pytester) -> None:
    result = errors_of(
        project,
        "@pytest.mark.proxywasm(configuration={}, workers=2)\ndef test_it(proxywasm, proxywasm_filter): pass\n",
    )

    result.stdout.fnmatch_lines(
        [
            "UsageError: the marker proxywasm(configuration=..., workers=...) is about proxywasm_host, "
            "and test_it never uses that fixture. Take the fixture:",
            "",
            "    def test_it(proxywasm_host):",
            "",
            "or leave the marker and start a host of your own:",
            "",
            "    def test_it(proxywasm, proxywasm_filter):",
            "        with proxywasm.host(proxywasm_filter.replace(configuration=...), workers=...) as host:",
        ],
        consecutive=True,
    )


def test_without_the_fixture_under_given_only_the_form_for_examples_is_shown(project: pytest.Pytester) -> None:
    result = errors_of(
        project,
        "from hypothesis import given, strategies as st\n"
        "@pytest.mark.proxywasm(filters=[], seed=1)\n@given(st.integers())\ndef test_it(n): pass\n",
    )

    result.stdout.fnmatch_lines(
        [
            "UsageError: the marker proxywasm(filters=..., seed=...) is about proxywasm_host, and test_it never uses "
            "that fixture. In a @given test start the host like this:",
            "",
            "    @given(request=pws.requests())",
            "    def test_it(proxywasm, proxywasm_filter, request):",
            "        with proxywasm.host(*filters, seed=...) as host:",
        ],
        consecutive=True,
    )


def test_a_fixture_that_uses_the_host_will_do(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def client(request):
            return request.getfixturevalue("proxywasm_host")

        @pytest.mark.proxywasm(name="mine")
        def test_it(client):
            assert client.get("/").logs[0].filter == "mine"
        """
    )
    project.runpytest().assert_outcomes(passed=1)


def test_a_skipped_test_is_skipped_whatever_its_marker_says(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.skip
        @pytest.mark.proxywasm(nonsense=1)
        def test_it(): pass
        """
    )
    project.runpytest().assert_outcomes(skipped=1)
