"""Traps in every callback under every failure policy, with further requests; refused starts; capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .build import FULL, GET, POST, Case, case, more, request

AREA = "traps and failure policies"
POLICIES: dict[str, dict[str, Any]] = {
    "closed": {},
    "open": {"failure_policy": "FAIL_OPEN"},
    "reload": {"failure_policy": "FAIL_RELOAD"},
    "legacy": {"fail_open": True},
}
EVENTS = ("ctx", "rqh", "rqb", "rqt", "rsh", "rsb", "rst", "log", "done", "del")
CALL = "http aux 1000 '' :method GET :path /aux :authority a"


def cases() -> Iterator[Case]:
    """All of them."""
    for policy, options in POLICIES.items():
        for event in EVENTS:
            for wire, tag in ((FULL, "full"), (GET, "get")):
                if tag == "get" and event in ("rqb", "rqt", "rst"):
                    continue
                yield case(f"tr-{policy}-{event}-{tag}", AREA, f"trap in {event}, {policy}", f"{event} trap", wire=wire,
                           more=(more(GET), more(POST)), **options)  # fmt: skip
        for event in ("rqh", "rsh", "rsb", "log"):
            yield case(f"tr-{policy}-{event}-same", AREA, f"trap in {event}, {policy}, one connection", f"{event} trap",
                       more=(more(GET, same=True), more(GET, same=True)), **options)  # fmt: skip
        yield case(f"tr-{policy}-second", AREA, f"trap in the second request, {policy}", "rqh#1 log 2 x\nrqh get 0 x-trap",
                   more=(more(GET), more(GET)), **options)  # fmt: skip
        yield case(f"tr-{policy}-later", AREA, f"trap, {policy}, then a second later", "rqh trap",
                   more=(more(GET, 0.3), more(GET, 1.2)), **options)  # fmt: skip
        yield case(f"tr-{policy}-tick", AREA, f"trap in a tick, {policy}", "rqh tick 60\ntick trap",
                   more=(more(GET, 0.2), more(GET)), **options)  # fmt: skip
        yield case(f"tr-{policy}-tickheld", AREA, f"trap in a tick while a request is held, {policy}",
                   "rqh ret 1\nrqh tick 60\ntick trap", more=(more(GET, 0.1),), **options)  # fmt: skip
        yield case(f"tr-{policy}-http", AREA, f"trap in an answer, {policy}", f"rqh {CALL}\nrqh ret 1\nhttp trap",
                   more=(more(GET, 0.1),), **options)  # fmt: skip
        yield case(f"tr-{policy}-queue", AREA, f"trap when a queue is ready, {policy}",
                   "rqh qreg q\nrqh qenq 1 x\nqueue trap", more=(more(GET, 0.1),), **options)  # fmt: skip
        for first in ("local 403 d body -1", "close 0", "ret 1", "cont 0", f"{CALL}", "tick 60", "setprop a b"):
            tag = first.split(" ")[0]
            yield case(f"tr-{policy}-after-{tag}", AREA, f"{first}, then a trap, {policy}", f"rqh {first}\nrqh trap",
                       more=(more(GET, 0.1),), **options)  # fmt: skip
        yield case(f"tr-{policy}-rsh-local", AREA, f"reply and trap in rsh, {policy}", "rsh local 403 d body -1\nrsh trap",
                   more=(more(GET),), **options)  # fmt: skip
        yield case(f"tr-{policy}-held", AREA, f"trap with a held body, {policy}", "rqb! ret 1\nrqb$ trap", wire=POST,
                   more=(more(GET),), **options)  # fmt: skip
        yield case(f"tr-{policy}-held-rsb", AREA, f"trap with a held response body, {policy}", "rsb! ret 1\nrsb$ trap",
                   more=(more(GET),), **options)  # fmt: skip
        yield case(f"tr-{policy}-rsh-stop", AREA, f"trap with held response headers, {policy}", "rsh ret 1\nrsb trap",
                   more=(more(GET),), allow_on_headers_stop_iteration=True, **options)  # fmt: skip
        for where in range(3):
            for event in ("rqh", "rqb", "rsh", "rsb", "log"):
                filters = [
                    {"root_id": "ABC"[index], "vm_id": "ABC"[index], **(options if index == where else {}),
                     "configuration": f"{event} trap" if index == where else "rsh pairs 2"}
                    for index in range(3)
                ]  # fmt: skip
                yield case(f"t3-{policy}-{event}-{where}", AREA, f"filter {'ABC'[where]} traps in {event}, {policy}",
                           filters=filters, wire=FULL, more=(more(GET),))  # fmt: skip
        shared = [{"root_id": "A", "configuration": "rqh trap", **options}, {"root_id": "B", **options}]
        yield case(
            f"t2-{policy}", AREA, f"two filters in one VM that fails, {policy}", filters=shared, more=(more(GET),)
        )
        shared = [{"root_id": "A", **options}, {"root_id": "B", "configuration": "rsh trap", **options}]
        yield case(f"t2-{policy}-rsh", AREA, f"two filters in one VM that fails in rsh, {policy}", filters=shared,
                   more=(more(GET),))  # fmt: skip
    for tag, script in (("start", "start ret 0"), ("start-trap", "start trap"), ("ctx", "")):
        yield case(f"tf-{tag}", AREA, f"{script} at the start", "cfg log 2 x", vm_configuration=script)
    for tag, script in (("cfg", "cfg ret 0"), ("cfg-trap", "cfg trap"), ("cfg-local", "cfg local 403 d b -1"),
                        ("cfg-close", "cfg close 0"), ("cfg-ret", "cfg ret 7"), ("cfg-exit", "cfg w_exit 1")):  # fmt: skip
        yield case(f"tf-{tag}", AREA, f"{script} at the start", script)
    yield from _capabilities()


def _capabilities() -> Iterator[Case]:
    everything = [f"proxy_on_{name}" for name in (
        "memory_allocate", "context_create", "vm_start", "configure", "request_headers", "request_body",
        "request_trailers", "response_headers", "response_body", "response_trailers", "log", "done", "delete", "tick",
        "http_call_response")] + ["proxy_log", "proxy_get_buffer_bytes"]  # fmt: skip
    calls = ("get 0 :path", "pairs 0", "size 0", "add 0 a b", "rep 0 a b", "rem 0 a", "setpairs 0 :path /x", "bget 0 0 1",
             "bstat 0", "bset 0 0 0 x", "prop request.path", "setprop a b", "local 403 d b -1", "cont 0", "close 0",
             f"{CALL}", "tick 50", "time", "loglevel", "status", "effctx 2", "pdone", "foreign compress aa", "sdget k",
             "sdset k v 0", "qreg q", "qres '' q", "qdeq 1", "qenq 1 x", "mdef 0 c", "minc 4 1", "mrec 4 1", "mget 4",
             "gcall grpc S M 9 x", "gstream grpc S M", "gsend 6 x 0", "gclose 6", "gcancel 6", "w_clock 0", "w_random 8",
             "w_write 1 x", "w_env", "w_args", "w_yield", "w_poll", "w_exit 0", "w_fdstat 1", "w_prestat 3",
             "rawget 9 0xfffffff0 9", "bset 9 0 0 x")  # fmt: skip
    text = "\n".join(f"rqh {call}" for call in calls)
    yield case("cr-hostcalls", "capabilities", "no hostcall allowed but two", text,
               capability_restriction_config={"allowed_capabilities": {name: {} for name in everything}})  # fmt: skip
    yield case("cr-none", "capabilities", "an empty list allows all", text.replace("rqh close 0\n", ""),
               capability_restriction_config={})  # fmt: skip
    for left_out in everything:
        allowed: dict[str, Any] = {name: {} for name in everything if name != left_out}
        yield case(f"cr-{left_out}", "capabilities", f"{left_out} not allowed", "rqh bget 6 0 9\nrqh get 0 :path", wire=FULL,
                   capability_restriction_config={"allowed_capabilities": allowed})  # fmt: skip
    wasi = [*everything, "fd_write", "clock_time_get", "random_get", "proxy_get_property", "nonsense"]
    yield case("cr-wasi", "capabilities", "some WASI allowed", text, wire=request("GET", "/fixed"),
               capability_restriction_config={"allowed_capabilities": {name: {} for name in wasi}})  # fmt: skip
