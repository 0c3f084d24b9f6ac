"""Hostcalls of header maps and buffers."""

from __future__ import annotations

from typing import Annotated

from ...abi.codec import Pair
from ...abi.enums import AbiVersion, BufferType, Status
from ...abi.hostcall import U32, Buffer, Bytes, LazyBytes, Map, Output, Pairs, Text
from .. import reasons
from ..buffers import Buffer as HostBuffer
from ..buffers import view_read, view_size
from ..context import Context
from .registry import HOSTCALLS


@HOSTCALLS.declare()
def proxy_get_header_map_value(
    context: Context, map: Map, key: Text
) -> Annotated[bytes | Status, Output("data", "value")]:
    """The first value of a header.

    NOT_FOUND when it is absent (ABI 0.1.0: OK and empty); BAD_ARGUMENT when the map is not there now.
    """
    headers = context.map_for_reading(map)
    old = context.vm.interface.version is AbiVersion.V0_1_0
    if headers is None:
        why = context.why_no_map(map, writing=False)
        if not context.absent_is_not_found:
            return context.because(Status.BAD_ARGUMENT, *why)
        status = context.because(Status.NOT_FOUND, *why)
        return b"" if old else status
    value = headers.get(key)
    if value is None:
        status = context.because(Status.NOT_FOUND, reasons.no_header, map, key, tuple(headers.entries))
        return b"" if old else status
    return value


@HOSTCALLS.declare()
def proxy_add_header_map_value(context: Context, map: Map, key: Text, value: Bytes) -> Status:
    """Add an entry, beside those of the same name; BAD_ARGUMENT when the map cannot be written now."""
    headers = context.map_for_writing(map)
    if headers is None:
        return context.because(Status.BAD_ARGUMENT, *context.why_no_map(map, writing=True))
    headers.add(key, value)
    return Status.OK


@HOSTCALLS.declare()
def proxy_replace_header_map_value(context: Context, map: Map, key: Text, value: Bytes) -> Status:
    """Make this the only value of a name; it moves to the end of the map."""
    headers = context.map_for_writing(map)
    if headers is None:
        return context.because(Status.BAD_ARGUMENT, *context.why_no_map(map, writing=True))
    headers.replace(key, value)
    return Status.OK


@HOSTCALLS.declare()
def proxy_remove_header_map_value(context: Context, map: Map, key: Text) -> Status:
    """Remove all values of a name; OK also when there is none."""
    headers = context.map_for_writing(map)
    if headers is None:
        return context.because(Status.BAD_ARGUMENT, *context.why_no_map(map, writing=True))
    headers.remove(key)
    return Status.OK


@HOSTCALLS.declare()
def proxy_get_header_map_pairs(context: Context, map: Map) -> Annotated[list[Pair], Output("pairs", "pairs")]:
    """The whole map; OK and nothing also when it is not there now."""
    headers = context.map_for_reading(map)
    if headers is None:
        context.without_effect(*context.why_no_map(map, writing=False))
        return []
    return list(headers.entries)


@HOSTCALLS.declare()
def proxy_set_header_map_pairs(context: Context, map: Map, pairs: Pairs) -> Status:
    """Replace the whole map; malformed input counts as an empty map."""
    headers = context.map_for_writing(map)
    if headers is None:
        return context.because(Status.BAD_ARGUMENT, *context.why_no_map(map, writing=True))
    headers.replace_all(pairs)
    return Status.OK


@HOSTCALLS.declare()
def proxy_get_header_map_size(context: Context, map: Map) -> Annotated[int | Status, Output("u32", "size")]:
    """The bytes of all names and values (Envoy); only of maps that can be written now."""
    headers = context.map_for_writing(map)
    if headers is None:
        return context.because(Status.BAD_ARGUMENT, *context.why_no_map(map, writing=True))
    return headers.byte_size


@HOSTCALLS.declare()
def proxy_get_buffer_bytes(
    context: Context, buffer: Buffer, start: U32, max_size: U32
) -> Annotated[bytes | Status, Output("data", "value")]:
    """Bytes of a buffer, cut at its end; NOT_FOUND where there is no such buffer now."""
    view = _view(context, buffer)
    return view if isinstance(view, Status) else view_read(view, start, max_size)


def _view(context: Context, kind: BufferType) -> HostBuffer | bytes | Status:
    view = context.buffer(kind)
    if view is None:
        return context.because(Status.NOT_FOUND, reasons.no_buffer, kind, context.vm.running)
    if type(view) is bytes and not view and kind in reasons.BODIES:
        context.without_effect(reasons.empty_buffer, kind, context.vm.running)
    return view


@HOSTCALLS.declare()
def proxy_get_buffer_status(
    context: Context, buffer: Buffer
) -> Annotated[tuple[int, int] | Status, Output("u32", "size"), Output("u32", "flags")]:
    """The size of a buffer; the flags are always 0."""
    view = _view(context, buffer)
    return view if isinstance(view, Status) else (view_size(view), 0)


@HOSTCALLS.declare()
def proxy_set_buffer_bytes(context: Context, buffer: Buffer, start: U32, size: U32, value: LazyBytes) -> Status:
    """Put bytes at the front of a buffer (instead of its first ``size``) or at its end.

    NOT_FOUND where there is no such buffer; BAD_ARGUMENT for one that cannot be written now, and for a start in the
    middle.
    """
    view = context.buffer(buffer)
    if view is None:
        return context.because(Status.NOT_FOUND, reasons.no_buffer, buffer, context.vm.running)
    data = value()
    if not isinstance(view, HostBuffer):
        return context.because(Status.BAD_ARGUMENT, reasons.buffer_read_only, buffer, context.vm.running)
    status = view.write(start, size, data)
    return status if status is Status.OK else context.because(status, reasons.inside_buffer, start, len(view))
