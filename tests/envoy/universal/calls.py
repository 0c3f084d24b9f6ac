"""The hostcalls with their arguments: every function of the ABI and of WASI, used well and badly; knows no callbacks.

A call is *quiet* when later calls of the same callback do not notice it. The others are *loud*: they end the stream,
bring further callbacks about, or change what the filter sees, so that each has a stream of its own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["BAD", "BAD_OUT", "OUT", "OUT8", "ROOT", "STREAM", "WRITTEN", "Call", "Word", "calls"]


class _Symbol:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


OUT = _Symbol("out")
"""A pointer to four bytes that the host may write."""
OUT8 = _Symbol("out8")
"""A pointer to eight."""
BAD = _Symbol("bad")
"""An address and a size that do not lie inside the memory."""
BAD_OUT = _Symbol("bad_out")
"""A pointer to which nothing can be written."""
STREAM = _Symbol("stream")
"""The newest stream's context id."""
ROOT = _Symbol("root")
"""The root context's id."""
WRITTEN = _Symbol("written")
"""What the host last wrote to the first out pointer of a call."""

Word: TypeAlias = "int | bytes | _Symbol"


@dataclass(frozen=True, slots=True)
class Call:
    """A hostcall with its arguments.

    Attributes:
        loud: others notice it.
        loose: what it writes differs from run to run, so only whether it writes counts.
        as_: the context it is made for, with ``proxy_set_effective_context``.
        only: the version of the ABI that has it, where not all do.
    """

    name: str
    words: tuple[Word, ...]
    loud: bool = False
    loose: bool = False
    as_: _Symbol | None = None
    only: str = ""

    def __str__(self) -> str:
        shown = ", ".join(_shown(word) for word in self.words)
        return f"{f'as {self.as_}: ' if self.as_ is not None else ''}{self.name}({shown})"


def _shown(word: Word) -> str:
    if isinstance(word, bytes):
        text = repr(word)[1:]
        return text if len(text) <= 60 else f"{text[:40]}...{len(word)}"
    return repr(word)


def calls(version: str) -> list[Call]:
    """All calls that a guest of this ABI version can make; equal calls are equal for all versions."""
    found = [call for part in _PARTS for call in part() if call.only in ("", version)]
    labels = [str(call) for call in found]
    twice = {label for label in labels if labels.count(label) > 1}
    assert not twice, twice
    return found


def _pairs(*pairs: tuple[bytes, bytes]) -> bytes:
    """A header map as guests pass it."""
    sizes = b"".join(struct.pack("<II", len(name), len(value)) for name, value in pairs)
    return struct.pack("<I", len(pairs)) + sizes + b"".join(n + b"\0" + v + b"\0" for n, v in pairs)


END = (0xFFFFFFFF, 0)
"""A range of no bytes beyond the memory."""
CALLOUT = _pairs((b":method", b"GET"), (b":path", b"/fixed"), (b":authority", b"x"))


def _basics() -> Iterator[Call]:
    for level, message in ((0, b"m"), (2, b""), (5, b"m"), (6, b"m")):
        yield Call("proxy_log", (level, message))
    yield Call("proxy_log", (2, BAD))
    yield Call("proxy_log", (6, BAD))
    yield Call("proxy_log", (2, *END))
    for pointer in (OUT, BAD_OUT):
        yield Call("proxy_get_log_level", (pointer,), only="0.2.1", loose=pointer is OUT)
        yield Call("proxy_get_status", (pointer, OUT, OUT))
    yield Call("proxy_get_status", (OUT, BAD_OUT, OUT))
    yield Call("proxy_get_status", (OUT, OUT, BAD_OUT))
    yield Call("proxy_get_current_time_nanoseconds", (OUT8,), loose=True)
    yield Call("proxy_get_current_time_nanoseconds", (BAD_OUT,))
    yield Call("proxy_set_tick_period_milliseconds", (0,))
    yield Call("proxy_set_tick_period_milliseconds", (0xFFFFFFFF,))
    yield Call("proxy_set_tick_period_milliseconds", (40,), loud=True)
    for context in (9999, 0xFFFFFFFF, STREAM, ROOT, 0):
        yield Call("proxy_set_effective_context", (context,))
    yield Call("proxy_done", ())
    for out in (OUT, BAD_OUT):
        yield Call("proxy_get_configuration", (out, OUT), only="0.1.0", loose=True)
    yield Call("pthread_equal", (1, 1))
    yield Call("pthread_equal", (1, 2))
    yield Call("emscripten_notify_memory_growth", (0,))


