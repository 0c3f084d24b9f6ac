"""Whatever the SDK, the trace of the mock is that of a real Envoy, to the letter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.envoy.binary import find_envoy
from pytest_proxywasm.toolkit import Toolkit

from .conftest import Configure, unavailable

CALLOUT = ("filter=callout", "cluster=auth", "path=/check", "timeout-ms=1000")


@pytest.fixture(scope="module")
def in_envoy() -> Iterator[Toolkit]:
    """Opens hosts that are Envoys."""
    try:
        find_envoy()
    except pw.UsageError as error:
        unavailable(str(error))
    toolkit = Toolkit(pw.__path__[0], backend="envoy")
    yield toolkit
    toolkit.close()


def test_the_same_trace_in_the_mock_and_in_envoy(configure: Configure, toolkit: Toolkit, in_envoy: Toolkit) -> None:
    """A callout, two header maps, bodies and trailers that pass by."""
    traces = []
    for one in (Toolkit(toolkit.root, engine=toolkit.engine_choice), in_envoy):
        upstream = pw.Response(201, {"x-up": "1"}, chunks=[b"a", b"bc"], trailers={"x-end": "1"})
        with one.host(configure(*CALLOUT), clusters={"auth": pw.Response(200, body=b"{}")}, upstream=upstream) as host:
            body: dict[str, Any] = {"chunks": [b"one", b"two"], "trailers": {"x-t": "1"}}
            for method, more in (("POST", body), ("GET", {})):
                host.request(method, "/a?b=c", headers=[("x-a", b"\xff"), ("cookie", "a=1")], **more)
            traces.append(host.trace[:])
    mock, envoy = traces
    assert envoy.decoded
    assert mock.diff(envoy) == ""
