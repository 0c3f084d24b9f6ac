"""Two and three filters: what each sees of what the others do, in every phase."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from .build import FULL, GET, PARTS, POST, Case, case, request

AREA = "two filters"
SEE = "rqh pairs 0\nrqb bget 0 0 99\nrqt pairs 1\nrsh pairs 2\nrsb bget 1 0 99\nrst pairs 3\nlog prop response.code_details"
NAMES = "ABC"


def chain(scripts: dict[int, str], *, vms: bool = False, see: str = SEE, **options: Any) -> list[dict[str, Any]]:
    """Three filters of which some have scripts of their own."""
    return [
        {
            "root_id": NAMES[index],
            **({"vm_id": NAMES[index]} if vms else {}),
            "configuration": f"{scripts.get(index, '')}\n{see}",
            **options,
        }
        for index in range(3)
    ]


def cases() -> Iterator[Case]:
    """All of them."""
    for where in range(3):
        name = NAMES[where]
        for event in ("rqh", "rqb", "rqt", "rsh", "rsb", "rst"):
            for tag, operation in (("local", "local 403 d body -1"), ("close", "close 0"), ("pause", "ret 1")):
                yield case(f"c3-{event}-{tag}-{name}", AREA, f"{name}: {operation} in {event}", wire=FULL,
                           filters=chain({where: f"{event} {operation}"}))  # fmt: skip
            resumes = 0 if event.startswith("rq") else 1
            lines = f"{event} ret 1\nrqh tick 150\ntick effctx {4 + where}\ntick cont {resumes}\ntick tick 0"
            yield case(f"c3-{event}-resume-{name}", AREA, f"{name} pauses in {event} and resumes", wire=FULL,
                       filters=chain({where: lines}))  # fmt: skip
            lines = f"{event} ret 1\nrqh tick 150\ntick effctx {4 + where}\ntick local 403 d body -1\ntick tick 0"
            yield case(f"c3-{event}-late-{name}", AREA, f"{name} pauses in {event} and replies", wire=FULL,
                       filters=chain({where: lines}))  # fmt: skip
        for tag, lines, wire in (
            ("edit", "rqh add 0 x-by {n}\nrsh add 2 x-by {n}\nrqt add 1 x-by {n}\nrst add 3 x-by {n}", FULL),
            ("body", "rqh rem 0 content-length\nrsh rem 2 content-length\nrqb! ret 1\nrsb! ret 1\nrqb$ bset 0 999 0 {n}\n"
             "rsb$ bset 1 999 0 {n}", POST),
            ("grow", "rqh rem 0 content-length\nrsh rem 2 content-length\nrqb bset 0 999 0 {n}\nrsb bset 1 999 0 {n}", FULL),
            ("clear", "rqh rem 0 content-length\nrsh rem 2 content-length\nrqb bset 0 0 999 ''\nrsb bset 1 0 999 ''", FULL),
            ("trail", "rqb$ add 1 x-t {n}\nrsb$ add 3 x-t {n}", request("POST", "/chunked?n=2", body="hello")),
            ("water", "rqb! ret 2\nrsb! ret 2", FULL), ("drop", "rqb! ret 3", POST),
        ):  # fmt: skip
            yield case(f"c3-{tag}-{name}", AREA, f"{name}: {tag}", wire=wire,
                       filters=chain({where: lines.format(n=name)}))  # fmt: skip
            yield case(f"c3-{tag}-all-{name}", AREA, f"{tag} up to {name}", wire=wire,
                       filters=chain({i: lines.format(n=NAMES[i]) for i in range(where + 1)}))  # fmt: skip
    for one, two in product((0, 1, 2), repeat=2):
        held = {0: f"rqb! ret {one}\nrsb! ret {two}", 1: f"rqb! ret {two}\nrsb! ret {one}"}
        yield case(f"c3-hold-{one}{two}", AREA, f"A and B hold with {one} and {two}", wire=PARTS[0], parts=PARTS[1],
                   filters=chain(held))  # fmt: skip
        for stop in (False, True):
            heads = {0: f"rqh ret {one}\nrqb$ cont 0", 1: f"rqh ret {two}\nrqb$ ret 0\nrqb! ret 1"}
            options: dict[str, Any] = {"allow_on_headers_stop_iteration": True} if stop else {}
            yield case(f"c3-heads-{one}{two}{int(stop)}", AREA, f"headers return {one} and {two}, allow={stop}",
                       wire=PARTS[0], parts=PARTS[1], filters=chain(heads, **options))  # fmt: skip
    sharing: list[list[dict[str, Any]]] = [
        [{"root_id": "A"}, {"root_id": "A"}], [{"root_id": "A", "vm_id": "v"}, {"root_id": "A", "vm_id": "v"}],
        [{"root_id": "A", "vm_id": "v"}, {"root_id": "A", "vm_id": "w"}], [{"name": "x"}, {"name": "y"}],
        [{"root_id": "A", "name": "x"}, {"root_id": "B", "name": "x"}],
        [{"configuration": "rqh get 0 a"}, {"configuration": "rqh get 0 b"}],
        [{"vm_configuration": "a"}, {"vm_configuration": "b"}], [{"vm_configuration": "a"}, {"vm_configuration": "a"}],
        [{"fail_open": True}, {}], [{"failure_policy": "FAIL_OPEN"}, {"failure_policy": "FAIL_RELOAD"}],
        [{"allow_on_headers_stop_iteration": True}, {}],
        [{"environment_variables": {"key_values": {"A": "1"}}}, {}],
        [{"capability_restriction_config": {"allowed_capabilities": {"proxy_log": {}, "proxy_on_request_headers": {}}}}, {}],
        [{"root_id": "A"}, {"root_id": "B"}, {"root_id": "A"}], [{}, {}, {}],
        [{"root_id": "A", "configuration": "log sdget k"}, {"root_id": "A", "configuration": "log sdget k", "vm_id": "z"}],
    ]  # fmt: skip
    for number, same in enumerate(sharing):
        tag = "-".join(sorted({key for one in same for key in one})) or "none"
        yield case(f"cs-{tag}-{number}", AREA, f"what is shared by {same}"[:150], filters=same)
        yield case(f"ct-{tag}-{number}", AREA, f"the same, from the start: {same}"[:150],
                   filters=[{**one, "vm_configuration": one.get("vm_configuration", "x")} for one in same])  # fmt: skip
    for events in ("rqh", "rsh"):
        both = chain(
            {0: f"{events} local 401 a A -1", 1: f"{events} local 402 b B -1", 2: f"{events} local 403 c C -1"}
        )
        yield case(f"c3-locals-{events}", AREA, f"all reply in {events}", filters=both, wire=GET)
        both = chain({0: "rsh local 401 a A -1", 2: "rqh local 403 c C -1"})
        yield case(f"c3-override-{events}", AREA, "A replaces C's reply", filters=both, wire=GET)
        both = chain({0: "rsb local 401 a A -1", 2: "rqh local 403 c C -1"})
        yield case(f"c3-cut-{events}", AREA, "A replies in the body of C's reply", filters=both, wire=GET)
