"""A mutable header map with Envoy's rules of order, aliases and repeats; knows no stream."""

from __future__ import annotations

from collections.abc import Iterable

Pair = tuple[bytes, bytes]

_SHARED = """
cache-control connection content-encoding content-length content-type keep-alive proxy-connection proxy-status
transfer-encoding upgrade via x-request-id x-envoy-decorator-operation x-envoy-attempt-count
""".split()
_REQUEST = """
:authority :method :path :protocol :scheme accept accept-encoding access-control-request-headers
access-control-request-method access-control-request-private-network authentication authorization expect
grpc-accept-encoding grpc-timeout if-match if-modified-since if-none-match if-range if-unmodified-since origin pragma
referer te user-agent x-client-trace-id x-envoy-original-host x-forwarded-client-cert x-forwarded-for x-forwarded-host
x-forwarded-port x-forwarded-proto x-envoy-downstream-service-cluster x-envoy-downstream-service-node
x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-force-trace x-envoy-hedge-on-per-try-timeout
x-envoy-internal x-envoy-ip-tags x-envoy-is-timeout-retry x-envoy-max-retries x-envoy-original-path
x-envoy-original-url x-envoy-retry-grpc-on x-envoy-retry-on x-envoy-retriable-header-names
x-envoy-retriable-status-codes x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-per-try-timeout-ms
x-envoy-upstream-rq-timeout-alt-response x-envoy-upstream-rq-timeout-ms x-envoy-upstream-stream-duration-ms
""".split()
_RESPONSE = """
:status access-control-allow-credentials access-control-allow-headers access-control-allow-methods
access-control-allow-origin access-control-allow-private-network access-control-expose-headers access-control-max-age
age date etag expires grpc-message grpc-status last-modified location server vary x-envoy-degraded
x-envoy-immediate-health-check-fail x-envoy-ratelimited x-envoy-upstream-canary x-envoy-upstream-healthchecked-cluster
x-envoy-upstream-service-time
""".split()


def _names(*groups: list[str]) -> frozenset[bytes]:
    return frozenset(name.encode() for group in groups for name in group)


REQUEST_INLINE = _names(_SHARED, _REQUEST)
"""Request headers that hold one value: a second one is joined with a comma (Envoy's inline headers).

Envoy has these of its own, and those that its extensions register (CORS, caches, compression). Measured in Envoy 1.40
by adding 140 names twice to each map.
"""
RESPONSE_INLINE = _names(_SHARED, _RESPONSE)
"""The same of responses."""
TRAILER_INLINE = _names(["grpc-message", "grpc-status"])
"""The same of response trailers."""


class HeaderMap:
    """Headers as Envoy keeps them.

    Names are lower case. Pseudo headers stand before all others, in the order they were set. A header that exists is
    kept beside a second one of its name, unless it is one that holds a single value: then the values are joined.
    Replacing removes all entries of a name and puts one at the end (of the pseudo headers, for a pseudo header).
    In request headers ``host`` means ``:authority``.
    """

    __slots__ = ("_inline", "_request", "entries")

    def __init__(
        self,
        entries: Iterable[Pair] = (),
        *,
        inline: frozenset[bytes] = frozenset(),
        request: bool = False,
    ) -> None:
        self._inline = inline
        self._request = request
        self.entries: list[Pair] = []
        for name, value in entries:
            self.add(name, value)

    @classmethod
    def request(cls, entries: Iterable[Pair] = ()) -> HeaderMap:
        """Request headers."""
        return cls(entries, inline=REQUEST_INLINE, request=True)

    @classmethod
    def response(cls, entries: Iterable[Pair] = ()) -> HeaderMap:
        """Response headers."""
        return cls(entries, inline=RESPONSE_INLINE)

    @classmethod
    def trailers(cls, entries: Iterable[Pair] = ()) -> HeaderMap:
        """Trailers of a response."""
        return cls(entries, inline=TRAILER_INLINE)

    @classmethod
    def request_trailers(cls, entries: Iterable[Pair] = ()) -> HeaderMap:
        """Trailers of a request: none of them holds one value only."""
        return cls(entries)

    def _key(self, name: bytes) -> bytes:
        key = name.lower()
        return b":authority" if self._request and key == b"host" else key

    def get(self, name: bytes) -> bytes | None:
        """The first value."""
        key = self._key(name)
        for k, v in self.entries:
            if k == key:
                return v
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """All values in order."""
        key = self._key(name)
        return [v for k, v in self.entries if k == key]

    def add(self, name: bytes, value: bytes) -> None:
        """Add an entry, or join a single-value header (``a,b``)."""
        key = self._key(name)
        if key in self._inline:
            for i, (k, v) in enumerate(self.entries):
                if k == key:
                    self.entries[i] = (k, v + b"," + value if v and value else v or value)
                    return
        self._insert(key, value)

    def _insert(self, key: bytes, value: bytes) -> None:
        if not key.startswith(b":"):
            self.entries.append((key, value))
            return
        end = next((i for i, (k, _) in enumerate(self.entries) if not k.startswith(b":")), len(self.entries))
        self.entries.insert(end, (key, value))

    def replace(self, name: bytes, value: bytes) -> None:
        """Make this the only value of a name."""
        self.remove(name)
        self._insert(self._key(name), value)

    def set(self, name: bytes, value: bytes) -> None:
        """Give a name this value in place, as Envoy's own code does; add it if absent."""
        key = self._key(name)
        for i, (k, _) in enumerate(self.entries):
            if k == key:
                self.entries[i] = (k, value)
                return
        self._insert(key, value)

    def remove(self, name: bytes) -> None:
        """Remove all entries of a name."""
        key = self._key(name)
        self.entries[:] = [entry for entry in self.entries if entry[0] != key]

    def replace_all(self, entries: Iterable[Pair]) -> None:
        """Replace the whole map."""
        self.entries.clear()
        for name, value in entries:
            self.add(name, value)

    def copy(self) -> HeaderMap:
        """A map with the same entries that changes on its own."""
        other = HeaderMap(inline=self._inline, request=self._request)
        other.entries = list(self.entries)
        return other

    @property
    def byte_size(self) -> int:
        """The bytes of all names and values (what Envoy answers for the size of a map)."""
        return sum(len(k) + len(v) for k, v in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: bytes) -> bool:
        return self.get(name) is not None

    def __repr__(self) -> str:
        return f"HeaderMap({self.entries!r})"
