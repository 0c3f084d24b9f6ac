"""Projects for the plugin's tests: a folder with a small filter in WAT, and pytest to run in it."""

from __future__ import annotations

import hypothesis.strategies  # noqa: F401
import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.engine import get_engine

# pytester forgets the modules a run within this process imported, but not those that were there before: with these,
# all runs use the same classes.
for name in pw.__all__:
    getattr(pw, name)

LOGS = """
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $configuration (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "hello")
  (data (i32.const 16) "authorization")
  (data (i32.const 32) "bad \\ff byte")
  (global $free (mut i32) (i32.const 4096))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $configuration (i32.const 7) (i32.const 0) (i32.const 100) (i32.const 64) (i32.const 68)))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $level i32)
    (loop $levels
      (drop (call $log (local.get $level) (i32.const 0) (i32.const 5)))
      (local.set $level (i32.add (local.get $level) (i32.const 1)))
      (br_if $levels (i32.lt_u (local.get $level) (i32.const 6))))
    (drop (call $log (i32.const 3) (i32.const 32) (i32.const 10)))
    (drop (call $get (i32.const 0) (i32.const 16) (i32.const 13) (i32.const 64) (i32.const 68)))
    (i32.const 0)))
"""
"""Logs "hello" at every level and reads a secret header."""

REFUSES = """
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0)))
"""
"""Does not accept its configuration."""


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Load the engine once for all runs; not on import, because pytest's faulthandler has to be there before it."""
    get_engine()


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder whose ini file names the filter that logs."""
    for name in ("PYTEST_XDIST_TESTRUNUID", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    # A run within this process that enabled faulthandler would take the engine's signal handlers away.
    unwanted = ("cacheprovider", "benchmark", "syrupy", "platformdirs", "faulthandler")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in unwanted))
    pytester.makeini("[pytest]\nproxywasm_filter = logs.wat\n")
    (pytester.path / "logs.wat").write_text(LOGS)
    (pytester.path / "refuses.wat").write_text(REFUSES)
    return pytester
