"""Every name of the Proxy-Wasm world is emulated, or documented as one that Envoy does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm import Filter, FilterStartError, NotEmulatedError
from pytest_proxywasm.abi.callbacks import ALLOCATORS, CALLBACKS, START_FUNCTIONS
from pytest_proxywasm.abi.elsewhere import (
    CALLBACKS_ELSEWHERE,
    FOREIGN_FUNCTIONS_ELSEWHERE,
    IMPORTS_ELSEWHERE,
    NOT_EMULATED,
)
from pytest_proxywasm.abi.enums import ALL_VERSIONS
from pytest_proxywasm.abi.wasi import WASI
from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.host.foreign import FOREIGN_FUNCTIONS
from pytest_proxywasm.host.hostcalls import HOSTCALLS
from pytest_proxywasm.mock import MockHost

NAMES = json.loads((Path(__file__).parents[1] / "data" / "names.json").read_text(encoding="utf-8"))
"""All names that hosts and SDKs were seen to use."""


def guest(module: str, name: str) -> Filter:
    """A filter that imports a function."""
    return Filter(
        f"""(module
             (import "{module}" "{name}" (func (param i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (func (export "proxy_abi_version_0_2_1"))
             (func (export "malloc") (param i32) (result i32) (i32.const 1024)))"""
    )


def start(one: Filter) -> None:
    """Load it."""
    with MockHost([one], engine=get_engine()):
        pass


@pytest.mark.parametrize(
    ("kind", "here", "elsewhere"),
    [
        ("imports", HOSTCALLS, {*IMPORTS_ELSEWHERE, *NOT_EMULATED}),
        ("wasi", WASI, {"proc_raise"}),
        ("foreign_functions", {name.decode() for name in FOREIGN_FUNCTIONS}, FOREIGN_FUNCTIONS_ELSEWHERE),
        (
            "exports",
            {*CALLBACKS, *START_FUNCTIONS, *ALLOCATORS, *(version.marker for version in ALL_VERSIONS)},
            {*CALLBACKS_ELSEWHERE, "proxy_abi_version_0_2_100"},
        ),
    ],
)
def test_every_name_is_emulated_or_listed(kind: str, here: Any, elsewhere: Any) -> None:
    """No name is forgotten, and none is in both."""
    assert {*here, *elsewhere} == {*NAMES[kind]}
    assert not {*here} & {*elsewhere}


@pytest.mark.parametrize("name", IMPORTS_ELSEWHERE)
def test_an_import_of_another_host_is_refused_with_its_name(name: str) -> None:
    """In Envoy's words; then whose it is."""
    other = IMPORTS_ELSEWHERE[name]
    with pytest.raises(FilterStartError) as caught:
        start(guest("env", name))
    assert str(caught.value).splitlines() == [
        f"Failed to load Wasm module due to a missing import: env.{name}",
        f"It belongs to {other.hosts} ({other.what}); Envoy does not offer it and refuses to load the filter.",
    ]


def test_what_envoy_offers_and_the_mock_does_not_is_said() -> None:
    """By name, when the filter is loaded."""
    with pytest.raises(NotEmulatedError) as caught:
        start(guest("env", "envoy_resolve_dns"))
    assert str(caught.value) == (
        "the filter imports env.envoy_resolve_dns (a look-up in DNS, answered by envoy_on_resolve_dns). Envoy offers "
        "that beyond the ABI; the mock host does not emulate it."
    )
