"""Request headers as they leave Envoy's codecs."""

from __future__ import annotations

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.host.http.codec import request_map


def after_pseudo(headers: list[tuple[str, str]], version: str) -> list[tuple[bytes, bytes]]:
    """The headers behind the pseudo headers."""
    request = pw.Request(headers=headers)
    return [pair for pair in request_map(request.headers, request, version).entries if not pair[0].startswith(b":")]


@pytest.mark.parametrize(
    ("cookies", "joined"),
    [(["a"], b"a"), (["a", "b"], b"a; b"), (["a", ""], b"a; "), (["", "a"], b"; a"), ([""], None)],
)
def test_cookies_of_http2_are_joined_behind_all_others(cookies: list[str], joined: bytes | None) -> None:
    """Envoy 1.40."""
    sent = [*(("cookie", cookie) for cookie in cookies), ("x", "1")]
    assert after_pseudo(sent, "2") == [(b"x", b"1"), *([(b"cookie", joined)] if joined is not None else [])]


def test_cookies_of_http11_stay_where_they_are() -> None:
    assert after_pseudo([("cookie", "a"), ("x", "1"), ("cookie", "")], "1.1") == [
        (b"cookie", b"a"),
        (b"x", b"1"),
        (b"cookie", b""),
    ]
