"""TCP connections in the mock host. What the callbacks were, and in which order, was seen in Envoy 1.40."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm import Action, Filter, FilterError, GuestTrap, MockHost, Response, Status, TcpStream, UsageError
from pytest_proxywasm.engine import get_engine

PROBE = Path(__file__).resolve().parents[3] / "fixtures" / "probe" / "probe.wasm"


@pytest.fixture(scope="module", params=["wasmtime", "wasmer"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Each engine."""
    if request.param == "wasmer" and sys.version_info >= (3, 11):
        pytest.skip("wasmer has wheels for CPython 3.10 and older only")
    return get_engine(request.param)


class Probe:
    """Hosts with the probe guest, whose configuration is a script: lines ``event operation``.

    ``#n`` after the event: only the n-th time; ``$``: only with the end of stream; ``!``: only without it.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._hosts: list[MockHost] = []

    def filter(self, *script: str, **options: Any) -> Filter:
        """One filter."""
        return Filter(PROBE.read_bytes(), configuration="\n".join(script).encode(), **options)

    def host(self, *filters: Filter, **options: Any) -> MockHost:
        """A TCP host; ends with the test."""
        host = MockHost(filters, engine=self._engine, **{"protocol": "tcp", **options})
        self._hosts.append(host)
        host.logs.clear()
        return host

    def run(self, *script: str, **options: Any) -> tuple[MockHost, TcpStream]:
        """A host with one filter, and one connection to it."""
        host = self.host(self.filter(*script), **options)
        return host, host.connect()

    def close(self) -> None:
        """End all hosts."""
        for host in self._hosts:
            host.close()


@pytest.fixture
def probe(engine: Any) -> Iterator[Probe]:
    """Hosts with the probe guest."""
    made = Probe(engine)
    yield made
    made.close()


def seen(host: MockHost) -> list[str]:
    """The callbacks so far, with arguments and results other than the usual; and what hostcalls said."""
    lines: list[str] = []
    for log in host.logs:
        who = f"{log.filter}: " if log.filter else ""
        callback = re.match(r"CB (\w+) ctx=\d+(.*)", log.message)
        result = re.match(r"RET (\w+) = (\d+)", log.message)
        operation = re.match(r"  OP (.*)", log.message)
        if callback:
            lines.append(f"{who}{callback[1]}{callback[2]}")
        elif operation:
            lines.append(f"  {operation[1].partition(' [')[0]}")
        elif result and result[2] != {"done": "1"}.get(result[1], "0"):
            lines.append(f"  returned {result[2]}")
    return lines


BEGIN = ["context_create 1", "new_connection"]
END = ["done", "log", "delete"]


def after_begin(host: MockHost) -> list[str]:
    """The callbacks after those of the new connection."""
    lines = seen(host)
    assert lines[:2] == BEGIN
    return lines[2:]


# Ends.


def test_a_connection_from_its_beginning_to_its_end(probe: Probe) -> None:
    """Facts M1 and M2: done comes before log."""
    host, tcp = probe.run()
    assert tcp.downstream_data("hello") is Action.CONTINUE
    assert tcp.upstream_data(b"E:hello") is Action.CONTINUE
    tcp.close()
    assert seen(host) == [
        *BEGIN,
        "downstream_data 5 0",
        "upstream_data 7 0",
        "downstream_data 0 1",
        "upstream_data 0 1",
        "upstream_connection_close 0",
        "downstream_connection_close 1",
        *END,
    ]
    assert (tcp.sent_upstream, tcp.sent_downstream) == (b"hello", b"E:hello")
    assert (tcp.closed_by, tcp.finished, tcp.paused) == ("downstream", True, False)
    assert tcp.actions == [Action.CONTINUE] * 5


def test_an_upstream_that_closes_first(probe: Probe) -> None:
    """Fact M3: the client's answer closes the connection, so the peer type is remote."""
    host, tcp = probe.run()
    tcp.close(peer="upstream")
    assert after_begin(host) == [
        "upstream_data 0 1",
        "upstream_connection_close 0",
        "downstream_data 0 1",
        "downstream_connection_close 2",
        *END,
    ]
    assert tcp.closed_by == "upstream"


