"""Properties: how values are encoded, and what paths lead to."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from pytest_proxywasm import Filter, MockHost, Response, UsageError
from pytest_proxywasm.abi.codec import encode_pairs
from pytest_proxywasm.abi.enums import AbiVersion, Status
from pytest_proxywasm.abi.module import Interface
from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.host.context import RootContext, VmContext
from pytest_proxywasm.host.headermap import HeaderMap
from pytest_proxywasm.host.http.context import HttpContext
from pytest_proxywasm.host.http.stream import HttpStreamCore
from pytest_proxywasm.host.plugin import PluginConfig
from pytest_proxywasm.host.properties import Group, encode, lookup
from pytest_proxywasm.host.proxy import Proxy
from pytest_proxywasm.host.vm import Vm
from pytest_proxywasm.model import Exchange


class _NoGuest:
    callback = None

    def close(self) -> None:
        """Nothing to free."""


class Stream:
    """A stream with one filter that has no callbacks."""

    def __init__(self) -> None:
        self.proxy = Proxy()
        vm = Vm(self.proxy, PluginConfig(code="c", name="mine", root_id="root", vm_id="vm"), 0)
        vm.guest = _NoGuest()  # type: ignore[assignment]
        vm.interface = Interface(AbiVersion.V0_2_1, {}, "malloc", ())
        VmContext(vm)
        self.root = RootContext(vm, vm.config)
        self.core = HttpStreamCore(
            self.proxy, [lambda stream: HttpContext(vm, vm.config, self.root, stream)], Exchange(), http_version="1.1"
        )
        self.context = self.core.contexts[0]

    def request(self, *more: tuple[bytes, bytes]) -> None:
        """Its request headers, which the filter holds."""
        headers = HeaderMap.request(
            [(b":authority", b"example.com"), (b":path", b"/a?b=c"), (b":method", b"GET"), (b":scheme", b"http"), *more]
        )
        self.core.request.headers_map = self.context.request.headers = headers

    def get(self, path: str, context: Any = None) -> bytes | Status:
        """A property by a dotted path."""
        return lookup(context or self.context, path.replace(".", "\0").encode())


@pytest.fixture
def stream() -> Stream:
    """A stream that holds its request."""
    made = Stream()
    made.request((b"x-a", b"1"), (b"X-A", b"2"), (b"referer", b"r"), (b"user-agent", b"ua"), (b"x-request-id", b"id"))
    return made


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("ü", "ü".encode()),
        (b"\xff", b"\xff"),
        (True, b"\1"),
        (False, b"\0"),
        (5, struct.pack("<q", 5)),
        (-1, b"\xff" * 8),
        (2**64 - 1, b"\xff" * 8),
        (1.5, struct.pack("<d", 1.5)),
        ({"a": "b", "n": 1}, encode_pairs([(b"a", b"b"), (b"n", struct.pack("<q", 1))])),
        ({"in": {"a": "b"}}, encode_pairs([(b"in", encode_pairs([(b"a", b"b")]))])),
        (["a", "b"], encode_pairs([(b"a", b""), (b"b", b"")])),
        ({}, b"\0\0\0\0"),
        ([], b"\0\0\0\0"),
        (None, Status.SERIALIZATION_FAILURE),
        (Group(a=1), Status.SERIALIZATION_FAILURE),
        ({"a": None}, Status.SERIALIZATION_FAILURE),
        (object(), Status.SERIALIZATION_FAILURE),
    ],
)
def test_values_are_encoded_as_envoy_encodes_them(value: Any, encoded: bytes | Status) -> None:
    """Fact J1."""
    assert encode(value) == encoded


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("request.path", b"/a?b=c"),
        ("request.url_path", b"/a"),
        ("request.query", b"b=c"),
        ("request.host", b"example.com"),
        ("request.method", b"GET"),
        ("request.scheme", b"http"),
        ("request.referer", b"r"),
        ("request.useragent", b"ua"),
        ("request.id", b"id"),
        ("request.headers.x-a", b"1,2"),
        ("request.headers.X-A", b"1,2"),
        ("request.headers.nothing", Status.NOT_FOUND),
        ("request.protocol", b"HTTP/1.1"),
        ("request.size", bytes(8)),
        ("request.nothing", Status.NOT_FOUND),
        ("request.path.deeper", Status.NOT_FOUND),
        ("request", Status.SERIALIZATION_FAILURE),
        ("response", Status.SERIALIZATION_FAILURE),
        ("response.code", Status.NOT_FOUND),
        ("response.flags", bytes(8)),
        ("source.address", b"127.0.0.1:40001"),
        ("connection.id", struct.pack("<q", 1)),
        ("connection_id", struct.pack("<q", 1)),
        ("connection.mtls", b"\0"),
        ("upstream.address", Status.NOT_FOUND),
        ("plugin_name", b"mine"),
        ("plugin_root_id", b"root"),
        ("plugin_vm_id", b"vm"),
        ("xds", Status.SERIALIZATION_FAILURE),
        ("nothing", Status.NOT_FOUND),
        ("node.id", Status.NOT_FOUND),
        ("cluster_name", Status.NOT_FOUND),
        ("listener_direction", Status.NOT_FOUND),
        ("", Status.SERIALIZATION_FAILURE),
    ],
)
def test_a_path_leads_to(path: str, value: bytes | Status, stream: Stream) -> None:
    """Facts J2 to J10."""
    assert stream.get(path) == value


def test_the_request_is_gone_with_its_map(stream: Stream) -> None:
    """Fact J3: its headers then are a map of nothing; what belongs to the stream stays."""
    stream.context.request.headers = None
    assert stream.get("request.path") is Status.NOT_FOUND
    assert stream.get("request.headers.x-a") is Status.NOT_FOUND
    assert stream.get("request.headers") == b"\0\0\0\0"
    assert stream.get("request.protocol") == b"HTTP/1.1"


@pytest.mark.parametrize("path", ["request.path", "source.address", "connection.id", "my_own"])
def test_a_root_context_has_no_stream(path: str, stream: Stream) -> None:
    """Fact J14; its own names work."""
    assert stream.get(path, stream.root) is Status.NOT_FOUND
    assert stream.get("plugin_name", stream.root) == b"mine"
    assert stream.root.set_property(b"a", b"b") is Status.NOT_FOUND


def test_what_a_filter_sets_is_one_key(stream: Stream) -> None:
    """Fact J13: read back by that key, or below filter_state; built-in names keep their own value."""
    context = stream.context
    assert context.set_property(b"mine", b"1") is Status.OK
    assert context.set_property(b"dotted.name", b"2") is Status.OK
    assert context.set_property(b"two\0parts", b"3") is Status.OK
    assert context.set_property(b"plugin_name", b"4") is Status.OK
    assert lookup(context, b"mine") == b"1"
    assert lookup(context, b"dotted.name") == b"2"
    assert lookup(context, b"two\0parts") is Status.NOT_FOUND
    assert lookup(context, b"plugin_name") == b"mine"
    assert lookup(context, b"filter_state\0wasm.mine") == b"1"


def test_what_the_test_sets_wins(stream: Stream) -> None:
    """Also over what does not exist; only under the whole path; in root contexts too."""
    stream.proxy.overrides[(b"request", b"path")] = "/other"
    stream.proxy.overrides[(b"new", b"one")] = {"a": 1}
    stream.proxy.overrides[(b"nothing",)] = None
    assert stream.get("request.path") == b"/other"
    assert stream.get("new.one") == encode({"a": 1})
    assert stream.get("new.one", stream.root) == encode({"a": 1})
    assert stream.get("new") is Status.NOT_FOUND
    assert stream.get("nothing") is Status.SERIALIZATION_FAILURE


def test_a_nul_at_the_end_is_harmless(stream: Stream) -> None:
    """Fact J15: C++ sends it."""
    assert lookup(stream.context, b"request\0path\0") == b"/a?b=c"


@pytest.mark.parametrize("index", ["0", "1", "2", "x", "-1", "²", "9" * 5000])
def test_lists_are_entered_by_number(index: str, stream: Stream) -> None:
    """Whatever a guest takes for one."""
    stream.proxy.node = {"metadata": {"list": ["a", "b"]}}
    expected = {"0": b"a", "1": b"b"}.get(index, Status.NOT_FOUND)
    assert lookup(stream.context, b"xds\0node\0metadata\0list\0" + index.encode()) == expected


def test_the_node_is_what_the_host_was_given(stream: Stream) -> None:
    """Fact J11: numbers are doubles, maps are pairs; in root contexts too."""
    stream.proxy.node = {"id": "n", "cluster": "c", "metadata": {"k": "v", "num": 3, "b": True, "in": {"x": "y"}}}
    for context in (stream.context, stream.root):
        assert stream.get("xds.node.id", context) == b"n"
        assert stream.get("xds.node.metadata.k", context) == b"v"
        assert stream.get("xds.node.metadata.num", context) == struct.pack("<d", 3)
        assert stream.get("xds.node.metadata.b", context) == b"\1"
        assert stream.get("xds.node.metadata.in", context) == encode_pairs([(b"x", b"y")])
        assert isinstance(stream.get("xds.node", context), bytes)


PROBE = """(module
  (import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "%s")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_log") (param i32)
    (drop (call $get (i32.const 0) (i32.const %d) (i32.const 512) (i32.const 516)))))"""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("request.path", b"/p"),
        ("response.code", struct.pack("<q", 201)),
        ("response.code_details", b"via_upstream"),
        ("response.headers.a", b"b"),
        ("response.size", struct.pack("<q", 2)),
        ("request.size", struct.pack("<q", 4)),
        ("response.grpc_status", struct.pack("<q", 2)),
        ("upstream.address", b"127.0.0.1:8080"),
        ("request.duration", struct.pack("<q", 3 * 10**9)),
        ("response.backend_latency", struct.pack("<q", 3 * 10**9)),
    ],
)
def test_in_the_final_log_everything_is_known(path: str, value: bytes) -> None:
    """Facts J5, J6 and J8."""
    from pytest_proxywasm import After

    raw = path.replace(".", "\\00")
    with MockHost([Filter(PROBE % (raw, len(path)))], engine=get_engine()) as host:
        exchange = host.post("/p", body="body", upstream=After(3, Response(201, {"a": "b"}, "hi")))
    (call,) = exchange.trace.hostcalls("proxy_get_property")
    assert (call.status, call.results.get("value")) == (Status.OK, value)


def test_properties_of_a_request_must_have_a_path() -> None:
    """Before anything runs."""
    with MockHost([Filter(PROBE % ("a", 1))], engine=get_engine()) as host, pytest.raises(UsageError):
        host.get("/", properties={"": 1})
