"""Which modules a proxy loads, and the words for those that it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pytest_proxywasm import FilterStartError
from pytest_proxywasm.abi.enums import ALL_VERSIONS, AbiVersion
from pytest_proxywasm.abi.module import check_imports, describe, version_of
from pytest_proxywasm.host.hostcalls import HOSTCALLS
from pytest_proxywasm.mock.loader import OFFERED

I = "i32"  # noqa: E741
VERSIONS = {name: spec.versions for name, spec in HOSTCALLS.items()}


@dataclass(frozen=True)
class Type:
    """A function type."""

    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """An import or an export."""

    name: str
    type: Type | None = Type()
    kind: str = "function"
    module: str = "env"


MARKER = Item("proxy_abi_version_0_2_1")
MALLOC = Item("malloc", Type((I,), (I,)))


def refused(*exports: Item) -> str:
    """The message for these exports."""
    with pytest.raises(FilterStartError) as caught:
        describe(exports)
    return str(caught.value)


def refused_import(*imports: Item, version: AbiVersion = AbiVersion.V0_2_1) -> str:
    """The message for these imports."""
    with pytest.raises(FilterStartError) as caught:
        check_imports(imports, OFFERED[version], version, VERSIONS)
    return str(caught.value)


def test_the_smallest_guest_has_a_marker_and_an_allocator() -> None:
    """No callback is needed."""
    interface = describe([MARKER, MALLOC])
    assert (interface.version, interface.allocator, dict(interface.callbacks), interface.starts) == (
        AbiVersion.V0_2_1,
        "malloc",
        {},
        (),
    )


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_the_marker_function_says_the_version(version: AbiVersion) -> None:
    """Its type does not matter."""
    assert describe([Item(version.marker, Type((I,), ())), MALLOC]).version is version


def test_of_several_markers_the_first_export_counts() -> None:
    """As in proxy-wasm-cpp-host."""
    markers = [Item("proxy_abi_version_0_2_0"), Item("proxy_abi_version_0_1_0"), MARKER]
    assert version_of(markers) is AbiVersion.V0_2_0
    assert version_of(reversed(markers)) is AbiVersion.V0_2_1
    assert version_of([]) is None


@pytest.mark.parametrize(
    ("exports", "reason"),
    [
        (
            [MALLOC],
            "The module exports none of the marker functions (proxy_abi_version_0_1_0, proxy_abi_version_0_2_0, "
            "proxy_abi_version_0_2_1). Is it a Proxy-Wasm filter at all, and does its build keep the export?",
        ),
        (
            [MALLOC, Item("proxy_abi_version_0_3_0")],
            "The module exports proxy_abi_version_0_3_0; known are proxy_abi_version_0_1_0, proxy_abi_version_0_2_0, "
            "proxy_abi_version_0_2_1.",
        ),
        (
            [MALLOC, Item("proxy_abi_version_0_2_100")],
            "The module exports proxy_abi_version_0_2_100: it was built for Higress, and Envoy refuses it.",
        ),
        (
            [MALLOC, Item("proxy_abi_version_0_2_1", None, "global")],
            "The module exports proxy_abi_version_0_2_1, but not as a function.",
        ),
    ],
)
def test_a_module_without_a_known_marker_is_refused(exports: list[Item], reason: str) -> None:
    """In Envoy's words, with the likely reason."""
    assert refused(*exports) == f"Missing or unknown Proxy-Wasm ABI version\n{reason}"


def test_a_module_without_an_allocator_is_refused() -> None:
    """Envoy names the one it looks for first."""
    assert refused(MARKER) == (
        "Wasm module is missing malloc function.\n"
        "A Proxy-Wasm guest exports malloc or proxy_on_memory_allocate, so that the host can hand data over; "
        "this one exports neither. Check the exports your SDK and linker keep."
    )
    assert refused(MARKER, Item("malloc", None, "global")).startswith("Wasm module is missing malloc function.\n")


def test_malloc_comes_before_the_abis_own_allocator() -> None:
    """The specification has it the other way round; Envoy does not."""
    other = Item("proxy_on_memory_allocate", Type((I,), (I,)))
    assert describe([MARKER, other, MALLOC]).allocator == "malloc"
    assert describe([MARKER, other]).allocator == "proxy_on_memory_allocate"


