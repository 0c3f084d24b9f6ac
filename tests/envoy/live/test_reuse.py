"""One Envoy for tests with equal filters, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.toolkit import Toolkit

from .conftest import probe


@pytest.fixture
def reusing(envoy: Path) -> Iterator[Toolkit]:
    """Opens hosts that may share an Envoy."""
    toolkit = Toolkit(Path(__file__).parent, backend="envoy", envoy=str(envoy), envoy_reuse=True)
    yield toolkit
    toolkit.close()


SCRIPT = "cfg mdef 0 c\ncfg minc 4 1\nrqh minc 4 1\nrqh http auth 1000 '' :method GET :path / :authority a"


def life(toolkit: Toolkit, script: str = SCRIPT, **options: Any) -> tuple[object, pw.Exchange, int]:
    """A host's life: its Envoy, an exchange, and the counter."""
    host: Any = toolkit.host(probe(script), **options)
    host.cluster("auth", pw.Response(200))
    with host:
        exchange = host.get("/")
        count = host.metrics["c"].value if "c" in host.metrics else 0
        return host.instance, exchange, count


def test_contexts_calls_and_metrics_begin_anew(reusing: Toolkit) -> None:
    first, second = life(reusing), life(reusing)
    assert first[0] is second[0]
    assert first[1].trace.text() == second[1].trace.text()
    assert first[1].trace.callbacks("proxy_on_http_call_response")[0].args["call_id"] == 4
    assert first[2] == second[2] == 4  # thrice while it starts, and once


def test_clusters_are_gone(reusing: Toolkit) -> None:
    life(reusing)
    with reusing.host(probe(SCRIPT)) as host:
        assert host.get("/").trace.hostcalls("proxy_http_call")[0].status is pw.Status.BAD_ARGUMENT


def test_other_filters_get_an_envoy_of_their_own(reusing: Toolkit) -> None:
    assert life(reusing)[0] is not life(reusing, SCRIPT + "\n")[0]


@pytest.mark.parametrize("script", ["rqh sdset a b 0", "rqh qreg q", "rqh trap"])
def test_what_leaves_something_behind_is_not_used_again(reusing: Toolkit, script: str) -> None:
    assert life(reusing, script, on_trap="continue")[0] is not life(reusing, script, on_trap="continue")[0]
