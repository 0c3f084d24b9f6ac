"""What Envoy's log says becomes a trace with raw integers, logs and traps."""

from __future__ import annotations

from pytest_proxywasm import Action, LogLevel, Status
from pytest_proxywasm.envoy.log import Record
from pytest_proxywasm.envoy.reading import Reading

MAIN, WORKER = "1", "2"


def records(*lines: str, thread: str = WORKER, level: str = "trace") -> list[Record]:
    """Records of the component wasm."""
    return [Record(level, "wasm", thread, line.encode()) for line in lines]


def read(*more: Record, keep: str = "worker", names: tuple[str, ...] = ("f",)) -> Reading:
    """A reading whose main thread has logged first."""
    reading = Reading(names=names, keep=keep)
    reading.feed([Record("debug", "wasm", MAIN, b"Base Wasm created 1 now active"), *more])
    return reading


def test_callbacks_with_hostcalls() -> None:
    reading = read(
        *records(
            "[host->vm] proxy_on_request_headers(2, 8, 1)",
            "[vm->host] env.proxy_get_header_map_value(0, 1512704, 5, 64, 68)",
            "[host->vm] malloc(3)",
            "[host<-vm] malloc return: 512",
            "[vm<-host] env.proxy_get_header_map_value return: 0",
            "[vm->host] env.proxy_http_call(1, 2, 3, 4, 5, 6, 7, 8, 4294967295, 9)",
            "[vm<-host] env.proxy_http_call return: 2",
            "[host<-vm] proxy_on_request_headers return: 1",
        )
    )
    assert reading.trace.text() == (
        "proxy-wasm trace 1\n"
        "> proxy_on_request_headers context=2 num_headers=8 end_of_stream=true\n"
        "    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key_size=5 -> OK\n"
        "    proxy_http_call upstream_size=2 headers_size=4 body_size=6 trailers_size=8 timeout=4294967295 "
        "-> BAD_ARGUMENT\n"
        "< PAUSE\n"
    )
    event = reading.trace[0]
    assert (event.action, event.context_id, event.worker, event.filter) == (Action.PAUSE, 2, 0, "f")
    assert event.hostcalls[0].status is Status.OK


def test_a_log_is_as_long_as_the_guest_said() -> None:
    """What a guest logs may look like anything, and have several lines."""
    reading = read(
        *records("[host->vm] proxy_on_log(2)", "[vm->host] env.proxy_log(3, 8, 13)"),
        Record("warning", "wasm", WORKER, b"wasm log f: a: b\nwasm log"),
        *records("[vm<-host] env.proxy_log return: 0", "[host<-vm] proxy_on_log return: void"),
    )
    (log,) = reading.logs
    assert (log.level, log.raw, log.context_id) == (LogLevel.WARN, b"a: b\nwasm log", 2)
    assert reading.trace[0].finished


def test_the_threads_are_kept_apart() -> None:
    lines = (
        *records("[host->vm] proxy_on_tick(1)", thread=MAIN),
        *records("[host->vm] proxy_on_log(2)", "[host<-vm] proxy_on_log return: void"),
        *records("[host<-vm] proxy_on_tick return: void", thread=MAIN),
    )
    assert [event.name for event in read(*lines).trace] == ["proxy_on_log"]
    assert [event.name for event in read(*lines, keep="main").trace] == ["proxy_on_tick"]
    both = read(*lines, keep="all").trace
    assert [(event.name, event.worker) for event in both] == [("proxy_on_tick", -1), ("proxy_on_log", 0)]
    assert all(event.finished for event in both)


