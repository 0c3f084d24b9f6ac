"""Every hostcall's declaration, held against the table of the ABI; and the order in which it checks.

The order is tested with calls that break several rules at once: the answer must be that of the first check.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from pytest_proxywasm.abi import enums as abi_enums
from pytest_proxywasm.abi.binder import bind
from pytest_proxywasm.abi.callbacks import CALLBACKS
from pytest_proxywasm.abi.codec import encode_pairs
from pytest_proxywasm.abi.enums import AbiVersion, MapType, Status
from pytest_proxywasm.abi.module import Interface
from pytest_proxywasm.abi.wasi import WASI
from pytest_proxywasm.host.buffers import Buffer
from pytest_proxywasm.host.callouts import Cluster
from pytest_proxywasm.host.context import RootContext, VmContext
from pytest_proxywasm.host.headermap import HeaderMap
from pytest_proxywasm.host.hostcalls import HOSTCALLS
from pytest_proxywasm.host.http.context import HttpContext
from pytest_proxywasm.host.http.stream import HttpStreamCore
from pytest_proxywasm.host.plugin import PluginConfig
from pytest_proxywasm.host.proxy import Proxy
from pytest_proxywasm.host.vm import Vm
from pytest_proxywasm.model import Exchange, LogLevel, NoHosts, Response

WILD = 0xFFFFFFF0


# The tables.


def test_the_hostcalls_are_those_of_the_abi(abi: Any) -> None:
    """No more and no fewer."""
    assert sorted(HOSTCALLS) == sorted(abi["hostcalls"])


@pytest.mark.parametrize("name", sorted(HOSTCALLS))
def test_a_hostcall_has_the_versions_types_and_places_of_the_abi(name: str, abi: Any) -> None:
    """What a guest may import, with which type, and when it may call it."""
    spec, row = HOSTCALLS[name], abi["hostcalls"][name]
    assert [str(version) for version in spec.versions] == row["abi"]
    assert list(spec.wasm_params) == row["params"]
    assert list(spec.wasm_results) == row["results"]
    assert spec.during_start is row["during_start"]
    assert spec.inside_allocator is row["inside_allocator"]


@pytest.mark.parametrize("name", sorted(HOSTCALLS))
def test_a_hostcall_reads_and_writes_what_the_abi_says(name: str, abi: Any) -> None:
    """Plain values, ranges it reads, words it writes, data it hands over."""
    spec = HOSTCALLS[name]
    kinds = []
    for param in spec.params:
        kinds += ["value"] if param.input.kind == "word" else ["in_ptr", "in_size"]
    for out in spec.outputs:
        kinds += ["out_data_ptr", "out_data_size"] if out.kind in ("data", "pairs") else [f"out_{out.kind}"]
    assert kinds == abi["hostcalls"][name]["kinds"]


def test_the_wasi_functions_are_those_of_the_reference_host(abi: Any) -> None:
    """Names, types, and when they may be called."""
    assert sorted(WASI) == sorted(abi["wasi"])
    for name, spec in WASI.items():
        row = abi["wasi"][name]
        assert list(spec.wasm_params) == row["params"], name
        assert list(spec.results) == row["results"], name
        assert spec.during_start is row["during_start"], name
        assert spec.inside_allocator is row["inside_allocator"], name


@pytest.mark.parametrize("name", ["Status", "MapType", "StreamType", "MetricType", "PeerType"])
def test_an_enumeration_has_the_numbers_of_the_abi(name: str, abi: Any) -> None:
    """Every member."""
    assert {member.name: member.value for member in getattr(abi_enums, name)} == abi["enums"][name]


def test_buffers_levels_and_errnos_have_the_numbers_of_the_abi(abi: Any) -> None:
    """The redis buffer belongs to another host; of WASI's errnos there are those that proxies answer."""
    buffers = {member.name: member.value for member in abi_enums.BufferType}
    assert {**buffers, "REDIS_CALL_RESPONSE": 9} == abi["enums"]["BufferType"]
    assert {member.name: member.value for member in LogLevel} == abi["enums"]["LogLevel"]
    for member in abi_enums.Errno:
        assert abi["enums"]["WasiErrno"][member.name] == member.value


def test_the_callbacks_have_the_signatures_of_the_abi(abi: Any) -> None:
    """All that proxies call; configurations are validated by none of them."""
    assert sorted(CALLBACKS) == sorted(set(abi["callbacks"]) - {"proxy_validate_configuration"})
    for name, spec in CALLBACKS.items():
        row = abi["callbacks"][name]
        forms = {spec.wasm_params(version) for version in spec.versions}
        assert sorted([list(form), list(spec.wasm_results)] for form in forms) == sorted(row["signatures"]), name
        assert list(spec.params) == row["params"][1:], name


