"""One generic property test finds every deliberately broken guest, and accuses no healthy one.

The suite looks until the first failure, from one seed. ``python -m tests.guests.test_broken`` does it in full: a
thousand examples from each of five seeds, with the shrunk examples.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

import pytest_proxywasm as pw
from pytest_proxywasm import Filter, Toolkit
from pytest_proxywasm import strategies as pws
from pytest_proxywasm.strategies import learning, vocabulary

from .conftest import FIXTURES, toolchains, unavailable

BROKEN = [(folder, bug) for folder, bugs in toolchains.BROKEN.items() for bug in bugs]
HEALTHY = (
    "filter=headers\nrequest-set=x-team: blue\nrequest-add=x-tag: one\nresponse-remove=x-powered-by",
    "filter=body\nfind=a\nreplace=bb",
    "filter=auth\ntoken=s3cret",
    "filter=trailers",
    "filter=properties",
    "filter=metrics",
    "filter=shared",
    "filter=kinds",
    "filter=callout\ncluster=authz\ntimeout-ms=500",
    "filter=fetcher\ncluster=config",
    "filter=queue-sender\nqueue=q",
    "filter=queue-receiver\nqueue=q",
    "filter=grpc\ncluster=g",
)
# Which invariants may be named; what raises from the exchange itself has no name.
NAMES = {
    "repeated-header": {"repeated_headers"},
    "stale-length": {"content_length", "trailers", "chunking"},
    "one-chunk": {"chunking", "no_stall"},
    "footer-per-chunk": {"chunking", "trailers"},
    "skips-with-trailers": {"trailers"},
    "two-replies": {"one_reply"},
    "sticky-denial": {"used_vm", "other_streams"},
    "mixed-streams": {"other_streams", "used_vm"},
    "shared-buffer": {"used_vm", "other_streams", "memory"},
    "leak": {"memory"},
    "leak-without-body": {"memory"},
    "cas": {"no_trap"},
}


class Search:
    """The generic property test over one filter: what it found, and after how many examples."""

    def __init__(
        self, toolkit: Toolkit, guest: Filter, *, examples: int, number: int, phases: Any, skip: Sequence[str] = ()
    ) -> None:
        self.error: Exception | None = None
        self.examples = 0
        self._skip = skip
        vocabulary.offer(lambda: learning.learn(lambda: toolkit.unlisted_host(guest), [guest]))
        run: Callable[[], None] = self._test(toolkit, guest, examples, number, phases)
        try:
            run()
        except Exception as error:
            self.error = error
        finally:
            vocabulary.offer(None)

    def _test(self, toolkit: Toolkit, guest: Filter, examples: int, number: int, phases: Any) -> Callable[[], None]:
        found = False

        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(plan=pws.exchange_plans())
        def test(plan: pw.ExchangePlan) -> None:
            nonlocal found
            self.examples += not found
            with toolkit.host(guest) as host:
                try:
                    host.run(plan)
                    pw.check(host, skip=self._skip)
                except Exception:
                    found = True
                    raise

        return test


@pytest.fixture(scope="module")
def tools() -> Toolkit:
    """The engine that is chosen automatically: what is generated does not depend on it."""
    return Toolkit(FIXTURES)


def built(tools: Toolkit, folder: str, module: str) -> Filter:
    """A module of fixtures/, built from source."""
    reason = toolchains.available(folder)
    if reason is not None:
        unavailable(reason)
    output = f"{folder}/{module}.wasm"
    return tools.filter(output, build=toolchains.build_command(folder, output))


@pytest.mark.parametrize("folder", toolchains.BROKEN)
def test_each_broken_guest_is_found(folder: str, tools: Toolkit) -> None:
    """Within a thousand examples; where an invariant finds it, by one that has to do with the bug."""
    guest = built(tools, folder, "broken")
    for bug in toolchains.BROKEN[folder]:
        search = Search(tools, guest.replace(configuration=bug), examples=1000, number=1, phases=[Phase.generate])
        assert search.error is not None, f"{bug}: not found"
        assert isinstance(search.error, pw.ProxyWasmError), f"{bug}: {search.error!r}"
        if isinstance(search.error, pw.InvariantError) and bug in NAMES:
            assert search.error.invariant.name in NAMES[bug], f"{bug}: {search.error}"


@pytest.mark.parametrize("sdk", toolchains.SDKS)
def test_no_healthy_guest_is_accused(sdk: str, tools: Toolkit) -> None:
    """All gallery filters pass; the check of memory takes its time, and is made of one of them here."""
    gallery = built(tools, sdk, "gallery")
    for configuration in HEALTHY:
        if configuration.startswith("filter=grpc") and sdk in ("go", "assemblyscript"):
            continue
        guest = gallery.replace(configuration=configuration)
        skip = () if configuration == HEALTHY[0] else ("memory",)
        search = Search(tools, guest, examples=4, number=1, phases=[Phase.generate], skip=skip)
        assert search.error is None, f"{sdk}, {configuration}: {search.error}"


def main(seeds: int = 5, examples: int = 1000) -> None:
    """The full search, over what can be built here; prints what was found and, once each, the shrunk example."""
    toolkit = Toolkit(FIXTURES)
    for folder, bug in BROKEN:
        output = f"{folder}/broken.wasm"
        guest = toolkit.filter(output, build=toolchains.build_command(folder, output)).replace(configuration=bug)
        for number in range(1, seeds + 1):
            shrink = number == 1
            phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
            search = Search(toolkit, guest, examples=examples, number=number, phases=phases)
            first = str(search.error).splitlines()[0] if search.error is not None else "NOT FOUND"
            print(f"{folder} {bug}, seed {number}: example {search.examples}: {first}", flush=True)
            if shrink and search.error is not None:
                print("\n".join(getattr(search.error, "__notes__", [])), flush=True)
    for sdk in toolchains.SDKS:
        output = f"{sdk}/gallery.wasm"
        gallery = toolkit.filter(output, build=toolchains.build_command(sdk, output))
        for configuration in HEALTHY:
            if configuration.startswith("filter=grpc") and sdk in ("go", "assemblyscript"):
                continue
            for number in range(1, seeds + 1):
                guest = gallery.replace(configuration=configuration)
                search = Search(toolkit, guest, examples=examples // 10, number=number, phases=[Phase.generate])
                verdict = "passes" if search.error is None else f"ACCUSED: {search.error}"
                print(f"{sdk} {configuration.splitlines()[0]}, seed {number}: {verdict}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
