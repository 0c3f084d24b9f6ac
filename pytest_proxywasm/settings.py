"""Options of the command line and the ini file; imported whenever pytest starts, so it imports next to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

__all__ = ["CHOICES", "add_options", "output_folder", "setting", "switch"]

CHOICES = {
    "engine": ("auto", "wasmtime", "wasmer"),
    "host": ("mock", "envoy", "both"),
    "trace": ("off", "on", "retain-on-failure"),
}
_DEFAULTS = {"engine": "auto", "host": "mock", "envoy": "", "trace": "off", "output": "proxywasm-results"}
_HELP = {
    "engine": "what runs the guests: auto (default), wasmtime or wasmer",
    "host": "what the filters run in: mock (default), envoy or both",
    "envoy": "the Envoy binary for --proxywasm-host=envoy and both",
    "trace": "write traces and guest logs to files: off (default), on or retain-on-failure",
    "output": "folder for those files (default: proxywasm-results)",
}
_SWITCHES = {
    "envoy_reuse": "let tests with equal filters share an Envoy, one after the other; a fresh one after failures and "
    "shared state",
    "envoy_untouched": "run guests in Envoy as they are, without the recorder: hostcalls show sizes instead of bytes",
}
_REDACTED = ("authorization", "proxy-authorization", "cookie", "set-cookie")


def add_options(parser: pytest.Parser) -> None:
    """Every option, and the ini value of the same name."""
    group = parser.getgroup("proxywasm", "Proxy-Wasm filters")
    for name, text in _HELP.items():
        choices: dict[str, Any] = {"choices": CHOICES[name]} if name in CHOICES else {"metavar": "PATH"}
        group.addoption(f"--proxywasm-{name}", dest=f"proxywasm_{name}", default=None, help=text, **choices)
        parser.addini(f"proxywasm_{name}", text, default=_DEFAULTS[name])
    for name, text in _SWITCHES.items():
        dashed = name.replace("_", "-")
        group.addoption(f"--proxywasm-{dashed}", action="store_true", default=None, help=text)
        parser.addini(f"proxywasm_{name}", text, type="bool", default=False)
    parser.addini("proxywasm_filter", "the filter under test; a path relative to the ini file", default="")
    parser.addini("proxywasm_build", "the command that builds it, run in the rootdir without a shell", default="")
    parser.addini(
        "proxywasm_redact",
        "names of headers whose values are hidden in reports and files",
        type="args",
        default=list(_REDACTED),
    )


def setting(config: pytest.Config, name: str) -> str:
    """The value of an option: the command line's, else the ini file's."""
    given = config.getoption(f"proxywasm_{name}")
    return str(given if given is not None else config.getini(f"proxywasm_{name}") or _DEFAULTS[name])


def switch(config: pytest.Config, name: str) -> bool:
    """Whether something is switched on, on the command line or in the ini file."""
    return bool(config.getoption(f"proxywasm_{name}") or config.getini(f"proxywasm_{name}"))


def output_folder(config: pytest.Config) -> Path:
    """Where files go: relative to the working directory if given on the command line, else to the rootdir."""
    given = config.getoption("proxywasm_output")
    if given is not None:
        return config.invocation_params.dir / str(given)
    return config.rootpath / setting(config, "output")
