"""Filter state: what filters store with a stream, as declared, and the objects of Envoy they may set there.

Knows no streams; the rules and the list of objects are those of Envoy 1.40.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..abi.enums import Status
from ..errors import NotEmulatedError
from . import reasons

if TYPE_CHECKING:
    from .context import Context

PREFIX = b"wasm."
"""Before the keys of properties that filters set."""

BYTES, STRING, FLAT_BUFFERS, PROTOBUF = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What ``declare_property`` said of a property."""

    readonly: bool = False
    kind: int = BYTES
    schema: bytes = b""


class FilterState(dict[bytes, Any]):
    """The state of one stream, by key; values as properties show them.

    A property keeps the declaration it was first set under. Its life spans do not show here: every stream of the mock
    host has a connection of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._declared: dict[bytes, Declared] = {}

    def set_property(self, context: Context, path: bytes, value: bytes) -> Status:
        """``proxy_set_property``; BAD_ARGUMENT for a second value of a read-only one."""
        key = PREFIX + path
        if key not in self:
            declared = context.root.declared.get(path)
            if declared is not None:
                self._declared[key] = declared
        elif key in self._declared and self._declared[key].readonly:
            shown = path.decode("utf-8", "replace")
            return context.because(Status.BAD_ARGUMENT, f"the property {shown!r} is declared read-only and has a value")
        self[key] = value
        return Status.OK

    def by_key(self, context: Context, key: bytes) -> Any:
        """The value under ``filter_state`` and the whole key, where its declared type shows."""
        declared = self._declared.get(key)
        if declared is None or declared.kind in (BYTES, STRING):
            return self[key]
        name = key[len(PREFIX) :].decode("utf-8", "replace")
        if declared.kind == FLAT_BUFFERS and not declared.schema:
            raise context.proxy.crash(
                f"the property {name!r} is declared as FlatBuffers without a schema and was read through filter_state: "
                "Envoy crashes",
                callback=context.vm.running,
            )
        if declared.schema:
            raise NotEmulatedError(
                f"the mock host does not emulate properties declared with a schema; filter_state.wasm.{name} was read"
            )
        return None


INVALID = object()
UNREADABLE = object()
"""It can be set, but not read as a property."""

_NUMBER = re.compile(rb"\s*\+?[0-9]+\s*")
_TRUE, _FALSE = (b"true", b"t", b"yes", b"y", b"1"), (b"false", b"f", b"no", b"n", b"0")


def _text(value: bytes) -> Any:
    return value


def _some_text(value: bytes) -> Any:
    return value or INVALID


def _unreadable(value: bytes) -> Any:
    return UNREADABLE


def _number(bits: int) -> Callable[[bytes], Any]:
    def parse(value: bytes) -> Any:
        number = int(value) if _NUMBER.fullmatch(value) else -1
        return b"%d" % number if 0 <= number < 1 << bits else INVALID

    return parse


def _bool(value: bytes) -> Any:
    word = value.lower()
    return b"true" if word in _TRUE else b"false" if word in _FALSE else INVALID


def _is_true(value: bytes) -> Any:
    return b"true" if value == b"true" else b"false"


def _ip(value: bytes) -> Any:
    try:
        address = ipaddress.ip_address(value.decode())
    except ValueError:
        return INVALID
    return (f"[{address}]:0" if address.version == 6 else f"{address}:0").encode()


def _address(value: bytes) -> Any:
    """An address with a port; as a property it is an empty map."""
    host, colon, port = value.decode("utf-8", "replace").rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        version = ipaddress.ip_address(host[1:-1] if bracketed else host).version
    except ValueError:
        return INVALID
    right = bool(colon) and port.isdigit() and int(port) < 1 << 16 and bracketed == (version == 6)
    return {} if right else INVALID


OBJECTS: dict[bytes, Callable[[bytes], Any] | None] = {
    b"envoy.ai.llm_protocol.request": None,
    b"envoy.ai.model.request": _some_text,
    b"envoy.bool": _bool,
    b"envoy.filters.listener.original_dst.local_ip": _address,
    b"envoy.filters.listener.original_dst.remote_ip": _address,
    b"envoy.hashable_string": _text,
    b"envoy.network.application_protocols": _unreadable,
    b"envoy.network.ip": _ip,
    b"envoy.network.network_namespace": _text,
    b"envoy.network.transport_socket.http_11_proxy.info": None,
    b"envoy.network.transport_socket.original_dst_address": _address,
    b"envoy.network.upstream_server_name": _text,
    b"envoy.network.upstream_subject_alt_names": _text,
    b"envoy.ratelimit.hits_addend": _number(32),
    b"envoy.router.debug_config": _unreadable,
    b"envoy.string": _text,
    b"envoy.tcp_proxy.cluster": _text,
    b"envoy.tcp_proxy.disable_tunneling": _is_true,
    b"envoy.tcp_proxy.per_connection_idle_timeout_ms": _number(64),
    b"envoy.upstream.dynamic_host": _text,
    b"envoy.upstream.dynamic_port": _number(32),
}
"""The objects this Envoy knows (it lists them when it starts) and how each is made of text; ``None``: not emulated."""


def _no_object(name: str, known: tuple[str, ...]) -> str:
    return f"Envoy has no filter state object {name!r}{reasons.nearest(name, known, 'it has')}"


def set_object(context: Context, key: bytes, value: bytes) -> Status:
    """``set_envoy_filter_state``: NOT_FOUND for an unknown object or without a stream, BAD_ARGUMENT for a bad value."""
    if key not in OBJECTS:
        known = tuple(name.decode() for name in OBJECTS)
        shown = key.decode("utf-8", "replace")
        return context.because(Status.NOT_FOUND, _no_object, shown, known)
    make = OBJECTS[key]
    if make is None:
        raise NotEmulatedError(f"the mock host does not emulate the filter state object {key.decode()!r}")
    made = make(value)
    if made is INVALID:
        return context.because(
            Status.BAD_ARGUMENT, f"the value is none that the object {key.decode()!r} can be made of"
        )
    stream = context.stream_info
    if stream is None:
        return context.because(Status.NOT_FOUND, "a root context has no stream to store an object with")
    if made is UNREADABLE:
        stream.filter_state.pop(key, None)
    else:
        stream.filter_state[key] = made
    return Status.OK