def test_a_half_closed_client_still_gets_data(probe: Probe) -> None:
    """Until the upstream ends its half too."""
    host, tcp = probe.run()
    assert tcp.downstream_data(b"ask", end_of_stream=True) is Action.CONTINUE
    assert (tcp.upstream_complete, tcp.downstream_complete, tcp.closed_by) == (True, False, None)
    tcp.upstream_data(b"answer")
    tcp.upstream_data(b"!", end_of_stream=True)
    assert (tcp.sent_downstream, tcp.downstream_complete, tcp.closed_by) == (b"answer!", True, "downstream")
    assert after_begin(host) == [
        "downstream_data 3 1",
        "upstream_data 6 0",
        "upstream_data 1 1",
        "upstream_connection_close 0",
        "downstream_connection_close 1",
        *END,
    ]


def test_a_half_closed_upstream_still_gets_data(probe: Probe) -> None:
    """And so does the other direction."""
    host, tcp = probe.run()
    tcp.upstream_data(end_of_stream=True)
    tcp.downstream_data(b"late")
    assert tcp.sent_upstream == b"late"
    tcp.close(peer="upstream")
    assert tcp.closed_by == "upstream"
    assert after_begin(host)[-6:] == [
        "downstream_data 4 0",
        "downstream_data 0 1",
        "downstream_connection_close 2",
        *END,
    ]


@pytest.mark.parametrize(("peer", "kind"), [("downstream", 2), ("upstream", 1)])
def test_a_reset_closes_at_once(probe: Probe, peer: str, kind: int) -> None:
    """Fact M3: without any end of stream, also when a filter holds data, which is lost."""
    host, tcp = probe.run("down ret 1")
    tcp.downstream_data(b"x")
    tcp.close(peer=peer, reset=True)
    assert after_begin(host) == ["downstream_data 1 0", "  returned 1", f"downstream_connection_close {kind}", *END]
    assert (tcp.closed_by, tcp.sent_upstream) == (peer, b"")


def test_an_upstream_that_cannot_be_connected_to(probe: Probe) -> None:
    """Fact M3, and what properties say then."""
    paths = ("upstream.local_address", "upstream.transport_failure_reason", "response.flags")
    host, tcp = probe.run(*(f"log prop {path}" for path in paths))
    tcp.refuse()
    assert after_begin(host) == [
        "downstream_connection_close 1",
        "done",
        "log",
        "  prop upstream.local_address -> 1 (out untouched)",
        "  prop upstream.transport_failure_reason -> 0 ptr=nz n=41 d=delayed connect error: Connection refused",
        r"  prop response.flags -> 0 ptr=nz n=8 d= \x80\x00\x00\x00\x00\x00\x00",
        "delete",
    ]
    assert tcp.closed_by == "upstream"


def test_an_upstream_that_has_been_used_cannot_refuse(probe: Probe) -> None:
    """It is connected."""
    _, tcp = probe.run()
    tcp.downstream_data(b"x")
    with pytest.raises(UsageError, match="the upstream is connected already: it cannot refuse the connection any more"):
        tcp.refuse()


def test_a_held_end_keeps_a_closing_connection_open(probe: Probe) -> None:
    """The upstream cannot know that the client has left, until the filter lets its end pass."""
    host, tcp = probe.run("down$ ret 1", "down$ tick 100", "tick effctx 2", "tick cont 2", "tick tick 0")
    tcp.close()
    assert (tcp.closed_by, tcp.paused, tcp.upstream_complete) == (None, True, False)
    host.clock.advance(0.1)
    assert (tcp.closed_by, tcp.paused, tcp.upstream_complete) == ("downstream", False, True)


def test_ends_that_filters_hold_still_close_sockets(probe: Probe) -> None:
    """A socket counts what was read, not what passed: the client's end is held, the upstream's passes."""
    host, tcp = probe.run("down ret 1")
    tcp.downstream_data(b"xx", end_of_stream=True)
    tcp.upstream_data(end_of_stream=True)
    assert after_begin(host)[2:] == [
        "upstream_data 0 1",
        "upstream_connection_close 0",
        "downstream_connection_close 1",
        *END,
    ]
    assert (tcp.closed_by, tcp.sent_upstream) == ("downstream", b"")


def test_the_end_of_the_host_closes_the_newest_connection_first(probe: Probe) -> None:
    """And all of them before the root contexts end."""
    host = probe.host(probe.filter())
    first, second = host.connect(), host.connect()
    start = len(host.logs)
    host.close()
    ends = [m.message for m in host.logs[start:] if m.message.startswith("CB")]
    assert ends == [
        *(f"CB {name} ctx=3{arg}" for name, arg in (("downstream_connection_close", " 1"), *((e, "") for e in END))),
        *(f"CB {name} ctx=2{arg}" for name, arg in (("downstream_connection_close", " 1"), *((e, "") for e in END))),
        "CB done ctx=1",
        "CB delete ctx=1",
    ]
    assert (first.closed_by, second.closed_by) == ("proxy", "proxy")