def test_every_hostcall_says_what_it_does() -> None:
    """The reference is made of it."""
    assert [name for name, spec in HOSTCALLS.items() if not spec.doc.endswith((".", "does."))] == []


def test_a_parameter_without_an_abi_type_cannot_be_declared() -> None:
    """A mistake in a declaration shows when the module is imported."""

    def proxy_new(context: Any, number: int) -> Status:
        return Status.OK

    with pytest.raises(TypeError, match="proxy_new: parameter number has no ABI type"):
        type(HOSTCALLS)().declare()(proxy_new)


# The order of checks.


class _NoGuest:
    """Runs nothing: these VMs have no callbacks."""

    callback = None

    def close(self) -> None:
        """Nothing to free."""


class World:
    """A stream context in its request headers, a guest that calls, and the words of one call."""

    def __init__(self, make_guest: Any, version: AbiVersion = AbiVersion.V0_2_1) -> None:
        proxy = self.proxy = Proxy()
        proxy.clusters["aux"] = Cluster("aux", Response(200))
        proxy.foreign_functions[b"echo"] = lambda data: data
        vm = self.vm = Vm(proxy, PluginConfig(code="c", vm_configuration=b"vm"), 0)
        vm.guest = _NoGuest()  # type: ignore[assignment]
        vm.interface = Interface(version, {}, "malloc", ())
        VmContext(vm)
        root = self.root = RootContext(vm, vm.config)
        self.stream = HttpStreamCore(
            proxy, [lambda stream: HttpContext(vm, vm.config, root, stream)], Exchange(), http_version="1.1"
        )
        context = self.context = self.stream.contexts[0]
        headers = HeaderMap.request([(b":path", b"/"), (b"x-a", b"1")])
        self.stream.request.headers_map = context.request.headers = headers
        self.guest = make_guest(context)
        self.words: list[int] = []

    def call(self, name: str) -> int | None:
        """Make the call."""
        return bind(HOSTCALLS[name])(self.guest, *self.words)

    def given(self, *parts: int | bytes | tuple[bytes, bytes]) -> None:
        """The words of a valid call: numbers as they are, bytes and pairs as address and size."""
        for part in parts:
            if isinstance(part, tuple):
                self.words += self.guest.put(encode_pairs([part]))
            elif isinstance(part, bytes):
                self.words += self.guest.put(part)
            else:
                self.words.append(part)


Change = Callable[[World], object]


def word(at: int, value: int) -> Change:
    """Another word."""

    def change(world: World) -> None:
        world.words[at] = value

    return change


def data(at: int, value: bytes) -> Change:
    """Other input."""

    def change(world: World) -> None:
        world.words[at : at + 2] = world.guest.put(value)

    return change


def wild(at: int) -> Change:
    """Input that does not lie in the memory."""

    def change(world: World) -> None:
        world.words[at : at + 2] = (WILD, 32)

    return change


def caller(attribute: str) -> Change:
    """Another context calls."""
    return lambda world: setattr(world.guest, "caller", getattr(world, attribute))


BAD, MEMORY, NOT_FOUND = Status.BAD_ARGUMENT, Status.INVALID_MEMORY_ACCESS, Status.NOT_FOUND
OUT, OUT2, OUT3 = 0x100, 0x104, 0x108
CALL = [(b":method", b"GET"), (b":path", b"/"), (b":authority", b"a")]


def shared(world: World) -> None:
    """Shared data under `k` and a queue `q` with an item."""
    world.proxy.shared_data.set("", b"k", b"v", 0)
    world.proxy.queues.register("", b"q", None)
    world.proxy.queues.enqueue(1, b"item")


def counter(world: World) -> None:
    """A counter, whose id is 4."""
    world.vm.metric_ids.add(world.proxy.metrics.define(abi_enums.MetricType.COUNTER, b"c"))


def http_call(world: World) -> None:
    """A whole HTTP call."""
    world.given(b"aux")
    world.words += world.guest.put(encode_pairs(CALL))
    world.given(b"body")
    world.given((b"t", b"1"), 1000, OUT)


def grpc(*parts: Any) -> Callable[[World], None]:
    """The beginning of a gRPC call or stream."""
    return lambda world: world.given(b"aux", b"service", b"method", (b"m", b"1"), *parts)


