"""``python -m tests.envoy.replay CASES.jsonl`` replays recorded cases in the mock host; knows the command line only.

Prints every case that differs as a diff, and last, alone on a line, ``N passed, M failed``. The exit status is 1 if
any failed, and 2 when the arguments are unusable.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Sequence
from pathlib import Path

from pytest_proxywasm.engine import Engine, EngineUnavailable, get_engine

from .case import Case, CaseError, load
from .check import PROBE, check

__all__ = ["main"]

ENGINES = ("auto", "wasmtime", "wasmer")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.envoy.replay",
        description="Replay exchanges recorded from Envoy in the mock host.",
    )
    parser.add_argument("cases", type=Path, metavar="CASES.jsonl", help="recorded cases, one a line")
    parser.add_argument("--area", action="append", default=[], help="only this area (repeatable)")
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="only this case (repeatable)")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="what runs the guest")
    parser.add_argument("--probe", type=Path, default=PROBE, metavar="DIR", help="where the probe guest is")
    options = parser.parse_args(arguments)
    try:
        cases = _selected(load(options.cases), options.area, options.case)
        engine = get_engine(options.engine)
        if not options.probe.is_dir():
            raise CaseError(f"there is no folder {options.probe} with the probe guest")
    except (CaseError, EngineUnavailable) as error:
        parser.error(str(error))
    failed = 0
    for case in cases:
        difference = _check(case, engine, options.probe)
        if difference:
            failed += 1
            print(f"{case.id}: {case.title}\n{difference}\n")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _check(case: Case, engine: Engine, probe: Path) -> str:
    try:
        return check(case, engine, probe)
    except Exception:
        return traceback.format_exc()


def _selected(cases: list[Case], areas: Sequence[str], ids: Sequence[str]) -> list[Case]:
    for kind, wanted, there in (
        ("area", areas, {case.area for case in cases}),
        ("case", ids, {case.id for case in cases}),
    ):
        unknown = sorted(set(wanted) - there)
        if unknown:
            raise CaseError(f"there is no {kind} {unknown[0]!r}; there are: {', '.join(sorted(there))}")
    return [case for case in cases if (not areas or case.area in areas) and (not ids or case.id in ids)]


if __name__ == "__main__":
    raise SystemExit(main())