def _properties() -> Iterator[Call]:
    for name, value in ((b"u.p", b"v"), (b"", b"v"), (b"u.e", b""), (b"request\0path", b"/x"), (b"plugin_name", b"x")):
        yield Call("proxy_set_property", (name, value))
    for words in ((BAD, b"v"), (b"u.p", BAD), (b"u.p", *END)):
        yield Call("proxy_set_property", words)
    for path in _PATHS:
        yield Call("proxy_get_property", (path.replace(b".", b"\0"), OUT, OUT), loose=path.endswith(b"address"))
    for path in (b"request\0duration", b"response\0backend_latency", b"response\0total_size", b"response\0size"):
        yield Call("proxy_get_property", (path, OUT, OUT), loose=True)
    yield Call("proxy_get_property", (b"u.p", OUT, OUT))
    yield Call("proxy_get_property", (b"request\0path\0", OUT, OUT))
    yield Call("proxy_get_property", (b"request.path", OUT, OUT))
    for words in ((BAD, OUT, OUT), (b"nope", BAD_OUT, OUT), (b"plugin_root_id", BAD_OUT, OUT)):
        yield Call("proxy_get_property", words)
    for words in (
        (b"xds\0cluster_name", OUT, BAD_OUT),
        (b"xds\0cluster_name", BAD_OUT, OUT),
        (b"request", BAD_OUT, OUT),
    ):
        yield Call("proxy_get_property", words)


_PATHS = (
    *(
        b"",
        b"nope",
        b"request",
        b"response",
        b"connection",
        b"source",
        b"upstream",
        b"xds",
        b"filter_state",
        b"metadata",
    ),
    *(
        b"plugin_name",
        b"plugin_root_id",
        b"plugin_vm_id",
        b"node.id",
        b"cluster_name",
        b"route_name",
        b"listener_direction",
    ),
    *(b"request.path", b"request.url_path", b"request.host", b"request.scheme", b"request.method", b"request.headers"),
    *(b"request.headers.x-a", b"request.headers.nope", b"request.referer", b"request.useragent", b"request.time"),
    *(b"request.id", b"request.protocol", b"request.query", b"request.size", b"request.total_size", b"request.nope"),
    *(b"response.code", b"response.code_details", b"response.flags", b"response.grpc_status"),
    *(b"response.headers.content-type", b"response.trailers.x-trail", b"response.trailers", b"response.nope"),
    *(
        b"source.address",
        b"source.port",
        b"destination.address",
        b"destination.port",
        b"connection.id",
        b"connection_id",
    ),
    *(
        b"connection.mtls",
        b"connection.requested_server_name",
        b"connection.tls_version",
        b"connection.termination_details",
    ),
    *(b"upstream.address", b"upstream.port", b"upstream.local_address", b"upstream.transport_failure_reason"),
    *(b"upstream.request_attempt_count", b"xds.cluster_name", b"xds.cluster_metadata", b"xds.route_name"),
    *(b"xds.route_metadata", b"xds.upstream_host_metadata", b"xds.filter_chain_name", b"xds.virtual_host_name"),
    *(b"xds.listener_direction", b"xds.listener_metadata", b"xds.node.id", b"xds.node.cluster", b"xds.nope"),
    *(b"filter_state.nope", b"metadata.filter_metadata", b"metadata.filter_metadata.nope"),
)


