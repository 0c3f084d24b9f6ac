"""The TCP driver, around a proxy that passes everything on."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm.host.clock import Clock

from .configuration import NotReplayable
from .tcp import TcpConversation


class PassingStream:
    """A connection without filters; it closes when both sides have ended."""

    def __init__(self) -> None:
        self.sent_upstream = b""
        self.sent_downstream = b""
        self.closed_by: str | None = None
        self.paused = self.upstream_complete = self.downstream_complete = False
        self.events: list[tuple[str, bytes, bool]] = []
        self._ends = 0

    def downstream_data(self, data: bytes, end_of_stream: bool = False) -> None:
        self.sent_upstream += data
        self.upstream_complete = end_of_stream
        self._event("down", data, end_of_stream)

    def upstream_data(self, data: bytes, end_of_stream: bool = False) -> None:
        self.sent_downstream += data
        self.downstream_complete = end_of_stream
        self._event("up", data, end_of_stream)

    def _event(self, side: str, data: bytes, end_of_stream: bool) -> None:
        self.events.append((side, data, end_of_stream))
        self._ends += end_of_stream
        if self._ends == 2:
            self.close("upstream")

    def close(self, peer: str = "downstream", reset: bool = False) -> None:
        self.closed_by = peer


class PassingHost:
    """A host with one such connection."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.stream = PassingStream()

    def connect(self) -> PassingStream:
        return self.stream

    def close(self) -> None:
        self.stream.closed_by = self.stream.closed_by or "proxy"


def talk(*actions: Any, cluster: str = "tcp", greet: bytes = b"") -> tuple[TcpConversation, PassingStream]:
    """What comes of some actions."""
    host = PassingHost()
    conversation = TcpConversation(host, cluster, greet)
    conversation.run(actions)
    return conversation, host.stream


def test_the_upstream_echoes_and_closes_after_the_client() -> None:
    """Fact M2: the client's end comes on its own when it had been waiting."""
    conversation, stream = talk({"send": "hello"}, "recv", "close")
    assert conversation.client_got == ["E:hello"]
    assert conversation.upstream_got == ["hello", ""]
    assert stream.events == [
        ("down", b"hello", False),
        ("up", b"E:hello", False),
        ("down", b"", True),
        ("up", b"", True),
    ]


def test_what_is_written_just_before_closing_comes_with_the_end() -> None:
    """And so does its echo."""
    conversation, stream = talk({"send": "a"}, 0.1, {"send": "b"}, "recv", "close")
    assert conversation.client_got == ["E:a"]
    assert stream.events[2:] == [("down", b"b", True), ("up", b"E:b", True)]
    assert conversation.upstream_got == ["a", "b", ""]


def test_a_half_closed_client_reads_the_end() -> None:
    """As an empty read."""
    conversation, _ = talk({"send": "a"}, "recv", "shut", "recv", "close")
    assert conversation.client_got == ["E:a", ""]


def test_the_upstream_may_speak_first() -> None:
    """Once it is connected."""
    conversation, stream = talk("recv", {"send": "hi"}, "recv", "close", greet=b"GREET")
    assert conversation.client_got == ["GREET", "E:hi"]
    assert stream.events[0] == ("up", b"GREET", False)


def test_a_client_that_gets_nothing_times_out() -> None:
    """Its read ends with an error."""
    assert talk("recv", "close")[0].client_got == ["TimeoutError('timed out')"]


def test_a_dead_upstream_resets_a_client_that_has_written() -> None:
    """Bytes that nobody read turn the end into a reset."""
    conversation, stream = talk({"send": "x"}, "recv", "close", cluster="deadtcp")
    assert conversation.client_got == ["ConnectionResetError(104, 'Connection reset by peer')"]
    assert conversation.upstream_got == []
    assert stream.events == []


def test_the_upstream_quits_on_demand() -> None:
    """The client reads the end."""
    conversation, stream = talk({"send": "QUIT"}, "recv", "close")
    assert conversation.client_got == [""]
    assert ("up", b"", True) in stream.events


def test_an_unknown_action_is_named() -> None:
    """Rather than passed over."""
    with pytest.raises(NotReplayable, match="dance"):
        talk("dance")
