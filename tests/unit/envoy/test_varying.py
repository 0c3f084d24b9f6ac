"""What differs by nature in Envoy becomes what the mock has in its place; everything else stays."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.envoy.varying import Varying
from pytest_proxywasm.headers import Headers
from pytest_proxywasm.host.clock import START_NS

ID = b"899b48ef-353d-451d-8d01-fe1641f98546"
START = b"Wed, 01 Jan 2020 00:00:00 GMT"


@pytest.fixture
def varying() -> Varying:
    """Of an Envoy that listens on port 1111; its upstream has port 2222."""
    return Varying(1111, 2222)


def test_request_ids_count_requests(varying: Varying) -> None:
    varying.begin(3001)
    varying.begin(3002)
    varying.request(Headers.from_raw([(b"x-request-id", ID)]))
    assert varying.data(b"id=" + ID) == b"id=00000000-0000-4000-8000-000000000002"
    other = ID.replace(b"8", b"7")
    assert varying.data(other) == other


def test_a_request_id_of_the_client_stays(varying: Varying) -> None:
    varying.begin(3001, ID)
    varying.request(Headers.from_raw([(b"x-request-id", ID)]))
    assert varying.data(ID) == ID


def test_times_since_the_start_are_the_mocks(varying: Varying) -> None:
    now = time.time()
    for unit in (1, 10**3, 10**6, 10**9):
        assert varying.number(int(now * unit)) == START_NS * unit // 10**9
        assert varying.data(b"at %d." % int(now * unit)) == b"at %d." % (START_NS * unit // 10**9)
    assert varying.header(b"date", formatdate(now, usegmt=True).encode()) == START


def test_times_of_the_test_stay(varying: Varying) -> None:
    for value in (b"Mon, 01 Jan 2024 00:00:00 GMT", b"1700000000", b"Mon, 99 Jan 2024 00:00:00 GMT", b"17"):
        assert varying.header(b"date", value) == value


def test_ports_are_the_mocks(varying: Varying) -> None:
    varying.begin(3001)
    varying.upstream_connection(3003)
    text = b"127.0.0.1:1111 127.0.0.1:2222 127.0.0.1:3001 127.0.0.1:3003 127.0.0.1:4"
    assert varying.data(text) == b"127.0.0.1:10000 127.0.0.1:8080 127.0.0.1:40001 127.0.0.1:50001 127.0.0.1:4"
    assert varying.property(["source", "port"], (3001).to_bytes(8, "little")) == (40001).to_bytes(8, "little")
    assert varying.property(["connection", "id"], (77).to_bytes(8, "little")) == (1).to_bytes(8, "little")
    varying.begin_again()
    assert varying.data(b"127.0.0.1:3001") == b"127.0.0.1:3001"


def test_service_times_are_what_the_upstream_was_told(varying: Varying) -> None:
    name = b"x-envoy-upstream-service-time"
    assert varying.header(name, b"12") == b"0"
    varying.service_ms = 2000
    assert varying.header(name, b"2003") == b"2000"
    assert varying.data(b'{"%s":"2003"}' % name) == b'{"%s":"2000"}' % name
    assert varying.property(["response", "headers", name.decode()], b"2003") == b"2000"
    assert varying.property(["request", "duration"], (2003 * 10**6).to_bytes(8, "little")) == (2 * 10**9).to_bytes(
        8, "little"
    )


def test_whole_messages(varying: Varying) -> None:
    varying.begin(3001)
    request = pw.Request("POST", "/?from=127.0.0.1:3001", {"x": "127.0.0.1:3001"}, "127.0.0.1:3001", {"t": "1"})
    arrived = varying.arrived(request)
    assert (arrived.path, arrived.headers["x"], arrived.body) == (
        "/?from=127.0.0.1:40001",
        "127.0.0.1:40001",
        b"127.0.0.1:40001",
    )
    answered = varying.answered(pw.Response(201, {"x": "127.0.0.1:3001"}, "127.0.0.1:3001", {"t": "2"}))
    assert (answered.status, answered.body, answered.trailers["t"]) == (201, b"127.0.0.1:40001", "2")