Case = tuple[Callable[[World], object], list[tuple[Status, Change | None]]]

# For each hostcall a valid call, and one change for each of its checks, in their order. `None` for what cannot happen
# in the mock host, or not by a change of the call.
CASES: dict[str, Case] = {
    "proxy_log": (lambda w: w.given(2, b"hi"), [(BAD, word(0, 6)), (MEMORY, wild(1))]),
    "proxy_get_log_level": (lambda w: w.given(OUT), [(MEMORY, word(0, WILD))]),
    "proxy_get_status": (lambda w: w.given(OUT, OUT2, OUT3), [(MEMORY, word(2, 0xFFFE))]),
    "proxy_set_property": (
        lambda w: w.given(b"a", b"b"),
        [(MEMORY, wild(2)), (NOT_FOUND, caller("root")), (BAD, None)],
    ),
    "proxy_get_property": (
        lambda w: w.given(b"request\0path", OUT, OUT2),
        [
            (MEMORY, wild(0)),
            (NOT_FOUND, data(0, b"nothing")),
            (Status.INTERNAL_FAILURE, None),
            (Status.SERIALIZATION_FAILURE, data(0, b"request")),
            (MEMORY, word(2, WILD)),
        ],
    ),
    "proxy_get_configuration": (lambda w: w.given(OUT, OUT2), [(MEMORY, word(1, WILD))]),
    "proxy_get_current_time_nanoseconds": (lambda w: w.given(OUT), [(MEMORY, word(0, 0x10000 - 7))]),
    "proxy_set_tick_period_milliseconds": (lambda w: w.given(0), []),
    "proxy_set_effective_context": (lambda w: w.given(0), [(BAD, word(0, 99))]),
    "proxy_done": (
        lambda w: setattr(w.root, "done_pending", True),
        [(NOT_FOUND, lambda w: setattr(w.root, "done_pending", False))],
    ),
    "proxy_call_foreign_function": (
        lambda w: w.given(b"echo", b"data", OUT, OUT2),
        [(MEMORY, wild(2)), (NOT_FOUND, data(0, b"nothing")), (MEMORY, word(5, WILD))],
    ),
    "proxy_continue_request": (lambda w: None, []),
    "proxy_continue_response": (lambda w: None, []),
    "proxy_clear_route_cache": (lambda w: None, []),
    "proxy_continue_stream": (lambda w: w.given(0), [(BAD, word(0, 4)), (Status.UNIMPLEMENTED, word(0, 3))]),
    "proxy_close_stream": (lambda w: w.given(3), [(BAD, word(0, 4))]),
    "proxy_send_local_response": (lambda w: w.given(403, b"d", b"b", (b"a", b"b"), 0), [(MEMORY, wild(5))]),
    "proxy_get_shared_data": (
        lambda w: (shared(w), w.given(b"k", OUT, OUT2, OUT3)),
        [(MEMORY, wild(0)), (NOT_FOUND, data(0, b"nothing")), (MEMORY, word(4, WILD))],
    ),
    "proxy_set_shared_data": (
        lambda w: (shared(w), w.given(b"k", b"v", 0)),
        [(MEMORY, wild(2)), (Status.CAS_MISMATCH, word(4, 99))],
    ),
    "proxy_register_shared_queue": (
        lambda w: w.given(b"q", OUT),
        [(MEMORY, wild(0)), (MEMORY, word(2, WILD))],
    ),
    "proxy_resolve_shared_queue": (
        lambda w: (shared(w), w.given(b"", b"q", OUT)),
        [(MEMORY, wild(0)), (NOT_FOUND, data(2, b"nothing")), (MEMORY, word(4, WILD))],
    ),
    "proxy_dequeue_shared_queue": (
        lambda w: (shared(w), w.given(1, OUT, OUT2)),
        [
            (NOT_FOUND, word(0, 99)),
            (Status.EMPTY, lambda w: w.proxy.queues.by_id[1].items.clear()),
            (MEMORY, word(1, WILD)),
        ],
    ),
    "proxy_enqueue_shared_queue": (
        lambda w: (shared(w), w.given(1, b"item")),
        [(MEMORY, wild(1)), (NOT_FOUND, word(0, 99))],
    ),
    "proxy_get_header_map_value": (
        lambda w: w.given(0, b"x-a", OUT, OUT2),
        [
            (BAD, word(0, 8)),
            (MEMORY, wild(1)),
            (BAD, caller("root")),
            (NOT_FOUND, data(1, b"nothing")),
            (MEMORY, word(3, WILD)),
        ],
    ),
    "proxy_add_header_map_value": (
        lambda w: w.given(0, b"x-a", b"2"),
        [(BAD, word(0, 8)), (MEMORY, wild(3)), (BAD, caller("root"))],
    ),
    "proxy_replace_header_map_value": (
        lambda w: w.given(0, b"x-a", b"2"),
        [(BAD, word(0, 8)), (MEMORY, wild(3)), (BAD, caller("root"))],
    ),
    "proxy_remove_header_map_value": (
        lambda w: w.given(0, b"x-a"),
        [(BAD, word(0, 8)), (MEMORY, wild(1)), (BAD, caller("root"))],
    ),
    "proxy_get_header_map_pairs": (lambda w: w.given(0, OUT, OUT2), [(BAD, word(0, 8)), (MEMORY, word(2, WILD))]),
    "proxy_set_header_map_pairs": (
        lambda w: w.given(0, (b"a", b"b")),
        [(BAD, word(0, 8)), (MEMORY, wild(1)), (BAD, caller("root"))],
    ),
    "proxy_get_header_map_size": (
        lambda w: w.given(0, OUT),
        [(BAD, word(0, 8)), (BAD, caller("root")), (MEMORY, word(1, WILD))],
    ),
    "proxy_get_buffer_bytes": (
        lambda w: w.given(6, 0, 100, OUT, OUT2),
        [(BAD, word(0, 9)), (NOT_FOUND, word(0, 7)), (BAD, None), (MEMORY, word(3, WILD))],
    ),
    "proxy_get_buffer_status": (
        lambda w: w.given(6, OUT, OUT2),
        [(BAD, word(0, 9)), (NOT_FOUND, word(0, 7)), (MEMORY, word(2, WILD))],
    ),
    "proxy_set_buffer_bytes": (
        lambda w: (setattr(w.context.request, "body", Buffer(b"body")), w.given(0, 0, 0, b"x")),
        [(BAD, word(0, 9)), (NOT_FOUND, word(0, 7)), (MEMORY, wild(3)), (BAD, word(1, 1))],
    ),
    "proxy_http_call": (
        http_call,
        [
            (MEMORY, wild(6)),
            (MEMORY, word(9, WILD)),
            (BAD, word(8, 1 << 31)),
            (Status.INTERNAL_FAILURE, lambda w: w.proxy.clusters.update(aux=Cluster("aux", NoHosts()))),
        ],
    ),
    "proxy_grpc_call": (
        grpc(b"message", 1000, OUT),
        [
            (MEMORY, wild(8)),
            (Status.PARSE_FAILURE, data(0, b"nothing")),
            (BAD, None),
            (Status.INTERNAL_FAILURE, lambda w: w.proxy.clusters.update(aux=Cluster("aux", NoHosts()))),
            (MEMORY, word(11, WILD)),
        ],
    ),
    "proxy_grpc_stream": (
        grpc(OUT),
        [
            (MEMORY, wild(6)),
            (Status.PARSE_FAILURE, data(0, b"nothing")),
            (BAD, None),
            (Status.INTERNAL_FAILURE, lambda w: w.proxy.clusters.update(aux=Cluster("aux", NoHosts()))),
            (MEMORY, word(8, WILD)),
        ],
    ),
    "proxy_grpc_send": (
        lambda w: (grpc(OUT)(w), w.call("proxy_grpc_stream"), w.words.clear(), w.given(w.guest.u32(OUT), b"m", 0)),
        [(MEMORY, wild(1)), (BAD, word(0, 5)), (NOT_FOUND, word(0, 98))],
    ),
    "proxy_grpc_cancel": (
        lambda w: (grpc(OUT)(w), w.call("proxy_grpc_stream"), w.words.clear(), w.given(w.guest.u32(OUT))),
        [(BAD, word(0, 4)), (NOT_FOUND, word(0, 98))],
    ),
    "proxy_grpc_close": (
        lambda w: (grpc(OUT)(w), w.call("proxy_grpc_stream"), w.words.clear(), w.given(w.guest.u32(OUT))),
        [(BAD, word(0, 4)), (NOT_FOUND, word(0, 98))],
    ),
    "proxy_define_metric": (
        lambda w: w.given(0, b"c", OUT),
        [(MEMORY, wild(1)), (BAD, word(0, 3)), (MEMORY, word(3, WILD))],
    ),
    "proxy_increment_metric": (lambda w: (counter(w), w.given(4, 1)), [(BAD, word(0, 6)), (NOT_FOUND, word(0, 96))]),
    "proxy_record_metric": (lambda w: (counter(w), w.given(4, 1)), [(NOT_FOUND, word(0, 96))]),
    "proxy_get_metric": (
        lambda w: (counter(w), w.given(4, OUT)),
        [(BAD, word(0, 6)), (NOT_FOUND, word(0, 96)), (MEMORY, word(1, WILD))],
    ),
}
PLAIN = {"pthread_equal", "emscripten_notify_memory_growth"}


