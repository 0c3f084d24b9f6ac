"""``inspect FILTER``: what a filter is, and whether Envoy loads it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FilterStartError
from . import EXIT_FILTER
from .output import console, heading

if TYPE_CHECKING:
    from rich.console import Console

    from ..inspection import Inspection, Item

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("filter", help="a .wasm file, or WAT")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what the filter is; `EXIT_FILTER` when Envoy would not load it."""
    from ..engine import BadModule
    from ..inspection import inspect
    from ..toolkit import Toolkit

    try:
        found = inspect(Toolkit(Path.cwd()).filter(arguments.filter))
    except BadModule as error:
        raise FilterStartError(f"Failed to parse corrupted Wasm module: {error}") from None
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        _show(console(), arguments.filter, found)
    return 0 if found.problem is None else EXIT_FILTER


def _show(out: Console, name: str, found: Inspection) -> None:
    out.print(name, style="bold")
    made_by = ", ".join(f"{key} {', '.join(names)}" for key, names in found.made_by.items())
    symbols = "function names" + (" and source lines (DWARF)" if found.has_lines else "") if found.has_names else "none"
    facts = {
        "ABI": found.abi or "no marker function",
        "SDK": found.sdk or "unknown",
        "made by": made_by or "not said",
        "size": _bytes(found.size),
        "memory": _memory(found),
        "symbols": symbols,
        "sha256": found.sha256,
    }
    for key, value in facts.items():
        out.print(f"  {key:<8} {value}")
    heading(out, "Would Envoy load it?")
    if found.problem is None:
        out.print("  yes", style="green")
    else:
        first = "yes, but the mock host does not emulate all of it" if not found.emulated else "no"
        out.print(f"  {first}", style="red")
        for line in found.problem.splitlines():
            out.print(f"  {line}")
    _table(out, f"Imports ({len(found.imports)})", "offered by", found.imports)
    _table(out, f"Exports ({len(found.exports)})", "what for", found.exports)
    heading(out, "Sections")
    for section, size in found.sections.items():
        out.print(f"  {size:>10,}  {section}")


def _memory(found: Inspection) -> str:
    memory = found.memory
    if memory is None:
        return "none of its own"
    most = f"at most {_bytes(memory.maximum)}" if memory.maximum is not None else "no limit of its own"
    return f"{_bytes(memory.initial)} at the start, {most}"


def _bytes(size: int) -> str:
    return f"{size:,} bytes" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"


def _table(out: Console, title: str, note: str, items: tuple[Item, ...]) -> None:
    from rich import box
    from rich.table import Table

    heading(out, title)
    if not items:
        out.print("  none")
        return
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=out.is_terminal, show_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("type", style="dim", overflow="fold")
    table.add_column(note, overflow="fold")
    for item in sorted(items, key=lambda one: (one.fine, one.name)):
        table.add_row(item.name, item.type, item.note, style=None if item.fine else "red")
    out.print(table)
