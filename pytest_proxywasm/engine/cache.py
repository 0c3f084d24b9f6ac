"""Keeps compiled modules on disk between runs; knows neither engines nor what it stores.

A stored module is native code: it is loaded only from a directory and file of this user that nobody else can write,
and only when its checksum holds. Whatever goes wrong here costs time, never a result: a file that cannot be read is
rebuilt, a directory that cannot be used is done without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ENVIRONMENT", "ModuleCache", "default_directory"]

ENVIRONMENT = "PYTEST_PROXYWASM_CACHE_DIR"
_MAGIC = b"PWMC0001"
_DAY = 86400.0
_KEEP = 30 * _DAY
_LOCK_TIMEOUT = 180.0


def default_directory() -> Path:
    """The directory of the environment variable, else the platform's cache directory of this user."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("pytest-proxywasm", appauthor=False))


class ModuleCache:
    """Compiled modules by key, in a private subdirectory of ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "compiled"
        self.problem = ""
        """Why nothing is cached; empty while all is well."""

    def get(self, key: str) -> bytes | None:
        """What was stored under the key; ``None`` when there is nothing, or nothing that can be trusted."""
        if not self._usable():
            return None
        path = self._path(key)
        try:
            with open(path, "rb", opener=_open_unfollowed) as file:
                status = os.fstat(file.fileno())
                if not _private(status):
                    return None
                content = file.read()
        except OSError:
            return None
        head = len(_MAGIC) + 32
        if content[: len(_MAGIC)] != _MAGIC or content[len(_MAGIC) : head] != _checksum(
            key, memoryview(content)[head:]
        ):
            return None
        if time.time() - status.st_mtime > _DAY:
            with contextlib.suppress(OSError):
                os.utime(path)
        return content[head:]

    def put(self, key: str, payload: bytes) -> None:
        """Store, all or nothing; a failure is only noted in `problem`."""
        if not self._usable():
            return
        temporary = None
        try:
            handle, temporary = tempfile.mkstemp(dir=self.directory, prefix="tmp-")
            with open(handle, "wb") as file:
                file.write(_MAGIC + _checksum(key, payload))
                file.write(payload)
            os.replace(temporary, self._path(key))
            temporary = None
            self._prune()
        except OSError as error:
            self.problem = f"{self.directory} cannot be written: {error.strerror or error}"
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Only one process at a time builds a key.

        The lock falls with the process that holds it; one that cannot be had is done without.
        """
        handle = -1
        if self._usable():
            with contextlib.suppress(OSError):
                handle = os.open(self.directory / f"{key}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if handle >= 0:
                _wait_for(handle)
            yield
        finally:
            if handle >= 0:
                os.close(handle)

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.bin"

    def _usable(self) -> bool:
        if self.problem:
            return False
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = self.directory.stat()
            if os.name == "posix":
                if status.st_uid != os.geteuid():
                    self.problem = f"{self.directory} belongs to another user"
                elif stat.S_IMODE(status.st_mode) & 0o022:
                    self.directory.chmod(0o700)
        except OSError as error:
            self.problem = f"{self.directory} cannot be used: {error.strerror or error}"
        return not self.problem

    def _prune(self) -> None:
        limit = time.time() - _KEEP
        for entry in os.scandir(self.directory):
            with contextlib.suppress(OSError):
                if entry.stat().st_mtime < limit:
                    os.unlink(entry.path)


def _open_unfollowed(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _private(status: os.stat_result) -> bool:
    if os.name != "posix":
        return True
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o022


def _checksum(key: str, payload: bytes | memoryview) -> bytes:
    # Over the key, too: a file under another name is another module.
    digest = hashlib.sha256(key.encode())
    digest.update(payload)
    return digest.digest()


def _attempt(handle: int) -> None:
    """Take the lock or raise `BlockingIOError` (POSIX) or `PermissionError` (Windows)."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _wait_for(handle: int) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT
    pause = 0.005
    while True:
        try:
            _attempt(handle)
        except (BlockingIOError, PermissionError):
            if time.monotonic() > deadline:
                return
            time.sleep(pause)
            pause = min(pause * 2, 0.1)
        except (OSError, ImportError):
            return
        else:
            return
