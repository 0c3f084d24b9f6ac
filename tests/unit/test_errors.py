"""The errors users see, by whose fault they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_proxywasm import errors
from pytest_proxywasm.errors import ExpectationError, FilterError, GuestBudgetExceeded, GuestTrap, ProxyWasmError


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_a_proxy_wasm_error(name: str) -> None:
    """One `except` catches all that the package raises on purpose."""
    assert issubclass(getattr(errors, name), ProxyWasmError)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every class stands in it, below its base."""
    drawn = {}
    parents: dict[int, str] = {-1: "Exception"}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([│├└─ ]*)(\w+Error|Guest\w+|StreamStalled)\b", line)
        if found and (found[1] or line.startswith("ProxyWasmError")):
            depth = len(found[1]) // 4
            parents[depth] = found[2]
            drawn[found[2]] = parents[depth - 1]
    assert set(drawn) == set(errors.__all__)
    for name, parent in drawn.items():
        ancestors = {base.__name__ for base in getattr(errors, name).__mro__}
        assert parent in ancestors


def test_an_expectation_is_an_assertion_too() -> None:
    """So that pytest shows it as a failure and not as an error."""
    assert issubclass(ExpectationError, AssertionError)


def test_a_filter_error_starts_without_an_exchange() -> None:
    """The host fills it in."""
    error = FilterError("why", callback="proxy_on_tick")
    assert (str(error), error.callback, error.exchange, error.trace) == ("why", "proxy_on_tick", None, None)


def test_a_trap_says_what_kind_it_is() -> None:
    """Frames are a tuple."""
    trap = GuestTrap("why", kind="unreachable", frames=["a"])
    assert (trap.kind, trap.frames) == ("unreachable", ("a",))
    assert issubclass(GuestBudgetExceeded, GuestTrap)


def test_every_module_says_in_a_docstring_what_it_knows() -> None:
    """A sentence each."""
    folder = Path(errors.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"""') or not text.strip(), path
