"""The text of a trace: one event a line, exact, stable."""

from __future__ import annotations

import enum
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm.abi.enums import MapType, Status
from pytest_proxywasm.model import Action, LogLevel
from pytest_proxywasm.trace import Arguments, Callback, Hostcall, Trace, WasiCall
from pytest_proxywasm.trace.text import callback_line, hostcall_line, hostcall_lines, show, show_bytes


def callback(name: str = "proxy_on_request_headers", context: int = 2, **args: Any) -> Callback:
    """A callback that has returned CONTINUE."""
    event = Callback(name, Arguments(args), context, "mine", 0)
    event.finished, event.action = True, Action.CONTINUE
    return event


def hostcall(name: str, status: Any = Status.OK, results: Any = (), injected: bool = False, **args: Any) -> Hostcall:
    """A hostcall without a callback."""
    return Hostcall(name, Arguments(args), status, Arguments(results), None, injected)


def trace_of(*events: Callback, labelled: bool = False) -> Trace:
    """These events."""
    return Trace(events, labelled=labelled)


def example() -> Trace:
    """The example of the design."""
    first = callback(num_headers=6, end_of_stream=True)
    first.action = Action.PAUSE
    first.hostcalls = [
        hostcall(
            "proxy_get_header_map_value", map=MapType.HTTP_REQUEST_HEADERS, key=":path", results={"value": b"/admin"}
        ),
        hostcall("proxy_send_local_response", status_code=403, details="", body=b"denied", headers=[], grpc_status=-1),
    ]
    return trace_of(first, callback("proxy_on_response_headers", num_headers=3, end_of_stream=False))


def test_a_trace_reads_like_this() -> None:
    """Names of enumerations and statuses, no addresses, one line an event."""
    assert (
        example().text()
        == """\
proxy-wasm trace 1
> proxy_on_request_headers context=2 num_headers=6 end_of_stream=true
    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key=":path" -> OK value="/admin"
    proxy_send_local_response status_code=403 details="" body="denied" headers=[] grpc_status=-1 -> OK
< PAUSE
> proxy_on_response_headers context=2 num_headers=3 end_of_stream=false
< CONTINUE
"""
    )


def test_an_empty_trace_is_its_first_line() -> None:
    """Which says the version of the format."""
    assert trace_of().text() == "proxy-wasm trace 1\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"/admin", '"/admin"'),
        ("", '""'),
        ("ü€", '"ü€"'),
        (b'say "hi"\\', '"say \\"hi\\"\\\\"'),
        (b"a\nb\tc\0\x1b", '"a\\nb\\tc\\u0000\\u001b"'),
        (b"\xff\xfeA", '"\\xff\\xfeA"'),
        (b"\\xff", '"\\\\xff"'),
        ("\udcff", '"\\xff"'),
        (b"\xed\xa0\x80", '"\\xed\\xa0\\x80"'),
        ("a\x7fb\x85c\u2028d\u2029", '"a\\u007fb\\u0085c\\u2028d\\u2029"'),
        (True, "true"),
        (False, "false"),
        (None, "None"),
        (-1, "-1"),
        (1.5, "1.5"),
        (LogLevel.INFO, "INFO"),
        (Action(99), "99"),
        ([], "[]"),
        ([(b"a", b"\xff"), (b"b", b"")], '[("a", "\\xff"), ("b", "")]'),
        (["request", "path"], '["request", "path"]'),
    ],
)
def test_values_are_shown_as(value: Any, shown: str) -> None:
    """JSON strings; bytes that are not UTF-8 as two hexadecimal digits; names of enumerations."""
    assert show(value) == shown


def test_a_plain_enum_shows_its_name() -> None:
    """Not its value."""

    class Colour(enum.Enum):
        RED = 1

    assert show(Colour.RED) == "RED"