def test_a_context_is_deleted_whatever_done_returns(probe: Probe) -> None:
    """Only root contexts wait for proxy_done."""
    host, tcp = probe.run("done ret 0")
    tcp.close(reset=True)
    assert after_begin(host) == ["downstream_connection_close 2", "done", "  returned 0", "log", "delete"]


# Pauses.


def test_a_paused_direction_accumulates(probe: Probe) -> None:
    """Fact M4: the next callback shows everything, and Continue releases all."""
    host, tcp = probe.run("down#1! ret 1", "down#2! ret 99", "down bget 2 0 100")
    assert tcp.downstream_data(b"aaaa") is Action.PAUSE
    assert (tcp.paused, tcp.sent_upstream) == (True, b"")
    assert tcp.downstream_data(b"bb") == 99
    assert tcp.downstream_data(b"c") is Action.CONTINUE
    assert (tcp.paused, tcp.sent_upstream) == (False, b"aaaabbc")
    assert after_begin(host) == [
        "downstream_data 4 0",
        "  bget 2 0 100 -> 0 ptr=nz n=4 d=aaaa",
        "  returned 1",
        "downstream_data 6 0",
        "  bget 2 0 100 -> 0 ptr=nz n=6 d=aaaabb",
        "  returned 99",
        "downstream_data 7 0",
        "  bget 2 0 100 -> 0 ptr=nz n=7 d=aaaabbc",
    ]


def test_the_upstream_side_accumulates_too(probe: Probe) -> None:
    """Fact M8: but no hostcall releases it."""
    host, tcp = probe.run("up#1! ret 1", "up#1! tick 100", "tick effctx 2", "tick cont 3", "tick cont 2", "tick tick 0")
    assert tcp.upstream_data(b"aaaa") is Action.PAUSE
    host.clock.advance(0.1)
    assert (tcp.paused, tcp.sent_downstream) == (True, b"")
    assert tcp.upstream_data(b"b") is Action.CONTINUE
    assert (tcp.paused, tcp.sent_downstream) == (False, b"aaaab")
    assert "  cont 3 -> 12" in seen(host)
    assert "upstream_data 5 0" in seen(host)


def test_continue_releases_without_another_callback(probe: Probe) -> None:
    """Fact M7, and a filter may edit what it holds from another callback."""
    script = ("down#1 ret 1", "down#1 tick 100", "tick effctx 2", "tick bset 2 0 0 PRE", "tick cont 2", "tick tick 0")
    host, tcp = probe.run(*script)
    tcp.downstream_data(b"q")
    assert tcp.paused
    host.clock.advance(0.1)
    assert (tcp.paused, tcp.sent_upstream) == (False, b"PREq")
    assert [line for line in seen(host) if line.startswith("downstream_data")] == ["downstream_data 1 0"]


def test_a_callout_resumes_a_connection(probe: Probe) -> None:
    """Its answer comes when time moves, and before a step of the upstream."""
    _, tcp = probe.run(
        "down#1 http aux 1000 '' :method GET :path / :authority a",
        "down#1 ret 1",
        "http effctx 2",
        "http cont 2",
        clusters={"aux": Response(200)},
    )
    assert tcp.downstream_data(b"x") is Action.PAUSE
    assert tcp.sent_upstream == b""
    tcp.upstream_data(b"y")
    assert tcp.sent_upstream == b"x"


def test_a_held_new_connection_is_not_read(probe: Probe) -> None:
    """Fact M6: what the client sends, and that it ends, comes as one when the filter continues."""
    host, tcp = probe.run("newc ret 1", "newc tick 100", "tick effctx 2", "tick cont 2", "tick tick 0")
    assert (tcp.paused, tcp.actions) == (True, [Action.PAUSE])
    assert tcp.downstream_data(b"aa") is None
    assert tcp.downstream_data(b"bb", end_of_stream=True) is None
    assert seen(host) == [*BEGIN, "  tick 100 -> 0", "  returned 1"]
    host.clock.advance(0.1)
    assert (tcp.paused, tcp.sent_upstream, tcp.upstream_complete) == (False, b"aabb", True)
    assert seen(host)[-1] == "downstream_data 4 1"


