"""The page of a trace: what is in it, and what a guest cannot do to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.viewer import page

PROBE = Path(__file__).resolve().parents[2] / "fixtures/probe/probe.wasm"
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@pytest.fixture
def host() -> Iterator[pw.MockHost]:
    """A host whose filter reads two headers, fails at a third hostcall, and logs."""
    script = b"rqh get 0 authorization\nrqh get 0 x-evil\nrqh get 9 x\nrqh log 3 careful"
    with pw.MockHost([pw.Filter(PROBE, configuration=script, name="probe")], engine=get_engine()) as host:
        yield host


def data_of(html: str) -> Any:
    """The data in a page."""
    found = DATA.search(html)
    assert found is not None
    return json.loads(found[1])


def show(host: pw.MockHost, **options: Any) -> str:
    """The page of a host."""
    return page(host.trace, title="test_it", exchanges=host.exchanges, logs=host.logs, **options)


def test_it_needs_nothing_from_elsewhere(host: pw.MockHost) -> None:
    host.get("/")
    html = show(host)
    assert html.startswith("<!doctype html>")
    assert not re.search(r'(src|href)="(?!data:)|@import|url\(|https?://(?!example\.com)', DATA.sub("", html))


def test_callbacks_have_their_time_lane_and_hostcalls_with_reasons(host: pw.MockHost) -> None:
    host.clock.advance(2)
    host.get("/", headers={"x-evil": "v"})
    event = next(one for one in data_of(show(host))["events"] if one["n"] == "proxy_on_request_headers")
    assert (event["t"], event["l"], event["f"], event["r"]) == (2000.0, "client", "probe", "CONTINUE")
    reads = [call for call in event["h"] if call["n"] == "proxy_get_header_map_value"]
    assert [call["s"] for call in reads] == ["NOT_FOUND", "OK", "BAD_ARGUMENT"]
    assert "y" in reads[2]
    assert "y" not in reads[1]


def test_what_a_guest_or_client_sends_stays_data(host: pw.MockHost) -> None:
    evil = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>"
    host.get(f"/?{evil}", headers={"x-evil": evil})
    html = show(host, error=evil)
    assert evil not in html
    assert html.count("</script>") == 2
    assert data_of(html)["error"] == evil


def test_bytes_that_are_no_text_have_hex_beside(host: pw.MockHost) -> None:
    host.get("/", headers={"x-evil": b"\xff\x00a".replace(b"\x00", b"")})
    event = next(one for one in data_of(show(host))["events"] if one["n"] == "proxy_on_request_headers")
    read = next(call for call in event["h"] if call["s"] == "OK" and call["n"] == "proxy_get_header_map_value")
    assert read["r"] == [["value", '"\\xffa"', "ff 61"]]


def test_secrets_are_hidden_wherever_they_are(host: pw.MockHost) -> None:
    host.get("/", headers={"authorization": "Bearer s3cret"}, upstream=pw.Response(200, {"set-cookie": "s3cret"}))

    def leaks(**options: Any) -> bool:
        data = data_of(show(host, **options))
        for event in data["events"]:
            # What a filter says of a secret is its own.
            event["h"] = [call for call in event["h"] if call["n"] != "proxy_log"]
        return "s3cret" in json.dumps(data)

    assert leaks()
    assert not leaks(redact=["Authorization", "set-cookie"])


def test_secrets_are_hidden_in_what_the_test_failed_with(host: pw.MockHost) -> None:
    host.get("/", headers={"authorization": "Bearer s3cret-token", "cookie": "a"})
    error = "assert 'Bearer s3cret-token' == 's3cret-token' in a cat"
    shown = data_of(show(host, error=error, redact=["authorization", "cookie"]))["error"]
    assert shown == "assert '<redacted>' == '<redacted>' in <redacted> cat"
    assert data_of(show(host, error=error))["error"] == error


def test_only_exchanges_of_this_trace_are_shown(host: pw.MockHost) -> None:
    """A host that several tests share has exchanges of all of them."""
    host.get("/of-another-test")
    begin = len(host.trace)
    host.get("/of-this-test")
    data = data_of(page(host.trace[begin:], title="test_it", exchanges=host.exchanges))
    assert [one["title"] for one in data["exchanges"]] == ["GET /of-this-test"]
    assert [event["n"] for event in data["events"] if event.get("x") == [0]] == ["proxy_on_context_create"]


def test_a_reply_of_a_filter_does_not_come_from_the_upstream() -> None:
    with pw.MockHost([pw.Filter(PROBE, configuration=b"rqh local 403 why no -1")], engine=get_engine()) as host:
        host.get("/")
        events = data_of(show(host))["events"]
    assert [event["l"] for event in events if event["n"] == "proxy_on_response_headers"] == ["host"]
    (reply,) = [call for event in events for call in event["h"] if call["n"] == "proxy_send_local_response"]
    assert (reply["l"], reply["o"]) == ("client", "403")


def test_an_exchange_shows_what_the_filters_changed() -> None:
    script = b"rqh add 0 x-new 1\nrqh rem 0 x-old"
    with pw.MockHost([pw.Filter(PROBE, configuration=script)], engine=get_engine()) as host:
        host.get("/p", headers={"x-old": "o"})
        (exchange,) = data_of(show(host))["exchanges"]
    assert exchange["title"] == "GET /p"
    assert exchange["request_changes"] == [["-", "x-old", "o"], ["+", "x-new", "1"]]
    assert exchange["request"]["headers"][0] == [":method", "GET"]


def test_the_maps_of_a_callout_are_rows() -> None:
    asks = b"rqh http aux 1000 '' :method GET :path / :authority a\nrqh ret 1"
    filter = pw.Filter(PROBE, configuration=asks)
    with pw.MockHost([filter], engine=get_engine(), clusters={"aux": pw.Response(200)}) as host:
        with pytest.raises(pw.StreamStalled):
            host.get("/")
        events = data_of(show(host))["events"]
    (call,) = (call for event in events for call in event["h"] if call["n"] == "proxy_http_call")
    fields = {name: value for name, *value in call["a"]}
    assert fields["headers"] == [[[":method", '"GET"'], [":path", '"/"'], [":authority", '"a"']]]


def test_a_long_value_is_cut_and_says_how_long_it_is(host: pw.MockHost) -> None:
    host.get("/", headers={"x-evil": "v" * 5000})
    event = next(one for one in data_of(show(host))["events"] if one["n"] == "proxy_on_request_headers")
    read = next(call for call in event["h"] if call["s"] == "OK" and call["n"] == "proxy_get_header_map_value")
    assert read["r"] == [["value", '"' + "v" * 4096 + '"... (5000 bytes)']]