def _foreign() -> Iterator[Call]:
    name = "proxy_call_foreign_function"
    yield Call(name, (b"nope", b"", OUT, OUT))
    yield Call(name, (b"", b"", OUT, OUT))
    yield Call(name, (b"compress", b"hello hello hello", OUT, OUT), loose=True)
    yield Call(name, (b"compress", b"", OUT, OUT), loose=True)
    yield Call(name, (b"uncompress", zlib.compress(b"hello"), OUT, OUT))
    yield Call(name, (b"uncompress", b"nothing compressed", OUT, OUT))
    yield Call(name, (b"uncompress", b"", OUT, OUT))
    yield Call(name, (b"set_upstream_override_host", b"x", OUT, OUT))
    for function in (b"sign", b"verify_signature", b"expr_delete", b"expr_evaluate", b"declare_property"):
        yield Call(name, (function, b"", OUT, OUT))
        yield Call(name, (function, b"\xff\xff\xff\x7f", OUT, OUT))
    yield Call(name, (b"expr_create", b"request.path", OUT, OUT))
    yield Call(name, (b"expr_create", b"plugin_name", OUT, OUT))
    yield Call(name, (b"expr_create", b"((", OUT, OUT))
    yield Call(name, (b"expr_create", b"", OUT, OUT))
    yield Call(name, (b"expr_evaluate", b"\x00\x00\x00\x00", OUT, OUT))
    yield Call(name, (b"expr_evaluate", b"\x01\x00\x00\x00", OUT, OUT))
    yield Call(name, (b"expr_delete", b"\x00\x00\x00\x00", OUT, OUT))
    yield Call(name, (b"declare_property", b"\x0a\x03u.d", OUT, OUT))
    yield Call(name, (b"set_envoy_filter_state", b"", OUT, OUT))
    yield Call(name, (b"set_envoy_filter_state", b"\x0a\x04nope\x12\x01v", OUT, OUT))
    yield Call(name, (b"set_envoy_filter_state", b"\x0a\x0cenvoy.string\x12\x01v", OUT, OUT))
    yield Call(name, (BAD, b"", OUT, OUT))
    yield Call(name, (b"compress", BAD, OUT, OUT))
    yield Call(name, (b"nope", BAD, OUT, OUT))
    yield Call(name, (b"nope", b"", BAD_OUT, OUT))
    yield Call(name, (b"compress", b"x", BAD_OUT, OUT))
    yield Call(name, (b"compress", b"x", OUT, BAD_OUT))
    yield Call(name, (b"uncompress", b"x", BAD_OUT, OUT))
    for outs in ((0, 0), (0, OUT), (OUT, 0)):
        yield Call(name, (b"compress", b"xx", *outs), loose=True)
    yield Call(name, (b"clear_route_cache", b"", OUT, OUT), loud=True)
    for other in (STREAM, ROOT):
        yield Call(name, (b"clear_route_cache", b"", OUT, OUT), loud=True, as_=other)


def _streams() -> Iterator[Call]:
    for kind in (3, 4, 0xFFFFFFFF):
        yield Call("proxy_continue_stream", (kind,), only="0.2.1")
    for kind in (4, 0xFFFFFFFF):
        yield Call("proxy_close_stream", (kind,), only="0.2.1")
    for other in (None, STREAM, ROOT):
        for kind in (0, 1, 2):
            yield Call("proxy_continue_stream", (kind,), loud=True, as_=other, only="0.2.1")
        for kind in (0, 1, 2, 3):
            yield Call("proxy_close_stream", (kind,), loud=True, as_=other, only="0.2.1")
        for name in ("proxy_continue_request", "proxy_continue_response", "proxy_clear_route_cache"):
            yield Call(name, (), loud=True, as_=other, only="0.1.0")
    reply = "proxy_send_local_response"
    for words in ((BAD, b"", b""), (b"", BAD, b""), (b"", b"", BAD), (b"", *END, b"")):
        yield Call(reply, (403, *words, 0xFFFFFFFF))
    yield Call(reply, (403, b"why", b"denied", _pairs((b"x-r", b"1")), 0xFFFFFFFF), loud=True)
    yield Call(reply, (200, b"", b"", b"", 7), loud=True)
    yield Call(reply, (503, b"", b"x", b"\x01\x00\x00\x00", 0xFFFFFFFF), loud=True)
    for other in (STREAM, ROOT):
        yield Call(reply, (429, b"", b"later", b"", 0xFFFFFFFF), loud=True, as_=other)