def test_a_held_new_connection_does_not_notice_a_reset(probe: Probe) -> None:
    """What came before it is shown first."""
    host, tcp = probe.run("newc ret 1", "newc tick 100", "tick effctx 2", "tick cont 2", "tick tick 0")
    tcp.downstream_data(b"q")
    tcp.close(reset=True)
    assert tcp.closed_by is None
    host.clock.advance(0.1)
    assert tcp.closed_by == "downstream"
    assert seen(host)[-5:] == ["downstream_data 1 0", "downstream_connection_close 2", *END]


def test_a_held_new_connection_has_no_upstream(probe: Probe) -> None:
    """The message says who holds it, and how it goes on."""
    host = probe.host(probe.filter("newc ret 1", name="gate"))
    tcp = host.connect()
    for act in (lambda: tcp.upstream_data(b"x"), lambda: tcp.close("upstream"), lambda: tcp.close("upstream", True)):
        with pytest.raises(UsageError) as caught:
            act()
        assert str(caught.value) == (
            "there is no connection to the upstream yet: filter 'gate' holds the new connection "
            "(proxy_on_new_connection paused it) until it calls proxy_continue_stream"
        )


def test_continue_without_a_pause_is_harmless(probe: Probe) -> None:
    """But the next filter is shown an end of stream twice."""
    host = probe.host(probe.filter("newc cont 2", "down cont 2", name="A"), probe.filter(name="B"))
    tcp = host.connect()
    tcp.downstream_data(b"aaaa")
    tcp.downstream_data(end_of_stream=True)
    assert [line for line in seen(host) if line.startswith("B")] == [
        "B: context_create 2",
        "B: new_connection",
        "B: downstream_data 4 0",
        "B: downstream_data 0 1",
        "B: downstream_data 0 1",
    ]
    assert tcp.sent_upstream == b"aaaa"


def test_a_full_buffer_stops_the_reading(probe: Probe) -> None:
    """Above the limit data stays in the socket, and nothing is noticed, until the filter lets go."""
    script = ("down! ret 1", "down#3 tick 100", "tick effctx 2", "tick cont 2", "tick tick 0")
    host, tcp = probe.run(*script, buffer_limit=8)
    assert [tcp.downstream_data(x * 4) for x in ("a", "b", "c", "d")] == [1, 1, 1, None]
    host.clock.advance(0.1)
    assert tcp.sent_upstream == b"aaaabbbbcccc"
    assert [line for line in seen(host) if line.startswith("down")] == [f"downstream_data {n} 0" for n in (4, 8, 12, 4)]


def test_large_data_comes_in_pieces_of_the_limit(probe: Probe) -> None:
    """In slices of 16 KiB, as Envoy reads; the upstream's side has a limit of its own."""
    host, tcp = probe.run(buffer_limit=20_000)
    tcp.downstream_data(b"a" * 70_000)
    tcp.upstream_data(b"b" * 70_000)
    assert after_begin(host) == [*(f"downstream_data {n} 0" for n in (32768, 32768, 4464)), "upstream_data 70000 0"]
    assert (len(tcp.sent_upstream), len(tcp.sent_downstream)) == (70_000, 70_000)


# Two filters.


def two(probe: Probe, first: tuple[str, ...], second: tuple[str, ...], **options: Any) -> tuple[MockHost, TcpStream]:
    """A connection through filters A and B, each in a VM of its own."""
    host = probe.host(probe.filter(*first, name="A", vm_id="a"), probe.filter(*second, name="B", vm_id="b"), **options)
    return host, host.connect()


def test_two_filters(probe: Probe) -> None:
    """Fact M11: A then B downstream, B then A upstream; and A is deleted before B hears of the end."""
    host, tcp = two(probe, (), ())
    tcp.downstream_data(b"x")
    tcp.upstream_data(b"y")
    tcp.close()
    assert seen(host) == [
        "A: context_create 1",
        "A: new_connection",
        "B: context_create 1",
        "B: new_connection",
        "A: downstream_data 1 0",
        "B: downstream_data 1 0",
        "B: upstream_data 1 0",
        "A: upstream_data 1 0",
        "A: downstream_data 0 1",
        "B: downstream_data 0 1",
        "B: upstream_data 0 1",
        "B: upstream_connection_close 0",
        "A: upstream_data 0 1",
        "A: upstream_connection_close 0",
        *(f"A: {line}" for line in ("downstream_connection_close 1", *END)),
        *(f"B: {line}" for line in ("downstream_connection_close 1", *END)),
    ]
    assert tcp.actions == [Action.CONTINUE] * 10


