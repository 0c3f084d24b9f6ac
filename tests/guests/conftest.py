"""The gallery guests of every SDK, built from source, on every engine.

A guest whose toolchain is missing is skipped with the reason on a developer's machine and fails in CI. wasmer is left
out where its wheels do not exist at all (CPython 3.11 and later).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm import LogLevel
from pytest_proxywasm.filters import Filter
from pytest_proxywasm.mock import MockHost
from pytest_proxywasm.toolkit import Toolkit

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
sys.path.insert(0, str(FIXTURES))

import toolchains  # noqa: E402

ENGINES = ("wasmtime", "wasmer")
Gallery = Callable[..., MockHost]
Configure = Callable[..., Filter]


def unavailable(reason: str) -> None:
    """Skip, or fail in CI, where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"in CI nothing is skipped: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """Each engine."""
    if request.param == "wasmer" and sys.version_info >= (3, 11):
        pytest.skip("wasmer has wheels for CPython 3.10 and older only")
    return str(request.param)


@pytest.fixture(scope="session")
def toolkit(engine_name: str, proxywasm: Toolkit) -> Iterator[Toolkit]:
    """A toolkit over one engine and the backend of the run; paths and builds start in fixtures/."""
    toolkit = Toolkit(
        FIXTURES, engine=engine_name, backend=proxywasm.backend, envoy=proxywasm.envoy, checks=proxywasm.checks
    )
    yield toolkit
    toolkit.close()


@pytest.fixture(scope="session", params=toolchains.SDKS)
def sdk(request: pytest.FixtureRequest) -> str:
    """Each SDK with a gallery guest."""
    reason = toolchains.available(request.param)
    if reason is not None:
        unavailable(reason)
    return str(request.param)


@pytest.fixture(scope="session")
def gallery(sdk: str, toolkit: Toolkit) -> Filter:
    """The SDK's gallery guest, built by the same ``build=`` that users have."""
    output = f"{sdk}/gallery.wasm"
    return toolkit.filter(output, build=toolchains.build_command(sdk, output), name="gallery")


@pytest.fixture(scope="session")
def configure(gallery: Filter) -> Configure:
    """One filter of the gallery, for hosts with several: ``configure("filter=headers", ..., vm_id="a")``."""

    def replace(*lines: str, **options: Any) -> Filter:
        return gallery.replace(configuration="\n".join(lines), **options)

    return replace


@pytest.fixture
def start(configure: Configure, toolkit: Toolkit) -> Iterator[Gallery]:
    """Starts a host with one filter of the gallery: ``start("filter=headers", ...)``."""
    hosts: list[MockHost] = []

    def open_host(*lines: str, **options: Any) -> MockHost:
        host = toolkit.host(configure(*lines), **options)
        hosts.append(host)
        return host

    yield open_host
    for host in hosts:
        host.close()


def said(host: MockHost) -> list[str]:
    """What the filters logged; the AssemblyScript SDK adds debug messages of its own, which cannot be turned off."""
    return [log.message for log in host.logs if log.level >= LogLevel.INFO]
