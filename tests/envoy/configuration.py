"""A recorded PluginConfig as a filter, and the protobuf encoding of its configuration; knows no host."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_proxywasm.filters import Filter

__all__ = ["Label", "NotReplayable", "configuration_bytes", "filter_of"]

KEYS = frozenset(
    {
        "wasm",
        "name",
        "root_id",
        "vm_id",
        "configuration",
        "vm_configuration",
        "environment_variables",
        "fail_open",
        "failure_policy",
        "allow_on_headers_stop_iteration",
        "capability_restriction_config",
    }
)

RECORDED_ENVIRONMENT = {"HOME": "/root"}
"""What ``host_env_keys`` found in the recorder's own environment."""


class NotReplayable(Exception):
    """The case needs something that this replay does not know."""


class Label(str):
    """A filter's name that also says what else stands before a log line: the filter's root_id and vm_id.

    The host hands the name through to ``GuestLog.filter``, which is all a test needs; the recorded lines show more.
    """

    root_id: str
    vm_id: str

    def __new__(cls, name: str, root_id: str, vm_id: str) -> Label:
        self = super().__new__(cls, name)
        self.root_id = root_id
        self.vm_id = vm_id
        return self

    def prefix(self, *, root: bool) -> str:
        """``[name root_id vm_id] ``, empty parts left out; root contexts go without the name (fact R3)."""
        parts = [part for part in ("" if root else str(self), self.root_id, self.vm_id) if part]
        return f"[{' '.join(parts)}] " if parts else ""


def filter_of(spec: Mapping[str, Any], probe: Path) -> Filter:
    """The filter of one recorded PluginConfig; its guest comes from the probe's folder."""
    unknown = sorted(set(spec) - KEYS)
    if unknown:
        raise NotReplayable(f"this replay does not know filters.{unknown[0]}")
    wasm = probe / spec.get("wasm", "probe.wasm")
    if not wasm.is_file():
        raise NotReplayable(f"there is no guest {wasm}")
    root_id, vm_id = spec.get("root_id", ""), spec.get("vm_id", "")
    policy = str(spec.get("failure_policy") or "fail_closed").lower()
    if spec.get("fail_open"):
        policy = "fail_open_legacy"
    allowed = (spec.get("capability_restriction_config") or {}).get("allowed_capabilities")
    return Filter(
        wasm=wasm.read_bytes(),
        configuration=configuration_bytes(spec.get("configuration", "")),
        vm_configuration=configuration_bytes(spec.get("vm_configuration", "")),
        name=Label(spec.get("name", ""), root_id, vm_id),
        root_id=root_id,
        vm_id=vm_id,
        environment=_environment(spec.get("environment_variables") or {}),
        failure_policy="fail_closed" if policy == "unspecified" else policy,
        allow_on_headers_stop_iteration=bool(spec.get("allow_on_headers_stop_iteration")),
        allowed_capabilities=frozenset(allowed) if allowed else None,
    )


def _environment(spec: Mapping[str, Any]) -> dict[str, str]:
    inherited = {k: v for k, v in RECORDED_ENVIRONMENT.items() if k in spec.get("host_env_keys", ())}
    return {**inherited, **spec.get("key_values", {})}


def configuration_bytes(value: Any) -> bytes:
    """What a guest gets of a configuration: text as it is (StringValue), a message by its type (fact A16)."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Mapping):
        message = value.get("protobuf", value)
        kind = str(message.get("@type", "")).rpartition("/")[2]
        encode = _ENCODERS.get(kind)
        if encode is None:
            raise NotReplayable(f"this replay does not know configurations of type {kind or '(none)'}")
        return bytes(encode(message.get("value")))
    raise NotReplayable(f"this replay does not know the configuration {value!r}")


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _value(value: Any) -> bytes:
    """google.protobuf.Value."""
    if value is None:
        return b"\x08\x00"
    if isinstance(value, bool):
        return b"\x20" + _varint(int(value))
    if isinstance(value, (int, float)):
        return b"\x11" + struct.pack("<d", value)
    if isinstance(value, str):
        return _bytes(3, value.encode())
    if isinstance(value, Mapping):
        return _bytes(5, _struct(value))
    return _bytes(6, _list(value))


def _struct(value: Mapping[str, Any]) -> bytes:
    """google.protobuf.Struct."""
    entries = (_bytes(1, key.encode()) + _bytes(2, _value(item)) for key, item in (value or {}).items())
    return b"".join(_bytes(1, entry) for entry in entries)


def _list(value: Any) -> bytes:
    """google.protobuf.ListValue."""
    return b"".join(_bytes(1, _value(item)) for item in value or ())


def _duration(value: str) -> bytes:
    """google.protobuf.Duration, written as ``"1.5s"``."""
    seconds, _, fraction = value.removesuffix("s").partition(".")
    nanos = int((fraction + "0" * 9)[:9])
    return _number(1, int(seconds)) + _number(2, -nanos if seconds.startswith("-") else nanos)


_ENCODERS: Mapping[str, Any] = {
    "google.protobuf.StringValue": lambda value: str(value or "").encode(),
    "google.protobuf.BytesValue": lambda value: base64.b64decode(value or ""),
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _value,
    "google.protobuf.ListValue": _list,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Empty": lambda value: b"",
    "google.protobuf.BoolValue": lambda value: _number(1, int(bool(value))),
    "google.protobuf.Int32Value": lambda value: _number(1, int(value or 0)),
    "google.protobuf.Int64Value": lambda value: _number(1, int(value or 0)),
    "google.protobuf.UInt32Value": lambda value: _number(1, int(value or 0)),
    "google.protobuf.UInt64Value": lambda value: _number(1, int(value or 0)),
    "google.protobuf.DoubleValue": lambda value: b"\x09" + struct.pack("<d", value) if value else b"",
}