def test_what_a_later_filter_holds_an_earlier_one_sees_again(probe: Probe) -> None:
    """There is one buffer: A finds its own edit in it."""
    host, tcp = two(probe, ("down bset 2 0 0 X",), ("down#1! ret 1", "down bget 2 0 100"))
    assert tcp.downstream_data(b"aaaa") is Action.PAUSE
    assert tcp.downstream_data(b"bbbb") is Action.CONTINUE
    assert [line for line in seen(host) if "data" in line] == [
        "A: downstream_data 4 0",
        "B: downstream_data 5 0",
        "A: downstream_data 9 0",
        "B: downstream_data 10 0",
    ]
    assert tcp.sent_upstream == b"XXaaaabbbb"


def test_the_second_filter_is_asked_when_the_first_has_agreed(probe: Probe) -> None:
    """Its context does not exist before."""
    host, tcp = two(probe, ("newc ret 1", "newc tick 100", "tick effctx 2", "tick cont 2", "tick tick 0"), ())
    assert not any(line.startswith("B") for line in seen(host))
    host.clock.advance(0.1)
    assert [line for line in seen(host) if line.startswith("B")] == ["B: context_create 1", "B: new_connection"]
    assert not tcp.paused


def test_a_connection_is_closed_when_what_was_written_has_left(probe: Probe) -> None:
    """B continues the client's end, and with that both sockets to the upstream have ended: C is shown it once more."""
    filters = (("up ret 1", "A"), ("down$ cont 2", "B"), ("", "C"))
    host = probe.host(*(probe.filter(script, name=name) for script, name in filters))
    tcp = host.connect()
    tcp.upstream_data(end_of_stream=True)
    tcp.downstream_data(end_of_stream=True)
    assert tcp.closed_by == "upstream"
    assert [line for line in seen(host) if "downstream" in line] == [
        "A: downstream_data 0 1",
        "B: downstream_data 0 1",
        "C: downstream_data 0 1",
        "C: downstream_data 0 1",
        *(f"{name}: downstream_connection_close 1" for name in "ABC"),
    ]


# Filters that close.


@pytest.mark.parametrize("side", ["2", "3"])
def test_a_filter_closes_both_sides(probe: Probe, side: str) -> None:
    """Fact M9: what the callback was shown is lost; the peer type is local."""
    host, tcp = probe.run(f"down close {side}")
    assert tcp.downstream_data(b"q") is Action.CONTINUE
    assert after_begin(host) == ["downstream_data 1 0", f"  close {side} -> 0", "downstream_connection_close 1", *END]
    assert (tcp.closed_by, tcp.sent_upstream) == ("filter", b"")


def test_a_filter_closes_a_new_connection(probe: Probe) -> None:
    """The second filter never hears of it."""
    host, tcp = two(probe, ("newc close 2",), ())
    assert tcp.closed_by == "filter"
    assert seen(host) == [
        "A: context_create 1",
        "A: new_connection",
        "  close 2 -> 0",
        *(f"A: {line}" for line in ("downstream_connection_close 1", *END)),
    ]


def test_the_upstream_close_is_told_even_after_delete(probe: Probe) -> None:
    """A filter that closes in its last upstream data callback: many SDKs panic on what follows, in Envoy too."""
    host, tcp = probe.run("up$ close 3")
    tcp.upstream_data(end_of_stream=True)
    assert after_begin(host) == [
        "upstream_data 0 1",
        "  close 3 -> 0",
        "downstream_connection_close 1",
        *END,
        "upstream_connection_close 0",
    ]


def test_requests_of_http_change_nothing(probe: Probe) -> None:
    """Fact M10, and continuing or closing a request."""
    host, tcp = probe.run("newc get 0 x", "newc pairs 0", "down local 403 d body", "down close 0", "down cont 1")
    tcp.downstream_data(b"q")
    assert seen(host) == [
        *BEGIN,
        "  get 0 x -> 2 (out untouched)",
        "  pairs 0 -> 0 ptr=0 n=0",
        "downstream_data 1 0",
        "  local 403 d body -> 0",
        "  close 0 -> 0",
        "  cont 1 -> 0",
    ]
    assert (tcp.sent_upstream, tcp.closed_by) == (b"q", None)