def _shared() -> Iterator[Call]:
    get, put = "proxy_get_shared_data", "proxy_set_shared_data"
    yield Call(get, (b"nope", OUT, OUT, OUT))
    yield Call(get, (b"nope", BAD_OUT, OUT, OUT))
    yield Call(put, (b"k", b"v", 0))
    yield Call(put, (b"k", b"v", 99999))
    yield Call(put, (b"", b"", 0))
    yield Call(put, (BAD, b"v", 0))
    yield Call(put, (b"k", BAD, 0))
    yield Call(get, (b"k", OUT, OUT, OUT))
    yield Call(get, (b"", OUT, OUT, OUT))
    yield Call(get, (BAD, OUT, OUT, OUT))
    for words in ((BAD_OUT, OUT, OUT), (OUT, BAD_OUT, OUT), (OUT, OUT, BAD_OUT)):
        yield Call(get, (b"k", *words))
    register, resolve = "proxy_register_shared_queue", "proxy_resolve_shared_queue"
    yield Call(register, (b"q", OUT))
    yield Call(register, (b"", OUT))
    yield Call(register, (BAD, OUT))
    yield Call(register, (b"q3", BAD_OUT))
    yield Call(resolve, (b"", b"q", OUT))
    yield Call(resolve, (b"", b"q3", OUT))
    yield Call(resolve, (b"", b"nope", OUT))
    yield Call(resolve, (b"nope", b"q", OUT))
    yield Call(resolve, (BAD, b"q", OUT))
    yield Call(resolve, (b"", BAD, OUT))
    yield Call(resolve, (b"", b"q", BAD_OUT))
    yield Call(resolve, (b"", b"nope", BAD_OUT))
    for queue in (1, 999):
        yield Call("proxy_dequeue_shared_queue", (queue, OUT, OUT))
        yield Call("proxy_dequeue_shared_queue", (queue, BAD_OUT, OUT))
    yield Call("proxy_enqueue_shared_queue", (999, b"x"))
    yield Call("proxy_enqueue_shared_queue", (999, BAD))
    yield Call("proxy_enqueue_shared_queue", (1, BAD))
    yield Call("proxy_enqueue_shared_queue", (1, b"x"), loud=True)


def _metrics() -> Iterator[Call]:
    for kind in (0, 1, 2, 3, 0xFFFFFFFF):
        yield Call("proxy_define_metric", (kind, b"u%d" % (kind % 10), OUT))
    yield Call("proxy_define_metric", (0, b"", OUT))
    yield Call("proxy_define_metric", (0, BAD, OUT))
    yield Call("proxy_define_metric", (3, BAD, OUT))
    yield Call("proxy_define_metric", (0, b"ub", BAD_OUT))
    ids = (0, 1, 2, 3, 4, 5, 6, 7, 4000, 4001, 4002, 4003)
    for metric in ids:
        for delta in (5, 0, -1):
            yield Call("proxy_increment_metric", (metric, delta))
        yield Call("proxy_record_metric", (metric, 7))
        yield Call("proxy_get_metric", (metric, OUT8))
        yield Call("proxy_get_metric", (metric, BAD_OUT))


MAPS = (0, 1, 2, 3, 4, 5, 6, 7)
NO_MAPS = (8, 0xFFFFFFFF)
NAMES = {
    0: b"x-a",
    1: b"x-t",
    2: b"content-type",
    3: b"x-trail",
    4: b"x-init",
    5: b"x-trail",
    6: b"content-type",
    7: b"x-t",
}


