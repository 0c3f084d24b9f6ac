"""Metrics, shared data, queues, foreign functions, time, status and wrong arguments, in every phase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .build import FULL, GET, Case, case, script
from .phases import PHASES, in_phase

METRICS = ("mdef 0 c", "mdef 1 g", "mdef 2 h", "mdef 3 x", "minc 4 5", "minc 4 0", "minc 4 -1", "mrec 4 7", "mget 4",
           "minc 5 -3", "mget 5", "mrec 5 9", "mget 5", "minc 6 1", "mrec 6 1", "mget 6", "minc 8 1", "mrec 8 1", "mget 8",
           "minc 9 1", "mrec 9 1", "mget 9", "minc 10 1", "mrec 10 1", "mget 10", "minc 7 1", "mrec 7 1", "mget 7", "mget 0",
           "mget 1", "mrec 0 1", "minc 4 0x7fffffffffffffff", "minc 4 0x7fffffffffffffff", "mget 4", "mrec 5 -1",
           "mget 5", "minc 5 1", "mget 5", "mdef 0 c", "mget 8", "mdef 1 c", "mdef 0 ''", "mdef 0 a%20b",
           "mdef 2 c")  # fmt: skip
DATA = ("sdget k", "sdset k v 0", "sdget k", "sdset k w 99", "sdset k w 1", "sdget k", "sdset '' e 0", "sdget ''",
        "sdset n '' 7", "sdget n", "sdset a%00b x 0", "sdget a%00b", "sdget a", "sdset k z 0xffffffff")  # fmt: skip
QUEUES = ("qreg q", "qreg q", "qreg r", "qreg ''", "qres '' q", "qres nope q", "qres '' nope", "qdeq 1", "qenq 1 x",
          "qenq 1 ''", "qenq 99 x", "qdeq 99", "qdeq 1", "qdeq 1", "qdeq 1", "qenq 0 x", "qdeq 0")  # fmt: skip
OTHERS = ("loglevel", "status", "pdone", "effctx 0", "effctx 99", "effctx 1", "effctx 2", "memsize", "log 9 x", "log 5 x",
          "rawlog 2 0xffffffff 1", "rawlog 2 0 0", "foreign nope a", "foreign0 nope a", "foreign '' ''",
          "foreign compress aaaa", "foreign0 compress aaaa", "foreign uncompress aaaa", "foreign clear_route_cache ''",
          "w_clock 0", "w_clock 1", "w_clock 2", "w_args", "w_yield", "w_random 8", "w_poll", "w_fdstat 1", "w_write 1 out",
          "w_write 2 err", "w_write 7 no", "w_prestat 3", "w_close 1", "w_exit 3", "w_setflags 1 0",
          "w_filestat 1", "w_seek 1", "w_read 0", "w_open a", "w_pathstat a", "w_clockres 0")  # fmt: skip
BAD = ("getbad 0 0xfffffff0 0", "getbad 0 0 0xfffffffe", "rawget 0 0xfffffff0 99", "rawget 9 0xfffffff0 99",
       "getbad 9 0xfffffff0 0", "pairsbad 0 0xfffffffe 0", "pairsbad 9 0xfffffffe 0", "pairsbad 3 0xfffffffe 0",
       "propbad 0xfffffffe 0", "bgetbad 0 0xfffffffe 0", "bgetbad 9 0xfffffffe 0", "bgetbad 4 0xfffffffe 0",
       "mdefbad 0xfffffffe", "httpbad 0xfffffffe :method GET :path /aux :authority a", "httpbad 0xfffffffe x y",
       "rawbset 0 0 0 0xfffffff0 99", "rawbset 9 0 0 0xfffffff0 99", "rawbset 4 0 0 0xfffffff0 99",
       "rawbset 0 3 0 0xfffffff0 99", "bstat 9", "bget 9 0 1", "add 9 a b", "rep 9 a b", "rem 9 a", "setpairs 9 a b",
       "size 9", "pairs 9", "get 9 a", "get 0xffffffff a", "bget 0xffffffff 0 1", "tick 0xffffffff", "tick 0")  # fmt: skip


def cases() -> Iterator[Case]:
    """All of them."""
    for phase in (*PHASES, "cfg", "start"):
        roots = phase in ("cfg", "start")
        for tag, area, operations in (("m", "metrics", METRICS), ("d", "shared data", DATA), ("q", "shared queues", QUEUES),
                                      ("o", "odd corners", OTHERS), ("b", "wrong arguments", BAD)):  # fmt: skip
            if roots:
                extra: dict[str, Any] = {"vm_configuration": script(phase, *operations)} if phase == "start" else {}
                yield case(f"sm-{phase}-{tag}", area, f"{area} in {phase}", script(phase, *operations), wire=GET,
                           **extra)  # fmt: skip
            else:
                yield in_phase(f"sm-{phase}-{tag}", area, f"{area} in {phase}", phase, *operations)
    chain = (
        "rqh qreg q\nrqh qenq 1 a\nrqh qenq 1 b\nqueue qdeq 1\nrqb qenq 1 c\nlog qenq 1 d\ndone qenq 1 e\ndel qenq 1 f"
    )
    yield case("sq-phases", "shared queues", "items from several phases", chain, wire=FULL)
    for vm in ("", "same"):
        filters = [
            {"root_id": "A", "vm_id": vm, "configuration": "cfg qreg q\nqueue qdeq 1\nqueue log 2 A\nrsh qenq 1 fromA"},
            {"root_id": "B", "vm_id": vm, "configuration": "rqh qres '' q\nrqh qenq 1 fromB\nqueue log 2 B"},
            {"root_id": "C", "vm_id": "other", "configuration": "rqh qres same q\nrqh qres '' q\nrqh qenq 1 fromC"},
        ]
        yield case(f"sq-vms-{vm}", "shared queues", "three plugins, vm_id " + (vm or "empty"), filters=filters)
        filters = [
            {
                "root_id": "A",
                "vm_id": vm,
                "configuration": "rqh sdset k a 0\nrqh mdef 0 c\nrqh minc 4 1\nlog sdget k\nlog mget 4",
            },
            {
                "root_id": "B",
                "vm_id": vm,
                "configuration": "rqh sdget k\nrqh sdset k b 1\nrqh mdef 0 c\nrqh mget 4\nrqh mget 8\nrqh minc 8 1",
            },
            {
                "root_id": "C",
                "vm_id": vm,
                "vm_configuration": "x",
                "configuration": "rqh sdget k\nrqh sdset k c 1\nrqh mdef 0 c\nrqh mget 4",
            },
            {"root_id": "D", "vm_id": "d", "configuration": "rqh sdget k\nrqh sdset k d 1\nrqh mdef 0 c\nrqh mget 4"},
        ]
        yield case(f"sd-vms-{vm}", "shared data", "four plugins, vm_id " + (vm or "empty"), filters=filters)
    functions: tuple[tuple[str, list[str]], ...] = (
        ("compress", ["foreign compress aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "foreign compress ''"]),
        ("expr", ["foreign expr_create 1+1", "foreign expr_evaluate %00%00%00%00", "foreign expr_create request.path",
                  "foreign expr_evaluate %01%00%00%00", "foreign expr_create 1+", "foreign expr_evaluate %09%00%00%00",
                  "foreign expr_evaluate a", "foreign expr_delete %00%00%00%00", "foreign expr_delete %00%00%00%00",
                  "foreign expr_evaluate %00%00%00%00", "foreign expr_delete x", "foreign expr_create ''",
                  "foreign expr_create nope.x", "foreign expr_evaluate %02%00%00%00",
                  "foreign expr_create request.headers['x']", "foreign expr_evaluate %03%00%00%00",
                  "foreign expr_create 'a'+'b'", "foreign expr_evaluate %04%00%00%00",
                  "foreign expr_create request.method=='GET'", "foreign expr_evaluate %05%00%00%00",
                  "foreign expr_create [1,2]", "foreign expr_evaluate %06%00%00%00",
                  "foreign expr_create request.method=='GET'&&request.path.startsWith('/f')",
                  "foreign expr_evaluate %07%00%00%00", "foreign expr_create 1.5", "foreign expr_evaluate %08%00%00%00",
                  "foreign expr_create size(request.path)", "foreign expr_evaluate %09%00%00%00"]),
        ("declare", ["foreign declare_property %0a%01a", "foreign declare_property %0a%01a", "setprop a 1", "prop a",
                     "setprop a 2", "prop a", "foreign declare_property %0a%01b%18%01", "setprop b 1", "setprop b 2",
                     "prop b", "foreign declare_property ''", "foreign declare_property %ff", "prop filter_state",
                     "foreign declare_property %0a%01c%10%01", "setprop c 1", "prop c"]),
        ("state", ["foreign set_envoy_filter_state %0a%0cenvoy.string%12%01v", "prop filter_state.envoy.string",
                   "rprop filter_state%00envoy.string", "foreign set_envoy_filter_state %0a%01k%12%01v",
                   "foreign set_envoy_filter_state ''", "foreign set_envoy_filter_state %ff"]),
        ("sign", ["foreign verify_signature ''", "foreign sign ''", "foreign set_upstream_override_host ''",
                  "foreign verify_signature %ff"]),
    )  # fmt: skip
    for tag, calls in functions:
        for event in ("rqh", "rsh", "log"):
            yield case(f"sf-{tag}-{event}", "foreign functions and loading", f"{tag} in {event}", script(event, *calls))
    yield case("sf-root", "foreign functions and loading", "in configure", script(
        "cfg", "foreign compress aaaa", "foreign declare_property %0a%01a", "foreign expr_create 1+1",
        "foreign expr_evaluate %00%00%00%00", "foreign set_envoy_filter_state %0a%0cenvoy.string%12%01v",
        "foreign clear_route_cache ''"), "rqh setprop a 1\nrqh prop a\nrqh foreign expr_evaluate %00%00%00%00")  # fmt: skip
    for tag, lines in (
        ("zero", "rqh tick 100\ntick#2 tick 0"), ("change", "rqh tick 50\ntick#2 tick 200\ntick#4 tick 0"),
        ("again", "rqh tick 60\nrsh tick 90\ntick#2 tick 0"), ("done", "rqh tick 80\ntick#1 pdone\ntick#2 tick 0"),
    ):  # fmt: skip
        yield case(f"tk-{tag}", "ticks", tag, lines)
    for fail in (
        "get 0 :path",
        "pairs 0",
        "prop request.path",
        "bget 6 0 9",
        "sdget k",
        "status",
        "foreign compress aa",
    ):
        tag = fail.split(" ", 1)[0]
        yield case(f"al-{tag}", "wrong arguments", f"allocator fails in {fail}",
                   f"rqh sdset k v 0\nrqh allocfail 1\nrqh {fail}\nrqh allocfail 0\nrqh {fail}",
                   vm_configuration="x")  # fmt: skip
