"""Properties (Envoy's attributes): what a path leads to, and how values are encoded.

Knows streams and contexts by what they hold; the paths and encodings are those of Envoy 1.40.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..abi.codec import encode_pairs, split_path
from ..abi.enums import Status
from ..headers import to_number, to_text
from . import protobuf, reasons
from .filter_state import PREFIX
from .headermap import HeaderMap

if TYPE_CHECKING:
    from .context import Context
    from .http.stream import HttpStreamCore


HEADER_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


class Group(dict[str, Any]):
    """A named set of attributes: it can be entered, but has no value itself."""


class Missing:
    """There is no such attribute (now)."""


MISSING = Missing()
_INTEGER = re.compile(rb"[ \t\n\v\f\r]*([+-]?\d+)[ \t\n\v\f\r]*")


class Message(dict[str, Any]):
    """A protobuf message: its fields can be entered, and as a whole it is its bytes."""

    def __init__(self, fields: Mapping[str, Any], serialized: bytes) -> None:
        super().__init__(fields)
        self.serialized = serialized


def encode(value: Any) -> bytes | Status:
    """A value as guests get it.

    Text and bytes raw; bool 1 byte; int 8 bytes; float 8 bytes; maps and lists as header pairs (a list has its items as
    names and empty values); a group, and nothing, cannot be encoded.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, int):
        return struct.pack("<Q", value % (1 << 64))
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, Group) or value is None:
        return Status.SERIALIZATION_FAILURE
    if isinstance(value, Message):
        return value.serialized
    if isinstance(value, Mapping):
        return _encode_items([(key, item) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return _encode_items([(item, b"") for item in value])
    return Status.SERIALIZATION_FAILURE


def _encode_items(items: list[tuple[Any, Any]]) -> bytes | Status:
    pairs = []
    for key, value in items:
        name, content = encode(key), encode(value)
        if isinstance(name, Status) or isinstance(content, Status):
            return Status.SERIALIZATION_FAILURE
        pairs.append((name, content))
    return encode_pairs(pairs)


def lookup(context: Context, path: bytes) -> bytes | Status:
    """What ``proxy_get_property`` answers."""
    parts = split_path(path)
    if not parts:
        return context.because(Status.SERIALIZATION_FAILURE, reasons.property_group, parts, ())
    overrides = context.proxy.overrides
    if overrides and tuple(parts) in overrides:
        return encode(overrides[tuple(parts)])
    value = _top(context, parts[0])
    inside: Any = _top_names(context)
    for at, part in enumerate(parts[1:]):
        if isinstance(value, Missing):
            return _leads_nowhere(context, parts, at, inside)
        inside, value = value, _enter(value, to_text(part))
    if isinstance(value, Missing):
        return _leads_nowhere(context, parts, len(parts) - 1, inside)
    if isinstance(value, HeaderAttributes) and (name := value.invalid_name) is not None:
        raise context.proxy.crash(
            f"filter {context.label!r} read all headers as one property, and one of them is called {to_text(name)!r}, "
            "which is no header name. A real Envoy process crashes there.",
        )
    encoded = encode(value() if callable(value) else value)
    if isinstance(encoded, Status):
        names = tuple(map(str, value)) if isinstance(value, Mapping) else ()
        context.because(encoded, reasons.property_group, parts, names)
    return encoded


def _top_names(context: Context) -> tuple[str, ...]:
    streams = () if context.stream_info is None else (name.decode() for name in _STREAM)
    return ("plugin_name", "plugin_root_id", "plugin_vm_id", "xds", *streams)


def _leads_nowhere(context: Context, parts: list[bytes], at: int, inside: Any) -> Status:
    if context.stream_info is None and parts[0] in _STREAM:
        shown = to_text(b".".join(parts))
        return context.because(Status.NOT_FOUND, f"the property {shown!r} belongs to a stream; a root context has none")
    if callable(inside):
        inside = inside()
    names = tuple(map(str, inside)) if isinstance(inside, (Mapping, tuple)) else ()
    return context.because(Status.NOT_FOUND, reasons.no_property, parts, at, names, context.vm.running)


def attribute(context: Context, name: str) -> Any:
    """A top-level attribute as it is before it is encoded; `MISSING` when there is none (now)."""
    overrides = context.proxy.overrides
    key = name.encode("utf-8", "surrogateescape")
    if (key,) in overrides:
        return overrides[key,]
    value = _top(context, key)
    inside = {path[1:]: item for path, item in overrides.items() if path[0] == key}
    return _overridden({} if isinstance(value, Missing) else value, inside) if inside else value


def _overridden(value: Any, items: Mapping[tuple[bytes, ...], Any]) -> Any:
    if callable(value):
        value = value()
    if not isinstance(value, Mapping):
        return value
    merged = dict(value)
    for name in dict.fromkeys(path[0] for path in items):
        inside = {path[1:]: item for path, item in items.items() if path[0] == name}
        key = to_text(name)
        merged[key] = inside[()] if () in inside else _overridden(merged.get(key, {}), inside)
    return Group(merged) if isinstance(value, Group) or not value else merged


def _enter(value: Any, part: str) -> Any:
    if callable(value):
        value = value()
    if isinstance(value, HeaderAttributes):
        return value.find(part)
    if isinstance(value, Mapping):
        found = value.get(part, MISSING)
        return found() if callable(found) else found
    if isinstance(value, (list, tuple)):
        index = to_number(part.encode("utf-8", "surrogateescape"))
        return value[index] if index is not None and index < len(value) else MISSING
    return MISSING


class HeaderAttributes(Mapping[str, str]):
    """Headers as an attribute: case-insensitive, several values joined by a comma; a map that is gone is empty."""

    def __init__(self, headers: HeaderMap | None) -> None:
        self._headers = headers

    def find(self, name: str) -> Any:
        """The joined values of a header."""
        values = self._headers.get_all(name.encode("utf-8", "surrogateescape")) if self._headers is not None else []
        return b",".join(values) if values else MISSING

    @property
    def invalid_name(self) -> bytes | None:
        """A name that no header can have, if there is one."""
        entries = self._headers.entries if self._headers is not None else ()
        return next((name for name, _ in entries if not HEADER_NAME.match(name)), None)

    def __getitem__(self, name: str) -> str:
        found = self.find(name)
        if found is MISSING:
            raise KeyError(name)
        return to_text(found)

    def __iter__(self) -> Any:
        return iter(dict.fromkeys(to_text(k) for k, _ in self._headers.entries) if self._headers is not None else ())

    def __len__(self) -> int:
        return len({k for k, _ in self._headers.entries}) if self._headers is not None else 0


def _top(context: Context, name: bytes) -> Any:
    config = context.config
    if name == b"plugin_name":
        return config.name
    if name == b"plugin_root_id":
        return config.root_id
    if name == b"plugin_vm_id":
        return config.vm_id
    stream = context.stream_info
    top = _STREAM.get(name)
    if name == b"xds":
        return _xds(context, stream)
    if stream is None:
        return MISSING
    if top is not None:
        return top(context, stream)
    return stream.filter_state.get(PREFIX + name, MISSING)


def _xds(context: Context, stream: Any) -> Group:
    node = context.proxy.node
    group = Group(node=_node(node))
    if stream is not None:
        route = stream.route_for_properties
        none = _metadata_message({})
        group["cluster_name"] = route.cluster if route is not None else MISSING
        group["cluster_metadata"] = none if route is not None else MISSING
        group["route_name"] = route.name if route is not None else MISSING
        group["route_metadata"] = _metadata_message(route.metadata) if route is not None else MISSING
        if stream.virtual_host:
            group["virtual_host_name"] = stream.virtual_host
            group["virtual_host_metadata"] = none
        group["filter_chain_name"] = ""
        group["listener_metadata"] = none
        group["listener_direction"] = context.proxy.listener_direction
        if stream.upstream_chosen:
            group["upstream_host_metadata"] = group["upstream_host_locality_metadata"] = None
    return group


def _node(node: Mapping[str, Any]) -> Message:
    """Envoy's own node: as a whole without the list of extensions that Envoy puts in."""
    metadata = node.get("metadata", {})
    locality = _locality(node.get("locality", {}))
    fields = {
        "id": node.get("id", ""),
        "cluster": node.get("cluster", ""),
        "metadata": _struct(metadata),
        "locality": locality,
        "user_agent_name": "envoy",
        "client_features": [],
        "listening_addresses": [],
    }
    serialized = protobuf.text(1, fields["id"]) + protobuf.text(2, fields["cluster"])
    if metadata:
        serialized += protobuf.field(3, protobuf.struct_message(metadata))
    if locality.serialized:
        serialized += protobuf.field(4, locality.serialized)
    return Message(fields, serialized + protobuf.text(6, "envoy"))


def _locality(locality: Mapping[str, str]) -> Message:
    names = ("region", "zone", "sub_zone")
    serialized = b"".join(protobuf.text(number, locality.get(name, "")) for number, name in enumerate(names, 1))
    return Message({name: locality.get(name, "") for name in names}, serialized)


def _metadata_message(filter_metadata: Mapping[str, Any]) -> Message:
    entries = {key: protobuf.struct_message(value) for key, value in filter_metadata.items()}
    fields = {"filter_metadata": _struct(filter_metadata), "typed_filter_metadata": {}}
    return Message(fields, protobuf.map_field(1, entries))


def _struct(value: Any) -> Any:
    """JSON values as a protobuf Struct holds them: numbers are doubles."""
    if isinstance(value, Mapping):
        return {key: _struct(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_struct(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _request(context: Context, stream: HttpStreamCore) -> Group:
    headers = _visible_request(context, stream)

    def of(name: bytes) -> Any:
        if headers is None:
            return MISSING
        found = headers.get(name)
        return MISSING if found is None else found

    path = of(b":path")
    url = MISSING if headers is None else b"" if isinstance(path, Missing) else path
    return Group(
        path=path,
        url_path=url.partition(b"?")[0] if isinstance(url, bytes) else MISSING,
        query=url.partition(b"?")[2] if isinstance(url, bytes) else MISSING,
        host=of(b":authority"),
        scheme=of(b":scheme"),
        method=of(b":method"),
        referer=of(b"referer"),
        useragent=of(b"user-agent"),
        id=of(b"x-request-id"),
        headers=HeaderAttributes(headers),
        time=stream.started_ns,
        protocol=stream.request_protocol,
        size=_request_size(headers, stream),
        total_size=stream.request_size + (headers.byte_size if headers is not None else 0),
        duration=stream.ended_ns - stream.started_ns if stream.ended_ns is not None else MISSING,
    )


def _request_size(headers: HeaderMap | None, stream: HttpStreamCore) -> int | Missing:
    """What content-length says, missing if it is no number; without one what has arrived (Envoy 1.40)."""
    length = headers.get(b"content-length") if headers is not None else None
    if length is None:
        return stream.request_size
    match = _INTEGER.fullmatch(length)
    number = int(match[1]) if match is not None else 1 << 63
    return number if -(1 << 63) <= number < 1 << 63 else MISSING


def _visible_request(context: Context, stream: HttpStreamCore) -> HeaderMap | None:
    from .http.context import HttpContext

    if isinstance(context, HttpContext):
        return stream.request.headers_map if context.logging else context.request.headers
    return None


def _response(context: Context, stream: HttpStreamCore) -> Group:
    from .http.context import HttpContext

    headers = trailers = None
    logging = False
    if isinstance(context, HttpContext):
        logging = context.logging
        # What the filter itself holds comes first: while logging that may be what a local response has replaced.
        headers, trailers = context.response.headers, context.response.trailers
        if logging:
            headers = headers if headers is not None else stream.response.headers_map
            trailers = trailers if trailers is not None else stream.response.trailers_map
    code = stream.response_code
    grpc_status = stream.grpc_status(headers, trailers)
    return Group(
        code=code if code is not None else MISSING,
        code_details=MISSING if stream.code_details is None else stream.code_details,
        flags=stream.flags,
        headers=HeaderAttributes(headers),
        trailers=HeaderAttributes(trailers),
        size=stream.response_size,
        total_size=stream.response_size + sum(map.byte_size for map in (headers, trailers) if map is not None),
        grpc_status=grpc_status if grpc_status is not None else MISSING,
        backend_latency=stream.backend_latency_ns if stream.backend_latency_ns is not None else MISSING,
    )


def _source(context: Context, stream: Any) -> Group:
    return Group(address=f"127.0.0.1:{stream.source_port}", port=stream.source_port)


def _destination(context: Context, stream: Any) -> Group:
    return Group(address=f"127.0.0.1:{stream.destination_port}", port=stream.destination_port)


def _connection(context: Context, stream: Any) -> Group:
    return Group(
        id=stream.connection_id,
        mtls=False,
        requested_server_name="",
        termination_details=MISSING,
        transport_failure_reason=MISSING,
    )


def _upstream(context: Context, stream: Any) -> Group:
    """The host is known once the router has chosen it, the connection's own side when there is one."""
    group = Group(request_attempt_count=stream.upstream_attempts)
    if stream.upstream_chosen:
        group.update(
            address=f"127.0.0.1:{stream.upstream_port}",
            port=stream.upstream_port,
            locality=_locality({}),
            transport_failure_reason=stream.transport_failure,
        )
    if stream.upstream_connected:
        group["local_address"] = f"127.0.0.1:{stream.upstream_local_port}"
    if stream.upstream_connected or stream.transport_failure:
        group["cx_pool_ready_duration"] = 0
    return group


def _upstream_filter_state(context: Context, stream: Any) -> Any:
    return Group() if stream.upstream_connected else MISSING


def _metadata(context: Context, stream: Any) -> Any:
    return _metadata_message({})


def _filter_state(context: Context, stream: Any) -> Group:
    state = stream.filter_state
    return Group({to_text(key): partial(state.by_key, context, key) for key in state})


_STREAM: dict[bytes, Callable[[Any, Any], Any]] = {
    b"request": _request,
    b"response": _response,
    b"source": _source,
    b"destination": _destination,
    b"connection": _connection,
    b"upstream": _upstream,
    b"metadata": _metadata,
    b"filter_state": _filter_state,
    b"upstream_filter_state": _upstream_filter_state,
    b"connection_id": lambda context, stream: stream.connection_id,
}
