"""The Envoy of a recording: one process with one listener; knows nothing of cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..envoy.process import EnvoyProcess

__all__ = ["Envoy"]


class Envoy(EnvoyProcess):
    """A running Envoy with its files in ``folder``."""

    def __init__(self, envoy: Path, config: Mapping[str, Any], folder: Path, *, level: str = "debug") -> None:
        super().__init__(envoy, config, folder, level=level, environment={"HOME": "/root"})

    def __enter__(self) -> Envoy:
        self.await_ready()
        return self

    def listener_port(self) -> int:
        """The port of its one listener."""
        return next(iter(self.listener_ports().values()))

    def lines(self) -> list[str]:
        """The records it has logged, level and component in front; of a text with several lines the first."""
        return [f"{record.level}|{record.component}|{first_line(record.raw)}" for record in self.records()]


def first_line(raw: bytes) -> str:
    """The first line of a record's text."""
    return raw.partition(b"\n")[0].decode("utf-8", "replace")