def _maps() -> Iterator[Call]:
    get, add, replace = (f"proxy_{verb}_header_map_value" for verb in ("get", "add", "replace"))
    remove, pairs, set_pairs = (
        "proxy_remove_header_map_value",
        "proxy_get_header_map_pairs",
        "proxy_set_header_map_pairs",
    )
    for kind in (*MAPS, *NO_MAPS):
        name = NAMES.get(kind, b"x-a")
        varies = kind in (2, 4, 6)
        yield Call(get, (kind, name, OUT, OUT))
        yield Call(get, (kind, b"nope", OUT, OUT))
        yield Call(get, (kind, b"", OUT, OUT))
        yield Call(get, (kind, BAD, OUT, OUT))
        yield Call(get, (kind, name, BAD_OUT, OUT))
        yield Call(get, (kind, name, OUT, BAD_OUT))
        yield Call(get, (kind, b"nope", BAD_OUT, OUT))
        yield Call("proxy_get_header_map_size", (kind, OUT), loose=varies)
        yield Call("proxy_get_header_map_size", (kind, BAD_OUT))
        yield Call(pairs, (kind, OUT, OUT), loose=varies)
        yield Call(pairs, (kind, BAD_OUT, OUT))
        yield Call(pairs, (kind, OUT, BAD_OUT))
        yield Call(add, (kind, b"x-u", b"1"))
        yield Call(add, (kind, BAD, b"1"))
        yield Call(add, (kind, b"x-u", BAD))
        yield Call(get, (kind, b"x-u", OUT, OUT))
        yield Call(replace, (kind, b"x-u", b"22"))
        yield Call(replace, (kind, BAD, b"1"))
        yield Call(replace, (kind, b"x-u", BAD))
        yield Call(remove, (kind, b"x-u"))
        yield Call(remove, (kind, b"nope"))
        yield Call(remove, (kind, BAD))
        yield Call(set_pairs, (kind, BAD))
    for kind in (*MAPS, *NO_MAPS):
        content = _pairs((b":status", b"202"), (b"x-n", b"1")) if kind == 2 else _pairs((b"x-n", b"1"))
        if kind == 0:
            fields = ((b":authority", b"h"), (b":path", b"/fixed"), (b":method", b"GET"), (b":scheme", b"http"))
            content = _pairs(*fields, (b"x-forwarded-proto", b"http"))
        yield Call(set_pairs, (kind, content), loud=True)
    for kind in (1, 3):
        yield Call(set_pairs, (kind, b"\x05"), loud=True)


BUFFERS = (0, 1, 2, 3, 4, 5, 6, 7, 8)
NO_BUFFERS = (9, 0xFFFFFFFF)


def _buffers() -> Iterator[Call]:
    get, status, put = "proxy_get_buffer_bytes", "proxy_get_buffer_status", "proxy_set_buffer_bytes"
    for kind in (*BUFFERS, *NO_BUFFERS):
        varies = kind in (6, 7, 8)  # 8 shows what was shown last
        yield Call(get, (kind, 0, 1000000, OUT, OUT), loose=varies)
        yield Call(get, (kind, 1, 2, OUT, OUT))
        yield Call(get, (kind, 0, 0, OUT, OUT))
        yield Call(get, (kind, 1000000, 1, OUT, OUT))
        yield Call(get, (kind, 1, 0xFFFFFFFF, OUT, OUT), loose=varies)
        yield Call(get, (kind, 0, 1, BAD_OUT, OUT))
        yield Call(get, (kind, 0, 1, OUT, BAD_OUT))
        yield Call(status, (kind, OUT, OUT), loose=varies)
        yield Call(status, (kind, BAD_OUT, OUT))
        yield Call(status, (kind, OUT, BAD_OUT))
        yield Call(put, (kind, 1, 1, b"x"))
        yield Call(put, (kind, 1, 1, BAD))
        yield Call(put, (kind, 0, 1, BAD))
        yield Call(put, (kind, 0, 0, b""))
    for kind in (*BUFFERS, *NO_BUFFERS):
        yield Call(put, (kind, 0, 1000, b"new"), loud=True)
        yield Call(put, (kind, 1000, 0, b"more"), loud=True)
    yield Call(put, (0, 0, 1000, b""), loud=True)
    yield Call(put, (1, 0, 1000, b""), loud=True)


