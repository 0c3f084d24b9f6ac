"""The command line: a module here is a command, imported when it is run; knows arguments and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["EXIT_FILTER", "EXIT_USAGE", "main"]

EXIT_FILTER = 1
"""The filter's fault: Envoy would not load it, or it failed."""
EXIT_USAGE = 2
"""The caller's fault, as of argparse."""

_COMMANDS = {
    "inspect": "what a filter is: ABI, SDK, imports and exports, sizes, and whether Envoy loads it",
    "record": "run cases in a real Envoy and store what it did, or compare it with what is stored",
    "run": "send one request through a filter and show the response and the trace",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, `EXIT_FILTER` or `EXIT_USAGE`."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_proxywasm",
        description="Look at Proxy-Wasm filters without writing a test.",
        epilog="Exit codes: 0 fine; 1 the filter's fault (Envoy would not load it, or it failed); 2 a wrong argument.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    given = list(sys.argv[1:] if arguments is None else arguments)
    named = next((one for one in given if not one.startswith("-")), None)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == named:
            module = import_module(f".{name}", __name__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    parsed = parser.parse_args(given)
    from ..errors import FilterError, NotEmulatedError, UsageError

    try:
        return int(parsed.run(parsed))
    except (FilterError, NotEmulatedError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_FILTER
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        # The reader of a pipe had enough; Python must not complain when it flushes at its end.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
