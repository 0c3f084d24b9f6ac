"""`pytest_proxywasm` shows its public names and nothing else, and importing it loads nothing heavy."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_proxywasm as pw

HEAVY = ("wasmtime", "wasmer", "hypothesis", "yaml", "rich", "syrupy", "elftools", "platformdirs")
OWN_HEAVY = ("mock", "host", "engine", "toolkit", "filters", "model", "abi", "trace", "artefacts")


def test_all_is_sorted_and_without_duplicates() -> None:
    assert sorted(set(pw.__all__)) == pw.__all__


def test_all_is_exactly_what_is_visible() -> None:
    assert [name for name in dir(pw) if not name.startswith("_")] == pw.__all__


@pytest.mark.parametrize("name", pw.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(pw, name)

    assert value.__name__ == name
    assert inspect.getdoc(value)


def test_type_checkers_see_each_name_where_it_is() -> None:
    """The imports for type checkers name the same modules as those at run time."""
    tree = ast.parse(Path(pw.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: importlib.import_module(f"pytest_proxywasm.{node.module}")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert sorted(seen) == pw.__all__
    for name, module in seen.items():
        assert getattr(module, name) is getattr(pw, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pytest_proxywasm' has no attribute 'Fliter'"):
        pw.Fliter  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("imports", "unwanted"),
    [
        ("pytest_proxywasm", (*HEAVY, *(f"pytest_proxywasm.{name}" for name in OWN_HEAVY))),
        ("pytest_proxywasm.plugin", (*HEAVY, *(f"pytest_proxywasm.{name}" for name in OWN_HEAVY))),
        ("pytest_proxywasm.toolkit", (*HEAVY, "pytest_proxywasm.mock", "pytest_proxywasm.host")),
        ("pytest_proxywasm.filters", (*HEAVY, "pytest_proxywasm.mock", "pytest_proxywasm.host")),
    ],
)
def test_importing_loads_nothing_heavy(imports: str, unwanted: tuple[str, ...]) -> None:
    code = f"import {imports}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(unwanted) & set(done.stdout.split()) == set()
