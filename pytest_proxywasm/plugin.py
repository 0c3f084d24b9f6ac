"""The pytest plugin: options, ini, fixtures, marker, reports; everything else is imported when needed."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from .announce import Elapsed, Report
from .checks import Checks
from .open_hosts import OpenHosts, Scope
from .reports import Run, Settings, add_sections, explain_contains, forget_misses, write_artefacts
from .reports import is_hypothesis_test as _is_hypothesis_test
from .settings import CHOICES, add_options, output_folder, setting, switch

if TYPE_CHECKING:
    from .filters import Filter
    from .mock import MockHost
    from .toolkit import Toolkit

_TRACE_LEVEL = 5
_NO_FILTER = """no filter is configured. Name it in the ini file, relative to that file:

    proxywasm_filter = build/my_filter.wasm

or override the fixture in conftest.py:

    @pytest.fixture(scope="session")
    def proxywasm_filter(proxywasm):
        return proxywasm.filter("build/my_filter.wasm")"""


_HOSTS = pytest.StashKey[OpenHosts]()
_CHECKS = pytest.StashKey[Checks]()
_RUN = pytest.StashKey[Run]()


# Options.


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_HOSTS] = OpenHosts()
    config.stash[_CHECKS] = Checks()
    config.addinivalue_line(
        "markers",
        "proxywasm(**options): what proxywasm_host starts differently for this test: any option of "
        "proxywasm_filter.replace() and of proxywasm.host(), or filters=[...] for a chain",
    )
    # Python ignores ResourceWarning by default. First in the list, so that the user's own filters win.
    config.getini("filterwarnings").insert(0, "default:proxywasm:ResourceWarning")
    logger = logging.getLogger("proxywasm.guest")
    config.add_cleanup(lambda level=logger.level: logger.setLevel(level))  # type: ignore[misc]
    logger.setLevel(_TRACE_LEVEL)
    if logging.getLevelName(_TRACE_LEVEL) == f"Level {_TRACE_LEVEL}":
        logging.addLevelName(_TRACE_LEVEL, "TRACE")


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    for name, choices in CHOICES.items():
        value = setting(config, name)
        if value not in choices:
            raise pytest.UsageError(f"proxywasm_{name} = {value}: choose one of {', '.join(choices)}")
    host, engine = setting(config, "host"), setting(config, "engine")
    if host == "mock" and engine != "wasmer":
        return
    from .errors import UsageError
    from .toolkit import check_backend, check_engine

    try:
        config.stash[_CHECKS].envoy = check_backend(host, setting(config, "envoy"))
        # Its wheels exist for few Pythons, so say so once and not in every test.
        check_engine(engine)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str:
    host, envoy = setting(config, "host"), config.stash[_CHECKS].envoy
    named = f"{host} (Envoy {envoy})" if envoy else host
    return f"proxywasm: engine {_engine_version(setting(config, 'engine'))}, host {named}"


def _engine_version(choice: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    for name in CHOICES["engine"][1:] if choice == "auto" else (choice,):
        with contextlib.suppress(PackageNotFoundError):
            return f"{name} {version(name)}"
    return f"{choice} (not installed)"


# The summary of --proxywasm-host=both.


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["proxywasm_checks"] = session.config.stash[_CHECKS].dump()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    dumped = getattr(node, "workeroutput", {}).get("proxywasm_checks")
    if dumped is not None:
        node.config.stash[_CHECKS].add(dumped)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    checks = config.stash[_CHECKS]
    if checks.total:
        terminalreporter.section("proxywasm: mock and Envoy")
        for line in checks.lines():
            terminalreporter.write_line(line)


# Fixtures.


@pytest.fixture(scope="session")
def proxywasm(pytestconfig: pytest.Config) -> Iterator[Toolkit]:
    """Makes filters and hosts: ``proxywasm.filter(...)``, ``with proxywasm.host(filter) as host:``."""
    with _ShortErrors():
        from .toolkit import Toolkit

        toolkit = Toolkit(
            pytestconfig.rootpath,
            engine=setting(pytestconfig, "engine"),
            backend=setting(pytestconfig, "host"),
            envoy=setting(pytestconfig, "envoy"),
            envoy_reuse=switch(pytestconfig, "envoy_reuse"),
            envoy_untouched=switch(pytestconfig, "envoy_untouched"),
            checks=pytestconfig.stash[_CHECKS],
            report=_reporter(pytestconfig),
            hosts=pytestconfig.stash[_HOSTS],
        )
    yield toolkit
    toolkit.close()


@pytest.fixture(scope="session")
def proxywasm_filter(proxywasm: Toolkit, pytestconfig: pytest.Config) -> Filter:
    """The filter under test: of the ini value ``proxywasm_filter``, or override this fixture in a conftest."""
    source = pytestconfig.getini("proxywasm_filter")
    if not source:
        return _NotConfigured()  # type: ignore[return-value]
    base = pytestconfig.inipath.parent if pytestconfig.inipath is not None else pytestconfig.rootpath
    with _ShortErrors():
        return proxywasm.filter(base / source, build=pytestconfig.getini("proxywasm_build") or None)


@pytest.fixture
def proxywasm_host(request: pytest.FixtureRequest, proxywasm: Toolkit, proxywasm_filter: Filter) -> Iterator[MockHost]:
    """A fresh, started host with ``proxywasm_filter`` in it; the marker ``proxywasm`` changes its options."""
    item = request.node
    item.stash[_RUN].has_host = True
    with _ShortErrors():
        if _is_hypothesis_test(item):
            _refuse_given(item)
        filters, options = _host_arguments(_marker_options(item), proxywasm, proxywasm_filter)
    with _ShortErrors(), proxywasm.host(*filters, **options) as host:
        yield host


class _NotConfigured:
    """Stands for the filter nobody named; any use of it says how to name one."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse_unconfigured()

    def __fspath__(self) -> NoReturn:
        _refuse_unconfigured()


