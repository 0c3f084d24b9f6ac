"""Which hosts are open, and who has to close them; knows nothing else of hosts."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .mock import MockHost

__all__ = ["OpenHosts", "Scope"]

_RECENT = 4


class Scope:
    """The hosts that one test or one longer-lived fixture opened: those still open, and the last few for reports."""

    def __init__(self) -> None:
        self.recent: deque[MockHost] = deque(maxlen=_RECENT)
        self._open: list[MockHost] = []

    def add(self, host: MockHost) -> None:
        """Remember a host."""
        self._open = [*self.left_open(), host]
        self.recent.append(host)

    def left_open(self) -> Iterator[MockHost]:
        """The hosts nobody closed so far."""
        return (host for host in self._open if not host.closed)

    def close(self) -> int:
        """Close what is open, and say how many; the first error is raised once all are closed."""
        left = list(self.left_open())
        self._open = []
        failure: Exception | None = None
        for host in left:
            try:
                host.close()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return len(left)


class OpenHosts:
    """The scopes that may open hosts just now, the innermost last; and those that outlive a test."""

    def __init__(self) -> None:
        self._active: list[Scope] = [Scope()]
        self._kept: list[Scope] = []

    def opened(self, host: MockHost) -> None:
        """Remember a host for the innermost scope."""
        self._active[-1].add(host)

    def begin(self) -> Scope:
        """Begin a scope."""
        scope = Scope()
        self._active.append(scope)
        return scope

    def end(self, scope: Scope, *, keep: bool = False) -> None:
        """End a scope; ``keep`` if its hosts live on, as those of a session's fixture do."""
        if scope in self._active[1:]:
            self._active.remove(scope)
        if keep:
            self._kept.append(scope)
        elif scope in self._kept:
            self._kept.remove(scope)

    def shared(self) -> list[MockHost]:
        """The open hosts that outlive a test."""
        return [host for scope in self._kept for host in scope.left_open()]
