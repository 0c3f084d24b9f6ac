"""A clean host of every SDK's guest: what a start, a start from a captured state and an exchange cost, in one run.

The ratios count. By hand, memory over a hundred thousand hosts:
``python tests/benchmarks/test_clean_state.py [SDK] [HOSTS]``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.filters import Filter
from pytest_proxywasm.mock import MockHost
from pytest_proxywasm.toolkit import Toolkit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "fixtures"))

import toolchains  # noqa: E402

ENGINES = ["wasmtime"] if sys.version_info >= (3, 11) else ["wasmtime", "wasmer"]
SDKS = (*toolchains.SDKS, "wat")
ROUNDS = 60


def guest(toolkit: Toolkit, sdk: str) -> Filter:
    """An SDK's gallery guest, or a guest of a few lines."""
    if sdk == "wat":
        return toolkit.filter("wat/header.wat")
    output = f"{sdk}/gallery.wasm"
    made = toolkit.filter(output, build=toolchains.build_command(sdk, output), name="gallery")
    return made.replace(configuration="filter=headers\nrequest-set=x-added: 1")


@pytest.fixture(scope="module", params=ENGINES)
def toolkit(request: pytest.FixtureRequest) -> Toolkit:
    """A toolkit over each engine."""
    return Toolkit(ROOT / "fixtures", engine=request.param)


@pytest.fixture(scope="module", params=SDKS)
def one(request: pytest.FixtureRequest, toolkit: Toolkit) -> Filter:
    """A guest of each SDK, compiled."""
    if request.param != "wat":
        reason = toolchains.available(request.param)
        if reason is not None:
            pytest.skip(reason)
    made = guest(toolkit, request.param)
    toolkit.prepare(made)
    return made


@pytest.mark.parametrize("what", ["start", "reset", "exchange"])
def test_a_clean_host(benchmark: Any, toolkit: Toolkit, one: Filter, what: str) -> None:
    """A host truly started; a host of the toolkit, by the way it found cheaper; an exchange in one."""
    benchmark.group = f"{one.sdk or 'wat'} {one.sha256[:6]} {toolkit.engine.name}"
    hosts: list[MockHost] = []

    def close() -> None:
        while hosts:
            hosts.pop().close()

    if what == "exchange":
        with toolkit.host(one) as host:
            benchmark.pedantic(host.get, rounds=ROUNDS, warmup_rounds=5)
        return
    for _ in range(12):
        toolkit.host(one).close()
    opened: Callable[[], MockHost] = (
        (lambda: MockHost([one], engine=toolkit.engine)) if what == "start" else (lambda: toolkit.host(one))
    )
    benchmark.pedantic(lambda: hosts.append(opened()), setup=close, rounds=ROUNDS, warmup_rounds=5)
    close()


def resident() -> int:
    """Bytes of memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main(sdk: str = "go", count: int = 100_000, engine: str = "auto") -> None:
    """Open, use and close so many hosts; memory now and then."""
    toolkit = Toolkit(ROOT / "fixtures", engine=engine)
    one = guest(toolkit, sdk)
    begin = time.perf_counter()
    for number in range(count + 1):
        if number % (count // 10) == 0:
            print(f"{number:7} hosts  {resident() / 2**20:7.1f} MiB  {time.perf_counter() - begin:6.1f} s", flush=True)
        with toolkit.host(one) as host:
            host.get("/")


if __name__ == "__main__":
    main(*(int(word) if word.isdigit() else word for word in sys.argv[1:]))  # type: ignore[arg-type]
