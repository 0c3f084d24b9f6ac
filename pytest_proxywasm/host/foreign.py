"""Envoy's foreign functions, by name: what ``proxy_call_foreign_function`` can call besides what a test registers.

Knows contexts; knows no streams. Argument layouts are those of Envoy's ``source/extensions/common/wasm/ext``, behaviour
is what Envoy 1.40 was seen to do. Each function answers a status, or the bytes of its result.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..abi.enums import Status
from ..errors import AbiError
from . import protobuf
from .filter_state import BYTES, PROTOBUF, Declared, set_object

if TYPE_CHECKING:
    from .cel import Expressions
    from .context import Context

MAX_UNCOMPRESSED = 64 << 20
"""Bytes that this host uncompresses at most; Envoy has no limit of its own."""

Function = Callable[["Context", bytes], "bytes | Status"]


def compress(context: Context, data: bytes) -> bytes | Status:
    """zlib. The bytes are valid everywhere, but not always the ones Envoy's zlib would give."""
    return zlib.compress(data)


def uncompress(context: Context, data: bytes) -> bytes | Status:
    """zlib; what follows the compressed data is ignored, bad or cut data is a SERIALIZATION_FAILURE."""
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, MAX_UNCOMPRESSED)
        if stream.unconsumed_tail and stream.decompress(stream.unconsumed_tail, 1):
            raise AbiError(
                f"the guest uncompresses {len(data)} bytes to more than {MAX_UNCOMPRESSED >> 20} MiB with the foreign "
                "function uncompress, which has no limit: Envoy would look for so much memory in the process and in "
                "the guest.\nCheck the data before, or uncompress it in the guest piece by piece."
            )
    except zlib.error as error:
        return context.because(Status.SERIALIZATION_FAILURE, f"the data is no zlib stream: {error}")
    if not stream.eof:
        return context.because(Status.SERIALIZATION_FAILURE, "the zlib stream is cut off")
    return out


_DECLARE: protobuf.Fields = {
    1: protobuf.TEXT,
    2: protobuf.NUMBER,
    3: protobuf.NUMBER,
    4: protobuf.DATA,
    5: protobuf.NUMBER,
}


def declare_property(context: Context, arguments: bytes) -> bytes | Status:
    """Declare a property: DeclarePropertyArguments(name, readonly, type, schema, span).

    BAD_ARGUMENT for a name declared before. Declarations of a stream context go nowhere: properties are looked up among
    those of the root context.
    """
    try:
        given = protobuf.read(arguments, _DECLARE)
    except ValueError:
        return context.because(Status.BAD_ARGUMENT, "the arguments are no protobuf message of the kind it takes")
    current = context.vm.current or context
    name, kind = given.get(1, b""), given.get(3, BYTES)
    if name in current.declared:
        shown = name.decode("utf-8", "replace")
        return context.because(Status.BAD_ARGUMENT, f"the property {shown!r} is declared already")
    current.declare(
        name,
        Declared(readonly=bool(given.get(2)), kind=kind if kind <= PROTOBUF else BYTES, schema=given.get(4, b"")),
    )
    return Status.OK


def set_envoy_filter_state(context: Context, arguments: bytes) -> bytes | Status:
    """Set one of Envoy's own objects: SetEnvoyFilterStateArguments(path, value, span)."""
    try:
        given = protobuf.read(arguments, {1: protobuf.TEXT, 2: protobuf.TEXT, 3: protobuf.NUMBER})
    except ValueError:
        return context.because(Status.BAD_ARGUMENT, "the arguments are no protobuf message of the kind it takes")
    return set_object(context, given.get(1, b""), given.get(2, b""))


def clear_route_cache(context: Context, arguments: bytes) -> bytes | Status:
    """Have the route selected again. That happens at the router anyway, and nothing shows before it (Envoy 1.40)."""
    return Status.OK