def test_a_trap_has_envoys_words_and_frames() -> None:
    reading = read(
        *records("[host->vm] proxy_on_request_headers(2, 8, 1)"),
        *records(
            "Function: proxy_on_request_headers failed: Uncaught RuntimeError: unreachable\n"
            "Proxy-Wasm plugin in-VM backtrace:\n  0:  0x121c5 - inner\n  1:  0x3 - outer",
            level="error",
        ),
        *records("[host->vm] proxy_on_log(3)", "[host<-vm] proxy_on_log return: void"),
    )
    (trap,) = reading.traps
    assert (trap.kind, trap.callback) == ("unreachable", "proxy_on_request_headers")
    assert trap.frames == ("0:  0x121c5 - inner", "1:  0x3 - outer")
    assert str(trap).startswith(
        "the filter trapped in proxy_on_request_headers (in a real Envoy): Uncaught RuntimeError: unreachable\n"
    )
    assert not reading.trace[0].finished
    assert reading.trace[1].finished


def test_the_last_tick_period_is_known() -> None:
    def period(value: int) -> list[Record]:
        return records(
            "[host->vm] proxy_on_configure(1, 0)",
            f"[vm->host] env.proxy_set_tick_period_milliseconds({value})",
            "[vm<-host] env.proxy_set_tick_period_milliseconds return: 0",
            "[host<-vm] proxy_on_configure return: 1",
        )

    assert read(*period(250)).tick_ms == 250
    assert read(*period(250), *period(0)).tick_ms == 0


def test_header_maps_at_both_ends_of_the_chain() -> None:
    reading = read(
        Record("error", "lua", WORKER, b"script log: proxywasm first request 3a70617468=2f,61=ff2c3d"),
        Record("error", "lua", WORKER, b"script log: proxywasm last response "),
    )
    first, second = reading.observed
    assert (first.where, first.what) == ("first", "request")
    assert list(first.headers.raw) == [(b":path", b"/"), (b"a", b"\xff,=")]
    assert (second.where, second.what, len(second.headers)) == ("last", "response", 0)


def test_envoys_own_errors_are_kept() -> None:
    reading = read(Record("critical", "main", MAIN, b"error initializing"), *records("Plugin failed", level="error"))
    assert reading.others == ["error initializing", "Plugin failed"]


def recorded(*more: Record) -> Reading:
    """A reading of a guest with the recorder in it."""
    reading = Reading(names=["f"], recorded=True)
    reading.feed([Record("debug", "wasm", MAIN, b"Base Wasm created 1 now active"), *more])
    return reading


def logged(message: bytes, level: int = 0, status: int = 0) -> list[Record]:
    """A call of proxy_log and the record it leads to."""
    text = ("trace", "debug", "info", "warning", "error", "critical")[level] if level < 6 else ""
    return [
        *records(f"[vm->host] env.proxy_log({level}, 8, {len(message)})"),
        *([Record(text, "wasm", WORKER, b"wasm log f: " + message)] if not status else []),
        *records(f"[vm<-host] env.proxy_log return: {status}"),
    ]


BEGIN = records("[host->vm] proxy_on_request_headers(2, 8, 1)")
END = records("[host<-vm] proxy_on_request_headers return: 0")


def call(name: str, *words: int, status: int = 0, between: tuple[Record, ...] = ()) -> list[Record]:
    """A hostcall."""
    numbers = ", ".join(map(str, words))
    return [
        *records(f"[vm->host] env.{name}({numbers})"),
        *between,
        *records(f"[vm<-host] env.{name} return: {status}"),
    ]


def test_with_the_recorder_hostcalls_are_decoded() -> None:
    """The calls of proxy_log just before a hostcall are what it reads, those after it what it wrote."""
    reading = recorded(
        *BEGIN,
        *logged(b"mine", level=2),
        *logged(b"x-a"),
        *call("proxy_get_header_map_value", 0, 16, 3, 64, 68),
        *logged(b"one\xff"),
        *logged(b"also mine"),
        *logged(b"x-b"),
        *call("proxy_get_header_map_value", 0, 16, 3, 64, 68, status=1),
        *logged(b"a\0b"),
        *call("proxy_get_property", 16, 3, 64, 68),
        *logged(b""),
        *END,
    )
    assert reading.trace.text() == (
        "proxy-wasm trace 1\n"
        "> proxy_on_request_headers context=2 num_headers=8 end_of_stream=true\n"
        '    proxy_log log_level=INFO message="mine" -> OK\n'
        '    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key="x-a" -> OK value="one\\xff"\n'
        '    proxy_log log_level=TRACE message="also mine" -> OK\n'
        '    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key="x-b" -> NOT_FOUND\n'
        '    proxy_get_property path=["a", "b"] -> OK value=""\n'
        "< CONTINUE\n"
    )
    assert [log.raw for log in reading.logs] == [b"mine", b"also mine"]


