"""Builds a filter, tests it and shows the trace of one exchange: what `make demo` runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUTPUT = ROOT / "proxywasm-results" / "demo"
sys.path.insert(0, str(ROOT / "fixtures"))

import toolchains  # noqa: E402


def choose() -> str:
    """The first SDK whose toolchain is here; ``wat`` needs none."""
    for sdk in ("rust", "go"):
        reason = toolchains.available(sdk)
        if reason is None:
            print(f"demo: testing a filter written with the {sdk.capitalize()} SDK (fixtures/{sdk}/)")
            return sdk
        print(f"demo: no {sdk.capitalize()} toolchain here ({reason})")
    print("demo: testing the hand-written filter fixtures/wat/header.wat")
    return "wat"


def main() -> int:
    """Run the demo; the exit status is pytest's."""
    environment = {**os.environ, "PROXYWASM_DEMO_SDK": choose()}
    shutil.rmtree(OUTPUT, ignore_errors=True)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--rootdir={HERE}", "-c", os.devnull]
    command += ["--proxywasm-trace=on", f"--proxywasm-output={OUTPUT}", str(HERE)]
    status = subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    for trace in sorted(OUTPUT.glob("*turned_away*/trace.txt")):
        print(f"\nwhat happened in {trace.parent.name}:\n")
        print(trace.read_text(encoding="utf-8"))
    return status


if __name__ == "__main__":
    sys.exit(main())
