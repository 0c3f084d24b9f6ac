"""Cases of hostcalls that end or resume a stream, two of them in one callback, and of a foreign function's memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from .build import POST, Case, case

AREA = "together"
HELD = "rqh http aux 1000 '' :method GET :path /aux :authority a\nrqh ret 1\nhttp effctx 2"
CLOSE, CONTINUE, REPLY, OTHER = "close 0", "cont 0", "local 403 why body -1", "local 404 other else -1"


def cases() -> Iterator[Case]:
    """All cases of this module."""
    pairs = {
        "close-cont": (CLOSE, CONTINUE),
        "cont-close": (CONTINUE, CLOSE),
        "local-cont": (REPLY, CONTINUE),
        "cont-local": (CONTINUE, REPLY),
        "close-close": (CLOSE, "close 1"),
        "local-local": (REPLY, OTHER),
        "local-close": (REPLY, CLOSE),
    }
    for name, (first, second) in pairs.items():
        title = f"{first}, then {second}, in a callout's answer"
        yield case(f"tg-{name}", AREA, title, HELD, f"http {first}", f"http {second}", wire=POST)
    yield case("tg-rqh", AREA, "close, then continue", f"rqh {CLOSE}", f"rqh {CONTINUE}", "rqh ret 1", wire=POST)
    yield case("tg-rqb", AREA, "continue without a pause, at the body's end", f"rqb$ {CONTINUE}", wire=POST)
    yield case("tg-ctx", AREA, "a reply in context_create", f"ctx#1 {REPLY}", wire=POST)
    tick = ("rqh tick 30", "rqh ret 1", "tick tick 0", "tick effctx 2", f"tick {REPLY}", f"tick {CONTINUE}")
    yield case("tg-tick", AREA, "a reply, then continue, in a tick", *tick, wire=POST)

    for name, operation in {
        "compress": "foreign compress hello",
        "unwanted": "foreign0 compress hello",
        "uncompress": f"foreign uncompress {_quoted(zlib.compress(b'hello'))}",
        "empty": f"foreign uncompress {_quoted(zlib.compress(b''))}",
        "expr": "foreign expr_create request.path",
    }.items():
        title = f"{operation.split()[1]}, and the allocator gives nothing"
        yield case(f"tg-none-{name}", AREA, title, "rqh allocfail 1", f"rqh {operation}")


def _quoted(data: bytes) -> str:
    return "".join(f"%{byte:02x}" for byte in data)