@pytest.mark.parametrize(
    ("name", "type_", "want", "have"),
    [
        ("proxy_on_request_headers", Type((I,), (I,)), "i32 i32 i32 -> i32", "i32 -> i32"),
        ("proxy_on_request_headers", Type((I, I, I)), "i32 i32 i32 -> i32", "i32 i32 i32 -> void"),
        ("proxy_on_request_body", Type((I, I), (I,)), "i32 i32 i32 -> i32", "i32 i32 -> i32"),
        ("proxy_on_tick", Type(("i64",)), "i32 -> void", "i64 -> void"),
        ("proxy_on_log", Type((I,), (I,)), "i32 -> void", "i32 -> i32"),
        ("proxy_on_done", Type((I,)), "i32 -> i32", "i32 -> void"),
        ("_initialize", Type((I,)), "void -> void", "i32 -> void"),
        ("_start", Type((), (I,)), "void -> void", "void -> i32"),
        ("main", Type((), (I,)), "i32 i32 -> i32", "void -> i32"),
        ("__main_void", Type(), "void -> i32", "void -> void"),
        ("malloc", Type((I, I), (I,)), "i32 -> i32", "i32 i32 -> i32"),
    ],
)
def test_an_export_of_another_type_is_refused(name: str, type_: Type, want: str, have: str) -> None:
    """Both types are named."""
    others = [] if name == "malloc" else [MALLOC]
    if name.endswith(("main", "main_void")):
        others.append(Item("_initialize"))
    message = refused(MARKER, *others, Item(name, type_))
    assert (
        message.splitlines()[0] == f"Bad function signature for: {name}, want: {want}, but the module exports: {have}"
    )


def test_the_headers_callbacks_of_abi_0_1_0_have_one_parameter_less() -> None:
    """Without the end of stream."""
    old = [MALLOC, Item("proxy_abi_version_0_1_0")]
    short = [Item(f"proxy_on_{d}_headers", Type((I, I), (I,))) for d in ("request", "response")]
    assert describe([*old, *short]).callbacks == {"proxy_on_request_headers": 2, "proxy_on_response_headers": 2}
    assert "want: i32 i32 i32 -> i32" in refused(MALLOC, MARKER, *short)
    assert "want: i32 i32 -> i32" in refused(*old, Item("proxy_on_request_headers", Type((I, I, I), (I,))))


def test_the_callback_of_foreign_functions_is_none_in_abi_0_1_0() -> None:
    """An export of that name may have any type there."""
    wrong = Item("proxy_on_foreign_function", Type((I,)))
    assert describe([MALLOC, Item("proxy_abi_version_0_1_0"), wrong]).callbacks == {}
    assert "want: i32 i32 i32 -> void" in refused(MALLOC, Item("proxy_abi_version_0_2_0"), wrong)


def test_start_functions_that_nobody_calls_may_have_any_type() -> None:
    """Envoy looks for ``main`` beside ``_initialize`` only, and for ``_start`` without it."""
    assert describe([MARKER, MALLOC, Item("main", Type((), (I,)))]).starts == ()
    assert describe([MARKER, MALLOC, Item("_initialize"), Item("_start", Type((I,)))]).starts == ("_initialize",)


def test_exports_that_are_no_functions_are_not_callbacks() -> None:
    """A global of that name is nothing to call."""
    assert describe([MARKER, MALLOC, Item("proxy_on_tick", None, "global")]).callbacks == {}


@pytest.mark.parametrize(
    ("names", "starts"),
    [
        (["_initialize"], ("_initialize",)),
        (["_initialize", "main"], ("_initialize", "main")),
        (["_initialize", "__main_void"], ("_initialize", "__main_void")),
        (["_initialize", "main", "__main_void"], ("_initialize", "main")),
        (["_initialize", "_start"], ("_initialize",)),
        (["_start"], ("_start",)),
        (["_start", "main"], ("_start",)),
        (["main"], ()),
        ([], ()),
    ],
)
def test_start_functions_run_in_this_order(names: list[str], starts: tuple[str, ...]) -> None:
    """`_initialize` and then main; `_start` only where there is no `_initialize`."""
    types = {"main": Type((I, I), (I,)), "__main_void": Type((), (I,))}
    assert describe([MARKER, MALLOC, *(Item(name, types.get(name, Type())) for name in names)]).starts == starts


