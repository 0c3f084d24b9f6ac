"""What a replay of a case gave; a plain value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Result"]


@dataclass(slots=True, kw_only=True)
class Result:
    """The counterpart of what was recorded.

    Attributes:
        ready: the host accepted the filters.
        crashed: the guest did what crashes Envoy.
        problem: what kept the case from being replayed to its end: an error of this package or of the harness.
    """

    ready: bool = True
    crashed: bool = False
    guest_log: list[str] = field(default_factory=list)
    client: dict[str, Any] | None = None
    more_clients: list[dict[str, Any]] | None = None
    upstream: list[dict[str, Any]] | None = None
    client_got: list[str] | None = None
    upstream_got: list[str] | None = None
    problem: str = ""
