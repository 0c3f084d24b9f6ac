"""Hosts of the gallery."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from guests import guest


@pytest.fixture
def blocking(proxywasm):
    """Its filter answers requests with x-block by 403, and adds x-filter to responses."""
    with proxywasm.host("fixtures/wat/header.wat") as host:
        yield host


@pytest.fixture
def filter_that(proxywasm):
    """Hosts whose filter makes the given hostcalls: ``filter_that(proxy_on_request_headers=[(name, ...), 0])``."""
    hosts = []

    def start(strict=False, **callbacks):
        hosts.append(proxywasm.host(guest(**callbacks), strict=strict))
        return hosts[-1]

    yield start
    for host in hosts:
        if not host.closed:
            host.close()
