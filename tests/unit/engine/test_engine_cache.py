"""The disk cache: what is trusted, and what happens when things go wrong."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.engine import Limits, get_engine, wat_to_wasm
from pytest_proxywasm.engine.cache import ENVIRONMENT, ModuleCache, default_directory

WASM = wat_to_wasm('(module (func (export "run") (result i32) (i32.const 42)))')
posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")
not_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")


def with_cache(engine: Any, directory: Path) -> Any:
    """An engine like the given one, over a disk cache."""
    if engine.name == "wasmer":
        return type(engine)(ModuleCache(directory))
    return type(engine)(ModuleCache(directory), fast=engine.raw is not None)


def answer(engine: Any) -> Any:
    return engine.module(WASM).link({}).instantiate(None, Limits()).function("run")()


def stored(directory: Path) -> list[Path]:
    return sorted((directory / "compiled").glob("*.bin"))


def forbid_compiling(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(wasm: bytes) -> None:
        pytest.fail("compiled again")

    monkeypatch.setattr(engine, "compile", refuse)


def test_a_module_is_compiled_once_and_then_loaded(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer(with_cache(engine, tmp_path)) == 42
    assert len(stored(tmp_path)) == 1
    second = with_cache(engine, tmp_path)
    forbid_compiling(second, monkeypatch)
    assert answer(second) == 42


@pytest.mark.parametrize("damage", ["empty", "short", "head", "payload", "tail", "other"])
def test_a_damaged_file_is_rebuilt_in_silence(engine: Any, tmp_path: Path, damage: str) -> None:
    assert answer(with_cache(engine, tmp_path)) == 42
    (path,) = stored(tmp_path)
    good = path.read_bytes()
    middle = len(good) // 2
    path.write_bytes(
        {
            "empty": b"",
            "short": good[: len(good) // 2],
            "head": b"\xff" + good[1:],
            "payload": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
            "tail": good + b"x",
            "other": os.urandom(len(good)),
        }[damage]
    )
    assert answer(with_cache(engine, tmp_path)) == 42
    assert path.read_bytes()[:40] == good[:40] or len(path.read_bytes()) == len(good)
    assert ModuleCache(tmp_path).get(path.stem) is not None


def test_a_file_of_another_key_is_not_loaded(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path)
    cache.put("a", b"payload")
    os.rename(tmp_path / "compiled" / "a.bin", tmp_path / "compiled" / "b.bin")
    assert cache.get("b") is None


def test_valid_entries_that_the_engine_refuses_are_rebuilt(engine: Any, tmp_path: Path) -> None:
    first = with_cache(engine, tmp_path)
    assert answer(first) == 42
    (path,) = stored(tmp_path)
    for payload in (b"", b"\0\0\0\0", b"\0\0\0\0garbage" * 100):
        first.cache.put(path.stem, payload)
        assert answer(with_cache(engine, tmp_path)) == 42


@posix
def test_the_directory_is_private_and_made_so(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path / "new" / "deep")
    cache.put("a", b"x")
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    cache.directory.chmod(0o777)
    again = ModuleCache(tmp_path / "new" / "deep")
    assert again.get("a") == b"x"
    assert cache.directory.stat().st_mode & 0o777 == 0o700


@posix
def test_a_file_that_others_may_write_or_a_link_is_not_loaded(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path)
    cache.put("a", b"x")
    path = cache.directory / "a.bin"
    path.chmod(0o622)
    assert cache.get("a") is None
    path.chmod(0o600)
    assert cache.get("a") == b"x"
    path.rename(cache.directory / "real")
    path.symlink_to(cache.directory / "real")
    assert cache.get("a") is None


@posix
def test_a_directory_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ModuleCache(tmp_path).put("a", b"x")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    cache = ModuleCache(tmp_path)
    assert cache.get("a") is None
    assert cache.problem == f"{cache.directory} belongs to another user"


def test_a_directory_that_cannot_be_made_breaks_nothing(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = with_cache(engine, tmp_path / "file")
    assert answer(blocked) == 42
    assert blocked.cache.problem.startswith(f"{tmp_path / 'file' / 'compiled'} cannot be used: ")


@not_root
def test_a_directory_that_cannot_be_written_breaks_nothing(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "compiled").mkdir()
    (tmp_path / "compiled").chmod(0o500)
    assert answer(with_cache(engine, tmp_path)) == 42


def test_old_entries_are_pruned_and_used_ones_kept(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path)
    for key in ("old", "used"):
        cache.put(key, b"x")
    past = time.time() - 40 * 86400
    for key in ("old", "used"):
        os.utime(cache.directory / f"{key}.bin", (past, past))
    assert cache.get("used") == b"x"
    cache.put("new", b"x")
    assert sorted(path.stem for path in stored(tmp_path)) == ["new", "used"]


def test_the_directory_comes_from_the_environment_or_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "somewhere")
    assert default_directory() == Path("somewhere")
    monkeypatch.delenv(ENVIRONMENT)
    assert default_directory().name == "pytest-proxywasm"


def test_a_slow_compilation_is_announced(engine: Any, tmp_path: Path) -> None:
    body = "(drop (i32.const 1))" * 40_000
    wasm = wat_to_wasm("(module " + f"(func {body})" * 10 + ")")
    said: list[str] = []
    fresh = with_cache(engine, tmp_path)
    fresh.on_compile = said.append
    assert fresh.module(WASM)
    fresh.module(wasm, name="filter.wasm")
    assert said == [f"compiling filter.wasm (1.2 MB) with {engine.name}, once: about 1 s"]
    uncached = type(fresh)(None, said.append)
    uncached.module(wasm)
    assert said[1] == (
        f"compiling a module (1.2 MB) with {engine.name}, about 1 s, each time (there is no cache directory)"
    )


def _hold(directory: str, ready: Any) -> None:
    with ModuleCache(Path(directory)).lock("key"):
        ready.set()
        time.sleep(60)


def _build(directory: str, log: str) -> None:
    cache = ModuleCache(Path(directory))
    with cache.lock("key"):
        if cache.get("key") is None:
            with open(log, "a", encoding="ascii") as file:
                file.write("built\n")
            time.sleep(0.2)
            cache.put("key", b"x" * 100_000)
    assert cache.get("key") == b"x" * 100_000


def test_several_processes_build_once_and_never_read_half_a_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_build, args=(str(tmp_path), str(tmp_path / "log"))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_lock_falls_with_the_process_that_held_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), ready))
    holder.start()
    assert ready.wait(30)
    holder.kill()
    holder.join()
    start = time.monotonic()
    with ModuleCache(tmp_path).lock("key"):
        assert time.monotonic() - start < 5


def test_get_engine_gives_the_same_engine_for_the_same_directory(tmp_path: Path) -> None:
    first = get_engine(cache_dir=tmp_path)
    assert get_engine(cache_dir=tmp_path) is first
    assert get_engine(first.name, cache_dir=tmp_path) is first
    assert get_engine(cache_dir=tmp_path / "other") is not first


def test_importing_the_layer_imports_no_engine() -> None:
    code = (
        "import sys, pytest_proxywasm.engine; "
        "print([m for m in ('wasmtime', 'wasmer', 'elftools', 'platformdirs') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
