"""Which filter the demo tests: a real one where its toolchain exists, else the hand-written one beside the guests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_proxywasm import Filter, Toolkit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "fixtures"))

import toolchains  # noqa: E402


@pytest.fixture(scope="session")
def proxywasm_filter(proxywasm: Toolkit) -> Filter:
    """An authenticating filter written with a real SDK, or the WAT one that behaves alike here."""
    sdk = os.environ.get("PROXYWASM_DEMO_SDK", "wat")
    if sdk == "wat":
        return proxywasm.filter(ROOT / "fixtures/wat/header.wat", name="demo")
    output = ROOT / f"fixtures/{sdk}/gallery.wasm"
    return proxywasm.filter(
        output,
        name="demo",
        configuration="filter=auth\ntoken=s3cret",
        build=toolchains.build_command(sdk, output),
    )