@pytest.fixture
def make_world(make_guest: Any) -> Callable[..., World]:
    """A new world."""
    return lambda **options: World(make_guest, **options)


def test_every_hostcall_with_a_status_has_a_case(abi: Any) -> None:
    """With as many changes as it has checks, in their order."""
    assert set(CASES) | PLAIN == set(HOSTCALLS)
    for name, (_, changes) in CASES.items():
        checks = [check for check in abi["hostcalls"][name]["checks"] if check != "OK"]
        assert [status.name for status, _ in changes] == checks, name


STEPS = [
    pytest.param(name, number, id=f"{name}-{number}-{status.name}")
    for name, (_, changes) in CASES.items()
    for number, (status, change) in enumerate(changes)
    if change is not None
]


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_call_that_breaks_no_rule_is_ok(name: str, make_world: Callable[..., World]) -> None:
    """Else the others would prove nothing."""
    world = make_world()
    CASES[name][0](world)
    assert world.call(name) == Status.OK
    assert world.guest.record.status is Status.OK


@pytest.mark.parametrize(("name", "number"), STEPS)
def test_a_call_that_breaks_one_rule_answers_its_status(
    name: str, number: int, make_world: Callable[..., World]
) -> None:
    """Each by itself."""
    setup, changes = CASES[name]
    status, change = changes[number]
    world = make_world()
    setup(world)
    assert change is not None
    change(world)
    assert world.call(name) == status
    assert world.guest.record.status is status


