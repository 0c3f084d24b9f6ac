"""Envoy's foreign functions: statuses, results and what they leave behind, as seen in Envoy 1.40."""

from __future__ import annotations

import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm import AbiError, EnvoyCrashError, Filter, MockHost, NotEmulatedError, UsageError
from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.host import protobuf
from pytest_proxywasm.host.filter_state import OBJECTS
from pytest_proxywasm.host.foreign import FOREIGN_FUNCTIONS
from pytest_proxywasm.host.protobuf import field, text, varint

PROBE = Path(__file__).resolve().parents[3] / "fixtures" / "probe" / "probe.wasm"
NOTHING = "ptr=0 n=0"
UNTOUCHED = "(out untouched)"


@pytest.fixture(scope="module", params=["wasmtime", "wasmer"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Each engine."""
    if request.param == "wasmer" and sys.version_info >= (3, 11):
        pytest.skip("wasmer has wheels for CPython 3.10 and older only")
    return get_engine(request.param)


def quoted(data: bytes | str) -> str:
    """An argument in the probe's script."""
    raw = data.encode() if isinstance(data, str) else data
    return "".join(f"%{byte:02x}" for byte in raw) or "''"


def call(name: str, argument: bytes | str = b"", event: str = "rqh") -> str:
    """A line of script that calls a foreign function."""
    return f"{event} foreign {name} {quoted(argument)}"


def prop(*path: str, event: str = "rqh") -> str:
    """A line of script that reads a property."""
    return f"{event} rprop {quoted(chr(0).join(path))}"


def answers(engine: Any, *script: str, allocations: bool = False, **options: Any) -> list[str]:
    """What the hostcalls of a request answered, in order."""
    one = Filter(PROBE.read_bytes(), configuration="\n".join(script).encode(), name="mine")
    functions = options.pop("functions", {})
    with MockHost([one], engine=engine, **options) as host:
        for name, function in functions.items():
            host.foreign_function(name, function)
        host.get("/fixed?a=1", headers=[("x-a", "b"), ("x-a", "c")])
        host.clock.advance(1)
        lines = [log.message for log in host.logs if log.message.startswith("  OP ")]
    said = [line.rpartition(" -> ")[2] for line in lines]
    return said if allocations else [re.sub(r" \[allocs.*", "", line) for line in said]


class TestCalling:
    """Result pointers and names."""

    def test_unknown_names_leave_the_pointers_alone(self, engine: Any) -> None:
        """Among them functions of other hosts."""
        names = ("nope", "''", "set_upstream_override_host", "resolve_lua", "get_log_level")
        assert answers(engine, *(f"rqh foreign {name} ''" for name in names)) == [f"1 {UNTOUCHED}"] * 5

    def test_failures_write_them(self, engine: Any) -> None:
        """0 and 0."""
        assert answers(engine, call("uncompress", b"abc")) == [f"3 {NOTHING}"]

    def test_an_empty_result_is_an_empty_block(self, engine: Any) -> None:
        """The guest's allocator is asked for 0 bytes; a function without a result asks for nothing."""
        script = (call("uncompress", zlib.compress(b"")), call("clear_route_cache"))
        assert answers(engine, *script, allocations=True) == ["0 ptr=nz n=0 d= [allocs=1 last=0]", f"0 {NOTHING}"]

    def test_null_pointers(self, engine: Any) -> None:
        """Nobody wants the result."""
        assert answers(engine, "rqh foreign0 compress x", "rqh foreign0 nope x", "rqh foreign0 uncompress x") == [
            "0",
            "1",
            "3",
        ]

    def test_registered_functions_come_first(self, engine: Any) -> None:
        """Bytes to bytes (or str)."""
        functions = {"compress": lambda data: data.upper(), "mine": lambda data: "é", "none": lambda data: b""}
        script = (call("compress", "abc"), call("mine"), call("none"))
        assert answers(engine, *script, functions=functions) == [
            "0 ptr=nz n=3 d=ABC",
            "0 ptr=nz n=2 d=\\xc3\\xa9",
            f"0 {NOTHING}",
        ]

    def test_a_registered_function_gives_bytes(self, engine: Any) -> None:
        """Text of the refusal."""
        with pytest.raises(UsageError, match="the result of a foreign function must be str or bytes, not int: 7"):
            answers(engine, call("mine"), functions={"mine": lambda data: 7})

    def test_the_table(self) -> None:
        """What this Envoy registers."""
        assert sorted(FOREIGN_FUNCTIONS) == [
            b"clear_route_cache",
            b"compress",
            b"declare_property",
            b"expr_create",
            b"expr_delete",
            b"expr_evaluate",
            b"set_envoy_filter_state",
            b"sign",
            b"uncompress",
            b"verify_signature",
        ]
        assert all(function.__doc__ for function in FOREIGN_FUNCTIONS.values())


class TestCompression:
    """zlib."""

    def test_compress(self, engine: Any) -> None:
        """Also nothing."""
        assert answers(engine, call("compress", "hello hello hello hello"), call("compress")) == [
            "0 ptr=nz n=16 d=x\\x9c\\xcbH\\xcd\\xc9\\xc9W\\xc8@'\\x01h\\x03\\x08\\xb1",
            "0 ptr=nz n=8 d=x\\x9c\\x03\\x00\\x00\\x00\\x00\\x01",
        ]

    def test_uncompress(self, engine: Any) -> None:
        """What follows is ignored; cut data and no data are errors."""
        hi = zlib.compress(b"hi")
        assert answers(engine, *(call("uncompress", data) for data in (hi, hi + b"junk", hi[:-1], b""))) == [
            "0 ptr=nz n=2 d=hi",
            "0 ptr=nz n=2 d=hi",
            f"3 {NOTHING}",
            f"3 {NOTHING}",
        ]


def declaration(name: bytes, *, readonly: int = 0, kind: int = 0, schema: bytes = b"") -> bytes:
    """DeclarePropertyArguments."""
    numbers = b"".join(varint(n << 3) + varint(v) for n, v in ((2, readonly), (3, kind)) if v)
    return field(1, name) + numbers + (field(4, schema) if schema else b"")


class TestDeclareProperty:
    """Declared properties."""

    def test_once(self, engine: Any) -> None:
        """BAD_ARGUMENT for a name declared before, and for what does not parse; the empty name is one."""
        raw = [declaration(b"a"), declaration(b"a"), b"", declaration(b""), b"\xff", declaration(b"\xff")]
        assert answers(engine, *(call("declare_property", one) for one in raw)) == [
            f"{status} {NOTHING}" for status in (0, 2, 0, 2, 2, 2)
        ]

    def test_read_only(self, engine: Any) -> None:
        """Declared on the root context, it takes one value in each stream."""
        script = ("rqh setprop r 1", "rqh setprop r 2", "rqh prop r", "log prop r", "log setprop r 3")
        declare = call("declare_property", declaration(b"r", readonly=1), "cfg")
        assert answers(engine, declare, *script)[1:] == ["0", "2", "0 ptr=nz n=1 d=1", "0 ptr=nz n=1 d=1", "2"]

    def test_of_a_stream_context_it_has_no_effect(self, engine: Any) -> None:
        """Properties are looked up among the root's declarations."""
        script = (
            call("declare_property", declaration(b"r", readonly=1)),
            "rqh setprop r 1",
            "rqh setprop r 2",
            "rqh prop r",
        )
        assert answers(engine, *script)[1:] == ["0", "0", "0 ptr=nz n=1 d=2"]

    def test_the_type_shows_through_filter_state(self, engine: Any) -> None:
        """A protobuf without a schema has no value there; by its own name it is the bytes."""
        declare = [
            call("declare_property", declaration(name, kind=kind), "cfg")
            for name, kind in ((b"s", 1), (b"p", 3), (b"x", 9))
        ]
        script = [line for name in "spx" for line in (f"rqh setprop {name} v", f"rqh prop {name}")]
        reads = [prop("filter_state", f"wasm.{name}") for name in "spx"]
        value = "0 ptr=nz n=1 d=v"
        assert answers(engine, *declare, *script, *reads)[3:] == ["0", value] * 3 + [value, f"3 {UNTOUCHED}", value]

    def test_flat_buffers_without_a_schema_crash_envoy(self, engine: Any) -> None:
        """When read through filter_state."""
        declare = call("declare_property", declaration(b"f", kind=2), "cfg")
        with pytest.raises(EnvoyCrashError, match="the property 'f' is declared as FlatBuffers without a schema"):
            answers(engine, declare, "rqh setprop f v", "rqh prop f", prop("filter_state", "wasm.f"))

    def test_schemas_are_not_emulated(self, engine: Any) -> None:
        """Said when one would matter."""
        declare = call("declare_property", declaration(b"q", kind=3, schema=b"a.B"), "cfg")
        with pytest.raises(NotEmulatedError, match=r"properties declared with a schema; filter_state.wasm.q was read"):
            answers(engine, declare, "rqh setprop q v", prop("filter_state", "wasm.q"))


def state(key: str, value: str) -> bytes:
    """SetEnvoyFilterStateArguments."""
    return text(1, key) + text(2, value)


class TestFilterState:
    """Envoy's own objects."""

    @pytest.mark.parametrize(
        ("key", "value", "answer", "read"),
        [
            ("k", "v", 1, None),
            ("envoy.string", "v", 0, "v"),
            ("envoy.string", "", 0, ""),
            ("envoy.tcp_proxy.cluster", "v", 0, "v"),
            ("envoy.network.application_protocols", "h2,http/1.1", 0, None),
            ("envoy.network.upstream_subject_alt_names", "a,b", 0, "a,b"),
            ("envoy.ai.model.request", "", 2, None),
            ("envoy.bool", "YES", 0, "true"),
            ("envoy.bool", "0", 0, "false"),
            ("envoy.bool", "maybe", 2, None),
            ("envoy.tcp_proxy.disable_tunneling", "1", 0, "false"),
            ("envoy.tcp_proxy.disable_tunneling", "true", 0, "true"),
            ("envoy.upstream.dynamic_port", " +080", 0, "80"),
            ("envoy.upstream.dynamic_port", "4294967296", 2, None),
            ("envoy.upstream.dynamic_port", "0x10", 2, None),
            ("envoy.ratelimit.hits_addend", "-1", 2, None),
            ("envoy.tcp_proxy.per_connection_idle_timeout_ms", "4294967296", 0, "4294967296"),
            ("envoy.network.ip", "127.0.0.1", 0, "127.0.0.1:0"),
            ("envoy.network.ip", "::1", 0, "[::1]:0"),
            ("envoy.network.ip", "127.0.0.1:80", 2, None),
            ("envoy.filters.listener.original_dst.local_ip", "127.0.0.1:80", 0, "\\x00\\x00\\x00\\x00"),
            ("envoy.filters.listener.original_dst.local_ip", "[::1]:80", 0, "\\x00\\x00\\x00\\x00"),
            ("envoy.filters.listener.original_dst.local_ip", "127.0.0.1", 2, None),
            ("envoy.filters.listener.original_dst.local_ip", "::1", 2, None),
        ],
    )
    def test_objects(self, engine: Any, key: str, value: str, answer: int, read: str | None) -> None:
        """NOT_FOUND for one that Envoy does not know, BAD_ARGUMENT for a value it cannot be made of."""
        size = 4 if read is not None and "\\x" in read else len(read or "")
        shown = f"0 ptr=nz n={size} d={read}" if read else f"0 {NOTHING}"
        assert answers(engine, call("set_envoy_filter_state", state(key, value)), prop("filter_state", key)) == [
            f"{answer} {NOTHING}",
            f"1 {UNTOUCHED}" if read is None else shown,
        ]

    def test_where_it_can_be_set(self, engine: Any) -> None:
        """In all callbacks of a stream; a root context has none."""
        one = state("envoy.string", "v")
        script = [call("set_envoy_filter_state", one, event) for event in ("cfg", "ctx", "log")]
        assert answers(engine, *script) == [f"1 {NOTHING}", f"0 {NOTHING}", f"0 {NOTHING}"]

    def test_what_does_not_parse(self, engine: Any) -> None:
        """BAD_ARGUMENT; an empty message names an unknown object."""
        assert answers(engine, call("set_envoy_filter_state", b"\xff"), call("set_envoy_filter_state")) == [
            f"2 {NOTHING}",
            f"1 {NOTHING}",
        ]

    def test_objects_that_are_not_emulated(self, engine: Any) -> None:
        """By name."""
        assert [key for key, make in OBJECTS.items() if make is None] == [
            b"envoy.ai.llm_protocol.request",
            b"envoy.network.transport_socket.http_11_proxy.info",
        ]
        with pytest.raises(NotEmulatedError, match=r"the filter state object 'envoy\.ai\.llm_protocol\.request'"):
            answers(engine, call("set_envoy_filter_state", state("envoy.ai.llm_protocol.request", "x")))

    def test_clear_route_cache_shows_nothing_before_the_router(self, engine: Any) -> None:
        """The route is chosen again there, whether this is called or not."""
        routes = [
            {
                "name": "rb",
                "match": {"prefix": "/", "headers": [{"name": "x-r", "string_match": {"exact": "b"}}]},
                "route": {"cluster": "web"},
            },
            {"name": "ra", "match": {"prefix": "/"}, "route": {"cluster": "web"}},
        ]
        script = ("rqh rep 0 x-r b", call("clear_route_cache"), "rqh prop xds.route_name", "rsh prop xds.route_name")
        assert answers(engine, *script, routes=routes)[2:] == ["0 ptr=nz n=2 d=ra", "0 ptr=nz n=2 d=rb"]


def escaped(data: bytes) -> str:
    """As the probe prints it."""
    return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02x}" for b in data)


CEL = [
    ("1+1", struct.pack("<q", 2)),
    ("-5", struct.pack("<q", -5)),
    ("1u", struct.pack("<Q", 1)),
    ("1.5", struct.pack("<d", 1.5)),
    ('b"ab"', b"ab"),
    ('"a"+"b"', b"ab"),
    ('"\\u00e9"', "é".encode()),
    ("true", b"\1"),
    ('timestamp("2020-01-01T00:00:00Z")', struct.pack("<q", 1577836800 * 10**9)),
    ("timestamp(1)", struct.pack("<q", 10**9)),
    ('duration("3s")', struct.pack("<q", 3 * 10**9)),
    ("string(true)", b"true"),
    ('size("abc")', struct.pack("<q", 3)),
    ("int(1.9)", struct.pack("<q", 1)),
    ("-7 / 2", struct.pack("<q", -3)),
    ("-7 % 3", struct.pack("<q", -1)),
    ("1 == 1.0", b"\1"),
    ("1 < 2u", b"\1"),
    ('"a" == 1', b"\0"),
    ("[1,2].exists(i, i>1)", b"\1"),
    ("false && x", b"\0"),
    ("true || x", b"\1"),
    ('matches("a","a")', b"\1"),
    ("timestamp(1).getDate()", struct.pack("<q", 1)),
    ('request.path.startsWith("/fix")', b"\1"),
    ("request.path", b"/fixed?a=1"),
    ('request.headers["X-A"]', b"b,c"),
    ('"x-a" in request.headers', b"\1"),
    ("has(request.q)", b"\0"),
    ("plugin_name", b"mine"),
    ("connection.id", struct.pack("<q", 1)),
    ("connection.mtls", b"\0"),
    ("request.time", struct.pack("<q", 1577836800 * 10**9)),
]

FAILING = [
    ("x", 10),
    ("true && x", 10),
    ("1/0", 10),
    ("9223372036854775807+1", 10),
    ("1u-2u", 10),
    ("1.5 + 1", 10),
    ("1 + 1u", 10),
    ("bool(1)", 10),
    ("request.nope", 10),
    ('request.headers["nope"]', 10),
    ("response.code", 10),
    ("[1,2][5]", 10),
    ("null", 3),
    ("type(1)", 3),
    ("request", 3),
    ("filter_state", 3),
]

NOT_PARSED = ["1 +", "", "1 = 1", "has(1)", "has(a)"]
NOT_COMPILED = [
    "nope(1)",
    '"a".nope()',
    "size()",
    "size(1,2)",
    "a.all(b)",
    "Foo{}",
    "getDate(timestamp(1))",
    "string(1,2)",
]


class TestExpressions:
    """CEL."""

    @pytest.fixture(autouse=True)
    def library(self) -> None:
        """Needs the extra ``cel``."""
        pytest.importorskip("celpy")

    def evaluated(self, engine: Any, *expressions: str) -> list[str]:
        """The answers to creating and then evaluating them."""
        create = [call("expr_create", expression) for expression in expressions]
        return answers(engine, *create, *(call("expr_evaluate", struct.pack("<I", n)) for n in range(len(expressions))))

    def test_values(self, engine: Any) -> None:
        """In the encoding of properties."""
        said = self.evaluated(engine, *(expression for expression, _ in CEL))
        assert dict(zip((e for e, _ in CEL), said[len(CEL) :])) == {
            expression: f"0 ptr=nz n={len(value)} d={escaped(value)}" for expression, value in CEL
        }

    def test_maps_and_lists(self, engine: Any) -> None:
        """As pairs; a map's keys are encoded too."""
        assert self.evaluated(engine, '{"a":1}', "{1:2}", "[1,2].map(i,i*2)")[3:] == [
            "0 ptr=nz n=23 d=\\x01\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\x08\\x00\\x00\\x00a\\x00\\x01" + "\\x00" * 8,
            "0 ptr=nz n=30 d=\\x01\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x01"
            + "\\x00" * 8
            + "\\x02"
            + "\\x00" * 8,
            "0 ptr=nz n=40 d=\\x02\\x00\\x00\\x00\\x08"
            + "\\x00" * 7
            + "\\x08"
            + "\\x00" * 7
            + "\\x02"
            + "\\x00" * 9
            + "\\x04"
            + "\\x00" * 9,
        ]

    def test_failures(self, engine: Any) -> None:
        """INTERNAL_FAILURE for an error, SERIALIZATION_FAILURE for what has no encoding."""
        said = self.evaluated(engine, *(expression for expression, _ in FAILING))
        assert dict(zip((e for e, _ in FAILING), said[len(FAILING) :])) == {e: f"{s} {NOTHING}" for e, s in FAILING}

    def test_tokens(self, engine: Any) -> None:
        """From 0; used up by what does not compile, but not by what does not parse; one counter per root context."""
        lines = [call("expr_create", e) for e in (*NOT_PARSED, "1", *NOT_COMPILED, "2")]
        said = answers(engine, *lines, call("expr_create", b"\xff\xfe"), call("expr_create", "3", "rsh"))
        bad = f"2 {NOTHING}"
        token = "0 ptr=nz n=4 d=\\x{:02x}\\x00\\x00\\x00"
        assert said == [
            *[bad] * len(NOT_PARSED),
            token.format(0),
            *[bad] * len(NOT_COMPILED),
            token.format(1 + len(NOT_COMPILED)),
            bad,
            token.format(2 + len(NOT_COMPILED)),
        ]

    def test_deleting(self, engine: Any) -> None:
        """Always OK; the token is NOT_FOUND afterwards. Tokens have four bytes."""
        zero = b"\0\0\0\0"
        script = [
            call("expr_create", "1"),
            call("expr_delete", zero),
            call("expr_evaluate", zero),
            call("expr_delete", zero),
        ]
        bad = [call(name, data) for name in ("expr_delete", "expr_evaluate") for data in (b"", b"\0")]
        assert answers(engine, *script, *bad)[1:] == [
            f"0 {NOTHING}",
            f"1 {NOTHING}",
            f"0 {NOTHING}",
            *[f"2 {NOTHING}"] * 4,
        ]

    def test_an_empty_value_is_an_empty_block(self, engine: Any) -> None:
        """As of all functions with a result."""
        script = (call("expr_create", '""'), call("expr_evaluate", b"\0\0\0\0"))
        assert answers(engine, *script, allocations=True)[1] == "0 ptr=nz n=0 d= [allocs=1 last=0]"

    def test_attributes_are_those_of_the_running_callback(self, engine: Any) -> None:
        """Expressions belong to the root context, so that all callbacks can evaluate them."""
        evaluate = [call("expr_evaluate", b"\0\0\0\0", event) for event in ("rqh", "rsh", "log", "tick")]
        said = answers(engine, call("expr_create", "request.path", "cfg"), "rqh tick 50", "tick tick 0", *evaluate)
        value = "0 ptr=nz n=10 d=/fixed?a=1"
        assert [line for line in said[1:] if line != "0"] == [value, f"10 {NOTHING}", value, f"10 {NOTHING}"]

    def test_properties_that_a_test_sets(self, engine: Any) -> None:
        """Win here as well."""
        script = [call("expr_create", "source.address + xds.node.id"), call("expr_evaluate", b"\0\0\0\0")]
        one = Filter(PROBE.read_bytes(), configuration="\n".join(script).encode())
        with MockHost([one], engine=engine) as host:
            host.get("/", properties={"source.address": "here", "xds.node.id": "!"})
            assert any("d=here!" in log.message for log in host.logs)

    def test_messages_are_not_emulated(self, engine: Any) -> None:
        """Said by name."""
        with pytest.raises(NotEmulatedError, match="protobuf messages in CEL expressions"):
            answers(engine, call("expr_create", "google.protobuf.Int64Value{value:1}"))


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    """One key of each kind."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    return {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ed": ed25519.Ed25519PrivateKey.generate(),
    }


class TestSignatures:
    """sign and verify_signature."""

    @pytest.fixture(autouse=True)
    def library(self) -> None:
        """Needs the extra ``crypto``."""
        pytest.importorskip("cryptography")

    @staticmethod
    def public(key: Any, encoding: str = "DER", form: str = "SubjectPublicKeyInfo") -> bytes:
        """A public key's bytes."""
        from cryptography.hazmat.primitives import serialization as s

        return bytes(key.public_key().public_bytes(getattr(s.Encoding, encoding), getattr(s.PublicFormat, form)))

    @staticmethod
    def private(key: Any, encoding: str = "DER", form: str = "PKCS8") -> bytes:
        """A private key's bytes."""
        from cryptography.hazmat.primitives import serialization as s

        return bytes(key.private_bytes(getattr(s.Encoding, encoding), getattr(s.PrivateFormat, form), s.NoEncryption()))

    @staticmethod
    def signed(key: Any, data: bytes = b"text") -> bytes:
        """An RSA signature with SHA-256."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        return bytes(key.sign(data, padding.PKCS1v15(), hashes.SHA256()))

    @staticmethod
    def verification(digest: str, der: bytes, signature: bytes, data: bytes = b"text", pem: bytes = b"") -> bytes:
        """VerifySignatureArguments."""
        return text(1, digest) + field(2, der) + field(3, signature) + field(4, data) + (field(5, pem) if pem else b"")

    def verdict(self, engine: Any, arguments: bytes) -> str:
        """The error of a verification, "" for none; or the status."""
        (said,) = answers(engine, call("verify_signature", arguments))
        return self.error(said, 2)

    @staticmethod
    def error(said: str, number: int) -> str:
        if not said.startswith("0 "):
            return said
        data = said.partition(" d=")[2].encode("latin-1").decode("unicode_escape").encode("latin-1")
        result = protobuf.read(data, {1: protobuf.NUMBER, number: protobuf.TEXT})
        assert bool(result.get(1)) == (number not in result)
        return str(result.get(number, b"").decode())

    def test_verifying(self, engine: Any, keys: dict[str, Any]) -> None:
        """What counts as verified, and Envoy's words for what does not."""
        key, ed = keys["rsa"], keys["ed"]
        der, pem, good = self.public(key), self.public(key, "PEM"), self.signed(key)
        failed, unusable = "Failed to verify digest. Error code: 0", "Failed to initialize digest verify."
        make = self.verification
        for arguments, verdict in [
            (make("sha256", der, good), ""),
            (make("SHA256", der, good), ""),
            (make("sha256", b"", good, pem=pem), ""),
            (make("sha256", der + b"x", good), ""),
            (make("sha512", der, good), failed),
            (make("sha256", der, b""), failed),
            (make("sha256", der, good, b"other"), failed),
            (make("md5", der, good), "md5 is not supported."),
            (make("", b"garbage", good), " is not supported."),
            (make("sha256", b"garbage", good), unusable),
            (make("sha256", b"", good, pem=b"garbage"), unusable),
            (make("sha256", self.public(ed), ed.sign(b"text")), unusable),
            (make("sha256", self.public(key, form="PKCS1"), good), unusable),
            (make("sha256", der, good, pem=pem), f"2 {NOTHING}"),
            (make("sha256", b"", good), f"2 {NOTHING}"),
            (b"", f"2 {NOTHING}"),
            (b"\xff", f"2 {NOTHING}"),
        ]:
            assert self.verdict(engine, arguments) == verdict

    def test_signing(self, engine: Any, keys: dict[str, Any]) -> None:
        """RSA as PKCS #1 v1.5; Envoy's words for keys it cannot use."""
        key = keys["rsa"]
        der, pem = self.private(key), self.private(key, "PEM")

        def make(digest: str, der: bytes, pem: bytes = b"") -> bytes:
            return text(1, digest) + field(2, der) + field(3, b"text") + (field(4, pem) if pem else b"")

        result = b"\x08\x01" + field(2, self.signed(key))
        good = f"0 ptr=nz n={len(result)} d={escaped(result)}"
        old = self.private(key, "PEM", "TraditionalOpenSSL")
        assert (
            answers(engine, *(call("sign", make("sha256", *k)) for k in ((der,), (b"", pem), (b"", old)))) == [good] * 3
        )
        no_key = "Invalid key type: private key required for signing operation."
        for arguments, error in [
            (make("md5", der), "md5 is not supported."),
            (make("sha256", b"garbage"), no_key),
            (make("sha256", self.private(key, form="TraditionalOpenSSL")), no_key),
            (make("sha256", self.private(keys["ed"])), "Invalid private key: key data is corrupted or malformed."),
            (make("sha256", der, pem), f"2 {NOTHING}"),
            (make("sha256", b""), f"2 {NOTHING}"),
        ]:
            (said,) = answers(engine, call("sign", arguments))
            assert self.error(said, 3) == error

    def test_ecdsa(self, engine: Any, keys: dict[str, Any]) -> None:
        """What is signed can be verified, and is the same every time."""
        arguments = text(1, "sha256") + field(2, self.private(keys["ec"])) + field(3, b"text")
        first, second = answers(engine, call("sign", arguments), call("sign", arguments))
        assert first == second
        data = first.partition(" d=")[2].encode("latin-1").decode("unicode_escape").encode("latin-1")
        signature = protobuf.read(data, {2: protobuf.DATA})[2]
        assert self.verdict(engine, self.verification("sha256", self.public(keys["ec"]), signature)) == ""


@pytest.mark.parametrize(
    ("module", "line", "message"),
    [
        (
            "celpy",
            call("expr_create", "1"),
            "the foreign functions expr_create and expr_evaluate need the optional library 'celpy', which cannot be "
            'imported (.*). Install it with: pip install "pytest-proxywasm[cel]"',
        ),
        (
            "cryptography.hazmat.primitives.hashes",
            call("sign", text(1, "sha256") + field(2, b"key")),
            "the foreign functions sign and verify_signature need the optional library 'cryptography', which cannot be "
            'imported (.*). Install it with: pip install "pytest-proxywasm[crypto]"',
        ),
    ],
)
def test_without_the_library(
    engine: Any, monkeypatch: pytest.MonkeyPatch, module: str, line: str, message: str
) -> None:
    """The refusal names the extra."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotEmulatedError) as caught:
        answers(engine, line)
    assert re.fullmatch(re.escape(message).replace(r"\(\.\*\)", r"\(.*\)"), str(caught.value))


def test_a_result_that_the_allocator_has_no_memory_for_crashes_envoy(engine: Any) -> None:
    """Envoy writes it to address 0 of the process."""
    one = Filter(PROBE.read_bytes(), configuration=b"rqh allocfail 1\nrqh foreign compress hello", name="mine")
    with MockHost([one], engine=engine) as host, pytest.raises(EnvoyCrashError) as caught:
        host.get("/")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("the guest's allocator gave no memory for the ")
    assert lines[0].endswith(
        " bytes that a foreign function returns (in proxy_on_request_headers). A real Envoy process crashes there "
        "(segmentation fault)."
    )
    assert lines[1] == "Keep memory free for results, or pass null pointers where the result is not wanted."


def test_no_memory_is_needed_for_a_result_that_is_not_wanted_or_empty(engine: Any) -> None:
    """Nothing is allocated for null pointers; the block of an empty result may be none."""
    assert answers(engine, "rqh allocfail 1", "rqh foreign0 compress hello") == ["0"]
    assert answers(engine, "rqh allocfail 1", call("uncompress", zlib.compress(b""))) == [f"0 {NOTHING}"]


def test_a_small_text_that_uncompresses_to_very_much_is_the_filters_error() -> None:
    """Envoy has no limit; this host stops at 64 MiB."""
    bomb = zlib.compress(bytes(65 << 20), 9)
    context: Any = None  # is not asked for anything
    with pytest.raises(AbiError) as caught:
        FOREIGN_FUNCTIONS[b"uncompress"](context, bomb)
    assert str(caught.value) == (
        f"the guest uncompresses {len(bomb)} bytes to more than 64 MiB with the foreign function uncompress, which has "
        "no limit: Envoy would look for so much memory in the process and in the guest.\n"
        "Check the data before, or uncompress it in the guest piece by piece."
    )
