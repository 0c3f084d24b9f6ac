"""The table of backends has a row for everything a test can use."""

from __future__ import annotations

import dataclasses

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm import backends
from pytest_proxywasm.envoy.host import EnvoyHost
from pytest_proxywasm.envoy.tcp import EnvoyTcpStream
from pytest_proxywasm.toolkit import HOST_OPTIONS

ANYWHERE = {"exchanges", "closed", "protocol", "errors"}
"""Attributes that are set in constructors."""


def members(owner: type) -> set[str]:
    """The public names of a class."""
    if dataclasses.is_dataclass(owner):
        return {f.name for f in dataclasses.fields(owner)} | {n for n in vars(owner) if not n.startswith("_")}
    return {name for name in dir(owner) if not name.startswith("_")}


def rows(owner: str) -> set[str]:
    """The members that have a row."""
    return {row.member for row in backends.ROWS if row.owner == owner}


@pytest.mark.parametrize(
    ("owner", "type_"),
    [("Host", pw.MockHost), ("HttpStream", pw.HttpStream), ("TcpStream", pw.TcpStream), ("Exchange", pw.Exchange)],
)
def test_every_member_has_a_row(owner: str, type_: type) -> None:
    assert members(type_) - rows(owner) == set(), "say in backends.py what Envoy does with it"
    assert rows(owner) - members(type_) - ANYWHERE == set()


def test_every_option_of_a_host_has_a_row() -> None:
    assert rows("option") == set(HOST_OPTIONS)


@pytest.mark.parametrize(("owner", "type_"), [("Host", EnvoyHost), ("TcpStream", EnvoyTcpStream)])
def test_what_is_not_refused_is_there(owner: str, type_: type) -> None:
    for row in backends.ROWS:
        if row.owner == owner and row.member not in ANYWHERE:
            assert hasattr(type_, row.member) or row.refused, f"{owner}.{row.member}"


def test_a_refusal_names_the_member_and_says_why() -> None:
    with pytest.raises(pw.UsageError) as caught:
        backends.refuse("Host.clock")
    assert str(caught.value) == (
        "host.clock is not there with --proxywasm-host=envoy: time is real in Envoy; only the mock's can be moved. "
        "It works in the mock (--proxywasm-host=mock)"
    )


def test_options_are_refused_only_when_they_ask_for_something() -> None:
    backends.refuse_options({"seed": 0, "workers": 1, "envoy_headers": True})
    with pytest.raises(pw.UsageError, match=r"^seed= is not there with --proxywasm-host=envoy: Envoy's randomness"):
        backends.refuse_options({"seed": 7})


def test_an_unknown_member_is_an_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="Host has no attribute 'nonsense'"):
        backends.refuse_member("Host", "nonsense")