def _refuse_unconfigured() -> NoReturn:
    from .errors import UsageError

    raise UsageError(_NO_FILTER)


def _reporter(config: pytest.Config) -> Report:
    def report(line: str) -> Elapsed | None:
        terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
        capture: Any = config.pluginmanager.get_plugin("capturemanager")
        if terminal is None:
            return None
        with contextlib.ExitStack() as stack:
            if capture is not None:
                stack.enter_context(capture.global_and_fixture_disabled())
            if terminal.isatty:
                return Elapsed(terminal, f"proxywasm: {line}", stack.pop_all())
            terminal.write_line(f"proxywasm: {line}")
        return None

    return report


class _ShortErrors:
    """Shows our own errors as a message without a traceback: it would only lead through this plugin."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        from .errors import ProxyWasmError

        if isinstance(error, ProxyWasmError):
            failure = pytest.fail.Exception(f"{type(error).__name__}: {error}", pytrace=False)
            failure.proxywasm_error = error  # type: ignore[attr-defined]
            raise failure from None


# The marker.


def _marker_options(item: pytest.Item) -> dict[str, Any]:
    """The options of all markers of a test; the innermost wins."""
    from .errors import UsageError
    from .filters import FILTER_OPTIONS
    from .guest import nearest
    from .toolkit import HOST_OPTIONS

    known = ("filters", "wasm", *FILTER_OPTIONS, *HOST_OPTIONS)
    merged: dict[str, Any] = {}
    for mark in reversed(_marks(item)):
        if mark.args:
            raise UsageError(
                f"the marker proxywasm takes keywords only, not {', '.join(repr(one) for one in mark.args)}: "
                "@pytest.mark.proxywasm(configuration=...)"
            )
        for option in mark.kwargs:
            if option not in known:
                raise UsageError(f"the marker proxywasm has no option {option!r}{nearest(option, known)}")
        merged.update(mark.kwargs)
    return merged


def _marks(item: pytest.Item) -> list[pytest.Mark]:
    """The markers of a test, the innermost first; those of ``pytest.param`` are within the function's."""
    marks = list(item.iter_markers("proxywasm"))
    of_parameters = [mark for mark in getattr(getattr(item, "callspec", None), "marks", ()) if mark in marks]
    return of_parameters + [mark for mark in marks if mark not in of_parameters]