def test_buffers_are_there_in_their_callbacks(probe: Probe) -> None:
    """Elsewhere they are empty and cannot be written; what a filter holds stays readable to the end."""
    host, tcp = probe.run("newc bget 2 0 9", "newc bset 2 0 0 X", "up bget 2 0 9", "down#1 ret 1", "log bget 2 0 9")
    tcp.upstream_data(b"u")
    tcp.downstream_data(b"held")
    tcp.close(reset=True)
    assert [line for line in seen(host) if line.startswith("  b")] == [
        "  bget 2 0 9 -> 0 ptr=0 n=0",
        "  bset 2 0 0 X -> 2",
        "  bget 2 0 9 -> 0 ptr=0 n=0",
        "  bget 2 0 9 -> 0 ptr=nz n=4 d=held",
    ]


# Guests that fail.


def test_a_trap_raises_and_closes_the_connection(probe: Probe) -> None:
    """Fact M11; the error says where, and no callback follows in that VM."""
    host, tcp = probe.run("down trap")
    with pytest.raises(GuestTrap, match="trapped in proxy_on_downstream_data") as caught:
        tcp.downstream_data(b"x")
    assert caught.value.callback == "proxy_on_downstream_data"
    assert caught.value.trace.callbacks("proxy_on_downstream_data")
    assert (tcp.closed_by, tcp.sent_upstream, tcp.finished) == ("filter", b"", True)
    assert after_begin(host) == ["downstream_data 1 0"]
    assert host.connect().closed_by == "filter"


def test_a_trap_in_a_new_connection_raises_from_connect(probe: Probe) -> None:
    """The connection is closed at once."""
    host = probe.host(probe.filter("newc trap"))
    with pytest.raises(GuestTrap, match="trapped in proxy_on_new_connection"):
        host.connect()


def test_the_other_filter_hears_of_the_end(probe: Probe) -> None:
    """It runs in a VM of its own; later connections reach it and are closed by the failed one."""
    host, tcp = two(probe, (), ("down trap",), on_trap="continue")
    tcp.downstream_data(b"x")
    assert [type(error) for error in tcp.errors] == [GuestTrap]
    closed = [f"A: {line}" for line in ("downstream_connection_close 1", *END)]
    assert seen(host)[-5:] == ["B: downstream_data 1 0", *closed]
    host.logs.clear()
    later = host.connect()
    assert (later.closed_by, later.errors) == ("filter", [])
    assert seen(host) == ["A: context_create 1", "A: new_connection", *closed]


def test_fail_open_passes_later_connections_only(probe: Probe) -> None:
    """Connections that were open end with their next data."""
    host = probe.host(probe.filter("down trap", failure_policy="fail_open"), on_trap="continue")
    failing, other = host.connect(), host.connect()
    failing.downstream_data(b"x")
    assert other.closed_by is None
    other.downstream_data(b"y")
    later = host.connect()
    later.downstream_data(b"z")
    assert (failing.closed_by, other.closed_by, later.closed_by) == ("filter", "filter", None)
    assert later.sent_upstream == b"z"


def test_fail_open_of_old_passes_everything(probe: Probe) -> None:
    """Even the data the guest trapped on."""
    host, tcp = probe.run()
    host = probe.host(probe.filter("down trap", failure_policy="fail_open_legacy"), on_trap="continue")
    tcp = host.connect()
    tcp.downstream_data(b"x")
    tcp.upstream_data(b"y")
    assert (tcp.sent_upstream, tcp.sent_downstream, tcp.closed_by) == (b"x", b"y", None)
    tcp.close()
    assert tcp.closed_by == "downstream"


def test_fail_reload_makes_a_new_vm_for_a_later_connection(probe: Probe) -> None:
    """After a second; ids begin anew."""
    host = probe.host(probe.filter("down#1 trap", failure_policy="fail_reload"), on_trap="continue")
    host.connect().downstream_data(b"x")
    assert host.connect().closed_by == "filter"
    host.clock.advance(1)
    host.logs.clear()
    assert host.connect().closed_by is None
    assert [log.message for log in host.logs if "CB" in log.message][-2:] == [
        "CB context_create ctx=2 1",
        "CB new_connection ctx=2",
    ]


