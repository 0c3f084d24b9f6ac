"""Every example in README.md and docs/ runs, and prints what the documentation shows.

A block after ``<!-- file: NAME -->`` is written to that file; a block after ``<!-- run: COMMAND -->`` is run, and all
lines it shows must come out in that order (times aside). ``<!-- guest: FOLDER FILE -->`` has a guest of ``fixtures/``
built into a file.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.engine import wat_to_wasm
from pytest_proxywasm.toolkit import Toolkit

ROOT = Path(__file__).resolve().parents[1]
IN_CI = bool(os.environ.get("CI"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUEST = re.compile(r"<!-- guest: (\S+) (\S+) -->")
BLOCK = re.compile(r"<!-- (file|run): (.+?) -->\n```\w*\n(.*?)```", re.DOTALL)
TIME = re.compile(r"in \d+\.\d+s")
RULE = re.compile(r"^=+|=+$")


def comparable(line: str) -> str:
    """A line without what differs from run to run."""
    return RULE.sub("=", TIME.sub("in <time>", line.rstrip()))


def with_examples() -> list[Path]:
    """The pages that have examples."""
    return [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


def build_guest(source: str, target: Path) -> None:
    """A guest that an example tests; without its toolchain the page is skipped, and fails in CI."""
    sys.path.insert(0, str(ROOT / "fixtures"))
    try:
        import toolchains
    finally:
        sys.path.pop(0)
    reason = toolchains.available(source)
    if reason is not None:
        if IN_CI:
            pytest.fail(f"in CI nothing is skipped: {reason}", pytrace=False)
        pytest.skip(reason)
    output = f"{source}/{Path(source).parts[0]}.wasm"
    built = Toolkit(ROOT / "fixtures").filter(output, build=toolchains.build_command(source, output))
    target.write_bytes(built.wasm_bytes())


@pytest.mark.parametrize("page", with_examples(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_run_and_print_what_the_page_shows(
    page: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)  # pytest prints longer lines there
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # syrupy reports nothing there
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--hypothesis-profile=ci")  # no deadline for an example on a busy machine
    folder = pytester.path
    (folder / "build").mkdir()
    (folder / "build/my_filter.wasm").write_bytes(wat_to_wasm((ROOT / "fixtures/wat/header.wat").read_text()))
    for source, target in GUEST.findall(page.read_text(encoding="utf-8")):
        build_guest(source, folder / target)
    ran = 0
    for kind, what, content in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "file":
            target = folder / what
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
            continue
        words = shlex.split(what)
        command = [sys.executable, "-m", *words] if words[0] in ("pytest", "pytest_proxywasm") else words
        output = "\n".join(pytester.run(*command).outlines)
        lines = [comparable(line) for line in output.splitlines()]
        position = 0
        for shown in content.splitlines():
            if shown.startswith("$ ") or not shown.strip():
                continue
            wanted = comparable(shown)
            assert wanted in lines[position:], f"{page.name}, `{what}`: not printed: {shown!r}\n\n{output}"
            position = lines.index(wanted, position) + 1
        ran += 1
    assert ran, f"{page.name} has files but runs nothing"


def test_the_readme_opens_with_the_two_commands() -> None:
    """A newcomer finds them on the first screen."""
    head = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:15]
    assert any("make demo" in line for line in head)
    assert any("make test" in line for line in head)


def generator() -> Any:
    """docs/generate.py as a module."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate
    finally:
        sys.path.pop(0)
    return generate


def test_the_gallery_of_failures_is_up_to_date() -> None:
    """The texts are those that pytest prints now: `python docs/generate.py failures` writes them."""
    page = (ROOT / "docs/reference/failures.md").read_text(encoding="utf-8")
    now = generator().failures()
    difference = "\n".join(difflib.unified_diff(page.splitlines(), now.splitlines(), "the page", "now", lineterm=""))
    assert page == now, f"docs/reference/failures.md is stale: run `python docs/generate.py failures`\n{difference}"


def test_every_picture_is_there_and_is_shown() -> None:
    """`python docs/screenshots.py` takes them."""
    shown = {
        (page.parent / target).resolve()
        for page in (ROOT / "docs").rglob("*.md")
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    }
    there = {image.resolve() for image in (ROOT / "docs/images").rglob("*") if image.is_file()}
    assert there == shown


def test_the_generated_reference_is_up_to_date() -> None:
    """`make docs` writes it from the declarations."""
    generate = generator()
    page = (ROOT / "docs/reference/abi.md").read_text(encoding="utf-8")
    assert page == generate.abi(), "docs/reference/abi.md is stale: run `make docs`"
    page = (ROOT / "docs/reference/backends.md").read_text(encoding="utf-8")
    assert page == generate.backends(), "docs/reference/backends.md is stale: run `make docs`"