# Imports.


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_everything_that_a_version_offers_can_be_imported(version: AbiVersion) -> None:
    """Also a memory and a table, and WASI under both of its names."""
    items = [Item(name, Type(*type_), module=module) for (module, name), type_ in OFFERED[version].items()]
    items += [Item("memory", None, "memory"), Item("__indirect_function_table", None, "table")]
    check_imports(items, OFFERED[version], version, VERSIONS)
    assert {module for module, _ in OFFERED[version]} == {"env", "wasi_snapshot_preview1", "wasi_unstable"}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (
            Item("proxy_nope"),
            "No host function of that name exists in ABI 0.2.1; Envoy refuses to load the filter as well.",
        ),
        (
            Item("proxy_clear_route_cache"),
            "proxy_clear_route_cache exists in ABI 0.1.0 only, and this guest declares ABI 0.2.1; Envoy refuses to "
            "load it as well.",
        ),
        (Item("abort"), "AssemblyScript: build with --use abort=abort_proc_exit, no proxy offers env.abort"),
        (Item("seed"), "AssemblyScript: Math.random() imports env.seed, which no proxy offers"),
        (
            Item("proxy_redis_call"),
            "It belongs to Higress (its Redis calls); Envoy does not offer it and refuses to load the filter.",
        ),
        (
            Item("proxy_get_buffer"),
            "It belongs to ngx_wasm_module (Kong) (a draft's name of proxy_get_buffer_bytes); Envoy does not offer it "
            "and refuses to load the filter.",
        ),
        (
            Item("proxy_resume_downstream"),
            "It belongs to ngx_wasm_module (Kong) and MOSN (a draft's name of proxy_continue_stream); Envoy does not "
            "offer it and refuses to load the filter.",
        ),
        (
            Item("f", module="wasi_snapshot_preview2"),
            "Proxies offer the modules env, wasi_snapshot_preview1 and wasi_unstable, not 'wasi_snapshot_preview2'.",
        ),
        (
            Item("fd_write"),
            "No host function of that name exists in ABI 0.2.1; Envoy refuses to load the filter as well.",
        ),
    ],
)
def test_an_unknown_import_is_refused_with_the_likely_reason(item: Item, reason: str) -> None:
    """The first line is Envoy's."""
    assert refused_import(item) == (
        f"Failed to load Wasm module due to a missing import: {item.module}.{item.name}\n{reason}"
    )


def test_the_log_level_cannot_be_asked_for_in_older_versions() -> None:
    """It came with 0.2.1."""
    message = refused_import(Item("proxy_get_log_level", Type((I,), (I,))), version=AbiVersion.V0_2_0)
    assert message == (
        "Failed to load Wasm module due to a missing import: env.proxy_get_log_level\n"
        "proxy_get_log_level exists in ABI 0.2.1 only, and this guest declares ABI 0.2.0; Envoy refuses to load it as "
        "well."
    )


def test_an_import_of_another_type_is_refused() -> None:
    """Both types are named."""
    assert refused_import(Item("proxy_log", Type((I,), (I,)))) == (
        "Failed to load Wasm module due to an import type mismatch: env.proxy_log, "
        "want: i32 -> i32, but host exports: i32 i32 i32 -> i32\n"
        "The guest declares env.proxy_log with another type than ABI 0.2.1; an SDK of another ABI version is the usual "
        "cause."
    )


@pytest.mark.parametrize("kind", ["global", "tag"])
def test_other_imports_than_functions_memories_and_tables_are_refused(kind: str) -> None:
    """Proxies have none to offer."""
    message = refused_import(Item("g", None, kind))
    assert "env.g" in message.splitlines()[0]
    assert message.endswith(f"It is a {kind}; proxies offer functions, a memory and a table only.")


def test_imports_are_checked_in_their_order() -> None:
    """The first that is wrong is named."""
    right: Any = Item("proxy_done", Type((), (I,)))
    assert "env.first" in refused_import(right, Item("first"), Item("second"))
