"""What commands print: rich where it goes to a terminal, plain text elsewhere; knows no filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["console", "heading", "trace_text"]


def console() -> Console:
    """The standard output; it has colours on a terminal only.

    Raises:
        UsageError: the package rich is missing.
    """
    try:
        from rich.console import Console
    except ImportError:
        raise UsageError("the command line needs the package rich: pip install 'pytest-proxywasm[cli]'") from None
    made = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = 10_000  # nothing is cut or wrapped for whoever reads a pipe
    return made


def heading(out: Console, text: str) -> None:
    """A heading behind an empty line."""
    out.print()
    out.print(text, style="bold")


def trace_text(trace: str) -> Text:
    """A trace with colours: callbacks, results, and hostcalls that answered an error."""
    from rich.text import Text

    made = Text()
    for line in trace.splitlines(keepends=True):
        if line.startswith(">"):
            style = "cyan"
        elif line.startswith("<"):
            style = "yellow" if "PAUSE" in line else "dim"
        else:
            style = "" if " -> OK" in line or " -> " not in line else "red"
        made.append(line, style)
    return made
