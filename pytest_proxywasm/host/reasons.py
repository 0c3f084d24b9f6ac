"""The words for why a hostcall answered an error, or OK without effect; knows no state, only what it is handed.

Who decides a status calls ``context.because(status, function, *facts)`` with one of these; the text is made when
somebody reads it. They name headers, never the values of headers.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..abi.enums import BufferType, MapType
from ..headers import to_text

_SHOWN = 12
_HOMES = {
    MapType.HTTP_REQUEST_HEADERS: "proxy_on_request_headers",
    MapType.HTTP_REQUEST_TRAILERS: "proxy_on_request_trailers",
    MapType.HTTP_RESPONSE_HEADERS: "proxy_on_response_headers",
    MapType.HTTP_RESPONSE_TRAILERS: "proxy_on_response_trailers",
    MapType.GRPC_CALL_INITIAL_METADATA: "proxy_on_grpc_receive_initial_metadata",
    MapType.GRPC_CALL_TRAILING_METADATA: "proxy_on_grpc_receive_trailing_metadata",
    MapType.HTTP_CALL_RESPONSE_HEADERS: "proxy_on_http_call_response",
    MapType.HTTP_CALL_RESPONSE_TRAILERS: "proxy_on_http_call_response",
}
_BUFFER_HOMES = {
    BufferType.HTTP_REQUEST_BODY: "proxy_on_request_body",
    BufferType.HTTP_RESPONSE_BODY: "proxy_on_response_body",
    BufferType.DOWNSTREAM_DATA: "proxy_on_downstream_data",
    BufferType.UPSTREAM_DATA: "proxy_on_upstream_data",
    BufferType.HTTP_CALL_RESPONSE_BODY: "proxy_on_http_call_response",
    BufferType.GRPC_CALL_MESSAGE: "proxy_on_grpc_receive",
    BufferType.PLUGIN_CONFIGURATION: "proxy_on_configure",
    BufferType.FOREIGN_FUNCTION_ARGUMENTS: "proxy_on_foreign_function",
}

BODIES = frozenset(
    {BufferType.HTTP_REQUEST_BODY, BufferType.HTTP_RESPONSE_BODY, BufferType.DOWNSTREAM_DATA, BufferType.UPSTREAM_DATA}
)
"""Buffers that are there in every callback, and empty in most."""

NOT_YET, GONE, ROOT, LOGGING, NO_TRAILERS, ELSEWHERE, READ_ONLY, TCP = range(8)
"""Why a map is not there: see `map_not_there`."""


def nearest(name: str, names: Iterable[str], what: str = "it has") -> str:
    """The names near one, else the first of all; for the end of a sentence."""
    known = list(dict.fromkeys(names))
    same = [one for one in known if one.lower() == name.lower()]
    near = same or difflib.get_close_matches(name, known, n=3, cutoff=0.7)
    if near:
        return f"; near it: {', '.join(near)}"
    if not known:
        return f"; {what}: nothing"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"; {what}: {', '.join(known[:_SHOWN])}{more}"


def no_header(kind: MapType, key: bytes, entries: Iterable[tuple[bytes, bytes]]) -> str:
    """A header that a map does not have."""
    return f"{kind.name} has no {to_text(key)!r} here{nearest(to_text(key), (to_text(k) for k, _ in entries))}"


def map_not_there(kind: MapType, callback: str | None, state: int) -> str:
    """A map that cannot be used now, by what is known of it."""
    where = callback or "this callback"
    home = _HOMES[kind]
    name = kind.name
    if state == NOT_YET:
        return f"{name} is not there yet in {where}: it comes with {home}"
    if state == GONE:
        return (
            f"{name} is no longer there in {where}: the filter has let it go (the callback returned CONTINUE, or the "
            "stream was resumed)"
        )
    if state == LOGGING:
        return f"{name} cannot be changed in {where}: the stream is over"
    if state == NO_TRAILERS:
        return f"{name} is not there in {where}: there are no trailers (yet), and none can be added now"
    if state == ELSEWHERE:
        return f"{name} is there only in {home}, not in {where}"
    if state == READ_ONLY:
        return f"{name} can be read, not changed: it belongs to the answer of a callout"
    if state == TCP:
        return f"{name} belongs to HTTP, and this context is a TCP connection"
    return (
        f"{name} belongs to a stream, and {where} runs on a root context: choose a stream's with "
        "proxy_set_effective_context"
    )


def no_buffer(kind: BufferType, callback: str | None) -> str:
    """A buffer that is not there."""
    return f"{kind.name} is there only in {_BUFFER_HOMES.get(kind, 'other callbacks')}, not in {callback or 'this one'}"


def empty_buffer(kind: BufferType, callback: str | None) -> str:
    """A body that is read where there is none: Envoy answers OK and nothing."""
    return f"{kind.name} is empty in {callback or 'this callback'}: data is there in {_BUFFER_HOMES[kind]}"


def buffer_read_only(kind: BufferType, callback: str | None) -> str:
    """A buffer that cannot be written."""
    if kind in (BufferType.HTTP_REQUEST_BODY, BufferType.HTTP_RESPONSE_BODY):
        return f"{kind.name} can be changed only in {_BUFFER_HOMES[kind]}, not in {callback or 'this callback'}"
    return f"{kind.name} cannot be changed here"


def inside_buffer(start: int, size: int) -> str:
    """A write into the middle of a buffer."""
    return f"start={start} lies inside the {size} bytes: Envoy writes at the front (0) or at the end (from {size}) only"


def no_shared_data(key: bytes, keys: Iterable[bytes], vm_id: str) -> str:
    """A key that nobody has set."""
    where = f"under vm_id {vm_id!r}" if vm_id else "under the empty vm_id"
    return f"no shared data {to_text(key)!r} {where}{nearest(to_text(key), map(to_text, keys), 'there are')}"


def cas_mismatch(key: bytes, given: int, now: int) -> str:
    """Somebody else has set the value meanwhile."""
    return f"the value of {to_text(key)!r} has been set since it was read: cas={given} was given, it is {now} now"


def no_queue_name(vm_id: str, name: bytes, names: Iterable[bytes]) -> str:
    """A queue that nobody has registered."""
    return (
        f"nobody has registered a queue {to_text(name)!r} under vm_id {vm_id!r}"
        f"{nearest(to_text(name), map(to_text, names), 'there are')}"
    )


def no_queue(queue_id: int, ids: Iterable[int]) -> str:
    """A queue id that was never handed out."""
    known = ", ".join(map(str, ids)) or "none"
    return f"no queue has the id {queue_id}; there are: {known}"


def no_metric(metric_id: int, ids: Iterable[int]) -> str:
    """A metric id that was never handed out."""
    known = list(ids)
    return f"no metric has the id {metric_id}; this VM has defined: {', '.join(map(str, known[:_SHOWN])) or 'none'}"


def bad_increment(metric_id: int, delta: int) -> str:
    """A metric that cannot be changed so."""
    if metric_id & 3 > 1:
        return f"metric {metric_id} is a histogram: it takes samples (proxy_record_metric), no increments"
    return f"delta={delta}: metric {metric_id} is a counter, which takes deltas of 1 and more only"


def histogram_value(metric_id: int) -> str:
    """Histograms have no value to read."""
    return f"metric {metric_id} is a histogram, which has no value to read"


def no_cluster(name: str, names: Iterable[str], answer: str = "pw.Response(200)") -> str:
    """A cluster nobody has declared."""
    return (
        f"the cluster {name!r} does not exist{nearest(name, names, 'there are')}. "
        f'In the test: host.cluster("{name}", {answer})'
    )


def no_hosts(name: str) -> str:
    """A cluster without hosts."""
    return f"the cluster {name!r} has no hosts (pw.NoHosts())"


def bad_timeout(milliseconds: int) -> str:
    """A timeout Envoy does not take."""
    return f"timeout={milliseconds}: more than 2147483647 ms; a negative number, as a rule"


def no_pseudo_header(missing: tuple[str, ...], names: Iterable[bytes]) -> str:
    """A callout that lacks what every request has."""
    there = ", ".join(to_text(name) for name in names) or "nothing"
    return f"headers lack {', '.join(missing)}: a callout needs :method, :path and :authority; they have: {there}"


def no_property(path: list[bytes], part: int, names: Iterable[str], callback: str | None) -> str:
    """A path that leads nowhere, and the part that does."""
    shown = ".".join(map(to_text, path))
    group = ".".join(map(to_text, path[:part]))
    name = to_text(path[part]) if part < len(path) else ""
    known = list(names)
    if name in known:
        return f"the property {shown!r} has no value (yet) in {callback or 'this callback'}"
    where = f"{group!r} has" if group else "there is"
    return f"the property {shown!r}: {where} no {name!r}{nearest(name, known, 'there are')}"


def property_group(path: list[bytes], names: Iterable[str]) -> str:
    """A path that stops at a group."""
    shown = ".".join(map(to_text, path))
    if not path:
        return "the path is empty"
    inside = ", ".join(names)
    return f"the property {shown!r} is a group without a value of its own" + (f"; in it: {inside}" if inside else "")


def no_context(context_id: int, ids: Iterable[int]) -> str:
    """A context that does not exist (any more)."""
    return f"context_id={context_id}: there is no such context (any more); there are: {', '.join(map(str, ids))}"


def no_function(name: bytes, names: Iterable[bytes]) -> str:
    """A foreign function nobody offers."""
    shown = to_text(name)
    return (
        f"no foreign function {shown!r}{nearest(shown, map(to_text, names), 'there are')}. "
        f'In the test: host.foreign_function("{shown}", lambda data: b"...")'
    )


def function_failed(name: bytes) -> str:
    """A function that refuses its arguments."""
    return f"the foreign function {to_text(name)!r} refused its arguments"


def bad_grpc_id(call_id: int, ids: Iterable[int]) -> str:
    """A gRPC id that is none of this hostcall's."""
    known = ", ".join(map(str, ids)) or "none"
    return f"no open gRPC call or stream of this kind has the id {call_id}; open ones: {known}"
