"""Local responses, continuing and closing, in every phase; those that end Envoy each on its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .build import FULL, GET, GRPC, HEAD, PARTS, POST, Case, case, chunked, request, script
from .phases import PHASES, in_phase

AREA = "local response"
STEER = "http callouts and continue"
SEE = "rsh pairs 2\nrsb bget 1 0 99\nlog prop response.code_details\nlog prop response.code\nlog prop response.flags"
STREAM_PHASES = ("ctx", "rqh", "rqb", "rqb$", "rqt", "rsh", "rsb", "rsb$", "rst")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _replies()
    yield from _odd_replies()
    yield from _steering()
    yield from _calls()


def _replies() -> Iterator[Case]:
    for phase in PHASES:
        for tag, operation in (("b", "local 403 why body -1 x-a 1"), ("e", "local 403 why '' -1")):
            yield in_phase(f"lr-{phase}-{tag}", AREA, f"{operation} in {phase}", phase, operation, after=SEE)
        if phase in STREAM_PHASES and phase != "ctx":
            for ret in (1, 2, 3):
                yield in_phase(f"lr-{phase}-r{ret}", AREA, f"reply in {phase}, returns {ret}", phase,
                               "local 403 why body -1", f"ret {ret}", after=SEE)  # fmt: skip
    for phase, wire in (("rqb", POST), ("rqb$", POST), ("rsb", GET), ("rsb$", GET), ("rqh", HEAD), ("rsh", HEAD),
                        ("rqh", POST), ("rsh", GET), ("rqh", PARTS[0]), ("rqb#2", PARTS[0]), ("rsh", PARTS[0]),
                        ("rsb#2", request("GET", "/chunked?n=3&sz=4&d=0.05")), ("rqh", GRPC), ("rsh", GRPC),
                        ("rqb", GRPC), ("rsb", GRPC)):  # fmt: skip
        parts = PARTS[1] if wire == PARTS[0] else ()
        for tag, operation in (("b", "local 403 why body 5 x-a 1"), ("e", "local 500 '' '' -1")):
            kind = {POST: "post", GET: "get", HEAD: "head", GRPC: "grpc", PARTS[0]: "parts"}.get(wire, "slow")
            yield case(f"lw-{phase}-{kind}-{tag}", AREA, f"{operation} in {phase} of {kind}", script(phase, operation), SEE,
                       wire=wire, parts=parts)  # fmt: skip
        held = "rqb! ret 1" if phase.startswith("rq") else "rsb! ret 1"
        if phase in ("rqb$", "rsb$"):
            yield case(f"lw-{phase}-held", AREA, f"reply in {phase}, body held",
                       held, script(phase, "local 403 why body -1"), SEE, wire=wire)  # fmt: skip
            yield case(f"lw-{phase}-heldall", AREA, f"reply in {phase}, headers and body held",
                       f"{held}\n{held[:2]}h ret 1", script(phase, "local 403 why body -1"), SEE, wire=wire,
                       allow_on_headers_stop_iteration=True)  # fmt: skip


def _odd_replies() -> Iterator[Case]:
    for tag, operation in (
        ("details", "local 200 a%20b%09c%0ad%c3%a9 b -1"), ("nodetails", "local 200 '' b -1"),
        ("upper", "local 200 d b -1 X-Upper V x-upper w"), ("cookie", "local 200 d b -1 set-cookie a=1 set-cookie b=2"),
        ("type", "local 200 d b -1 content-type text/html"), ("typeempty", "local 200 d '' -1 content-type text/html"),
        ("len", "local 200 d b -1 content-length 99"), ("lenempty", "local 200 d '' -1 content-length 99"),
        ("te", "local 200 d b -1 transfer-encoding chunked"), ("conn", "local 200 d b -1 connection close"),
        ("status", "local 200 d b -1 :status 418"), ("path", "local 200 d b -1 :path /x"),
        ("host", "local 200 d b -1 host h"), ("date", "local 200 d b -1 date x server y"),
        ("bad", "local 200 d b -1 x%20y v"), ("crlf", "local 200 d b -1 x a%0d%0ay:%20z"), ("empty", "local 200 d b -1 '' v"),
        ("inline", "local 200 d b -1 via 1 via 2 x 1 x 2"), ("upgrade", "local 200 d b -1 upgrade h2c keep-alive 5"),
        ("xus", "local 200 d b -1 x-envoy-upstream-service-time 9"), ("redirect", "local 302 d '' -1 location /x"),
        ("grpc0", "local 200 d b 0"), ("grpc16", "local 200 d b 16"), ("grpc17", "local 200 d b 17"),
        ("neg", "local 0xffffffff d b -1"), ("70000", "local 70000 d b -1"),
    ):  # fmt: skip
        yield case(f"lo-{tag}", AREA, operation, script("rqh", operation), SEE)
    for tag, operation in (
        ("ok", "local 200 d b 0"), ("msg", "local 200 d caf%c3%a9%25%0a~ 3"), ("none", "local 401 d b -1"),
        ("big", "local 401 d b 17"), ("hdr", "local 200 d b 3 grpc-status 9 grpc-message own"), ("nobody", "local 429 d '' -1"),
        ("type", "local 200 d b 3 content-type text/html"), ("404", "local 404 d b -1"), ("302", "local 302 d b -1"),
        ("400", "local 400 d b -1"), ("500", "local 500 d b -1"), ("504", "local 504 d b -1"), ("418", "local 418 d b -1"),
    ):  # fmt: skip
        yield case(f"lg-{tag}", AREA, f"gRPC: {operation}", script("rqh", operation), SEE, wire=GRPC)
    for kind in ("application/grpc+proto", "application/grpc-web", "application/grpc;x=1", "application/GRPC", "grpc"):
        wire = request("POST", "/fixed", f"content-type: {kind}", body="hello")
        tag = kind.replace("application/", "").replace(";", "")
        yield case(f"lg-ct-{tag}", AREA, f"reply to {kind}", "rqh local 403 d b 5", SEE, wire=wire)
    for tag, lines in (
        ("rsh-twice", "rsh#1 local 500 a one -1\nrsh#1 local 501 b two -1"),
        ("rqh-then-rsh", "rqh local 403 a one -1\nrsh local 404 b two -1"),
        ("rqh-then-rsb", "rqh local 403 a one -1\nrsb local 404 b two -1"),
        ("rqh-edit", "rqh local 403 a one -1\nrsh rep 2 x-e 1\nrsh rep 2 :status 499\nrsb bset 1 0 9 edited"),
        ("rqh-grow", "rqh local 403 a one -1\nrsh rem 2 content-length\nrsb bset 1 0 9 longer"),
        ("rqh-hold", "rqh local 403 a one -1\nrsh ret 1\nrqh tick 150\ntick effctx 2\ntick cont 1\ntick tick 0"),
        ("rqh-holdbody", "rqh local 403 a one -1\nrsb ret 1\nrqh tick 150\ntick effctx 2\ntick cont 1\ntick tick 0"),
        ("rqh-trail", "rqh local 403 a one -1\nrsb add 3 x-t 1"),
        ("rqh-props", "rqh local 403 a one -1\nrsh prop response.code\nrsh prop response.code_details\nrsb prop request.path"),
        ("rqh-log", "rqh local 403 a one -1\nlog pairs 0\nlog pairs 2\nlog pairs 3\nlog bget 1 0 9"),
        ("rqh-maps", "rqh local 403 a one -1\nrqh rep 0 :path /other\nrqh pairs 0\nrsh pairs 0\nrsb pairs 2"),
        ("rsh-maps", "rsh local 403 a one -1\nrsh pairs 2\nrsh rep 2 x 1\nlog pairs 2"),
        ("close-local", "rqh close 0\nrqh local 403 a one -1"), ("local-close", "rqh local 403 a one -1\nrqh close 0"),
        ("local-trap", "rqh local 403 a one -1\nrqh trap"), ("local-cont", "rqh local 403 a one -1\nrqh cont 0\nrqh ret 1"),
        ("rsh-local-cont", "rsh local 403 a one -1\nrsh cont 1"), ("rsh-local-close", "rsh local 403 a one -1\nrsh close 1"),
        ("rsh-204", "rsh local 204 a one -1"), ("rsh-304", "rsh local 304 a '' -1"), ("rsh-100", "rsh local 100 a b -1"),
    ):  # fmt: skip
        yield case(f"lo-{tag}", AREA, tag, lines, SEE)


def _steering() -> Iterator[Case]:
    for phase in PHASES:
        for operation in ("cont 0", "cont 1", "close 0", "close 1"):
            tag = operation.replace(" ", "")
            yield in_phase(f"st-{phase}-{tag}", STEER, f"{operation} in {phase}", phase, operation, after=SEE)
            if phase in STREAM_PHASES and phase != "ctx":
                yield in_phase(f"st-{phase}-{tag}-p", STEER, f"{operation} in {phase}, which pauses", phase,
                               operation, "ret 1", after=SEE)  # fmt: skip
        yield in_phase(f"st-{phase}-others", STEER, f"other streams in {phase}", phase, "cont 2", "cont 3", "close 2",
                       "close 3", "cont 4", "close 4", "cont 0xffffffff", "close 0xffffffff", after=SEE)  # fmt: skip
    for phase in ("rqh", "rsh", "rqb", "rsb"):
        for operation in ("cont 0", "cont 1", "close 0", "close 1"):
            tag = operation.replace(" ", "")
            yield case(f"sp-{phase}-{tag}", STEER, f"{operation} in {phase} of a plain POST, held",
                       script(phase + "#1", operation, "ret 1"), SEE, wire=POST)  # fmt: skip
    for hold, direction in (("rqh ret 1", 0), ("rqb ret 1", 0), ("rqt ret 1", 0), ("rsh ret 1", 1), ("rsb ret 1", 1),
                            ("rst ret 1", 1)):  # fmt: skip
        for operation in (f"cont {1 - direction}", f"close {direction}", f"close {1 - direction}", "local 403 d b -1",
                          f"cont {direction}", f"cont {direction}\ntick#1 cont {direction}",
                          f"cont {direction}\ntick#1 local 403 d b -1", f"local 403 d b -1\ntick#1 cont {direction}",
                          f"close {direction}\ntick#1 cont {direction}"):  # fmt: skip
            parts = operation.split("\n")
            name = "-".join(part.replace("tick#1 ", "").split(" -1")[0].replace(" ", "") for part in parts)
            lines = f"{hold}\nrqh tick 150\ntick tick 0\ntick#1 effctx 2\ntick#1 {operation}"
            yield case(f"sh-{hold[:3]}-{name}", STEER, f"{hold}, then {name} from a tick", lines, SEE, wire=FULL)
    for allow in (False, True):
        for ret in (1, 3, 4):
            for side, direction in (("rqh", 0), ("rsh", 1)):
                lines = f"{side} ret {ret}\nrqh tick 200\ntick#1 effctx 2\ntick#1 cont {direction}\ntick tick 0"
                maps = f"{side[:2]}b get {2 * direction} x-up\n{side[:2]}b add {2 * direction} x-n 1\n{side[:2]}t get {2 * direction} :path"
                options: dict[str, Any] = {"allow_on_headers_stop_iteration": True} if allow else {}
                yield case(f"sa-{side}-{ret}-{int(allow)}", STEER, f"{side} returns {ret}, allow={allow}, FULL", lines, maps,
                           SEE, wire=FULL, **options)  # fmt: skip


def _calls() -> Iterator[Case]:
    head = ":method GET :path /aux :authority a"
    for phase in PHASES:
        if not phase.startswith("http"):
            yield in_phase(f"ca-{phase}", STEER, f"calls in {phase}", phase, f"http aux 1000 '' {head}",
                           f"http dead 1000 '' {head}", f"http nope 1000 '' {head}", after="http pairs 6\nhttp bget 4 0 9")  # fmt: skip
    for tag, operation in (
        ("post", "http aux 1000 body :method POST :path /aux :authority a content-length 99"),
        ("getbody", f"http aux 1000 body {head}"), ("trailers", f"http aux 1000 body {head} | x-t 1 x-t2 2"),
        ("trailonly", f"http aux 1000 '' {head} | x-t 1"), ("scheme", f"http aux 1000 '' {head} :scheme https"),
        ("upper", f"http aux 1000 '' {head} X-A 1 x-a 2"), ("host", "http aux 1000 '' :method GET :path /aux host h"),
        ("order", "http aux 1000 '' x-first 1 :authority a :path /aux :method GET"),
        ("head", "http aux 1000 '' :method HEAD :path /fixed :authority a"), ("204", "http aux 1000 '' :method GET :path /status?c=204 :authority a"),
        ("304", "http aux 1000 '' :method GET :path /status?c=304 :authority a"), ("500", "http aux 1000 '' :method GET :path /status?c=500 :authority a"),
        ("dup", "http aux 1000 '' :method GET :path /dup :authority a"), ("chunked", "http aux 1000 '' :method GET :path /chunked?n=3 :authority a"),
        ("tr", "http aux 1000 '' :method GET :path /chunked?n=2&tr=1 :authority a"), ("cut", "http aux 1000 '' :method GET :path /cut :authority a"),
        ("slow", "http aux 100 '' :method GET :path /slow?d=0.4 :authority a"), ("big", "http aux 1000 '' :method GET :path /big?n=5000 :authority a"),
        ("te", f"http aux 1000 '' {head} transfer-encoding chunked"), ("bad", f"http aux 1000 '' {head} x%20y v"),
        ("crlf", f"http aux 1000 '' {head} x a%0d%0ab"), ("emptypath", "http aux 1000 '' :method GET :path '' :authority a"),
        ("emptyhost", "http aux 1000 '' :method GET :path /aux :authority ''"), ("emptymethod", "http aux 1000 '' :method '' :path /aux :authority a"),
        ("maxtime", f"http aux 0x7fffffff '' {head}"), ("overtime", f"http aux 0x80000000 '' {head}"),
        ("internal", f"http aux 1000 '' {head} x-envoy-internal false x-envoy-upstream-rq-timeout-ms 5"),
        ("xff", f"http aux 1000 '' {head} x-forwarded-for 1.2.3.4"), ("retry", f"http aux 1000 '' {head} x-envoy-retry-on 5xx"),
    ):  # fmt: skip
        see = (
            "http pairs 6\nhttp pairs 7\nhttp bget 4 0 300\nhttp bstat 4\nhttp size 6\nhttp status\nhttp get 6 :status"
        )
        lines = script("rqh", operation, "ret 1")
        yield case(
            f"cx-{tag}", STEER, operation, lines, see, "http effctx 2\nhttp cont 0\nhttp get 6 :status\nhttp pairs 7"
        )
    for tag, lines, wire in (
        ("nested", f"rqh http aux 1000 '' {head}\nrqh ret 1\nhttp#1 http aux 1000 '' {head}\nhttp#2 effctx 2\nhttp#2 cont 0", GET),
        ("two", f"rqh http aux 1000 '' :method GET :path /slow?d=0.2 :authority a\nrqh http aux 1000 '' {head}\nrqh ret 1\nhttp#2 effctx 2\nhttp#2 cont 0", GET),
        ("gone", "rqh http aux 1000 '' :method GET :path /slow?d=0.2 :authority a\nhttp effctx 2\nhttp pairs 6\nhttp cont 0\nhttp local 403 d b -1", GET),
        ("replyafter", f"rqh http aux 1000 '' {head}\nrqh ret 1\nhttp effctx 2\nhttp get 0 :path\nhttp rep 0 x-a 1\nhttp cont 0\nhttp get 0 :path", POST),
        ("inbody", f"rqb$ http aux 1000 '' {head}\nrqb ret 1\nhttp effctx 2\nhttp bget 0 0 99\nhttp bset 0 0 99 changed\nhttp cont 0", chunked("/echo", "hello")),
        ("inrsb", f"rsb$ http aux 1000 '' {head}\nrsb ret 1\nhttp effctx 2\nhttp bget 1 0 99\nhttp bset 1 0 99 changed\nhttp cont 1", request("GET", "/chunked?n=2")),
        ("tick", f"rqh tick 100\nrqh ret 1\ntick#1 http aux 1000 '' {head}\ntick tick 0\nhttp effctx 2\nhttp cont 0", GET),
        ("eff", f"rqh tick 100\nrqh ret 1\ntick#1 effctx 2\ntick#1 http aux 1000 '' {head}\ntick tick 0\nhttp effctx 2\nhttp cont 0", GET),
        ("local", f"rqh http aux 1000 '' {head}\nrqh ret 1\nhttp effctx 2\nhttp local 401 d denied -1 x-a 1", FULL),
        ("localnoeff", f"rqh http aux 1000 '' {head}\nrqh ret 1\nhttp local 401 d denied -1 x-a 1\nhttp effctx 2\nhttp cont 0", GET),
        ("trap", f"rqh http aux 1000 '' {head}\nrqh ret 1\nhttp trap", GET),
        ("close", f"rqh http aux 1000 '' {head}\nrqh ret 1\nhttp effctx 2\nhttp close 0", GET),
    ):  # fmt: skip
        yield case(f"cy-{tag}", STEER, f"call: {tag}", lines, SEE, wire=wire)
