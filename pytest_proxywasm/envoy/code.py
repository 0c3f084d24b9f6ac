"""Guests as files that Envoy can read, kept for as long as this process runs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..filters import Filter

__all__ = ["CodeStore"]


class CodeStore:
    """A folder with the guests in it, and the folders of the Envoys that run them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="proxywasm-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)

    def file(self, one: Filter, variant: str = "") -> Path:
        """The file of a filter's guest, or of a copy of it, which was kept before."""
        if variant:
            return self._copy(one.sha256, variant)
        path = self.folder / f"{one.sha256}.wasm"
        if not path.exists():
            path.write_bytes(one.wasm_bytes())
        return path

    def keep(self, sha256: str, variant: str, copy: bytes) -> None:
        """Keep a copy of a guest that has something more in it."""
        self._copy(sha256, variant).write_bytes(copy)

    def _copy(self, sha256: str, variant: str) -> Path:
        return self.folder / f"{sha256}-{variant}.wasm"

    def close(self) -> None:
        """Remove it all."""
        self._folder.cleanup()