def _callouts() -> Iterator[Call]:
    name = "proxy_http_call"
    yield Call(name, (b"nope", CALLOUT, b"", b"", 1000, OUT))
    yield Call(name, (b"", CALLOUT, b"", b"", 1000, OUT))
    yield Call(name, (b"nohosts", CALLOUT, b"", b"", 1000, OUT))
    yield Call(name, (b"web", b"", b"", b"", 1000, OUT))
    yield Call(name, (b"web", _pairs((b":method", b"GET"), (b":path", b"/")), b"", b"", 1000, OUT))
    yield Call(name, (b"web", _pairs((b":method", b"GET"), (b":authority", b"/")), b"", b"", 1000, OUT))
    yield Call(name, (b"web", CALLOUT, b"", b"", 0x80000000, OUT))
    for at in range(4):
        words: list[Any] = [b"web", CALLOUT, b"", b""]
        words[at] = BAD
        yield Call(name, (*words, 1000, OUT))
    yield Call(name, (b"web", CALLOUT, b"", b"", 1000, BAD_OUT))
    yield Call(name, (b"nope", CALLOUT, b"", b"", 1000, BAD_OUT))
    yield Call(name, (b"web", CALLOUT, b"", b"", 1000, OUT), loud=True)
    yield Call(name, (b"dead", CALLOUT, b"body", _pairs((b"x-t", b"1")), 1000, OUT), loud=True)
    yield from _grpc()


def _grpc() -> Iterator[Call]:
    known = _message(1, b"\x0a" + bytes([len(b"grpc")]) + b"grpc")
    unknown = _message(1, b"\x0a\x04nope")
    call, stream = "proxy_grpc_call", "proxy_grpc_stream"
    for service in (b"nope", BAD):
        yield Call(call, (service, b"s", b"Ok", b"", b"m", 1000, OUT))
        yield Call(stream, (service, b"s", b"Ok", b"", OUT))
    for at in (1, 2, 3, 4):
        words: list[Any] = [b"grpc", b"s", b"Ok", b"", b"m"]
        words[at] = BAD
        yield Call(call, (*words, 1000, OUT))
        if at < 4:
            yield Call(stream, (*words[:4], OUT))
    yield Call(call, (b"nope", b"s", b"Ok", b"", b"m", 1000, BAD_OUT))
    for service in (b"grpc", known, b"nohosts", unknown):
        yield Call(call, (service, b"s", b"Ok", b"", b"m", 1000, OUT), loud=True)
        yield Call(stream, (service, b"s", b"Stream", b"", OUT), loud=True)
    yield Call(call, (b"grpc", b"s", b"Err", b"", b"m", 1000, OUT), loud=True)
    yield Call(call, (b"grpc", b"s", b"Ok", b"", b"m", 1000, BAD_OUT), loud=True)
    for token in (0, 4, 4001, 4002, 0xFFFFFFFF):
        yield Call("proxy_grpc_send", (token, b"m", 0))
        yield Call("proxy_grpc_send", (token, BAD, 0))
        yield Call("proxy_grpc_cancel", (token,))
        yield Call("proxy_grpc_close", (token,))


def _empty_service() -> Iterator[Call]:
    yield Call("proxy_grpc_call", (b"", b"s", b"Ok", b"", b"m", 1000, OUT), loud=True)
    yield Call("proxy_grpc_stream", (b"", b"s", b"Stream", b"", OUT), loud=True)


def _message(field: int, data: bytes) -> bytes:
    return bytes([field << 3 | 2, len(data)]) + data