def _host_arguments(
    options: Mapping[str, Any], proxywasm: Toolkit, filter: Filter
) -> tuple[list[Filter], dict[str, Any]]:
    """What a marker means for ``proxywasm.host``: the chain and its options."""
    from .errors import UsageError
    from .toolkit import HOST_OPTIONS

    of_host = {option: value for option, value in options.items() if option in HOST_OPTIONS}
    of_filter = {option: options[option] for option in options.keys() - of_host.keys() - {"filters"}}
    if "filters" not in options:
        if isinstance(filter, _NotConfigured):
            if "wasm" not in of_filter:
                _refuse_unconfigured()
            return [proxywasm.filter(of_filter.pop("wasm"), **of_filter)], of_host
        if not of_filter:
            return [filter], of_host
        return [proxywasm.filter_of(filter).replace(**of_filter)], of_host
    if of_filter:
        names = ", ".join(f"{option}=" for option in sorted(of_filter))
        raise UsageError(
            f"the marker proxywasm has both filters= and {names}, and it is unclear which filter of the chain is "
            "meant: give the option in filters=, as in filters=[{'configuration': ...}, 'other.wasm'], where a dict "
            "stands for proxywasm_filter.replace(...)"
        )
    chain = options["filters"]
    if isinstance(chain, (str, bytes, Mapping)) or not isinstance(chain, Iterable):
        raise UsageError(f"the marker's filters= takes a list, not {chain!r}")
    return [filter.replace(**one) if isinstance(one, dict) else proxywasm.filter_of(one) for one in chain], of_host


def _refuse_given(item: pytest.Item) -> NoReturn:
    from .errors import UsageError

    raise UsageError(
        "proxywasm_host is one host for all examples of a @given test. Start a fresh one in each example:\n\n"
        + _own_host(item, given=True)
    )


def _refuse_marker(item: pytest.Item) -> NoReturn:
    from .errors import UsageError

    options = _marker_options(item)
    given = _is_hypothesis_test(item)
    shown = ", ".join(f"{option}=..." for option in options)
    first = f"the marker proxywasm({shown}) is about proxywasm_host, and {item.name} never uses that fixture. "
    if given:
        raise UsageError(first + "In a @given test start the host like this:\n\n" + _own_host(item, given=True))
    name = getattr(item, "originalname", item.name)
    raise UsageError(
        f"{first}Take the fixture:\n\n    def {name}(proxywasm_host):\n\n"
        "or leave the marker and start a host of your own:\n\n" + _own_host(item, given=False)
    )


def _own_host(item: pytest.Item, *, given: bool) -> str:
    from .toolkit import HOST_OPTIONS

    options = _marker_options(item)
    of_filter = ", ".join(f"{one}=..." for one in options if one not in (*HOST_OPTIONS, "filters"))
    first = f"proxywasm_filter.replace({of_filter})" if of_filter else "proxywasm_filter"
    if "filters" in options:
        first = "*filters"
    arguments = ", ".join([first, *(f"{one}=..." for one in options if one in HOST_OPTIONS)])
    name = getattr(item, "originalname", item.name)
    parameters = "proxywasm, proxywasm_filter" + (", request" if given else "")
    decorator = "    @given(request=pws.requests())\n" if given else ""
    return (
        f"{decorator}    def {name}({parameters}):\n        with proxywasm.host({arguments}) as host:\n            ..."
    )