@pytest.mark.parametrize(("name", "number"), STEPS)
def test_a_call_that_breaks_several_rules_answers_the_first(
    name: str, number: int, make_world: Callable[..., World]
) -> None:
    """This rule and all that are checked after it."""
    setup, changes = CASES[name]
    world = make_world()
    setup(world)
    for _, change in reversed(changes[number:]):
        if change is not None:
            change(world)
    assert world.call(name) == changes[number][0]


@pytest.mark.parametrize(("left", "right", "equal"), [(1, 1, 1), (1, 2, 0), (0xFFFFFFFF, 0xFFFFFFFF, 1)])
def test_pthread_equal_is_no_status(left: int, right: int, equal: int, make_world: Callable[..., World]) -> None:
    """A plain number."""
    world = make_world()
    world.given(left, right)
    assert world.call("pthread_equal") == equal


def test_memory_growth_is_reported_without_an_answer(make_world: Callable[..., World]) -> None:
    """Emscripten guests do that."""
    world = make_world()
    world.given(0)
    assert world.call("emscripten_notify_memory_growth") is None


# What a failed call leaves behind.


def test_a_call_with_a_bad_out_pointer_has_been_made_all_the_same(make_world: Callable[..., World]) -> None:
    """Outputs are written last: queues are registered, items taken, metrics defined, and values allocated."""
    world = make_world()
    world.given(b"q", WILD)
    assert world.call("proxy_register_shared_queue") == MEMORY
    assert world.proxy.queues.resolve("", b"q") is not None

    world.proxy.queues.enqueue(1, b"item")
    world.words = [1, WILD, OUT2]
    assert world.call("proxy_dequeue_shared_queue") == MEMORY
    assert world.guest.allocations == [4]
    assert world.proxy.queues.dequeue(1) is Status.EMPTY

    world.words = []
    world.given(0, b"c", WILD)
    assert world.call("proxy_define_metric") == MEMORY
    assert (abi_enums.MetricType.COUNTER, b"c") in world.proxy.metrics.stats


def test_of_a_value_with_its_cas_the_value_is_written_first(make_world: Callable[..., World]) -> None:
    """Before the bad pointer of the cas is noticed."""
    world = make_world()
    shared(world)
    world.given(b"k", OUT, OUT2, WILD)
    assert world.call("proxy_get_shared_data") == MEMORY
    assert world.guest.data(OUT, OUT2) == b"v"


