"""The bytes of a guest: where they come from, and what they are if no guest; knows no options and no host."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from .build import Builder
from .errors import FilterStartError, UsageError

if TYPE_CHECKING:
    from .engine.binary import ModuleInfo

__all__ = ["Guest", "WasmSource", "is_wat", "load_guest", "nearest"]

WasmSource: TypeAlias = "bytes | str | os.PathLike[str]"


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest ones, else all."""
    names = list(known)
    same = [one for one in names if one.lower() == name.lower()]
    close = same or difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(repr(one) for one in close)}?"
    return f"; there are: {', '.join(names)}"


class Guest:
    """The bytes of a module and where they came from; shared by all filters made of it."""

    __slots__ = ("_info", "_sha256", "data", "path")

    def __init__(self, data: bytes, path: Path | None) -> None:
        self.data = data
        self.path = path
        self._sha256: str | None = None
        self._info: ModuleInfo | None = None

    def __reduce__(self) -> tuple[type[Guest], tuple[bytes, Path | None]]:
        return Guest, (self.data, self.path)

    @property
    def sha256(self) -> str:
        if self._sha256 is None:
            self._sha256 = hashlib.sha256(self.data).hexdigest()
        return self._sha256

    @property
    def info(self) -> ModuleInfo:
        if self._info is None:
            from .engine import BadModule
            from .engine.binary import read_module

            try:
                self._info = read_module(self.data)
            except BadModule as error:
                raise FilterStartError(f"{self.path or 'the filter'}: {error}") from None
        return self._info

    def describe(self, root: Path) -> str:
        if self.path is None:
            return f"<{len(self.data)} bytes, sha256 {self.sha256[:16]}>"
        return repr(str(self.path.relative_to(root) if root in self.path.parents else self.path))


_USUAL_COMMANDS = {
    "Cargo.toml": "cargo build --release --target wasm32-wasip1",
    "go.mod": "env GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o {name} .",
    "package.json": "npm run build",
}
_BLANK = re.compile(r"(?:\s+|;;[^\n]*(?:\n|\Z)|\(;.*?;\))*", re.DOTALL)


def is_wat(text: str) -> bool:
    """Whether the first token, after blanks and comments, is ``(module``."""
    start = _BLANK.match(text)
    return re.match(r"\(\s*module\b", text[start.end() if start else 0 :]) is not None


def load_guest(wasm: WasmSource, build: tuple[str, ...] | None, builder: Builder) -> Guest:
    if isinstance(wasm, (bytes, bytearray, memoryview)) or (isinstance(wasm, str) and is_wat(wasm)):
        if build is not None:
            raise UsageError("build= makes a file, so the filter must be given by that file's path")
        if isinstance(wasm, str):
            return Guest(_assemble(wasm, "the guest given as WAT"), None)
        return Guest(_checked(bytes(wasm), "the guest given as bytes"), None)
    if not isinstance(wasm, (str, os.PathLike)):
        raise UsageError(f"a filter is given as bytes, as a path, or as WAT, not as {type(wasm).__name__}: {wasm!r}")
    given = os.fspath(wasm)
    if not given or "\n" in given or "\0" in given:
        raise UsageError(
            f"{given[:60]!r} is neither a path nor WAT: WAT is text whose first token is '(module'"
            if given
            else "the path of the filter is empty"
        )
    path = Path(os.path.normpath(builder.root / Path(given).expanduser()))
    if build is not None:
        builder.build(path, build)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(_missing(path, given)) from None
    except IsADirectoryError:
        raise UsageError(f"the filter {path} is a folder{_inside(path)}") from None
    except OSError as error:
        raise UsageError(f"the filter {path} cannot be read: {error.strerror}") from None
    if data[:4] != b"\0asm":
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if is_wat(text):
            return Guest(_assemble(text, str(path)), path)
    return Guest(_checked(data, f"the filter {path}"), path)


def _assemble(text: str, what: str) -> bytes:
    from .engine import BadModule, EngineUnavailable, wat_to_wasm

    try:
        return wat_to_wasm(text)
    except BadModule as error:
        raise UsageError(f"{what} has a mistake: {error}") from None
    except EngineUnavailable as error:
        raise UsageError(f"{what} cannot be assembled: {error}") from None


def _missing(path: Path, given: str) -> str:
    folder = path.parent
    while not folder.is_dir():
        folder = folder.parent
    where = f"{folder} is there" if folder != path.parent else f"its folder {folder} is there"
    return (
        f"there is no filter {path}\n{where}{_inside(folder, path.name)}\n"
        f"Build it before the tests, or have it built: proxywasm.filter({given!r}, "
        f'build="{_usual_command(path)}"), or in the ini file proxywasm_build = {_usual_command(path)}'
    )


def _usual_command(path: Path) -> str:
    for folder in path.parents:
        for manifest, command in _USUAL_COMMANDS.items():
            if (folder / manifest).is_file():
                return command.format(name=path.name)
    return "..."


def _inside(folder: Path, wanted: str = "") -> str:
    names = sorted(
        entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir() if not entry.name.startswith(".")
    )
    if not names:
        return ", and empty"
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.6) if wanted else []
    first = close + [name for name in names if name.endswith((".wasm", ".wat")) and name not in close]
    shown = (first + [name for name in names if name not in first])[:12]
    rest = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f", and holds: {', '.join(shown)}{rest}"


def _checked(data: bytes, what: str) -> bytes:
    if data[:8] == b"\0asm\x01\0\0\0":
        return data
    raise UsageError(f"{what} is not a WebAssembly module: {_what_it_is(data)}")


_SIGNATURES = (
    (b"\x7fELF", "an ELF file: a native program or library, or an engine's precompiled module"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file: a native program or library"),
    (b"MZ", "a Windows program or library"),
    (b"!<arch>", "an archive of object files, such as a Rust rlib: the crate-type must be cdylib"),
    (b"BC\xc0\xde", "LLVM bitcode"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"PK\x03\x04", "a zip file: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer: run 'git lfs pull'"),
    (b"#!", "a script"),
)


def _what_it_is(data: bytes) -> str:
    if not data:
        return "it is empty"
    begins = f"it begins with {data[:16]!r}"
    if data[:4] == b"\0asm":
        if data[4:8] == b"\x0d\0\x01\0":
            return (
                f"{begins}, a WebAssembly component. "
                "Proxies load core modules: build for wasm32-wasip1, not wasm32-wasip2"
            )
        if len(data) < 8:
            return f"{begins}, and ends there: it was cut off"
        return f"{begins}, WebAssembly of an unknown version"
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return f"{begins}, {name}"
    if data[257:262] == b"ustar":
        return f"{begins}, a tar archive: unpack it first (an OCI image layer is one, too)"
    head = data[:200].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return f"{begins}, an HTML page: a failed download, as a rule"
    if head.startswith((b"{", b"[")):
        return f"{begins}, JSON: an error message instead of a download, as a rule"
    try:
        data[:512].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < min(len(data), 512) - 3:
            return begins
    if b"\0" in data[:512]:
        return begins
    return f"{begins}, text. WAT is recognised by its first token, '(module'"
