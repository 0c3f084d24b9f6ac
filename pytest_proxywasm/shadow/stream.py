"""`ShadowedStream`: a stream that a test drives by hand, and what it does noted for Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import FilterError
from ..headers import Headers, HeadersLike, Text
from ..mock.stream import HttpStream
from ..model import Action, Request, Upstream
from .scene import BY_HAND, Part

if TYPE_CHECKING:
    from .host import ShadowedHost

__all__ = ["ShadowedStream"]


class ShadowedStream(HttpStream):
    """A stream of the mock; steps that a real peer cannot take so keep it from being compared."""

    def __init__(self, host: ShadowedHost, part: Part, upstream: Upstream | None) -> None:
        super().__init__(host, part.core, upstream)
        self._shadowed = host
        self._part = part

    def request_headers(self, headers: HeadersLike = (), end_of_stream: bool = False) -> Action | None:
        """The client sends its headers."""
        if not end_of_stream:
            self._give_up()
        with self._without_failures():
            action = super().request_headers(headers, end_of_stream)
        self._part.request = Request(headers=Headers(headers))
        self._shadowed._note("request", self._part)
        return action

    def reset(self, peer: str = "downstream") -> None:
        """One side breaks off."""
        if peer != "downstream":
            self._give_up()
        with self._without_failures():
            super().reset(peer)
        self._part.gone = True
        self._shadowed._note("gone", self._part)

    def request_body(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The client sends a piece of its body."""
        self._give_up()
        return super().request_body(data, end_of_stream)

    def request_trailers(self, trailers: HeadersLike) -> Action | None:
        """The client sends its trailers."""
        self._give_up()
        return super().request_trailers(trailers)

    def response_headers(self, headers: HeadersLike = (), end_of_stream: bool = False) -> Action | None:
        """The upstream sends its headers."""
        self._give_up()
        return super().response_headers(headers, end_of_stream)

    def response_body(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The upstream sends a piece of its body."""
        self._give_up()
        return super().response_body(data, end_of_stream)

    def response_trailers(self, trailers: HeadersLike) -> Action | None:
        """The upstream sends its trailers."""
        self._give_up()
        return super().response_trailers(trailers)

    def refuse(self) -> None:
        """The upstream cannot be connected to."""
        self._give_up()
        super().refuse()

    @contextmanager
    def _without_failures(self) -> Iterator[None]:
        """A step in which the filter fails is not played."""
        try:
            yield
        except FilterError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        scene = self._shadowed._scene
        if scene is not None:
            scene.reason = BY_HAND