def test_up_to_256_bytes_are_shown_in_full_and_more_by_head_length_and_digest() -> None:
    """So that a snapshot stays readable and still notices a change anywhere."""
    assert show_bytes(b"a" * 256) == '"' + "a" * 256 + '"'
    long = b"\xff" + b"a" * 256
    digest = hashlib.sha256(long).hexdigest()[:16]
    assert show_bytes(long) == f'"\\xff{"a" * 31}"... (257 bytes, sha256 {digest})'
    assert show_bytes("ü" * 129).endswith(
        f"(258 bytes, sha256 {hashlib.sha256(('ü' * 129).encode()).hexdigest()[:16]})"
    )


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_a_value_never_breaks_its_line(value: bytes | str) -> None:
    """Whatever guests put into it; and other values never look the same while they are shown in full."""
    if isinstance(value, str):
        value = value.encode("utf-8", "ignore")
    shown = show_bytes(value)
    assert len(shown.splitlines()) == 1
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in shown)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_different_bytes_are_shown_differently(left: bytes, right: bytes) -> None:
    """The escapes are unambiguous."""
    assert (show_bytes(left) == show_bytes(right)) == (left == right)


def test_a_call_without_status_shows_its_results_only() -> None:
    """As those that answer nothing at all."""
    assert hostcall_line(hostcall("emscripten_notify_memory_growth", None, memory_index=0)) == (
        "emscripten_notify_memory_growth memory_index=0"
    )
    assert hostcall_line(hostcall("f", None, {"a": 1})) == "f -> a=1"


def test_an_injected_status_is_marked() -> None:
    """It is the test's doing, not the host's."""
    assert hostcall_line(hostcall("proxy_log", Status.EMPTY, injected=True)) == "proxy_log -> EMPTY (injected)"


def test_reprs_are_the_lines() -> None:
    """In a debugger and in assertion messages."""
    event = callback(num_headers=1)
    event.hostcalls = [hostcall("proxy_done", Status.NOT_FOUND)]
    assert repr(event) == "<Callback proxy_on_request_headers context=2 num_headers=1, 1 hostcalls>"
    assert repr(event.hostcalls[0]) == "<Hostcall proxy_done -> NOT_FOUND>"
    assert repr(trace_of(event)) == "<Trace, 1 callbacks>"


def test_with_several_filters_or_workers_a_callback_names_them() -> None:
    """Hostcalls stand below their callback, so they need no label."""
    assert callback_line(callback(), labelled=True) == "[mine worker=0] proxy_on_request_headers context=2"
    assert trace_of(callback(), labelled=True).text().splitlines()[1] == (
        "> [mine worker=0] proxy_on_request_headers context=2"
    )


def test_a_callback_that_returns_nothing_is_done_and_one_that_trapped_did_not_return() -> None:
    """Three ways to end."""
    ticked, trapped, configured = callback("proxy_on_tick"), callback("proxy_on_log"), callback("proxy_on_configure")
    ticked.action, trapped.finished, configured.action = None, False, True  # type: ignore[assignment]
    endings = [line for line in trace_of(ticked, trapped, configured).text().splitlines() if line.startswith("<")]
    assert endings == ["< done", "< (did not return)", "< true"]


def wasi_example() -> Trace:
    """A callback with a hostcall, a write and another WASI call."""
    event = callback("proxy_on_log")
    event.action = None
    event.hostcalls = [
        hostcall("proxy_done", Status.NOT_FOUND),
        WasiCall("fd_write", Arguments(fd=1, data=b"hi\n"), Status.OK, Arguments(), event),
        WasiCall("clock_time_get", Arguments(clock_id=0), Status.OK, Arguments(), event),
    ]
    return trace_of(event)


def test_of_wasi_calls_only_writes_are_shown_unless_asked_for() -> None:
    """Runtimes make many, and other ones in each version."""
    assert wasi_example().text().splitlines()[2:] == [
        "    proxy_done -> NOT_FOUND",
        '    fd_write fd=1 data="hi\\n" -> OK',
        "< done",
    ]
    assert "    clock_time_get clock_id=0 -> OK" in wasi_example().text(wasi=True).splitlines()
    assert [call.name for call in wasi_example().hostcalls()] == ["proxy_done"]
    assert [call.name for call in wasi_example().hostcalls("fd_write")] == ["fd_write"]


