"""A recorded case: reads it from JSON and gives its shortened parts their full length; knows no host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_proxywasm.recording.wire import CaseError, expand

__all__ = ["Case", "CaseError", "Expected", "More", "expand", "load", "parse"]

KEYS = frozenset(
    {
        "id",
        "area",
        "title",
        "kind",
        "filters",
        "request",
        "request_parts",
        "more_requests",
        "envoy",
        "actions",
        "greet",
        "cluster",
        "expected",
    }
)


AFTER = 0.05
"""Seconds until a further request, where a case does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What was recorded.

    Attributes:
        envoy_exit: Envoy's exit status; negative when it crashed.
        ready: Envoy accepted the configuration.
        client, upstream: what each side of an HTTP exchange received; ``None`` where that was not recorded.
        more_clients: what the client received on each further request.
        client_got, upstream_got: what each side of a TCP connection read, read by read.
    """

    envoy_exit: int
    ready: bool
    guest_log: tuple[str, ...]
    client: Mapping[str, Any] | None = None
    more_clients: tuple[Mapping[str, Any], ...] | None = None
    upstream: tuple[Mapping[str, Any], ...] | None = None
    client_got: tuple[str, ...] | None = None
    upstream_got: tuple[str, ...] | None = None

    @property
    def crashed(self) -> bool:
        """Envoy died of a signal."""
        return self.envoy_exit < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """A further request, so many seconds after the response to the one before it.

    Attributes:
        same_connection: it is written on the connection of the request before it, which stays open for it.
    """

    request: bytes
    after: float
    same_connection: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One recorded exchange, ready to be replayed.

    Attributes:
        request: what the client wrote first; ``None`` in cases that record a start only.
        parts: what it wrote after that, one write each.
        more: further requests, one after the other.
        unknown: keys this replay does not know; such a case cannot be replayed.
    """

    id: str
    area: str
    title: str
    kind: str
    filters: tuple[Mapping[str, Any], ...]
    expected: Expected
    request: bytes | None = None
    parts: tuple[bytes, ...] = ()
    more: tuple[More, ...] = ()
    envoy: Mapping[str, Any] = field(default_factory=dict)
    actions: tuple[Any, ...] = ()
    greet: bytes = b""
    cluster: str = "tcp"
    unknown: tuple[str, ...] = ()

    @property
    def start_only(self) -> bool:
        """Nothing was sent, so that all start-up lines were recorded."""
        return self.kind == "http" and self.request is None


def _tuple(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def parse(raw: Mapping[str, Any]) -> Case:
    """A case as it stands in a file."""
    expected = raw["expected"]
    request = raw.get("request")
    return Case(
        id=raw["id"],
        area=raw["area"],
        title=raw["title"],
        kind=raw["kind"],
        filters=tuple(raw["filters"]),
        request=None if request is None else expand(request),
        parts=tuple(expand(part) for part in raw.get("request_parts") or ()),
        more=tuple(
            More(
                request=expand(more["request"]),
                after=more.get("after", AFTER),
                same_connection=more.get("same_connection", False),
            )
            for more in raw.get("more_requests") or ()
        ),
        envoy=raw.get("envoy") or {},
        actions=tuple(raw.get("actions") or ()),
        greet=(raw.get("greet") or "").encode("latin-1"),
        cluster=raw.get("cluster") or "tcp",
        unknown=tuple(sorted(set(raw) - KEYS)),
        expected=Expected(
            envoy_exit=expected["envoy_exit"],
            ready=expected["ready"],
            guest_log=tuple(expected["guest_log"]),
            client=expected.get("client"),
            more_clients=_tuple(expected.get("more_clients")),
            upstream=_tuple(expected.get("upstream")),
            client_got=_tuple(expected.get("client_got")),
            upstream_got=_tuple(expected.get("upstream_got")),
        ),
    )


def _read(path: Path) -> Iterator[Case]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"cannot read cases from {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield parse(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CaseError(f"{path}:{number}: not a recorded case: {error!r}") from error


def load(path: Path) -> list[Case]:
    """All cases of a file, in its order."""
    return list(_read(path))