def verify_signature(context: Context, arguments: bytes) -> bytes | Status:
    """VerifySignatureArguments(hash_function, public_key, signature, text, public_key_pem) to VerifySignatureResult."""
    wanted: protobuf.Fields = {1: protobuf.TEXT, 2: protobuf.DATA, 3: protobuf.DATA, 4: protobuf.DATA, 5: protobuf.TEXT}
    try:
        given = protobuf.read(arguments, wanted)
    except ValueError:
        return context.because(Status.BAD_ARGUMENT, "the arguments are no protobuf message of the kind it takes")
    der, pem = given.get(2, b""), given.get(5, b"")
    if bool(der) == bool(pem):
        return context.because(Status.BAD_ARGUMENT, "give the key either as DER or as PEM, not both and not neither")
    from .signatures import verify

    error = verify(given.get(1, b"").decode(), der, pem, given.get(3, b""), given.get(4, b""))
    return protobuf.flag(1, not error) + protobuf.text(2, error)


def sign(context: Context, arguments: bytes) -> bytes | Status:
    """SignArguments(hash_function, private_key, text, private_key_pem) to SignResult."""
    wanted: protobuf.Fields = {1: protobuf.TEXT, 2: protobuf.DATA, 3: protobuf.DATA, 4: protobuf.TEXT}
    try:
        given = protobuf.read(arguments, wanted)
    except ValueError:
        return context.because(Status.BAD_ARGUMENT, "the arguments are no protobuf message of the kind it takes")
    der, pem = given.get(2, b""), given.get(4, b"")
    if bool(der) == bool(pem):
        return context.because(Status.BAD_ARGUMENT, "give the key either as DER or as PEM, not both and not neither")
    from .signatures import sign as make

    signature, error = make(given.get(1, b"").decode(), der, pem, given.get(3, b""))
    result = protobuf.flag(1, not error)
    return result + (protobuf.field(2, signature) if signature else b"") + protobuf.text(3, error)


def _expressions(context: Context) -> Expressions:
    from .cel import Expressions

    root = (context.vm.current or context).root
    if root.expressions is None:
        root.expressions = Expressions()
    return root.expressions


def _token(arguments: bytes) -> int | None:
    return struct.unpack("<I", arguments)[0] if len(arguments) == 4 else None


def expr_create(context: Context, arguments: bytes) -> bytes | Status:
    """Compile a CEL expression; its token as u32, or BAD_ARGUMENT."""
    token = _expressions(context).create(arguments)
    if token is None:
        return context.because(Status.BAD_ARGUMENT, "the expression does not compile")
    return struct.pack("<I", token)


def expr_evaluate(context: Context, arguments: bytes) -> bytes | Status:
    """Evaluate an expression over the attributes of the running callback's context; the value encoded as a property's.

    NOT_FOUND for an unknown token, INTERNAL_FAILURE when it fails, SERIALIZATION_FAILURE for what has no encoding.
    """
    token = _token(arguments)
    if token is None:
        return context.because(Status.BAD_ARGUMENT, "the argument is no token: 4 bytes, as expr_create gave it")
    return _expressions(context).evaluate(context.vm.current or context, token)


def expr_delete(context: Context, arguments: bytes) -> bytes | Status:
    """Forget an expression; OK also for an unknown token."""
    token = _token(arguments)
    if token is None:
        return context.because(Status.BAD_ARGUMENT, "the argument is no token: 4 bytes, as expr_create gave it")
    _expressions(context).delete(token)
    return Status.OK


FOREIGN_FUNCTIONS: dict[bytes, Function] = {
    b"clear_route_cache": clear_route_cache,
    b"compress": compress,
    b"declare_property": declare_property,
    b"expr_create": expr_create,
    b"expr_delete": expr_delete,
    b"expr_evaluate": expr_evaluate,
    b"set_envoy_filter_state": set_envoy_filter_state,
    b"sign": sign,
    b"uncompress": uncompress,
    b"verify_signature": verify_signature,
}
"""Everything this Envoy registers. Other names are NOT_FOUND, ``set_upstream_override_host`` among them."""
