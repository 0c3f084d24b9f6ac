"""Strategies for header names, values and maps; knows what Envoy lets pass."""

from __future__ import annotations

from hypothesis import strategies as st

from ..headers import Headers
from . import vocabulary

NOT_FREE = frozenset(
    """
    host connection content-length expect keep-alive proxy-connection te trailer transfer-encoding upgrade
    x-forwarded-proto
    """.split()
)
"""Headers that say how a message travels: they are drawn with the message, or belong to the proxy."""

COMMON = """
user-agent accept accept-encoding accept-language authorization cache-control content-encoding content-type cookie date
etag expires forwarded from if-match if-modified-since if-none-match link location max-forwards origin pragma range
referer server set-cookie traceparent vary via x-api-key x-auth-token x-b3-traceid x-client-id x-correlation-id
x-csrf-token x-debug x-device-id x-forwarded-for x-forwarded-host x-real-ip x-request-id x-session-id x-tenant
x-tenant-id x-token x-trace-id x-user x-user-id
""".split()

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PLAIN = (
    "1",
    "a",
    "",
    "0",
    "-1",
    "true",
    "a=1",
    "a, b",
    "a;b",
    "session",
    "session=1",
    "Bearer a",
    "Basic YTpi",
    "text/plain",
    "application/json",
    "gzip",
    "*",
    "en-US,en;q=0.9",
    "Mozilla/5.0",
    "127.0.0.1",
    "::1",
    "https://example.com/",
    "007",
    "1e3",
    "99999999999999999999",
    '"',
    "{}",
    "%",
    ",",
    "é",
)
_OBS = bytes([*range(0x21, 0x7F), *range(0x80, 0x100)])


def is_free(name: str) -> bool:
    """Whether a client may send the header as it likes, and a filter sees it."""
    return name not in NOT_FREE and not name.startswith((":", "x-envoy-"))


def header_names() -> st.SearchStrategy[str]:
    """Names of headers, in lower case: common ones, those the filter under test asks for, and any token.

    Shrinks to ``"x-a"``. Pseudo headers and headers that say how a message travels are not among them.
    """
    token = st.text(_LETTERS, min_size=1, max_size=6).map(lambda text: f"x-{text}")
    odd = st.text("abz019-_.!#$%&'*+^`|~", min_size=1, max_size=12).filter(is_free)

    def known(_: None) -> st.SearchStrategy[str]:
        names = [name for name in vocabulary.current().names if is_free(name)]
        return st.sampled_from(names) if names else st.sampled_from(COMMON)

    learned = st.none().flatmap(known)
    return st.one_of(token, learned, st.sampled_from(COMMON), learned, odd)


def header_values(*, obs_text: bool = True, max_size: int = 4096) -> st.SearchStrategy[bytes]:
    """Values of headers: bytes without control characters, and without blanks at their ends.

    Among them are empty ones, numbers, words of the filter's configuration, long ones, and bytes that are no UTF-8.
    Shrinks to ``b"1"``.

    Args:
        obs_text: whether there may be bytes over 127, which HTTP allows and which need not be UTF-8.
        max_size: of the long ones.
    """

    def known(_: None) -> st.SearchStrategy[str]:
        texts = vocabulary.current().texts
        words = [*texts, *(f"Bearer {text}" for text in texts)]
        return st.sampled_from(words) if words else st.sampled_from(_PLAIN)

    plain = st.sampled_from(_PLAIN if obs_text else [one for one in _PLAIN if one.isascii()])
    printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
    long = st.builds(lambda letter, size: letter * size, st.sampled_from("a,; %"), st.integers(1, max_size))
    texts = st.one_of(plain, printable, st.none().flatmap(known), plain, long.map(lambda text: f"a{text}a"[:max_size]))
    encoded = texts.map(lambda text: text.encode())
    if not obs_text:
        return encoded
    strange = st.lists(st.sampled_from(_OBS), min_size=1, max_size=8).map(bytes)
    return st.one_of(encoded, st.builds(lambda value: value + b"\xff", strange | st.just(b"")), strange)


@st.composite
def headers(
    draw: st.DrawFn,
    *,
    names: st.SearchStrategy[str] | None = None,
    values: st.SearchStrategy[bytes] | None = None,
    max_size: int = 6,
    repeats: bool = True,
) -> Headers:
    """Headers without pseudo headers and without those that say how a message travels.

    Shrinks to none.

    Args:
        max_size: of different names.
        repeats: whether a name may come several times, in a row or not.
    """
    names = names if names is not None else header_names()
    values = values if values is not None else header_values()
    pairs = draw(st.lists(st.tuples(names, values), max_size=max_size, unique_by=None if repeats else lambda p: p[0]))
    if repeats and pairs and draw(st.integers(0, 4)) == 4:
        again = draw(st.sampled_from(pairs))[0]
        pairs = [*pairs, (again, draw(values))]
    return Headers([(name, value) for name, value in pairs])


def trailers(*, max_size: int = 3) -> st.SearchStrategy[Headers]:
    """Trailers; there may be none. Shrinks to none."""
    names = header_names().filter(lambda name: name not in ("authorization", "cookie", "set-cookie"))
    return headers(names=names, max_size=max_size)