def test_a_trap_at_the_end_is_reported_too(probe: Probe) -> None:
    """And the remaining filters are still told."""
    host, tcp = two(probe, ("dcl trap",), ())
    with pytest.raises(FilterError, match="trapped in proxy_on_downstream_connection_close"):
        tcp.close(reset=True)
    assert seen(host)[-5:] == [
        "A: downstream_connection_close 2",
        *(f"B: {line}" for line in ("downstream_connection_close 2", *END)),
    ]


# Several connections, workers, properties.


def test_connections_are_interleaved(probe: Probe) -> None:
    """Ids count on; each has its own data."""
    host = probe.host(probe.filter("down#1 ret 1"))
    first, second = host.connect(), host.connect()
    first.downstream_data(b"1")
    second.downstream_data(b"2")
    first.downstream_data(b"1")
    second.close(reset=True)
    assert (first.sent_upstream, second.sent_upstream) == (b"11", b"")
    assert (first.closed_by, second.closed_by) == (None, "downstream")
    created = [event.context_id for event in host.trace.callbacks("proxy_on_new_connection")]
    assert created == [2, 3]
    assert not first.trace.callbacks("proxy_on_configure")


def test_connections_go_round_the_workers(probe: Probe) -> None:
    """Or to the one that is asked for."""
    host = probe.host(probe.filter(), workers=2)
    for worker in (None, None, None, 0):
        host.connect(worker=worker)
    assert [event.worker for event in host.trace.callbacks("proxy_on_new_connection")] == [0, 1, 0, 0]
    with pytest.raises(UsageError, match="worker=2: this host has workers 0 to 1"):
        host.connect(worker=2)


def test_closed_connections_are_forgotten(probe: Probe) -> None:
    """A host may see any number of them."""
    host = probe.host(probe.filter("down close 2"))
    host.connect().close(reset=True)
    host.connect().downstream_data(b"x")
    assert not host._connections
    assert host.clock.next_due_ns is None
    assert next(iter(host.workers[0].vms.values())).contexts.keys() == {0, 1}


def test_the_trace_shows_callbacks_and_hostcalls(probe: Probe) -> None:
    """As for HTTP."""
    host, tcp = probe.run("down bset 2 0 99 Z")
    tcp.downstream_data(b"q", end_of_stream=True)
    (event,) = host.trace.callbacks("proxy_on_downstream_data")
    assert (event.args["data_size"], event.args["end_of_stream"], event.action) == (1, True, Action.CONTINUE)
    assert event.hostcalls[1].status is Status.OK
    assert "> proxy_on_downstream_data context=2 data_size=1 end_of_stream=true" in host.trace.text()
    assert "proxy_set_buffer_bytes buffer=DOWNSTREAM_DATA" in host.trace.text()


def test_properties_of_a_connection(probe: Probe) -> None:
    """Facts J7, J8 and M10: the upstream's are there from the first data on; requests have most of theirs nowhere."""
    paths = {
        "connection.id": r"0 ptr=nz n=8 d=\x01\x00\x00\x00\x00\x00\x00\x00",
        "source.address": "0 ptr=nz n=15 d=127.0.0.1:40001",
        "request.protocol": "1 (out untouched)",
        "request.path": "1 (out untouched)",
        "request.size": r"0 ptr=nz n=8 d=\x02\x00\x00\x00\x00\x00\x00\x00",
        "response.code": "1 (out untouched)",
        "upstream.address": "0 ptr=nz n=14 d=127.0.0.1:8080",
        "upstream.transport_failure_reason": "0 ptr=0 n=0",
        "xds.cluster_name": "0 ptr=nz n=3 d=tcp",
        "xds.cluster_metadata": "0 ptr=0 n=0",
        "xds.route_name": "1 (out untouched)",
        "xds.virtual_host_name": "1 (out untouched)",
    }
    late = ("upstream.address", "xds.cluster_name", "xds.cluster_metadata")
    host, tcp = probe.run(*(f"down prop {path}" for path in paths), *(f"newc prop {path}" for path in late))
    tcp.downstream_data(b"qq")
    assert seen(host) == [
        *BEGIN,
        *(f"  prop {path} -> 1 (out untouched)" for path in late),
        "downstream_data 2 0",
        *(f"  prop {path} -> {answer}" for path, answer in paths.items()),
    ]


def test_a_property_set_by_the_test_wins(probe: Probe) -> None:
    """Also where a connection has none."""
    host, tcp = probe.run("down prop xds.route_name")
    host.properties["xds.route_name"] = "mine"
    tcp.downstream_data(b"q")
    assert seen(host)[-1] == "  prop xds.route_name -> 0 ptr=nz n=4 d=mine"


