"""Tells by its marks what a guest was built with; a guess for people, nothing may depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine.binary import ModuleInfo

__all__ = ["detect_sdk", "producers"]

_GO_WASI_IMPORTS = 12


def producers(wasm: bytes, info: ModuleInfo) -> dict[str, list[str]]:
    """The ``producers`` section: names by field (``language``, ``processed-by``); empty when corrupt."""
    from .engine import BadModule
    from .engine.binary import Reader

    section = info.custom("producers")
    found: dict[str, list[str]] = {}
    if section is None:
        return found
    reader = Reader(wasm, section.start, section.end, "the producers section")
    try:
        for _ in range(reader.count()):
            values = found.setdefault(reader.name(), [])
            for _ in range(reader.count()):
                values.append(reader.name())
                reader.name()
    except BadModule:
        return {}
    return found


def detect_sdk(wasm: bytes, info: ModuleInfo) -> str | None:
    """``"rust"``, ``"go"``, ``"tinygo"``, ``"assemblyscript"``, ``"cpp"``, ``"zig"``, or ``None``.

    By the compiler's own record first; a stripped guest has none, then by imports, exports and texts.
    """
    made_by = {name for names in producers(wasm, info).values() for name in names}
    imports = {(entry.module, entry.name) for entry in info.imports}
    exports = {name for name, _, _ in info.exports}
    wasi = {name for module, name in imports if module.startswith("wasi_")}
    env = {name for module, name in imports if module == "env"}

    if made_by & {"rustc", "Rust"}:
        return "rust"
    if "TinyGo" in made_by or b"tinygo" in wasm:
        return "tinygo"
    if made_by & {"Go", "Go cmd/compile"} or info.custom("go:buildid") is not None:
        return "go"
    if made_by & {"Zig", "zig"}:
        return "zig"
    # Names of the standard library of AssemblyScript are UTF-16 strings in its memory.
    if b"~\0l\0i\0b\0/\0" in wasm or exports & {"abort_proc_exit", "__rtti_base", "__new"}:
        return "assemblyscript"
    if b"library/std/src/" in wasm or b"/rustc/" in wasm:
        return "rust"
    if {"malloc", "calloc", "realloc", "free"} <= exports:
        return "tinygo"
    if len(wasi) >= _GO_WASI_IMPORTS:
        return "go"
    if any("clang" in name or name.startswith("C_plus_plus") for name in made_by):
        return "cpp"
    if any(name.startswith("emscripten_") for name in env | exports):
        return "cpp"
    if wasi and {"proxy_on_memory_allocate", "proxy_abi_version_0_2_0"} <= exports:
        return "zig"
    if "malloc" in exports and wasi & {"fd_close", "fd_seek", "proc_exit"}:
        return "cpp"
    return None
