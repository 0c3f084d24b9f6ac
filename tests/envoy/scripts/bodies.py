"""Bodies: every buffer operation in every phase; every way to hold and release one; limits; trailers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from .build import FULL, GET, PARTS, POST, Case, case, chunked, request, script
from .phases import PHASES, in_phase

AREA = "http bodies"
LIMIT = {"listener_extra": {"per_connection_buffer_limit_bytes": 1000}}
FREE = "rqh rem 0 content-length"


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _buffers()
    yield from _writes()
    yield from _verdicts()
    yield from _trailers()
    yield from _limits()


def _buffers() -> Iterator[Case]:
    for phase in PHASES:
        operations = []
        for kind in range(10):
            operations += [f"bstat {kind}", f"bget {kind} 0 9", f"bget {kind} 2 1", f"bget {kind} 99 1"]
            operations += [f"bset {kind} 0 0 P", f"bset {kind} 99 0 A", f"bset {kind} 1 1 M", f"bget {kind} 0 99"]
        yield in_phase(f"bu-{phase}", AREA, f"buffers in {phase}", phase, *operations, after="rsh rem 2 content-length")


def _writes() -> Iterator[Case]:
    arguments = ("0 0 XY", "0 2 XY", "0 5 XY", "0 99 XY", "0 2 ''", "0 99 ''", "5 0 XY", "5 5 XY", "4 1 XY", "1 0 XY",
                 "2 99 XY", "99 0 ''", "0 0 ''", "5 0 ''", "0xffffffff 0 XY", "0 0xffffffff XY", "1 0xffffffff XY",
                 "0xffffffff 0xffffffff XY")  # fmt: skip
    for index, argument in enumerate(arguments):
        for tag, event, kind, hold in (
            ("rqb", "rqb#1", 0, ""), ("rqbk", "rqb$", 0, "rqb! ret 1"), ("rsb", "rsb#1", 1, ""),
            ("rsbk", "rsb$", 1, "rsb! ret 1"),
        ):  # fmt: skip
            free = f"{FREE}\nrsh rem 2 content-length"
            lines = script(event, f"bset {kind} {argument}", f"bstat {kind}", f"bget {kind} 0 99")
            wire = request("POST", "/chunked?n=1&sz=5", body="hello")
            yield case(f"bw-{tag}-{index}", AREA, f"bset {kind} {argument} in {event}", free, hold, lines, wire=wire)


def _verdicts() -> Iterator[Case]:
    wire, parts = PARTS
    slow = request("GET", "/chunked?n=3&sz=4&d=0.05")
    for one, two, last in product(range(4), repeat=3):
        rets = f"rqb#1 ret {one}\nrqb#2 ret {two}\nrqb#3 ret {last}\nrqb#4 ret {last and 1}"
        see = "rqb bget 0 0 99\nrsh pairs 2"
        yield case(f"bv-q-{one}{two}{last}", AREA, f"request body returns {one} {two} {last}", rets, see,
                   wire=wire.replace("/fixed", "/echo"), parts=parts)  # fmt: skip
        yield case(f"bv-s-{one}{two}{last}", AREA, f"response body returns {one} {two} {last}",
                   rets.replace("rqb", "rsb"), "rsb bget 1 0 99", wire=slow)  # fmt: skip
    for head, one, two, last in product((0, 1, 2, 4), (0, 1, 2, 3), (0, 1), (0, 1)):
        for stop in (False, True) if head == 1 else (False,):
            rets = f"rqh ret {head}\nrqb#1 ret {one}\nrqb#2 ret {two}\nrqb$ ret {last}"
            tick = "rqh tick 420\ntick effctx 2\ntick cont 0\ntick tick 0"
            tag = f"{head}{'s' if stop else ''}-{one}{two}{last}"
            options: dict[str, Any] = {"allow_on_headers_stop_iteration": True} if stop else {}
            yield case(f"bh-q-{tag}", AREA, f"request headers {head}, body {one} {two} {last}, then resumed", rets, tick,
                       "rqb bget 0 0 99\nrqb get 0 :path\nrqb rep 0 x-b 1", wire=wire.replace("/fixed", "/echo"),
                       parts=parts, **options)  # fmt: skip
            yield case(f"bh-s-{tag}", AREA, f"response headers {head}, body {one} {two} {last}, then resumed",
                       rets.replace("rq", "rs"), tick.replace("rqh tick 420", "rsh tick 250").replace("cont 0", "cont 1"),
                       "rsb bget 1 0 99\nrsb get 2 :status\nrsb rep 2 x-b 1", wire=slow, **options)  # fmt: skip
    for event, direction, hold in (("rqb", 0, "rqb ret {}"), ("rsb", 1, "rsb ret {}")):
        for ret in (1, 2, 3):
            for resumes in (1, 2):
                ticks = f"rqh tick 180\ntick effctx 2\ntick cont {direction}\ntick#{resumes} tick 0"
                yield case(f"bt-{event}-{ret}-{resumes}", AREA, f"{event} always {ret}, resumed {resumes} times",
                           hold.format(ret), ticks, f"{event} bget {direction} 0 99",
                           wire=wire.replace("/fixed", "/chunked?n=3&sz=4&d=0.1"), parts=parts)  # fmt: skip


def _trailers() -> Iterator[Case]:
    for body, trailers in product((0, 1, 2, 3), (0, 1, 2)):
        for side, event, t in (("q", "rqb", "rqt"), ("s", "rsb", "rst")):
            kind = 0 if side == "q" else 1
            for resume in (False, True):
                lines = [f"{event} ret {body}", f"{t} ret {trailers}", f"{t} bget {kind} 0 99", f"{t} bset {kind} 0 0 P",
                         f"{t} bget {kind} 0 99", f"{t} add {2 * kind + 1} x-add 1"]  # fmt: skip
                if resume:
                    lines.append(f"rqh tick 200\ntick effctx 2\ntick cont {kind}\ntick tick 0\ntick bstat {kind}")
                tag = f"{side}-{body}{trailers}{'r' if resume else ''}"
                yield case(f"bx-{tag}", AREA, f"body {body}, trailers {trailers}{', resumed' if resume else ''}", *lines,
                           wire=FULL)  # fmt: skip
    for event, m, wire in (("rqb$", 1, chunked("/echo", "abc")), ("rsb$", 3, request("GET", "/chunked?n=2"))):
        for ret in (0, 1, 2, 3):
            lines = [script(event, f"add {m} x-t 1", f"pairs {m}", f"size {m}", f"ret {ret}")]
            lines.append(f"rqh tick 200\ntick effctx 2\ntick cont {m // 2}\ntick tick 0")
            yield case(f"by-{m}-{ret}", AREA, f"trailers {m} added, body callback returns {ret}", *lines, wire=wire)


def _limits() -> Iterator[Case]:
    def body(*sizes: int) -> tuple[str, tuple[str, ...]]:
        head = request("POST", "/echo", f"content-length: {sum(sizes)}")
        return head, tuple(chr(97 + i) * size for i, size in enumerate(sizes))

    for sizes in ((600, 600), (400, 400, 400), (1000, 1), (999, 1, 1), (500, 500), (1200,), (300, 300, 300)):
        wire, parts = body(*sizes)
        tag = "-".join(map(str, sizes))
        for ret in (1, 2):
            yield case(f"bl-q{ret}-{tag}", AREA, f"request body of {sizes}, held by {ret} up to the end",
                       f"rqb! ret {ret}\nrqb$ ret 0\nrsh pairs 2\nlog prop response.code_details\nlog prop response.flags",
                       wire=wire, parts=parts, envoy=LIMIT)  # fmt: skip
        yield case(f"bl-h-{tag}", AREA, f"request body of {sizes}, headers held",
                   "rqh ret 1\nrqh tick 450\ntick effctx 2\ntick cont 0\ntick tick 0\nlog prop response.code_details",
                   wire=wire, parts=parts, envoy=LIMIT)  # fmt: skip
        yield case(f"bl-w-{tag}", AREA, f"request body of {sizes}, grown by the filter",
                   "rqb! ret 1\nrqh rem 0 content-length\nrqb#1 bsetbig 0 99999 0 700\nlog prop response.code_details",
                   wire=wire, parts=parts, envoy=LIMIT)  # fmt: skip
    for n, sz in ((2, 600), (3, 400), (2, 500), (1, 1200), (3, 300), (4, 250), (2, 501)):
        wire = request("GET", f"/chunked?n={n}&sz={sz}&d=0.05")
        for ret in (1, 2):
            yield case(f"bl-s{ret}-{n}-{sz}", AREA, f"response body of {n} times {sz}, held by {ret} up to the end",
                       f"rsb! ret {ret}\nrsb$ ret 0\nlog prop response.code_details\nlog prop response.flags", wire=wire,
                       envoy=LIMIT)  # fmt: skip
            yield case(f"bl-sh{ret}-{n}-{sz}", AREA, f"the same with headers held, {ret}",
                       f"rsh ret 1\nrsb! ret {ret}\nrsb$ ret 0\nlog prop response.code_details\nlog pairs 2", wire=wire,
                       envoy=LIMIT, allow_on_headers_stop_iteration=True)  # fmt: skip
        yield case(f"bl-sa-{n}-{sz}", AREA, "the same with everything held",
                   "rsh ret 1\nrsh tick 350\ntick effctx 2\ntick cont 1\ntick tick 0\nlog prop response.code_details",
                   wire=wire, envoy=LIMIT)  # fmt: skip
    for wire in (GET, POST):
        yield case(f"bl-grow-{len(wire)}", AREA, "a body made bigger than the limit at its end",
                   "rqh rem 0 content-length\nrsh rem 2 content-length\nrqb$ bsetbig 0 99999 0 1500\n"
                   "rsb$ bsetbig 1 99999 0 1500\nlog prop response.code_details", wire=wire, envoy=LIMIT)  # fmt: skip
