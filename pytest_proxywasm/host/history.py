"""Lists of what happened that may be bounded; knows nothing of what it holds."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class History(list[T]):
    """What happened, in order; of a bounded history only the newest entries are there.

    Args:
        newest: how many entries are kept at least; ``None`` keeps all.
    """

    def __init__(self, newest: int | None = None) -> None:
        super().__init__()
        self._newest = newest
        self._dropped = 0

    def add(self, entry: T) -> None:
        """Put an entry at the end."""
        self.append(entry)
        if self._newest is not None and len(self) > 2 * self._newest:
            gone = len(self) - self._newest
            del self[:gone]
            self._dropped += gone

    def mark(self) -> int:
        """A position to give to `since`: now."""
        return self._dropped + len(self)

    def since(self, mark: int) -> list[T]:
        """What came after a mark, as far as it is still there."""
        return self[max(0, mark - self._dropped) :]
