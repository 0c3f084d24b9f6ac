"""``python -m tests.envoy.differential [GUEST ...] [--examples N]``: many generated hosts in the mock and in Envoy.

A guest is ``probe`` or an SDK of ``fixtures/``. A difference is shrunk and printed, and the next guest follows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed

import pytest_proxywasm as pw
from pytest_proxywasm.toolkit import Toolkit

from .lives import GALLERY, Life, gallery_lives, probe_lives
from .run import run

FIXTURES = Path(__file__).parents[3] / "fixtures"
sys.path.insert(0, str(FIXTURES))

import toolchains  # noqa: E402

WITHOUT_GRPC = ("go", "assemblyscript")


def guest(toolkit: Toolkit, name: str) -> pw.Filter:
    """A guest by its name."""
    if name == "probe":
        return toolkit.filter(FIXTURES / "probe/probe.wasm")
    output = f"{name}/gallery.wasm"
    return toolkit.filter(output, build=toolchains.build_command(name, output))


def kind_of(error: Exception) -> str:
    """What differs, without values."""
    lines = str(error).splitlines()[2:]
    return "; ".join(line.partition(" (")[0].partition(": ")[0] for line in lines if line[:1].isalpha())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.envoy.differential", description=__doc__)
    parser.add_argument("guests", nargs="*", default=["probe", *toolchains.SDKS])
    parser.add_argument("--examples", type=int, default=200, help="generated hosts for each guest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="do not stop and shrink; show one example of each kind")
    parser.add_argument("--envoy", default="", help="another Envoy")
    options = parser.parse_args(arguments)
    failed = 0
    total = 0
    for name in options.guests:
        toolkit = Toolkit(FIXTURES, backend="both", envoy=options.envoy)
        filter = guest(toolkit, name)
        kinds = tuple(kind for kind in GALLERY if kind != "grpc" or name not in WITHOUT_GRPC)
        lives = probe_lives() if name == "probe" else gallery_lives(kinds)

        @with_seed(options.seed)
        @settings(
            max_examples=options.examples,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(life=lives)
        def agree(toolkit: Toolkit, filter: pw.Filter, found: dict[str, list[str]], life: Life) -> None:
            try:
                run(toolkit, filter, life)
            except pw.EnvoyDiffersError as error:
                if not options.all:
                    raise
                found.setdefault(kind_of(error), []).append(f"{error}\n{life!r}")

        found: dict[str, list[str]] = {}
        try:
            agree(toolkit, filter, found)
        except pw.EnvoyDiffersError as error:
            failed += 1
            print(f"{name}: {error}\n" + "\n".join(getattr(error, "__notes__", ())), flush=True)
        for kind, texts in found.items():
            failed += 1
            print(f"--- {name}, {len(texts)} times: {kind}\n{min(texts, key=len)}\n", flush=True)
        print(f"{name}: " + "\n    ".join(toolkit.checks.lines()), flush=True)
        total += toolkit.checks.agreed
        toolkit.close()
    print(f"{total} exchanges agreed; {failed} of {len(options.guests)} guests showed a difference")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
