"""What a gRPC callout sends and how services are read. What Envoy 1.40 takes for a service was tried out with it."""

from __future__ import annotations

import pytest

from pytest_proxywasm.errors import NotEmulatedError
from pytest_proxywasm.host import protobuf
from pytest_proxywasm.host.grpc_service import GrpcService, frames, grpc_status, no_service, request_headers
from pytest_proxywasm.host.headermap import HeaderMap


def service(cluster: bytes = b"grpc", **fields: bytes) -> bytes:
    """A serialized GrpcService with envoy_grpc."""
    envoy = protobuf.field(1, cluster) + fields.get("envoy", b"")
    return protobuf.field(1, envoy) + fields.get("rest", b"")


def test_a_service_is_a_message_or_else_a_cluster_name() -> None:
    """Both name the cluster."""
    message, plain = GrpcService(service()), GrpcService(b"grpc")
    assert (message.cluster, message.named) == (b"grpc", False)
    assert (plain.cluster, plain.named) == (b"grpc", True)


@pytest.mark.parametrize("raw", [b"", b"auth_grpc", b"iiiiiiiii", b"cd", b"xz", b"\x08\x01", b"\x1a\x02\x08\x01"])
def test_a_message_that_names_no_service(raw: bytes) -> None:
    """Also a cluster name that happens to be a valid message: Envoy aborts with "unset oneof" on all of these."""
    assert GrpcService(raw).cluster is None


@pytest.mark.parametrize(
    "raw",
    [
        b"c_d",
        b"a234567890",
        b"\x0a\x01",
        b"\x0a\x02\x0a",
        b"\x0a\x02\x0a\x00\xff",
        b"\x0a\x03\x0a\x01\xff",
        b"\x0f",
        b"\0\0",
    ],
)
def test_what_is_no_message_is_a_name(raw: bytes) -> None:
    """A cut message, a bad wire type, a field number 0, text that is no UTF-8: Envoy looks for such a cluster."""
    assert GrpcService(raw).named
    assert GrpcService(raw).cluster == raw


def test_repeated_messages_are_merged() -> None:
    """As protobuf parses: a second envoy_grpc adds to the first."""
    raw = service() + protobuf.field(1, protobuf.field(2, b"a.test"))
    assert GrpcService(raw).cluster == b"grpc"
    assert GrpcService(raw).authority == b"a.test"


def test_an_empty_cluster_name_is_a_name() -> None:
    """Envoy: INTERNAL_FAILURE, since there is no such cluster."""
    assert GrpcService(b"\x0a\x00").cluster == b""


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (protobuf.field(2, protobuf.field(1, b"host:1")), "GrpcService.google_grpc; use envoy_grpc"),
        (service() + b"\x12\x00", "GrpcService.google_grpc; use envoy_grpc"),
        (service() + b"\x32\x00", "GrpcService.retry_policy of gRPC callouts"),
        (service(envoy=b"\x1a\x00"), "GrpcService.envoy_grpc.retry_policy of gRPC callouts"),
        (service(envoy=b"\x22\x00"), "GrpcService.envoy_grpc.max_receive_message_length of gRPC callouts"),
    ],
)
def test_what_is_not_emulated_says_so(raw: bytes, what: str) -> None:
    """By the name of the field."""
    with pytest.raises(NotEmulatedError) as caught:
        GrpcService(raw)
    assert str(caught.value) == f"the mock host does not emulate {what}"


def test_the_headers_of_a_call() -> None:
    """Envoy's own, the service's metadata, the filter's, and what the router adds; single-value headers are joined."""
    metadata = protobuf.field(5, protobuf.field(1, b"x-i") + protobuf.field(2, b"hello"))
    raw = service(envoy=protobuf.field(2, b"a.test"), rest=metadata)
    given = [(b"x-md", b"1"), (b":path", b"/zz"), (b"X-UP", b"2"), (b"content-type", b"foo")]
    assert request_headers(GrpcService(raw), b"/svc.S/Ok", given, 300).entries == [
        (b":method", b"POST"),
        (b":path", b"/svc.S/Ok,/zz"),
        (b":authority", b"a.test"),
        (b":scheme", b"http"),
        (b"te", b"trailers"),
        (b"grpc-timeout", b"300m"),
        (b"content-type", b"application/grpc,foo"),
        (b"x-i", b"hello"),
        (b"x-md", b"1"),
        (b"x-up", b"2"),
        (b"x-envoy-internal", b"true"),
        (b"x-envoy-expected-rq-timeout-ms", b"300"),
    ]


@pytest.mark.parametrize(
    ("milliseconds", "header"),
    [(0, b"0m"), (99_999_999, b"99999999m"), (100_000_000, b"100000S"), (0xFFFFFFFF, b"4294967S")],
)
def test_grpc_timeout_has_at_most_eight_digits(milliseconds: int, header: bytes) -> None:
    """Milliseconds, then seconds."""
    assert request_headers(GrpcService(b"grpc"), b"/s/m", [], milliseconds).get(b"grpc-timeout") == header


def test_streams_have_no_timeout_and_skip_envoy_headers_skips_them() -> None:
    """EnvoyGrpc.skip_envoy_headers."""
    assert request_headers(GrpcService(service()), b"/s/m", [], None).get(b"grpc-timeout") is None
    skipped = request_headers(GrpcService(service(envoy=b"\x28\x01")), b"/s/m", [], 300)
    assert skipped.get(b"x-envoy-internal") is None
    assert skipped.get(b"x-envoy-expected-rq-timeout-ms") is None


def test_frames() -> None:
    """Messages of a body; compressed and foreign ones are refused, a cut one is left out."""
    assert frames(b"\0\0\0\0\3abc\0\0\0\0\0") == [b"abc", b""]
    assert frames(b"\0\0\0\0\3ab") == []
    for bad in (b"hello world", b"\1\0\0\0\1x"):
        with pytest.raises(ValueError, match="not a plain gRPC frame"):
            frames(bad)


def test_grpc_status_of_headers() -> None:
    """Absent, a number, or none."""
    assert grpc_status(HeaderMap()) is None
    assert grpc_status(HeaderMap([(b"grpc-status", b"5")])) == 5
    assert grpc_status(HeaderMap([(b"grpc-status", b"abc")])) == -1


def test_the_crash_says_what_to_send() -> None:
    """Texts of the two cases."""
    assert no_service("proxy_grpc_call", b"") == (
        "proxy_grpc_call with an empty service: Envoy aborts. Give the name of a cluster, or a serialized GrpcService"
    )
    assert no_service("proxy_grpc_stream", b"auth_grpc") == (
        "proxy_grpc_stream with the service 'auth_grpc': Envoy takes it for a serialized GrpcService, because it "
        "parses as one, finds neither envoy_grpc nor google_grpc in it, and aborts. If it is the name of a cluster, "
        "send it as GrpcService(envoy_grpc=EnvoyGrpc(cluster_name=...))"
    )
