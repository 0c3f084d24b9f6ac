"""The numbers of the Proxy-Wasm ABI (v0.2.1, with those of v0.1.0 and v0.2.0); knows nothing else."""

from __future__ import annotations

import enum


class AbiVersion(enum.Enum):
    """The ABI a guest was built for, chosen by the marker function it exports."""

    V0_1_0 = "0.1.0"
    V0_2_0 = "0.2.0"
    V0_2_1 = "0.2.1"

    @property
    def marker(self) -> str:
        """The export that selects this version."""
        return "proxy_abi_version_" + self.value.replace(".", "_")

    def __str__(self) -> str:
        return self.value


ALL_VERSIONS = tuple(AbiVersion)


class Status(enum.IntEnum):
    """What a hostcall answers (``proxy_status_t``)."""

    OK = 0
    NOT_FOUND = 1
    BAD_ARGUMENT = 2
    SERIALIZATION_FAILURE = 3
    PARSE_FAILURE = 4
    BAD_EXPRESSION = 5
    INVALID_MEMORY_ACCESS = 6
    EMPTY = 7
    CAS_MISMATCH = 8
    RESULT_MISMATCH = 9
    INTERNAL_FAILURE = 10
    BROKEN_CONNECTION = 11
    UNIMPLEMENTED = 12


class MapType(enum.IntEnum):
    """Header maps (``proxy_map_type_t``)."""

    HTTP_REQUEST_HEADERS = 0
    HTTP_REQUEST_TRAILERS = 1
    HTTP_RESPONSE_HEADERS = 2
    HTTP_RESPONSE_TRAILERS = 3
    GRPC_CALL_INITIAL_METADATA = 4
    GRPC_CALL_TRAILING_METADATA = 5
    HTTP_CALL_RESPONSE_HEADERS = 6
    HTTP_CALL_RESPONSE_TRAILERS = 7


class BufferType(enum.IntEnum):
    """Buffers (``proxy_buffer_type_t``)."""

    HTTP_REQUEST_BODY = 0
    HTTP_RESPONSE_BODY = 1
    DOWNSTREAM_DATA = 2
    UPSTREAM_DATA = 3
    HTTP_CALL_RESPONSE_BODY = 4
    GRPC_CALL_MESSAGE = 5
    VM_CONFIGURATION = 6
    PLUGIN_CONFIGURATION = 7
    FOREIGN_FUNCTION_ARGUMENTS = 8


class StreamType(enum.IntEnum):
    """Directions of a stream (``proxy_stream_type_t``)."""

    HTTP_REQUEST = 0
    HTTP_RESPONSE = 1
    DOWNSTREAM = 2
    UPSTREAM = 3


class MetricType(enum.IntEnum):
    """Kinds of metrics (``proxy_metric_type_t``)."""

    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 2


class PeerType(enum.IntEnum):
    """Who closed a connection (``proxy_peer_type_t``)."""

    UNKNOWN = 0
    LOCAL = 1
    REMOTE = 2


class Errno(enum.IntEnum):
    """What WASI functions answer, as far as proxies use them."""

    SUCCESS = 0
    BADF = 8
    EXIST = 20
    FAULT = 21
    INVAL = 28
    NOENT = 44
    NOSYS = 52
    NOTDIR = 54
    NOTSUP = 58
    NOTCAPABLE = 76
