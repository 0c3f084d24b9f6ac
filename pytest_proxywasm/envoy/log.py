"""Envoy's log as records: where one begins and the next, whatever the guests put into theirs; knows no meaning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["LogReader", "Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        level: as Envoy writes it, such as ``"warning"``.
        component: Envoy's logger, such as ``"wasm"``.
        thread: the number of the thread that logged.
        raw: the text, which may have several lines.
    """

    level: str
    component: str
    thread: str
    raw: bytes

    @property
    def text(self) -> str:
        """The text as str."""
        return self.raw.decode("utf-8", "surrogateescape")


class LogReader:
    """Reads a growing log; every record begins with a marker that no guest can know."""

    def __init__(self, path: Path, marker: str) -> None:
        self._path = path
        self._marker = marker.encode()
        self._offset = 0

    def size(self) -> int:
        """The bytes logged so far."""
        return self._path.stat().st_size

    def all(self) -> list[Record]:
        """Every record so far."""
        return self._parse(self._path.read_bytes())

    def new(self) -> list[Record]:
        """The records since the last time."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        # A record that is just being written waits for the next time.
        end = len(data) if data.endswith(b"\n") else max(data.rfind(self._marker), 0)
        self._offset += end
        return self._parse(data[:end])

    def _parse(self, data: bytes) -> list[Record]:
        records = []
        for part in data.split(self._marker)[1:]:
            fields = part.removesuffix(b"\n").split(b"|", 3)
            if len(fields) == 4:
                level, component, thread = (field.decode("ascii", "replace") for field in fields[:3])
                records.append(Record(level, component, thread, fields[3]))
        return records