def test_what_cannot_be_read_or_means_nothing_is_not_shown() -> None:
    """As in the mock, where the host refuses the call before it has decoded its arguments."""
    reading = recorded(
        *BEGIN,
        *logged(b"0123456789", status=6),
        *call("proxy_get_header_map_value", 0, 4294967290, 10, 64, 68, status=6),
        *logged(b"x"),
        *call("proxy_get_header_map_value", 99, 16, 1, 64, 68, status=2),
        *logged(b"no such level", level=9, status=2),
        *END,
    )
    assert reading.trace.text().splitlines()[2:5] == [
        "    proxy_get_header_map_value -> INVALID_MEMORY_ACCESS",
        "    proxy_get_header_map_value -> BAD_ARGUMENT",
        "    proxy_log -> BAD_ARGUMENT",
    ]
    assert reading.logs == []


def test_hostcalls_of_the_allocator_are_kept_apart() -> None:
    """A hostcall may run the guest's allocator, which may log as well."""
    allocates = (
        *records("[host->vm] proxy_on_memory_allocate(3)"),
        *logged(b"allocating", level=3),
        *records("[host<-vm] proxy_on_memory_allocate return: 512"),
    )
    reading = recorded(
        *BEGIN,
        *logged(b"x-a"),
        *call("proxy_get_header_map_value", 0, 16, 3, 64, 68, between=allocates),
        *logged(b"one"),
        *END,
    )
    assert reading.trace.text().splitlines()[2:4] == [
        '    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key="x-a" -> OK value="one"',
        '    proxy_log log_level=WARN message="allocating" -> OK',
    ]


def test_of_an_optional_result_that_nobody_wants_nothing_is_logged() -> None:
    reading = recorded(
        *BEGIN,
        *logged(b"compress"),
        *logged(b"data"),
        *call("proxy_call_foreign_function", 8, 8, 16, 4, 0, 0),
        *logged(b"mine"),
        *END,
    )
    assert [log.raw for log in reading.logs] == [b"mine"]
    assert reading.trace.hostcalls()[0].results == {}


def test_how_much_a_guest_wrote_tells_whether_it_ended_its_line() -> None:
    def write(shown: bytes, size: int) -> list[Record]:
        return [
            *records("[vm->host] wasi_snapshot_preview1.fd_write(1, 80, 1, 96)"),
            Record("info", "wasm", WORKER, b"wasm log f: " + shown),
            *records("[vm<-host] wasi_snapshot_preview1.fd_write return: 0"),
            *logged(size.to_bytes(4, "little")),
        ]

    reading = recorded(*BEGIN, *write(b"a: b", 5), *write(b"a: b", 4), *END)
    assert [one.args["data"] for one in reading.trace.hostcalls("fd_write")] == [b"a: b\n", b"a: b"]
    assert [log.raw for log in reading.logs] == [b"a: b", b"a: b"]


def test_a_trap_loses_no_log() -> None:
    reading = recorded(
        *BEGIN,
        *logged(b"last words", level=4),
        Record(
            "error", "wasm", WORKER, b"Function: proxy_on_request_headers failed: Uncaught RuntimeError: unreachable"
        ),
    )
    assert [log.raw for log in reading.logs] == [b"last words"]
    assert [trap.kind for trap in reading.traps] == ["unreachable"]
    assert reading.trace[0].hostcalls[0].args == {"log_level": LogLevel.ERROR, "message": "last words"}
