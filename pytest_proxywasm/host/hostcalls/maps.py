"""Hostcalls of header maps and buffers."""

from __future__ import annotations

from typing import Annotated

from ...abi.codec import Pair
from ...abi.enums import AbiVersion, Status
from ...abi.hostcall import U32, Buffer, Bytes, LazyBytes, Map, Output, Pairs, Text
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
        if not context.absent_is_not_found:
            return Status.BAD_ARGUMENT
        return b"" if old else Status.NOT_FOUND
    value = headers.get(key)
    if value is None:
        return b"" if old else Status.NOT_FOUND
    return value


@HOSTCALLS.declare()
def proxy_add_header_map_value(context: Context, map: Map, key: Text, value: Bytes) -> Status:
    """Add an entry, beside those of the same name; BAD_ARGUMENT when the map cannot be written now."""
    headers = context.map_for_writing(map)
    if headers is None:
        return Status.BAD_ARGUMENT
    headers.add(key, value)
    return Status.OK


@HOSTCALLS.declare()
def proxy_replace_header_map_value(context: Context, map: Map, key: Text, value: Bytes) -> Status:
    """Make this the only value of a name; it moves to the end of the map."""
    headers = context.map_for_writing(map)
    if headers is None:
        return Status.BAD_ARGUMENT
    headers.replace(key, value)
    return Status.OK


@HOSTCALLS.declare()
def proxy_remove_header_map_value(context: Context, map: Map, key: Text) -> Status:
    """Remove all values of a name; OK also when there is none."""
    headers = context.map_for_writing(map)
    if headers is None:
        return Status.BAD_ARGUMENT
    headers.remove(key)
    return Status.OK


@HOSTCALLS.declare()
def proxy_get_header_map_pairs(context: Context, map: Map) -> Annotated[list[Pair], Output("pairs", "pairs")]:
    """The whole map; OK and nothing also when it is not there now."""
    headers = context.map_for_reading(map)
    return list(headers.entries) if headers is not None else []


@HOSTCALLS.declare()
def proxy_set_header_map_pairs(context: Context, map: Map, pairs: Pairs) -> Status:
    """Replace the whole map; malformed input counts as an empty map."""
    headers = context.map_for_writing(map)
    if headers is None:
        return Status.BAD_ARGUMENT
    headers.replace_all(pairs)
    return Status.OK


@HOSTCALLS.declare()
def proxy_get_header_map_size(context: Context, map: Map) -> Annotated[int | Status, Output("u32", "size")]:
    """The bytes of all names and values (Envoy); only of maps that can be written now."""
    headers = context.map_for_writing(map)
    return Status.BAD_ARGUMENT if headers is None else headers.byte_size


@HOSTCALLS.declare()
def proxy_get_buffer_bytes(
    context: Context, buffer: Buffer, start: U32, max_size: U32
) -> Annotated[bytes | Status, Output("data", "value")]:
    """Bytes of a buffer, cut at its end; NOT_FOUND where there is no such buffer now."""
    view = context.buffer(buffer)
    return Status.NOT_FOUND if view is None else view_read(view, start, max_size)


@HOSTCALLS.declare()
def proxy_get_buffer_status(
    context: Context, buffer: Buffer
) -> Annotated[tuple[int, int] | Status, Output("u32", "size"), Output("u32", "flags")]:
    """The size of a buffer; the flags are always 0."""
    view = context.buffer(buffer)
    return Status.NOT_FOUND if view is None else (view_size(view), 0)


@HOSTCALLS.declare()
def proxy_set_buffer_bytes(context: Context, buffer: Buffer, start: U32, size: U32, value: LazyBytes) -> Status:
    """Put bytes at the front of a buffer (instead of its first ``size``) or at its end.

    NOT_FOUND where there is no such buffer; BAD_ARGUMENT for one that cannot be written now, and for a start in the
    middle.
    """
    view = context.buffer(buffer)
    if view is None:
        return Status.NOT_FOUND
    data = value()
    if not isinstance(view, HostBuffer):
        return Status.BAD_ARGUMENT
    return view.write(start, size, data)
