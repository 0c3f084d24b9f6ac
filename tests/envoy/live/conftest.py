"""A real Envoy for these tests: they are skipped with the reason where there is none, and fail in CI."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.envoy.binary import find_envoy
from pytest_proxywasm.envoy.host import EnvoyHost
from pytest_proxywasm.toolkit import Toolkit

Start = Callable[..., EnvoyHost]
PROBE = Path(__file__).parents[3] / "fixtures/probe/probe.wasm"


@pytest.fixture(scope="session")
def envoy() -> Path:
    """The Envoy."""
    try:
        return find_envoy()
    except pw.UsageError as error:
        if os.environ.get("CI"):
            pytest.fail(f"in CI nothing is skipped: {error}", pytrace=False)
        pytest.skip(str(error))


def toolkit_of(envoy: Path, backend: str) -> Iterator[Toolkit]:
    """A toolkit with a backend."""
    toolkit = Toolkit(Path(__file__).parent, backend=backend, envoy=str(envoy))
    yield toolkit
    toolkit.close()


@pytest.fixture(scope="session")
def in_envoy(envoy: Path) -> Iterator[Toolkit]:
    """Opens hosts that are Envoys."""
    yield from toolkit_of(envoy, "envoy")


@pytest.fixture
def in_both(envoy: Path) -> Iterator[Toolkit]:
    """Opens mock hosts with an Envoy beside them."""
    yield from toolkit_of(envoy, "both")


@pytest.fixture
def start(in_envoy: Toolkit) -> Iterator[Start]:
    """Starts an Envoy with the probe: ``start("rqh log 2 hello")``."""
    hosts: list[Any] = []

    def open_host(script: str = "", **options: Any) -> EnvoyHost:
        of_filter = {name: options.pop(name) for name in ("name", "failure_policy") if name in options}
        host: Any = in_envoy.host(probe(script, **of_filter), **options)
        hosts.append(host)
        return host  # type: ignore[no-any-return]

    yield open_host
    for host in hosts:
        host.close()


def probe(script: str, **options: Any) -> pw.Filter:
    """The scriptable guest of the recorded cases."""
    return pw.Filter(PROBE, configuration=script, **options)
