"""TCP connections: every operation in every callback, pauses, closes, two filters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from .build import Case, script

AREA = "tcp"
EVENTS = ("ctx", "newc", "down", "up", "dcl", "ucl", "log", "done", "del")
TALK: tuple[Any, ...] = ({"send": "aaaa"}, "recv", {"send": "bbbb"}, "recv", "close")
OPERATIONS = ("get 0 x", "pairs 0", "size 2", "add 0 a b", "bstat 0", "bget 0 0 9", "bstat 2", "bget 2 0 9", "bstat 3",
              "bget 3 0 9", "bset 2 0 0 P", "bset 3 0 0 P", "bset 2 99 0 A", "bset 3 99 0 A", "bset 2 1 0 M", "bget 2 0 99",
              "bget 3 0 99", "bget 6 0 9", "bget 7 0 9", "local 403 d b -1", "setprop k v", "prop k", "effctx 0", "pdone",
              "status", "sdset k v 0", "mdef 0 c", "minc 4 1", "tick 0")  # fmt: skip
PATHS = """
source.address source.port destination.address destination.port connection.id connection.mtls
connection.requested_server_name connection.termination_details connection.transport_failure_reason connection_id
upstream.address upstream.port upstream.local_address upstream.transport_failure_reason
upstream.request_attempt_count upstream upstream.cx_pool_ready_duration request request.path request.protocol
request.size request.time request.total_size request.duration response response.code response.flags
response.code_details response.size response.total_size
metadata metadata.filter_metadata filter_state plugin_name plugin_root_id plugin_vm_id xds xds.node.id
xds.cluster_name xds.cluster_metadata xds.route_name xds.virtual_host_name xds.listener_direction
xds.filter_chain_name xds.upstream_host_metadata xds.listener_metadata nope ''
""".split()


def tcp(
    id: str,
    title: str,
    *scripts: str,
    actions: tuple[Any, ...] = TALK,
    greet: str = "",
    cluster: str = "tcp",
    filters: list[dict[str, Any]] | None = None,
    **options: Any,
) -> Case:
    """A case of one connection."""
    specs = filters or [{"configuration": "\n".join(scripts), **options}]
    return {
        "id": id,
        "area": AREA,
        "title": title,
        "kind": "tcp",
        "filters": [{"wasm": "probe.wasm", **spec} for spec in specs],
        "actions": list(actions),
        "greet": greet,
        "cluster": cluster,
    }


def cases() -> Iterator[Case]:
    """All of them."""
    for event in EVENTS:
        yield tcp(f"to-{event}", f"operations in {event}", script(event, *OPERATIONS))
        yield tcp(f"tp-{event}", f"properties in {event}", script(event, *(f"prop {path}" for path in PATHS)), name="n")
        for operation in ("cont 0", "cont 1", "cont 2", "cont 3", "close 0", "close 1", "close 2", "close 3", "trap"):
            yield tcp(f"ts-{event}-{operation.replace(' ', '')}", f"{operation} in {event}", script(event, operation))
        yield tcp(f"ts-{event}-p", f"{event} returns 1", f"{event} ret 1")
        for direction in (2, 3):
            yield tcp(f"ts-{event}-p{direction}", f"{event} returns 1 and continues {direction}",
                      script(event, f"cont {direction}", "ret 1"))  # fmt: skip
    for hold, operation in product(("newc", "down", "down#1", "up", "up#1"), ("cont 2", "cont 3", "close 2", "close 3", "cont 0",
                                   "close 0", "local 403 d b -1", "trap")):  # fmt: skip
        tag = f"{hold.replace('#', '')}-{operation.split(' -1')[0].replace(' ', '')}"
        lines = f"{hold} ret 1\nctx tick 150\ntick#1 effctx 2\ntick#1 {operation}\ntick tick 0\ndown bget 2 0 99\nup bget 3 0 99"
        yield tcp(f"th-{tag}", f"{hold} held, then {operation}", lines, actions=({"send": "aaaa"}, 0.3, "recv", {"send": "bb"},
                  "recv", "close"))  # fmt: skip
    for kind, event in ((2, "down"), (3, "up")):
        for index, argument in enumerate(("0 0 XY", "0 2 XY", "0 99 XY", "0 99 ''", "4 0 XY", "6 0 XY", "1 0 XY", "99 9 XY",
                                          "0xffffffff 0 XY", "0 0 ''")):  # fmt: skip
            yield tcp(
                f"tb-{event}-{index}",
                f"bset {kind} {argument}",
                f"{event}#1 bset {kind} {argument}\n{event} bget {kind} 0 99",
            )
            yield tcp(f"tb-{event}-{index}h", f"bset {kind} {argument}, held",
                      f"{event}#1 ret 1\n{event}#2 bset {kind} {argument}\n{event} bget {kind} 0 99",
                      actions=({"send": "aaaa"}, 0.1, {"send": "bbbb"}, "recv", "recv", "close"))  # fmt: skip
    for ret in (0, 1, 2, 3, 4, 99):
        for event in ("newc", "down", "up"):
            yield tcp(f"tv-{event}-{ret}", f"{event} returns {ret}", f"{event} ret {ret}")
    for tag, actions, greet, cluster in (
        ("quit", ({"send": "QUIT"}, "recv", "close"), "", "tcp"), ("reset", ({"send": "RESET"}, "recv", "close"), "", "tcp"),
        ("rst", ({"send": "aaaa"}, "recv", "reset"), "", "tcp"), ("shut", ({"send": "aaaa"}, "shut", "recv", "recv", "close"), "", "tcp"),
        ("dead", ({"send": "aaaa"}, "recv", "close"), "", "deadtcp"), ("deadrecv", ("recv", "close"), "", "deadtcp"),
        ("greet", ("recv", {"send": "a"}, "recv", "close"), "HELLO", "tcp"), ("close", ("close",), "", "tcp"),
        ("closelate", (0.1, "close"), "", "tcp"), ("shutfirst", ("shut", "recv", "close"), "", "tcp"),
        ("greetquit", ("recv", {"send": "QUIT"}, "recv", 0.1, {"send": "more"}, "close"), "HELLO", "tcp"),
        ("rstfirst", (0.1, "reset"), "", "tcp"), ("three", ({"send": "a"}, "recv", {"send": "b"}, "recv", {"send": "c"}, "recv", "close"), "", "tcp"),
    ):  # fmt: skip
        see = "down bget 2 0 99\nup bget 3 0 99\ndcl prop response.flags\nlog prop connection.termination_details"
        yield tcp(f"te-{tag}", f"the end: {tag}", see, actions=actions, greet=greet, cluster=cluster)
        if tag not in ("close", "rstfirst", "closelate"):
            filters = [{"root_id": "A", "configuration": see}, {"root_id": "B", "configuration": see}]
            yield tcp(
                f"t2-{tag}",
                f"two filters, the end: {tag}",
                filters=filters,
                actions=actions,
                greet=greet,
                cluster=cluster,
            )
        for hold in ("down ret 1", "up ret 1"):
            yield tcp(
                f"tg-{tag}-{hold[:2]}",
                f"{hold}, the end: {tag}",
                see,
                hold,
                actions=actions,
                greet=greet,
                cluster=cluster,
            )
    for where, event, operation in product(
        (0, 1), ("newc", "down", "up", "dcl"), ("ret 1", "close 2", "trap", "bset {k} 0 0 {n}", "cont 2")
    ):
        kind = 3 if event == "up" else 2
        line = f"{event}#1 {operation.format(k=kind, n='AB'[where])}"
        filters = [
            {
                "root_id": "AB"[i],
                "vm_id": "AB"[i],
                "configuration": line if i == where else "down bget 2 0 99\nup bget 3 0 99",
            }
            for i in (0, 1)
        ]
        tag = operation.split(" {")[0].replace(" ", "")
        yield tcp(f"tt-{event}-{tag}-{'AB'[where]}", f"{'AB'[where]}: {line}", filters=filters)
    for where, event in product((0, 1), ("newc", "down", "up")):
        root = where + 1
        line = f"{event} ret 1\nctx tick 150\ntick#1 effctx {root + 2}\ntick#1 cont 2\ntick tick 0"
        filters = [{"root_id": "AB"[i], "configuration": line if i == where else "down bget 2 0 99"} for i in (0, 1)]
        yield tcp(f"tr-{event}-{'AB'[where]}", f"{'AB'[where]} holds in {event} and resumes", filters=filters,
                  actions=({"send": "aaaa"}, 0.3, "recv", {"send": "bb"}, "recv", "close"))  # fmt: skip
    for policy in ({"failure_policy": "FAIL_OPEN"}, {"failure_policy": "FAIL_RELOAD"}, {"fail_open": True}):
        for event in EVENTS:
            tag = str(next(iter(policy.values()))).lower().replace("fail_", "")
            yield tcp(f"tx-{tag}-{event}", f"trap in {event}, {policy}", f"{event} trap", **policy)
