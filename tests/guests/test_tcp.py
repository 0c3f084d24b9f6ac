"""A network filter of every SDK that has them: filter=tcp."""

from __future__ import annotations

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.toolkit import Toolkit

from .conftest import Configure, Gallery, said, toolchains

WITHOUT = ("assemblyscript",)
"""SDKs that export no callbacks of network filters."""

with_tcp = pytest.mark.parametrize("sdk", [sdk for sdk in toolchains.SDKS if sdk not in WITHOUT], indirect=True)
CONTINUE, PAUSE = pw.Action.CONTINUE, pw.Action.PAUSE


@with_tcp
class TestTcp:
    """filter=tcp"""

    def test_lines_go_up_in_upper_case(self, start: Gallery) -> None:
        connection = start("filter=tcp", protocol="tcp").connect()
        assert connection.downstream_data(b"hello, \xe4\xff0z{a\n") == CONTINUE
        assert connection.sent_upstream == b"HELLO, \xe4\xff0Z{A\n"
        assert not connection.paused

    def test_chunks_wait_until_their_line_is_whole(self, start: Gallery) -> None:
        host = start("filter=tcp", protocol="tcp")
        connection = host.connect()
        assert connection.downstream_data("he") == PAUSE
        assert connection.downstream_data("ll") == PAUSE
        assert connection.paused
        assert connection.sent_upstream == b""
        assert connection.downstream_data("o\n") == CONTINUE
        assert connection.sent_upstream == b"HELLO\n"
        assert connection.downstream_data("a\nb") == PAUSE
        assert connection.downstream_data("\n") == CONTINUE
        assert connection.sent_upstream == b"HELLO\nA\nB\n"
        sizes = [callback.args["data_size"] for callback in host.trace.callbacks("proxy_on_downstream_data")]
        assert sizes == [2, 4, 6, 3, 4]

    @pytest.mark.parametrize("last", [b"", b"!"])
    def test_the_end_lets_an_open_line_go(self, start: Gallery, last: bytes) -> None:
        connection = start("filter=tcp", protocol="tcp").connect()
        connection.downstream_data("open")
        assert connection.downstream_data(last, end_of_stream=True) == CONTINUE
        assert connection.sent_upstream == b"OPEN" + last
        assert connection.upstream_complete

    def test_an_end_without_data_is_passed_on(self, start: Gallery) -> None:
        connection = start("filter=tcp", protocol="tcp").connect()
        assert connection.downstream_data(end_of_stream=True) == CONTINUE
        assert connection.upstream_data(end_of_stream=True) == CONTINUE
        assert (connection.sent_upstream, connection.sent_downstream) == (b"", b"")

    def test_chunks_come_back_marked(self, start: Gallery) -> None:
        connection = start("filter=tcp", protocol="tcp").connect()
        connection.upstream_data("one\n")
        connection.upstream_data("two")
        connection.upstream_data(end_of_stream=True)
        assert connection.sent_downstream == b"> one\n> two"
        assert connection.downstream_complete

    def test_directions_do_not_wait_for_each_other(self, start: Gallery) -> None:
        connection = start("filter=tcp", protocol="tcp").connect()
        connection.downstream_data("held")
        connection.upstream_data("greeting")
        assert (connection.sent_upstream, connection.sent_downstream) == (b"", b"> greeting")
        assert connection.paused

    @pytest.mark.parametrize(
        ("peer", "reset", "word"),
        [
            ("downstream", False, "local"),
            ("downstream", True, "remote"),
            ("upstream", False, "remote"),
            ("upstream", True, "local"),
        ],
    )
    def test_logs_the_connection_and_who_closed_it(self, start: Gallery, peer: str, reset: bool, word: str) -> None:
        """The peer types are Envoy's (facts M2, M3): it calls its own close after both ends local."""
        host = start("filter=tcp", protocol="tcp")
        connection = host.connect()
        assert said(host) == ["connection"]
        connection.close(peer, reset=reset)
        host.clock.advance(0)
        assert said(host) == ["connection", f"closed {word}"]
        assert connection.closed_by == peer
        assert connection.finished

    def test_what_was_held_when_the_client_broke_off_is_lost(self, start: Gallery) -> None:
        connection = start("filter=tcp", protocol="tcp").connect()
        connection.downstream_data("half a li")
        connection.close(reset=True)
        assert connection.sent_upstream == b""
        assert connection.finished

    def test_connections_are_apart(self, start: Gallery) -> None:
        host = start("filter=tcp", protocol="tcp")
        first, second = host.connect(), host.connect()
        first.downstream_data("fir")
        second.downstream_data("second\n")
        first.downstream_data("st\n")
        assert (first.sent_upstream, second.sent_upstream) == (b"FIRST\n", b"SECOND\n")
        first.close()
        host.clock.advance(0)
        assert (first.finished, second.finished) == (True, False)

    def test_two_in_a_chain(self, configure: Configure, toolkit: Toolkit) -> None:
        """Each marks what comes back, and the second gets whole lines only."""
        chain = [configure("filter=tcp", name=name) for name in ("a", "b")]
        with toolkit.host(*chain, protocol="tcp") as host:
            connection = host.connect()
            connection.downstream_data("li")
            connection.downstream_data("ne\n")
            connection.upstream_data("back")
            assert (connection.sent_upstream, connection.sent_downstream) == (b"LINE\n", b"> > back")
            sizes = [(c.filter, c.args["data_size"]) for c in host.trace.callbacks("proxy_on_downstream_data")]
            assert sizes == [("a", 2), ("a", 5), ("b", 5)]


@pytest.mark.parametrize("sdk", WITHOUT, indirect=True)
def test_an_sdk_without_network_filters_says_so(start: Gallery) -> None:
    with pytest.raises(pw.FilterStartError, match="bad configuration: filter=tcp"):
        start("filter=tcp", protocol="tcp")
