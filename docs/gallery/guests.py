"""Small guests for the gallery, from a list of hostcalls for each callback; no toolchain is needed."""

from __future__ import annotations

from pytest_proxywasm.abi.callbacks import CALLBACKS
from pytest_proxywasm.abi.codec import encode_pairs
from pytest_proxywasm.host.hostcalls import HOSTCALLS


def guest(**callbacks: list) -> str:
    """WAT of a guest that makes these hostcalls in each callback, whatever they answer, and returns the last number.

    A hostcall is a tuple of its name and its arguments: numbers, text, or pairs of headers.
    """
    imports: dict[str, str] = {}
    data = bytearray()
    functions = []
    for callback, steps in callbacks.items():
        lines = []
        for step in steps:
            if isinstance(step, int):
                lines.append(f"(i32.const {step})")
                continue
            name, *given = step
            spec = HOSTCALLS[name]
            imports[name] = f'(import "env" "{name}" (func ${name} (param {" ".join(spec.wasm_params)}) (result i32)))'
            words = []
            for param, value in zip(spec.params, given):
                if isinstance(value, int):
                    words.append(f"({param.input.wasm[0]}.const {value})")
                else:
                    raw = value.encode() if isinstance(value, str) else encode_pairs(_pairs(value)) if value else b""
                    words += [f"(i32.const {len(data)})", f"(i32.const {len(raw)})"]
                    data += raw
            words += [f"(i32.const {2048 + 4 * at})" for at in range(sum(len(out.wasm) for out in spec.outputs))]
            lines.append(f"(drop (call ${name} {' '.join(words)}))")
        spec = CALLBACKS[callback]
        params = " ".join(["i32"] * (len(spec.params) + 1))
        result = "(result i32)" if spec.result else ""
        functions.append(f'(func (export "{callback}") (param {params}) {result} {" ".join(lines)})')
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    return f"""(module
      {" ".join(imports.values())}
      (memory (export "memory") 1)
      (data (i32.const 0) "{escaped}")
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
      {" ".join(functions)})"""


def _pairs(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
