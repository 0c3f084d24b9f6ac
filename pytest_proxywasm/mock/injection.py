"""Statuses that a test makes hostcalls answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..abi.enums import Status
from ..errors import UsageError
from ..host.hostcalls import HOSTCALLS

When = Callable[[Mapping[str, Any]], bool]


@dataclass(slots=True)
class Injection:
    """The next matching calls of a hostcall answer a status."""

    hostcall: str
    status: Status
    times: int
    when: When | None


class Injector:
    """Decides for each hostcall whether a test wants it to answer something else."""

    def __init__(self) -> None:
        self._pending: list[Injection] = []

    def add(self, hostcall: str, status: Status | int | str, times: int, when: When | None) -> None:
        """Have the next ``times`` matching calls answer a status."""
        if hostcall not in HOSTCALLS:
            import difflib

            near = difflib.get_close_matches(hostcall, HOSTCALLS, n=3)
            raise UsageError(f"no hostcall {hostcall!r}" + (f"; near it: {', '.join(near)}" if near else ""))
        if times < 1:
            raise UsageError(f"times={times}: at least once")
        try:
            chosen = Status[status] if isinstance(status, str) else Status(status)
        except (KeyError, ValueError):
            raise UsageError(f"no status {status!r}; there are: {', '.join(one.name for one in Status)}") from None
        if chosen is Status.OK:
            raise UsageError("injecting OK would give the guest results that are not there; inject an error")
        self._pending.append(Injection(hostcall, chosen, times, when))

    def __call__(self, hostcall: str, args: dict[str, Any]) -> Status | None:
        for injection in self._pending:
            if injection.hostcall == hostcall and (injection.when is None or injection.when(args)):
                injection.times -= 1
                if not injection.times:
                    self._pending.remove(injection)
                return injection.status
        return None