def _wasi() -> Iterator[Call]:
    yield Call("args_get", (OUT, OUT))
    yield Call("args_get", (BAD_OUT, OUT))
    for name in ("args_sizes_get", "environ_sizes_get"):
        for words in ((OUT, OUT), (BAD_OUT, OUT), (OUT, BAD_OUT)):
            yield Call(name, words)
    yield Call("environ_get", (OUT, OUT))
    yield Call("environ_get", (BAD_OUT, BAD_OUT))
    for clock in (0, 1, 2, 3, 0xFFFFFFFF):
        yield Call("clock_res_get", (clock, OUT8), loose=True)
        yield Call("clock_time_get", (clock, 1, OUT8), loose=True)
        yield Call("clock_time_get", (clock, 1, BAD_OUT))
    for fd in (0, 1, 2, 3, 0xFFFFFFFF):
        yield Call("fd_advise", (fd, 0, 0, 0))
        yield Call("fd_allocate", (fd, 0, 1))
        yield Call("fd_close", (fd,))
        yield Call("fd_datasync", (fd,))
        yield Call("fd_fdstat_get", (fd, OUT8))
        yield Call("fd_fdstat_get", (fd, BAD_OUT))
        yield Call("fd_fdstat_set_flags", (fd, 0))
        yield Call("fd_fdstat_set_rights", (fd, 0, 0))
        yield Call("fd_filestat_get", (fd, OUT8))
        yield Call("fd_filestat_set_size", (fd, 0))
        yield Call("fd_filestat_set_times", (fd, 0, 0, 0))
        yield Call("fd_pread", (fd, 0, 0, 0, OUT))
        yield Call("fd_prestat_get", (fd, OUT8))
        yield Call("fd_prestat_dir_name", (fd, OUT8, 8))
        yield Call("fd_read", (fd, 0, 0, OUT))
        yield Call("fd_readdir", (fd, OUT8, 8, 0, OUT))
        yield Call("fd_readdir", (fd, OUT8, 8, 0, BAD_OUT))
        yield Call("fd_renumber", (fd, 1))
        yield Call("fd_seek", (fd, 0, 0, OUT8))
        yield Call("fd_sync", (fd,))
        yield Call("fd_tell", (fd, OUT8))
        yield Call("fd_tell", (fd, BAD_OUT))
        yield Call("fd_write", (fd, 0, 0, OUT))
        yield Call("fd_write", (fd, 0, 0, BAD_OUT))
        yield Call("fd_write", (fd, 0xFFFFFFF0, 2, OUT))
        yield Call("fd_pwrite", (fd, 0, 0, 0, OUT))
        yield Call("fd_pwrite", (fd, 0xFFFFFFF0, 2, 0, OUT))
        yield Call("path_create_directory", (fd, b"p"))
        yield Call("path_filestat_get", (fd, 0, b"p", OUT8))
        yield Call("path_filestat_set_times", (fd, 0, b"p", 0, 0, 0))
        yield Call("path_open", (fd, 0, b"p", 0, 0, 0, 0, OUT))
        yield Call("path_open", (fd, 0, b"p", 0, 0, 0, 0, BAD_OUT))
        yield Call("path_readlink", (fd, b"p", OUT8, 8, OUT))
        yield Call("path_readlink", (fd, b"p", OUT8, 8, BAD_OUT))
        yield Call("path_remove_directory", (fd, b"p"))
        yield Call("path_rename", (fd, b"p", fd, b"p"))
        yield Call("path_unlink_file", (fd, b"p"))
        yield Call("sock_accept", (fd, 0, OUT8))
        yield Call("sock_accept", (fd, 0, BAD_OUT))
        yield Call("sock_recv", (fd, 0, 0, 0, OUT, OUT))
        yield Call("sock_recv", (fd, 0, 0, 0, OUT, BAD_OUT))
        yield Call("sock_send", (fd, 0, 0, 0, OUT))
        yield Call("sock_send", (fd, 0, 0, 0, BAD_OUT))
        yield Call("sock_shutdown", (fd, 0))
    yield Call("poll_oneoff", (0, 0, 0, OUT))
    yield Call("poll_oneoff", (0, 0, 0, BAD_OUT))
    yield Call("random_get", (OUT8, 8), loose=True)
    yield Call("random_get", (OUT8, 0))
    yield Call("random_get", (0, 65537))
    yield Call("random_get", (0xFFFFFFF0, 32))
    yield Call("sched_yield", ())
    yield Call("proc_exit", (0,), loud=True)


# The calls that may crash a proxy come last: the others then have the same ids whether or not it does.
_PARTS = (
    *(_callouts, _basics, _properties, _foreign, _shared, _metrics, _maps, _buffers, _wasi, _empty_service, _streams),
)


def names(found: Sequence[Call]) -> set[str]:
    """The functions that are called."""
    return {call.name for call in found}
