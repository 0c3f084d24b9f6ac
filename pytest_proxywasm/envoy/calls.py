"""What the wasm values in Envoy's log, and the bytes the recorder adds, say of one hostcall; keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..abi.codec import decode_pairs, split_path
from ..abi.enums import Errno, Status
from ..abi.hostcall import HostcallSpec, Input
from ..abi.wasi import WASI, shown_arguments
from ..headers import to_bytes, to_text
from ..host.hostcalls import HOSTCALLS
from ..trace import Arguments, Hostcall, WasiCall
from .varying import Varying

__all__ = ["decoded_arguments", "decoded_result", "plain_arguments", "status_of", "wasi_arguments"]


def plain_arguments(name: str, words: Sequence[int]) -> Arguments:
    """A hostcall's plain numbers, and the sizes of what it passes by address, as ``key_size`` for ``key``."""
    spec = HOSTCALLS.get(name)
    args = Arguments()
    at = 0
    for param in spec.params if spec is not None else ():
        width = len(param.input.wasm)
        values = words[at : at + width]
        at += width
        if len(values) < width:
            break
        if width == 2:
            args[f"{param.name}_size"] = values[1] & 0xFFFFFFFF
        else:
            args[param.name] = _word(values[0], param.input)
    return args


def decoded_arguments(
    spec: HostcallSpec, words: Sequence[int], data: Sequence[bytes | None], varying: Varying
) -> Arguments:
    """A hostcall's arguments as the mock shows them.

    Args:
        data: the bytes of each range it reads; ``None`` for one that cannot be read.
        varying: what becomes of values that differ by nature.

    Returns:
        Nothing when the host refuses the call before it has decoded them all.
    """
    args, late = Arguments(), Arguments()
    ranges = iter(data)
    at = 0
    for param in spec.params:
        source = param.input
        if len(source.wasm) == 2:
            raw = next(ranges)
            if raw is not None:
                (late if source.lazy else args)[param.name] = _shown(source, raw, args, varying)
            elif not source.lazy:
                return Arguments()
        else:
            value = _word(words[at], source)
            if source.checked and source.enum is not None and not isinstance(value, source.enum):
                return Arguments()
            args[param.name] = value
        at += len(source.wasm)
    args.update(late)
    return args


def decoded_result(call: Hostcall, name: str, raw: bytes, varying: Varying) -> Any:
    """One result of a hostcall as the mock shows it."""
    out = next(one for one in HOSTCALLS[call.name].outputs if one.name == name)
    if out.kind in ("u32", "u64"):
        number = int.from_bytes(raw, "little")
        return out.enum(number) if out.enum is not None else varying.number(number)
    if out.kind == "pairs":
        return varying.pairs(decode_pairs(raw)) if raw else []
    path = call.args.get("path")
    value = varying.property(path, raw) if path is not None else varying.header(_key(call.args), raw)
    return to_text(value) if out.text else value


def wasi_arguments(name: str, words: Sequence[int]) -> Arguments:
    """A WASI call's plain numbers."""
    spec = WASI.get(name)
    return shown_arguments(Arguments(zip((key for key, _ in spec.params), words) if spec is not None else ()))


def status_of(call: Hostcall, number: int | None) -> Any:
    """What a hostcall answered."""
    enum = Errno if isinstance(call, WasiCall) else Status
    spec = HOSTCALLS.get(call.name)
    plain = spec is not None and spec.returns != "status" and not isinstance(call, WasiCall)
    known = {int(member) for member in enum}
    return enum(number) if number in known and not plain else number


def _shown(source: Input, raw: bytes, args: Arguments, varying: Varying) -> Any:
    if source.kind == "path":
        return [to_text(part) for part in split_path(raw)]
    if source.kind == "pairs":
        return varying.pairs(decode_pairs(raw))
    value = varying.header(_key(args), raw)
    return to_text(value) if source.kind == "text" else value


def _key(args: Arguments) -> bytes:
    """The header that a call is about."""
    key = args.get("key")
    return to_bytes(key).lower() if isinstance(key, (str, bytes)) else b""


def _word(value: int, source: Input) -> Any:
    bits = 64 if source.wasm == ("i64",) else 32
    if source.signed:
        half = 1 << (bits - 1)
        value = (value + half) % (1 << bits) - half
    else:
        value %= 1 << bits
    if source.enum is not None and value in {int(member) for member in source.enum}:
        return source.enum(value)
    return value
