"""What a gRPC callout sends: the service a filter names, and the headers Envoy makes of it; knows no clusters."""

from __future__ import annotations

from typing import Any

from ..errors import NotEmulatedError
from ..headers import to_text
from . import protobuf
from .headermap import HeaderMap, Pair

_HEADER_VALUE: protobuf.Fields = {1: protobuf.TEXT, 2: protobuf.TEXT, 3: protobuf.DATA}
_ENVOY_GRPC: protobuf.Fields = {
    1: protobuf.TEXT,
    2: protobuf.TEXT,
    3: protobuf.DATA,
    4: protobuf.DATA,
    5: protobuf.NUMBER,
}
_NOT_EMULATED = {3: "envoy_grpc.retry_policy", 4: "envoy_grpc.max_receive_message_length"}


class GrpcService:
    """The service a filter names: a serialized ``envoy.config.core.v3.GrpcService``, or the name of a cluster.

    Envoy tries the message first. A cluster name that happens to be a valid message is not taken for a name.

    Attributes:
        named: it was a plain cluster name.
        cluster: the cluster's name; ``None`` when the message names no service at all.
    """

    def __init__(self, raw: bytes) -> None:
        self.named = False
        self.cluster: bytes | None = None
        self.authority = b""
        self.metadata: list[Pair] = []
        self.envoy_headers = True
        google = False
        try:
            for number, kind, value in protobuf.fields(raw):
                if kind != protobuf.BYTES:
                    continue
                assert isinstance(value, bytes)
                if number == 1:
                    self._envoy_grpc(protobuf.read(value, _ENVOY_GRPC))
                    google = False
                elif number == 2:
                    google, self.cluster = True, None
                elif number == 5:
                    entry = protobuf.read(value, _HEADER_VALUE)
                    self.metadata.append((entry.get(1, b""), entry.get(2, b"") or entry.get(3, b"")))
                elif number == 6:
                    raise NotEmulatedError("the mock host does not emulate GrpcService.retry_policy of gRPC callouts")
        except ValueError:
            self.named = True
            self.cluster, self.authority, self.metadata, google = raw, b"", [], False
        if google:
            raise NotEmulatedError("the mock host does not emulate GrpcService.google_grpc; use envoy_grpc")

    def _envoy_grpc(self, message: dict[int, Any]) -> None:
        for number, name in _NOT_EMULATED.items():
            if number in message:
                raise NotEmulatedError(f"the mock host does not emulate GrpcService.{name} of gRPC callouts")
        self.cluster = message.get(1, self.cluster or b"")
        self.authority = message.get(2, self.authority)
        self.envoy_headers = not message.get(5, not self.envoy_headers)


def request_headers(service: GrpcService, path: bytes, metadata: list[Pair], timeout_ms: int | None) -> HeaderMap:
    """The headers of a call: Envoy's own, then the service's metadata, then the filter's; streams have no timeout."""
    headers = HeaderMap.request(
        [
            (b":method", b"POST"),
            (b":path", path),
            (b":authority", service.authority or service.cluster or b""),
            (b":scheme", b"http"),
            (b"te", b"trailers"),
        ]
    )
    if timeout_ms is not None:
        headers.add(b"grpc-timeout", _grpc_timeout(timeout_ms))
    headers.add(b"content-type", b"application/grpc")
    for name, value in (*service.metadata, *metadata):
        headers.add(name, value)
    if service.envoy_headers:
        headers.set(b"x-envoy-internal", b"true")
        if timeout_ms:
            headers.set(b"x-envoy-expected-rq-timeout-ms", b"%d" % timeout_ms)
    return headers


def _grpc_timeout(milliseconds: int) -> bytes:
    """At most eight digits: milliseconds, or seconds where those are too many."""
    return b"%dm" % milliseconds if milliseconds < 100_000_000 else b"%dS" % (milliseconds // 1000)


def grpc_status(headers: HeaderMap) -> int | None:
    """The ``grpc-status`` in a map; -1 for one that is no number."""
    value = headers.get(b"grpc-status")
    if value is None:
        return None
    return int(value) if value.isdigit() else -1


def frames(body: bytes) -> list[bytes]:
    """The messages in a gRPC body; `ValueError` for what is none, and for compressed ones."""
    messages = []
    while body:
        if body[0] != 0:
            raise ValueError("not a plain gRPC frame")
        if len(body) < 5:
            break
        size = int.from_bytes(body[1:5], "big")
        if len(body) < 5 + size:
            break
        messages.append(body[5 : 5 + size])
        body = body[5 + size :]
    return messages


def no_service(hostcall: str, raw: bytes) -> str:
    """Why Envoy dies of a service."""
    if not raw:
        return (
            f"{hostcall} with an empty service: Envoy aborts. Give the name of a cluster, or a serialized GrpcService"
        )
    return (
        f"{hostcall} with the service {to_text(raw)!r}: Envoy takes it for a serialized GrpcService, because it parses "
        "as one, finds neither envoy_grpc nor google_grpc in it, and aborts. If it is the name of a cluster, send it "
        "as GrpcService(envoy_grpc=EnvoyGrpc(cluster_name=...))"
    )
