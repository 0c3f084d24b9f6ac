"""Failures that many filters have in common come with a diagnosis, not just with a trap."""

from __future__ import annotations

import pytest

from pytest_proxywasm import AbiError, Filter, FilterStartError, GuestBudgetExceeded, GuestTrap, MockHost, Response
from pytest_proxywasm.engine import get_engine

COMMON = """
  (memory (export "memory") 1)
  (data (i32.const 0) "plugin_root_id")
  (data (i32.const 32) "the reason")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
"""


def guest(imports: str, body: str) -> Filter:
    """A guest of these imports and exports."""
    return Filter(f"(module {imports} {COMMON} {body})", name="mine", root_id="my_root")


def test_a_root_only_plugin_in_a_chain_is_told_to_be_a_service() -> None:
    """Go and others panic when a stream context is created for a plugin that has only a root context."""
    one = guest(
        "",
        """(func (export "proxy_on_context_create") (param i32 i32)
             (if (local.get 1) (then (unreachable))))""",
    )
    with MockHost([one], engine=get_engine()) as host, pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert "filter 'mine' trapped in proxy_on_context_create" in str(caught.value)
    assert "run it as a Wasm service, proxywasm.host(services=[filter])" in str(caught.value)


def test_such_a_plugin_runs_as_a_service() -> None:
    """Without a chain no stream context is ever created."""
    one = guest("", '(func (export "proxy_on_context_create") (param i32 i32) (if (local.get 1) (then (unreachable))))')
    with MockHost([], services=[one], engine=get_engine()) as host:
        host.clock.advance(10)


def test_a_root_id_the_guest_does_not_know_is_named() -> None:
    """AssemblyScript exits and C++ aborts on a root_id that no root context is registered for."""
    one = guest(
        '(import "env" "proxy_get_property" (func $prop (param i32 i32 i32 i32) (result i32)))',
        """(func (export "proxy_on_context_create") (param i32 i32)
             (drop (call $prop (i32.const 0) (i32.const 14) (i32.const 64) (i32.const 68)))
             (unreachable))""",
    )
    with pytest.raises(FilterStartError) as caught:
        MockHost([one], engine=get_engine())
    text = str(caught.value)
    assert "Failed to start base Wasm: the guest failed in proxy_on_context_create" in text
    assert "It had asked for plugin_root_id, which is 'my_root' here." in text
    assert 'proxy_get_property path=["plugin_root_id"] -> OK value="my_root"' in text


def test_the_last_words_of_a_guest_are_part_of_the_message() -> None:
    """A Go panic is on stderr, a Rust panic in a critical log message: both are quoted."""
    one = guest(
        '(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))',
        """(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $log (i32.const 5) (i32.const 32) (i32.const 10)))
             (unreachable))""",
    )
    with MockHost([one], engine=get_engine()) as host, pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert "what it logged last:\n    critical: the reason" in str(caught.value)


def test_an_endless_loop_says_where_and_how_to_allow_more() -> None:
    """The budget is the same on every engine, so that the count is portable."""
    one = guest(
        "",
        """(func $spin (loop $l (br $l)))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $spin) (i32.const 0))""",
    )
    with MockHost([one], engine=get_engine(), guest_budget=1000) as host, pytest.raises(GuestBudgetExceeded) as caught:
        host.get("/")
    text = str(caught.value)
    assert "did not return from proxy_on_request_headers: it used up its budget of 1,000 function calls" in text
    assert "spin" in text
    assert "guest_budget=1_000_000_000" in text


def test_a_start_section_may_log_and_shows_in_the_trace() -> None:
    """AssemblyScript runs its top-level code there; the host already has the guest's memory then."""
    one = guest(
        '(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))',
        "(func $top (drop (call $log (i32.const 2) (i32.const 32) (i32.const 10)))) (start $top)",
    )
    with MockHost([one], engine=get_engine()) as host:
        assert [log.message for log in host.logs] == ["the reason"]
        assert host.trace.text() == (
            "proxy-wasm trace 1\n"
            "> (start section) context=0\n"
            '    proxy_log log_level=INFO message="the reason" -> OK\n'
            "< done\n"
        )


def test_a_trap_in_the_start_section_is_a_start_error() -> None:
    """Envoy refuses such a filter when it loads it."""
    one = guest("", "(func $top (unreachable)) (start $top)")
    with pytest.raises(FilterStartError, match="the guest failed in the module's start section"):
        MockHost([one], engine=get_engine())


def test_pieces_of_stderr_are_put_together_again() -> None:
    """Go writes a panic in dozens of small pieces; the message shows it as it was meant."""
    one = guest(
        '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))',
        """(data (i32.const 128) "\\20\\00\\00\\00\\04\\00\\00\\00" "\\24\\00\\00\\00\\06\\00\\00\\00")
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $write (i32.const 2) (i32.const 128) (i32.const 1) (i32.const 200)))
             (drop (call $write (i32.const 2) (i32.const 136) (i32.const 1) (i32.const 200)))
             (unreachable))""",
    )
    with MockHost([one], engine=get_engine()) as host, pytest.raises(GuestTrap) as caught:
        host.get("/")
    assert "what it wrote to stderr:\n    the reason\n" in str(caught.value)
    assert "fd_write" not in str(caught.value)


def test_resuming_a_response_inside_its_headers_callback_and_continuing_sends_it_twice() -> None:
    """Envoy 1.40 writes the headers twice; the mock says so instead of giving a response that looks fine."""
    one = guest(
        '(import "env" "proxy_continue_stream" (func $go (param i32) (result i32)))',
        """(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
             (drop (call $go (i32.const 1))) (i32.const 0))""",
    )
    with MockHost([one], engine=get_engine()) as host, pytest.raises(AbiError) as caught:
        host.get("/", upstream=Response(200, body="x"))
    assert "the response headers leave twice" in str(caught.value)
    assert caught.value.callback == "proxy_on_response_headers"
