"""What reports of tests say about hosts: sections, files, properties and extras; knows pytest's reports."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .open_hosts import Scope

if TYPE_CHECKING:
    from .mock import MockHost
    from .model import Exchange, GuestLog
    from .trace import Trace

__all__ = ["Run", "add_sections", "explain_contains", "forget_misses", "write_artefacts"]

_CONTAINS = re.compile(r"where False = (?:<bound method Trace\.)?contains\b")


class Run:
    """What the plugin remembers of a test while it runs."""

    def __init__(self, scope: Scope, shared: Iterable[MockHost]) -> None:
        self.scope = scope
        self.shared = [(host, len(host.trace)) for host in shared]
        self.has_host = False
        self.has_failed = False
        self.shown = 0
        self.error: BaseException | None = None


class Settings:
    """How artefacts are made: the folder of the test, when, and what is hidden."""

    def __init__(self, mode: str, folder: Path, redact: list[str]) -> None:
        self.mode = mode
        self.folder = folder
        self.redact = redact

    @property
    def hint(self) -> str:
        """Where a reader finds what a section leaves out."""
        if self.mode == "off":
            return "--proxywasm-trace=retain-on-failure writes them all to a file"
        return f"all of them: {self.folder}"


def is_hypothesis_test(item: pytest.Item) -> bool:
    """Whether a test is run over many examples."""
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def _hosts_of(item: pytest.Item, run: Run) -> list[tuple[MockHost, int]]:
    """The hosts a report shows, each with the index at which the test's part of its trace begins."""
    own = list(run.scope.recent)
    if is_hypothesis_test(item):
        # The last example is the minimal failing one.
        own = own[-1:]
    return [*run.shared, *((host, 0) for host in own)]


def _own_error(error: BaseException | None) -> Any:
    return getattr(error, "proxywasm_error", error)


def _traces(item: pytest.Item, run: Run, error: BaseException | None) -> list[tuple[Trace, int]]:
    """Traces, each with the index at which its last exchange begins."""
    traces = []
    for host, start in _hosts_of(item, run):
        trace = host.trace[start:] if start else host.trace
        exchange = _exchange(host, error)
        part = exchange.trace if exchange is not None and exchange.trace is not None else ()
        traces.append((trace, max(len(trace) - len(part), 0) if len(part) else 0))
    # A host that did not start exists in its error only.
    of_error = getattr(_own_error(error), "trace", None)
    if not traces and of_error is not None and hasattr(of_error, "text"):
        traces.append((of_error, 0))
    return [(trace, start) for trace, start in traces if len(trace)]


def _exchange(host: MockHost, error: BaseException | None) -> Exchange | None:
    """The exchange a failure is about: the one its error names, else the host's last one."""
    of_error: Exchange | None = getattr(_own_error(error), "exchange", None)
    if of_error is not None and of_error in host.exchanges:
        return of_error
    return host.last_exchange


def add_sections(
    item: pytest.Item, run: Run, report: pytest.TestReport, error: BaseException | None, settings: Settings
) -> None:
    """Sections of a failing report: the last exchange of each host in short, the traces, the guests' logs."""
    run.error = error
    traces = _traces(item, run, error)
    size = sum(len(trace) for trace, _ in traces)
    if size <= run.shown:
        return
    run.shown = size
    from .artefacts import SHOWN_LOGS, elided, log_lines, trace_section
    from .summary import exchange_summary

    hosts = [host for host, _ in _hosts_of(item, run)]
    exchanges = [one for host in hosts if (one := _exchange(host, error)) is not None]
    summaries = ["\n".join(exchange_summary(exchange, settings.redact, str(error))) for exchange in exchanges]
    if any(summaries):
        report.sections.append(("proxywasm exchange", "\n\n".join(filter(None, summaries))))
    report.sections.append(("proxywasm trace", trace_section(traces, settings.redact, settings.hint)))
    if is_hypothesis_test(item) or not item.config.pluginmanager.has_plugin("logging-plugin"):
        logs = log_lines(_logs(item, run))
        if logs:
            report.sections.append(("proxywasm logs", "\n".join(elided(logs, SHOWN_LOGS, settings.hint))))
    _add_extras(item, report, [trace for trace, _ in traces], settings)


def _logs(item: pytest.Item, run: Run) -> list[GuestLog]:
    return [log for host, _ in _hosts_of(item, run) for log in host.logs]


def _add_extras(item: pytest.Item, report: pytest.TestReport, traces: list[Trace], settings: Settings) -> None:
    """The whole traces in the report of pytest-html, where that plugin is there."""
    if not item.config.pluginmanager.has_plugin("html"):
        return
    from pytest_html import extras

    there: list[Any] = list(getattr(report, "extras", ()))
    for number, trace in enumerate(traces, 1):
        name = "proxywasm trace" if len(traces) == 1 else f"proxywasm trace {number}"
        there.append(extras.text(trace.text(redact=settings.redact, reasons=True), name=name))
    report.extras = there  # type: ignore[attr-defined]


def write_artefacts(item: pytest.Item, run: Run, report: pytest.TestReport, settings: Settings) -> None:
    """Write, or clear away, the files of a test that is over; their paths become properties of it (JUnit)."""
    if settings.mode == "off":
        return
    from .artefacts import remove_files, write_files

    if settings.mode != "on" and not run.has_failed:
        remove_files(settings.folder)
        return
    exchanges = [host.exchanges for host, start in _hosts_of(item, run) if len(host.trace) > start]
    traces = [trace for trace, _ in _traces(item, run, run.error)]
    pages = [(trace, exchanges[number] if number < len(exchanges) else ()) for number, trace in enumerate(traces)]
    error = str(run.error) if run.has_failed and run.error is not None else ""
    written = write_files(settings.folder, pages, _logs(item, run), settings.redact, title=item.nodeid, error=error)
    for name, path in written.items():
        there = (f"proxywasm_{name}", str(path))
        item.user_properties.append(there)
        report.user_properties.append(there)


def forget_misses() -> None:
    """Forget what an earlier test looked for in vain."""
    search: Any = sys.modules.get("pytest_proxywasm.trace.search")
    if search is not None:
        search.last_miss = None


def explain_contains(error: BaseException) -> None:
    """Add to a failing ``assert trace.contains([...])`` how far it got: pytest itself shows only ``False``."""
    if not isinstance(error, AssertionError) or not error.args or not isinstance(error.args[0], str):
        return
    if not _CONTAINS.search(error.args[0]):
        return
    from .trace import search

    miss = search.last_miss
    if miss is None:
        return
    why = miss.trace.explain(miss.wanted)
    if why and why not in error.args[0]:
        first, _, rest = error.args[0].partition("\n")
        error.args = (f"{why}\n{first}\n{rest}".rstrip("\n"), *error.args[1:])