def test_set_properties_are_shared_by_the_filters(probe: Probe) -> None:
    """Also over VMs, to the end; facts J13 and J14."""
    host, tcp = two(probe, ("newc setprop k v", "del prop k"), ("down rprop filter_state%00wasm.k",))
    tcp.downstream_data(b"q")
    tcp.close(reset=True)
    assert [line.partition("->")[2] for line in seen(host) if " -> " in line] == [
        " 0",
        " 0 ptr=nz n=1 d=v",
        " 0 ptr=nz n=1 d=v",
    ]


# What tests do wrong.


def test_requests_need_an_http_host(probe: Probe) -> None:
    """The message says what to do."""
    host = probe.host(probe.filter())
    for act in (host.get, host.stream):
        with pytest.raises(UsageError) as caught:
            act()
        assert str(caught.value) == (
            'this host has protocol="tcp", so its filters never see a request: open a connection with '
            'host.connect(), or start the host with protocol="http"'
        )


def test_connections_need_a_tcp_host(probe: Probe) -> None:
    """The message says what to do."""
    host = probe.host(probe.filter(), protocol="http")
    with pytest.raises(UsageError) as caught:
        host.connect()
    assert str(caught.value) == (
        'this host has protocol="http", so its filters never see a connection: send a request with '
        'host.request() or host.stream(), or start the host with protocol="tcp"'
    )


@pytest.mark.parametrize(("option", "value"), [("upstream", Response(200)), ("routes", [{"match": {"prefix": "/"}}])])
def test_options_of_requests_need_an_http_host(probe: Probe, option: str, value: Any) -> None:
    """Rather than being passed over."""
    with pytest.raises(UsageError) as caught:
        probe.host(probe.filter(), **{option: value})
    assert str(caught.value) == (
        f'{option}= is for HTTP requests; with protocol="tcp" the test itself is the upstream: '
        "host.connect().upstream_data(...)"
    )


def test_nobody_sends_after_its_end(probe: Probe) -> None:
    """Each side on its own, also while the end waits for a held connection."""
    _, tcp = probe.run()
    tcp.downstream_data(end_of_stream=True)
    with pytest.raises(UsageError, match="the client has ended its stream already: it cannot send any more"):
        tcp.downstream_data(b"x")
    _, other = probe.run()
    other.upstream_data(end_of_stream=True)
    with pytest.raises(UsageError, match="the upstream has ended its stream already: it cannot send any more"):
        other.upstream_data(b"x")
    _, held = probe.run("newc ret 1")
    held.downstream_data(end_of_stream=True)
    with pytest.raises(UsageError, match="the client has ended its stream already"):
        held.downstream_data(b"x")


def test_sending_to_a_closed_connection_is_lost(probe: Probe) -> None:
    """As on a real socket."""
    _, tcp = probe.run("newc close 2")
    assert tcp.downstream_data(b"x") is None
    assert tcp.upstream_data(b"x") is None
    tcp.close()
    tcp.close("upstream", reset=True)
    tcp.refuse()
    assert (tcp.sent_upstream, tcp.sent_downstream, tcp.closed_by) == (b"", b"", "filter")


def test_only_two_peers_can_close(probe: Probe) -> None:
    """The message names them."""
    _, tcp = probe.run()
    with pytest.raises(UsageError, match=re.escape('close(peer=\'client\'): it is "downstream" or "upstream"')):
        tcp.close("client")


def test_a_closed_host_has_no_connections(probe: Probe) -> None:
    """Neither new ones nor steps of old ones."""
    host, tcp = probe.run()
    host.close()
    with pytest.raises(UsageError, match="this host is closed"):
        tcp.downstream_data(b"x")
    with pytest.raises(UsageError, match="this host is closed"):
        host.connect()


def test_the_repr_says_how_it_stands(probe: Probe) -> None:
    """For failing asserts."""
    _, tcp = probe.run("down ret 1")
    assert repr(tcp) == "<TcpStream open, 0 bytes up, 0 bytes down>"
    tcp.upstream_data(b"xyz")
    tcp.downstream_data(b"x")
    assert repr(tcp) == "<TcpStream paused, 0 bytes up, 3 bytes down>"
    tcp.close(reset=True)
    assert repr(tcp) == "<TcpStream closed by downstream, 0 bytes up, 3 bytes down>"