# What happens around a test.


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    if fixturedef.scope == "function":
        return (yield)
    hosts = request.config.stash[_HOSTS]
    scope = hosts.begin()
    # Registered before the fixture runs, so that it comes after the fixture's own clean-up.
    fixturedef.addfinalizer(lambda: _close(hosts, scope, f"fixture {fixturedef.argname}", None, 0))
    try:
        return (yield)
    finally:
        hosts.end(scope, keep=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    hosts = item.config.stash[_HOSTS]
    run = item.stash[_RUN] = Run(hosts.begin(), hosts.shared())
    forget_misses()
    result = yield
    if not run.has_host and _marks(item):
        with _ShortErrors():
            _refuse_marker(item)
    if isinstance(getattr(item, "funcargs", {}).get("proxywasm_filter"), _NotConfigured):
        if not run.has_host:
            with _ShortErrors():
                _refuse_unconfigured()
    elif _is_hypothesis_test(item):
        _prepare(item)
    return result


def _prepare(item: pytest.Item) -> None:
    """Compile the filters of a @given test before its first example, which has a deadline."""
    values = list(getattr(item, "funcargs", {}).values())
    if not any(type(value).__name__ == "Toolkit" for value in values):
        return
    from .errors import FilterStartError
    from .filters import Filter
    from .toolkit import Toolkit

    for toolkit in [value for value in values if isinstance(value, Toolkit)]:
        # A filter that does not load is the test's to meet, where it starts a host.
        with contextlib.suppress(FilterStartError):
            toolkit.prepare(*(value for value in values if isinstance(value, Filter)))
        _teach(toolkit, [value for value in values if isinstance(value, Filter)])


def _teach(toolkit: Toolkit, filters: list[Filter]) -> None:
    """Have strategies, if the test uses any, draw header names that the filters ask for."""
    if not filters or "pytest_proxywasm.strategies" not in sys.modules:
        return
    from .strategies import learning, vocabulary

    vocabulary.offer(lambda: learning.learn(lambda: toolkit.unlisted_host(*filters), filters))


def _forget() -> None:
    """The test is over."""
    if "pytest_proxywasm.strategies" in sys.modules:
        from .strategies import vocabulary

        vocabulary.offer(None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        _forget()
        run = item.stash.get(_RUN, None)
        if run is not None:
            path, line, _ = item.reportinfo()
            _close(item.config.stash[_HOSTS], run.scope, item.nodeid, str(path), (line or 0) + 1)


def _close(hosts: OpenHosts, scope: Scope, owner: str, path: str | None, line: int) -> None:
    """Close what a test or fixture left open, and say so."""
    hosts.end(scope)
    left = len(list(scope.left_open()))
    if not left:
        return
    try:
        with _ShortErrors():
            scope.close()
    finally:
        what = "a host" if left == 1 else f"{left} hosts"
        message = f"proxywasm: {owner} left {what} open; use 'with proxywasm.host(...) as host:' or host.close()"
        warnings.warn_explicit(ResourceWarning(message), None, path or __file__, line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    error = call.excinfo.value if call.excinfo is not None else None
    if error is not None:
        explain_contains(error)
    report = yield
    run = item.stash.get(_RUN, None)
    if run is None:
        return report
    settings = _artefacts(item)
    if report.failed:
        run.has_failed = True
        add_sections(item, run, report, error, settings)
    if report.when == "teardown":
        write_artefacts(item, run, report, settings)
    return report


def _artefacts(item: pytest.Item) -> Settings:
    from .artefacts import folder_name

    config = item.config
    folder = output_folder(config) / folder_name(item.nodeid)
    return Settings(setting(config, "trace"), folder, config.getini("proxywasm_redact"))


@pytest.hookimpl(wrapper=True)  # syrupy comes first among the others; what is said here goes before its diff
def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> Generator[None, list[list[str] | None], list[list[str] | None]]:
    """Say what differs between values of ours, the cause first."""
    others = yield
    if not _is_ours(left) and not _is_ours(right):
        return others
    from .explanations import explain_comparison

    return [explain_comparison(op, left, right), *others]


def _is_ours(value: object) -> bool:
    if isinstance(value, str):
        return value.startswith("proxy-wasm trace ")
    return type(value).__module__.startswith("pytest_proxywasm.")
