"""Strategies for header names, values and maps; knows what Envoy lets pass."""

from __future__ import annotations

from functools import lru_cache

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


_TOKENS = st.text(_LETTERS, min_size=1, max_size=6).map(lambda text: f"x-{text}")
_ODD_TOKENS = st.text("abz019-_.!#$%&'*+^`|~", min_size=1, max_size=12).filter(is_free)
_COMMON = st.sampled_from(COMMON)
_KINDS = st.integers(0, 9)


@lru_cache(maxsize=64)
def _known_names(words: vocabulary.Words) -> st.SearchStrategy[str]:
    names = [name for name in words.names if is_free(name)]
    return st.sampled_from(names) if names else _COMMON


@st.composite
def _names(draw: st.DrawFn) -> str:
    kind = draw(_KINDS)
    if kind < 3:
        return draw(_TOKENS)
    if kind < 7:
        return draw(_known_names(vocabulary.current()))
    return draw(_COMMON if kind < 9 else _ODD_TOKENS)


_ALL_NAMES = _names()


def header_names() -> st.SearchStrategy[str]:
    """Names of headers, in lower case: common ones, those the filter under test asks for, and any token.

    Shrinks to ``"x-a"``. Pseudo headers and headers that say how a message travels are not among them.
    """
    return _ALL_NAMES


_PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
_FILLERS = st.sampled_from("a,; %")
_STRANGE = st.lists(st.sampled_from(_OBS), min_size=1, max_size=8).map(bytes)
_TYPICAL = st.sampled_from(_PLAIN)
_TYPICAL_ASCII = st.sampled_from([one for one in _PLAIN if one.isascii()])


@lru_cache(maxsize=64)
def _known_texts(words: vocabulary.Words) -> st.SearchStrategy[str]:
    texts = [*words.texts, *(f"Bearer {text}" for text in words.texts)]
    return st.sampled_from([text for text in texts if text.isascii()] or _PLAIN)


@st.composite
def _values(draw: st.DrawFn, obs_text: bool, max_size: int) -> bytes:
    kind = draw(_KINDS)
    if kind < 4:
        return draw(_TYPICAL if obs_text else _TYPICAL_ASCII).encode()
    if kind == 4:
        return draw(_PRINTABLE).encode()
    if kind == 5:
        text = draw(_known_texts(vocabulary.current()))
        return text.encode() if obs_text or text.isascii() else b"1"
    if kind == 6:
        size = draw(st.integers(1, max_size))
        return (b"a" + draw(_FILLERS).encode() * size)[: max_size - 1] + b"a"
    if not obs_text:
        return draw(_PRINTABLE).encode()
    if kind == 9:
        return draw(_STRANGE)
    return draw(_TYPICAL).encode() + b"\xff"


_ALL_VALUES = _values(True, 4096)


def header_values(*, obs_text: bool = True, max_size: int = 4096) -> st.SearchStrategy[bytes]:
    """Values of headers: bytes without control characters, and without blanks at their ends.

    Among them are empty ones, numbers, words of the filter's configuration, long ones, and bytes that are no UTF-8.
    Shrinks to ``b"1"``.

    Args:
        obs_text: whether there may be bytes over 127, which HTTP allows and which need not be UTF-8.
        max_size: of the long ones.
    """
    return _ALL_VALUES if obs_text and max_size == 4096 else _values(obs_text, max_size)


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
    if names is None and values is None:
        one = _PAIRS
    else:
        one = st.tuples(names if names is not None else _ALL_NAMES, values if values is not None else _ALL_VALUES)
    pairs = draw(st.lists(one, max_size=max_size, unique_by=None if repeats else _name_of))
    if repeats and pairs and draw(_REPEAT) == 4:
        again = draw(st.sampled_from(pairs))[0]
        pairs = [*pairs, (again, draw(one)[1])]
    return Headers(pairs)


_PAIRS = st.tuples(_ALL_NAMES, _ALL_VALUES)
_REPEAT = st.integers(0, 4)


def _name_of(pair: tuple[str, bytes]) -> str:
    return pair[0]


_TRAILER_NAMES = _ALL_NAMES.filter(lambda name: name not in ("authorization", "cookie", "set-cookie"))


def trailers(*, max_size: int = 3) -> st.SearchStrategy[Headers]:
    """Trailers; there may be none. Shrinks to none."""
    return headers(names=_TRAILER_NAMES, max_size=max_size)