def test_include_and_exclude_choose_by_name() -> None:
    """An included hostcall brings its callback along, an included callback its hostcalls."""
    trace = example()
    assert trace.text(include=["proxy_send_*"]).splitlines()[1:] == [
        "> proxy_on_request_headers context=2 num_headers=6 end_of_stream=true",
        '    proxy_send_local_response status_code=403 details="" body="denied" headers=[] grpc_status=-1 -> OK',
        "< PAUSE",
    ]
    assert trace.text(include="proxy_on_response_headers").count("\n") == 3
    assert trace.text(include=["proxy_on_*"]) == trace.text()
    assert trace.text(exclude=["proxy_on_*"]) == "proxy-wasm trace 1\n"
    assert "proxy_get_header_map_value" not in trace.text(exclude=["proxy_get_*"])
    assert "proxy_send_local_response" in trace.text(exclude="proxy_get_*")
    assert trace.text(include=["nothing"]) == "proxy-wasm trace 1\n"


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            hostcall("proxy_get_header_map_value", map=MapType(0), key="Authorization", results={"value": b"secret"}),
            'proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key="Authorization" -> OK value="<redacted>"',
        ),
        (
            hostcall("proxy_add_header_map_value", map=MapType(0), key="cookie", value=b"secret"),
            'proxy_add_header_map_value map=HTTP_REQUEST_HEADERS key="cookie" value="<redacted>" -> OK',
        ),
        (
            hostcall(
                "proxy_get_header_map_pairs", map=MapType(0), results={"pairs": [(b"a", b"b"), (b"Cookie", b"s")]}
            ),
            'proxy_get_header_map_pairs map=HTTP_REQUEST_HEADERS -> OK pairs=[("a", "b"), ("Cookie", "<redacted>")]',
        ),
        (
            hostcall("proxy_send_local_response", headers=[(b"cookie", b"secret")]),
            'proxy_send_local_response headers=[("cookie", "<redacted>")] -> OK',
        ),
        (
            hostcall("proxy_get_property", path=["request", "headers", "Cookie"], results={"value": b"secret"}),
            'proxy_get_property path=["request", "headers", "Cookie"] -> OK value="<redacted>"',
        ),
        (
            hostcall("proxy_get_property", path=["request", "headers"], results={"value": b"..cookie\0secret\0"}),
            'proxy_get_property path=["request", "headers"] -> OK value="<redacted>"',
        ),
        (
            hostcall("proxy_get_header_map_value", map=MapType(0), key="x", results={"value": b"plain"}),
            'proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key="x" -> OK value="plain"',
        ),
    ],
)
def test_redacted_headers_do_not_show_their_values(call: Hostcall, line: str) -> None:
    """In arguments and results, in maps, by property path; whatever the case of the name."""
    event = callback()
    event.hostcalls = [call]
    before = trace_of(event).text()
    assert trace_of(event).text(redact=["AUTHORIZATION", "cookie"]).splitlines()[2] == f"    {line}"
    assert trace_of(event).text() == before


def test_one_name_to_redact_needs_no_list() -> None:
    """As with include and exclude."""
    event = callback()
    event.hostcalls = [hostcall("proxy_add_header_map_value", map=MapType(0), key="x-key", value=b"secret")]
    assert 'value="<redacted>"' in trace_of(event).text(redact="X-Key")


def test_messages_of_errors_hide_what_usually_is_secret_and_say_why_a_call_failed() -> None:
    """They end up in the logs of CI."""
    call = hostcall("proxy_add_header_map_value", Status.BAD_ARGUMENT, map=MapType(2), key="Cookie", value=b"secret")
    call.because(("{} is not there".format, "the map"))
    assert hostcall_lines(call) == [
        'proxy_add_header_map_value map=HTTP_RESPONSE_HEADERS key="Cookie" value="<redacted>" -> BAD_ARGUMENT',
        "    ^ the map is not there",
    ]
    assert hostcall_lines(hostcall("proxy_done")) == ["proxy_done -> OK"]
