"""What the connection manager and the router do to header maps."""

from __future__ import annotations

import pytest

from pytest_proxywasm.host.headermap import HeaderMap, Pair
from pytest_proxywasm.host.http.connection_manager import finish_response_headers, prepare_request_headers, status_of
from pytest_proxywasm.host.http.router import mend_scheme, prepare_upstream_headers
from pytest_proxywasm.host.proxy import Proxy

REQUEST_ID = b"x-request-id"


def prepared(*pairs: Pair, http1: bool = True) -> list[Pair]:
    """What becomes of these request headers, but for the request id."""
    headers = HeaderMap.request([(b":scheme", b"http"), *pairs])
    prepare_request_headers(headers, Proxy(), http1=http1)
    return [pair for pair in headers.entries if pair[0] != REQUEST_ID]


PLAIN = [(b":scheme", b"http"), (b"x-forwarded-proto", b"http")]


@pytest.mark.parametrize("name", [b"connection", b"expect", b"keep-alive", b"upgrade", b"transfer-encoding"])
def test_hop_by_hop_headers_are_taken_away(name: bytes) -> None:
    """No filter sees them."""
    assert prepared((name, b"x")) == PLAIN


def test_what_connection_names_goes_too() -> None:
    """And nothing else."""
    assert prepared((b"connection", b"X-A, close"), (b"x-a", b"1"), (b"x-b", b"2"))[1:2] == [(b"x-b", b"2")]


@pytest.mark.parametrize(
    ("value", "left"), [(b"gzip", []), (b"trailers", [b"trailers"]), (b"x, Trailers", [b"trailers"])]
)
def test_te_is_trailers_or_nothing(value: bytes, left: list[bytes]) -> None:
    """Measured in Envoy 1.40."""
    assert [value for name, value in prepared((b"te", value)) if name == b"te"] == left


@pytest.mark.parametrize("name", [b"x-envoy-internal", b"x-envoy-retry-on", b"x-forwarded-client-cert"])
def test_internal_headers_of_outside_requests_are_taken_away(name: bytes) -> None:
    """Otherwise clients could steer the router."""
    assert prepared((name, b"1")) == PLAIN


def test_other_envoy_headers_stay() -> None:
    """Not all of that prefix are internal."""
    assert (b"x-envoy-original-path", b"/") in prepared((b"x-envoy-original-path", b"/"))


def test_scheme_follows_x_forwarded_proto() -> None:
    """Over HTTP/1.1, and only if it is one."""
    assert prepared((b"x-forwarded-proto", b"https"))[0] == (b":scheme", b"https")
    assert prepared((b"x-forwarded-proto", b"ftp"))[0] == (b":scheme", b"http")
    assert prepared((b"x-forwarded-proto", b"https"), http1=False)[0] == (b":scheme", b"http")


def test_responses_lose_upgrade_and_keep_keep_alive() -> None:
    """Measured in Envoy 1.40."""
    headers = HeaderMap.response([(b":status", b"200"), (b"upgrade", b"h2c"), (b"keep-alive", b"5")])
    finish_response_headers(headers, 0, close=False)
    assert b"keep-alive" in headers
    assert b"upgrade" not in headers


def test_force_trace_returns_the_request_id() -> None:
    """Where a filter has added it."""
    request = HeaderMap.request([(b"x-envoy-force-trace", b"1"), (REQUEST_ID, b"r")])
    headers = HeaderMap.response([(b":status", b"200")])
    finish_response_headers(headers, 0, close=False, request=request)
    assert headers.get(REQUEST_ID) == b"r"


@pytest.mark.parametrize(
    ("value", "status"), [(b"200", 200), (b" 200 ", 200), (b"+200", 200), (b"0200", 200), (b"-1", None), (b"2e2", None)]
)
def test_statuses_are_read_leniently(value: bytes, status: int | None) -> None:
    """Measured in Envoy 1.40."""
    assert status_of(HeaderMap.response([(b":status", value)])) == status


@pytest.mark.parametrize(
    ("pairs", "expected", "timeout"),
    [
        ([], b"15000", 15_000),
        ([(b"x-envoy-upstream-rq-timeout-ms", b"200")], b"200", 200),
        ([(b"x-envoy-upstream-rq-timeout-ms", b"0")], None, 0),
        ([(b"x-envoy-upstream-rq-per-try-timeout-ms", b"50")], b"50", 15_000),
    ],
)
def test_timeouts_that_filters_ask_for(pairs: list[Pair], expected: bytes | None, timeout: int) -> None:
    """The router takes them out and tells the upstream."""
    headers = HeaderMap.request(pairs)
    assert prepare_upstream_headers(headers).timeout_ns == timeout * 1_000_000
    assert headers.get(b"x-envoy-expected-rq-timeout-ms") == expected
    assert all(name not in headers for name, _ in pairs)


@pytest.mark.parametrize(
    ("scheme", "forwarded", "sent"),
    [(b"x", b"http", b"http"), (b"x", b"https", b"https"), (b"https", b"http", b"https")],
)
def test_the_router_mends_the_scheme(scheme: bytes, forwarded: bytes, sent: bytes) -> None:
    """Where a filter left none that it knows."""
    headers = HeaderMap.request([(b":scheme", scheme), (b"x-forwarded-proto", forwarded)])
    mend_scheme(headers)
    assert headers.get(b":scheme") == sent


REFERERS = r"""
/ a 1 a=1 /a?b /a:b http://h/p http://h https://h:80/p?q ftp://h/ //h/p text/plain x://h HTTP://h * % %zz
/~;,:@!$&'()*+= ? http://h?x http://[::1]/ a.b-c_d~ http://h/{}
""".split()
NO_REFERERS = r"""
/a#b a:b http://u@h/ http://h/#f http:// about:blank http://h:99999/ http://h:x/ http:/h ~;,:@!$&'()*+= [ { | " < ^ ` \
http://a_b/ h:80 1:2 http: ://h
""".split()


@pytest.mark.parametrize("value", ["", *REFERERS])
def test_a_referer_is_a_url(value: str) -> None:
    """Measured in Envoy 1.40."""
    assert (b"referer", value.encode()) in prepared((b"referer", value.encode()))


@pytest.mark.parametrize("value", ["a b", "a=1; b=2", "/\xff", "http://\xe9/", "http://h/a b", *NO_REFERERS])
def test_what_is_no_url_is_taken_away(value: str) -> None:
    """Measured in Envoy 1.40."""
    assert prepared((b"referer", value.encode("latin-1"))) == PLAIN


def test_an_empty_request_id_is_none() -> None:
    """It is replaced where it stands (Envoy 1.40)."""
    headers = HeaderMap.request([(b":scheme", b"http"), (REQUEST_ID, b""), (b"x", b"1")])
    prepare_request_headers(headers, Proxy())
    assert headers.entries[1][0] == REQUEST_ID
    assert headers.get(REQUEST_ID) == b"00000000-0000-4000-8000-000000000001"