def test_an_http_call_with_a_bad_out_pointer_is_not_made(make_world: Callable[..., World]) -> None:
    """The one call that looks at its out pointer first."""
    world = make_world()
    http_call(world)
    world.words[9] = WILD
    assert world.call("proxy_http_call") == MEMORY
    assert world.proxy.callouts == world.proxy.pending_callouts == []


def test_an_http_call_that_is_refused_leaves_the_id_0(make_world: Callable[..., World]) -> None:
    """It is written before the call is looked at."""
    world = make_world()
    http_call(world)
    world.guest.pages[OUT : OUT + 4] = b"\xaa" * 4
    world.words[8] = 1 << 31
    assert world.call("proxy_http_call") == BAD
    assert world.guest.u32(OUT) == 0


def test_what_is_not_found_leaves_the_out_pointers_alone(make_world: Callable[..., World]) -> None:
    """Guests may rely on what they had put there."""
    world = make_world()
    world.guest.pages[OUT : OUT + 8] = b"\xaa" * 8
    world.given(0, b"nothing", OUT, OUT2)
    assert world.call("proxy_get_header_map_value") == NOT_FOUND
    assert bytes(world.guest.pages[OUT : OUT + 8]) == b"\xaa" * 8
    assert world.guest.allocations == []


def test_an_unknown_map_is_refused_before_any_memory_is_read(make_world: Callable[..., World]) -> None:
    """Also as a large unsigned number."""
    world = make_world()
    world.words = [0xFFFFFFFF, WILD, 32, WILD, WILD]
    assert world.call("proxy_get_header_map_value") == BAD
    assert world.guest.renewals == 0
    assert world.guest.record.args == {}


def test_in_abi_0_1_0_a_missing_header_is_ok_and_empty(make_world: Callable[..., World]) -> None:
    """Newer guests get NOT_FOUND."""
    world = make_world(version=AbiVersion.V0_1_0)
    world.guest.pages[OUT : OUT + 8] = b"\xaa" * 8
    world.given(0, b"nothing", OUT, OUT2)
    assert world.call("proxy_get_header_map_value") == Status.OK
    assert (world.guest.u32(OUT), world.guest.u32(OUT2)) == (0, 0)


def test_the_configuration_of_abi_0_1_0_is_the_plugins_while_it_is_configured(make_world: Callable[..., World]) -> None:
    """Else the VM's."""
    world = make_world(version=AbiVersion.V0_1_0)
    world.words = [OUT, OUT2]
    assert world.call("proxy_get_configuration") == Status.OK
    assert world.guest.data(OUT, OUT2) == b"vm"
    world.root.plugin_configuration = b"plugin"
    assert world.call("proxy_get_configuration") == Status.OK
    assert world.guest.data(OUT, OUT2) == b"plugin"


def test_malformed_pairs_empty_the_map(make_world: Callable[..., World]) -> None:
    """And the guest is told OK."""
    world = make_world()
    world.given(0, b"\x05\0\0\0garbage")
    assert world.call("proxy_set_header_map_pairs") == Status.OK
    assert len(world.context.request.headers or ()) == 0


def test_signed_and_unsigned_numbers_arrive_as_they_are_meant(make_world: Callable[..., World]) -> None:
    """A gRPC status and a metric's delta have a sign; values and ids have none."""
    world = make_world()
    world.given(403, b"", b"", b"", 0xFFFFFFFF)
    world.call("proxy_send_local_response")
    assert world.guest.record.args["grpc_status"] == -1
    world.vm.metric_ids.add(world.proxy.metrics.define(abi_enums.MetricType.GAUGE, b"g"))
    world.words = [5, 2**64 - 3]
    assert world.call("proxy_increment_metric") == Status.OK
    assert world.guest.record.args["delta"] == -3
    world.words = [5, 2**64 - 1]
    assert world.call("proxy_record_metric") == Status.OK
    world.words = [5, OUT]
    assert world.call("proxy_get_metric") == Status.OK
    assert struct.unpack_from("<Q", world.guest.pages, OUT) == (2**64 - 1,)


@pytest.mark.parametrize("kind", list(MapType))
def test_pairs_of_a_map_that_is_not_there_are_ok_and_nothing(kind: MapType, make_world: Callable[..., World]) -> None:
    """While single values of it are a bad argument."""
    world = make_world()
    world.guest.caller = world.root
    world.words = [kind, OUT, OUT2]
    assert world.call("proxy_get_header_map_pairs") == Status.OK
    assert (world.guest.u32(OUT), world.guest.u32(OUT2)) == (0, 0)
    assert world.guest.allocations == []
