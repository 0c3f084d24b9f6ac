"""What a test costs in the mock and in a real Envoy: twenty tests with a host and a request each; ratios of one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.filters import Filter
from pytest_proxywasm.toolkit import Toolkit

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
sys.path.insert(0, str(FIXTURES))

import toolchains  # noqa: E402

TESTS = 20


def twenty(toolkit: Toolkit, one: Filter) -> None:
    """What twenty tests do."""
    for number in range(TESTS):
        with toolkit.host(one) as host:
            request = host.get(f"/{number}").upstream_request
            assert request is not None
            assert request.headers["x-added"] == "1"


def gallery(toolkit: Toolkit, sdk: str) -> Filter:
    """The guest of an SDK, with a filter that adds a header."""
    output = f"{sdk}/gallery.wasm"
    built = toolkit.filter(output, build=toolchains.build_command(sdk, output))
    return built.replace(configuration="filter=headers\nrequest-set=x-added: 1")


# Not Go with a fresh Envoy each: a large guest takes V8 seconds to start, which is what reuse is for.
@pytest.mark.parametrize(
    ("sdk", "backend"),
    [("rust", "mock"), ("go", "mock"), ("rust", "envoy"), ("rust", "envoy, reused"), ("go", "envoy, reused")],
)
def test_twenty_tests(benchmark: Any, sdk: str, backend: str) -> None:
    """After a first host: its start (a compilation, V8's of a large guest) is not part of it."""
    toolkit = Toolkit(FIXTURES, backend=backend.partition(",")[0], envoy_reuse="reused" in backend)
    one = gallery(toolkit, sdk)
    toolkit.host(one).close()
    benchmark.pedantic(twenty, (toolkit, one), rounds=3)
    toolkit.close()
