"""Strategies for scripts of the probe guest: what a filter may do in every callback; one operation a line.

What would only wait, crash Envoy, or depend on the time is left out.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["scripts"]

NAMES = st.sampled_from(
    "x-a x-a x-b x-b x-c X-Mixed cookie content-type :path :method :authority :status :scheme user-agent accept te "
    "host x-request-id x-forwarded-for server date vary etag via grpc-status x-t x-envoy-upstream-service-time".split()
)
VALUES = st.sampled_from(
    "1 1 2 two%20words a,b '' %ff /p?q=1 GET 200 404 text/plain application/grpc a=1;%20b=2".split()
)
MAPS = st.sampled_from("0 1 2 3 6".split())
NUMBERS = st.sampled_from("0 1 2 3 5 100".split())
BYTES = st.sampled_from("x yy three '' %00%ff fish".split())
STATUSES = st.sampled_from("200 204 302 403 403 418 503".split())
GRPC_STATUSES = st.sampled_from("-1 -1 0 7 16 99".split())
DETAILS = st.sampled_from("denied '' two%20words".split())
METRICS = st.sampled_from("4 5 6 8 9".split())
KEYS = st.sampled_from("k1 k2 ''".split())
QUEUES = st.sampled_from("1 2".split())
PROPERTIES = st.sampled_from(
    "request.path request.url_path request.host request.scheme request.method request.headers.x-a request.headers "
    "request.referer request.useragent request.id request.protocol request.query request.size request.total_size "
    "response.code response.code_details response.flags response.headers.x-a response.headers response.trailers "
    "response.size response.total_size response.grpc_status connection.mtls connection.requested_server_name "
    "connection.termination_details upstream.transport_failure_reason upstream.request_attempt_count plugin_name "
    "plugin_root_id plugin_vm_id node.id cluster_name route_name listener_direction xds.cluster_name xds.route_name "
    "metadata filter_state mine wasm.mine request.nothing nothing".split()
)
PARTS = {
    "W": NAMES,
    "V": VALUES,
    "M": MAPS,
    "N": NUMBERS,
    "X": BYTES,
    "S": STATUSES,
    "G": GRPC_STATUSES,
    "D": DETAILS,
    "I": METRICS,
    "K": KEYS,
    "Q": QUEUES,
    "P": PROPERTIES,
}
REQUEST_EVENTS, RESPONSE_EVENTS = ("rqh", "rqh", "rqb", "rqt"), ("rsh", "rsh", "rsb", "rst")
OWN_MAP = {"rqh": "0", "rqt": "1", "rsh": "2", "rst": "3"}
HEADER_OPERATIONS = (
    "get m W",
    "add m W V",
    "add m W V",
    "rep m W V",
    "rep m W V",
    "rem m W",
    "pairs m",
    "pairs m",
    "size m",
    "setpairs m W V W V",
    "setpairs m :method GET :path /new :authority a :scheme http W V",
    "setpairs m :status 200 W V",
)
BODY_OPERATIONS = (
    "bget b 0 100",
    "bget b N N",
    "bset b 0 0 X",
    "bset b 0 100 X",
    "bset b N N X",
    "bset b 100 N X",
    "bstat b",
    "bsetbig b 0 0 20000",
)
OTHER_OPERATIONS = (
    "local S D X G",
    "local S D X -1 W V",
    "prop P",
    "prop P",
    "prop P",
    "setprop mine X",
    "sdset K X N",
    "sdget K",
    "qreg K",
    "qenq Q X",
    "qdeq Q",
    "mdef 0 c",
    "mdef 1 g",
    "mdef 2 h",
    "minc I N",
    "minc I -1",
    "mrec I N",
    "mget I",
    "foreign compress X",
    "foreign nothing X",
    "close 0",
    "close 1",
    "log N X",
    "get M W",
    "pairs M",
    "bget 4 0 9",
    "bget 7 0 9",
    "status",
    "effctx N",
    "trap",
    "pdone",
)
SEQUENCES = (
    ("sdset k1 X 0", "sdget k1", "sdset k1 X N", "sdget k1"),
    ("qreg q", "qenq 1 X", "qenq 1 X", "qdeq 1", "qdeq 1"),
    ("mdef 0 c", "minc 4 N", "minc 4 -1", "mrec 4 N", "mget 4"),
    ("mdef 1 g", "minc 5 N", "minc 5 -1", "mrec 5 N", "mget 5"),
    ("add m x-a V", "add m x-a V", "get m x-a", "rep m x-a V", "pairs m", "rem m x-a", "pairs m"),
    ("add m W V", "add m W V", "get m W", "pairs m"),
    ("local S D X -1",),
)
"""What only shows when one follows the other."""
LOCAL = 2
"""The replies among the operations; where there is no stream, or no more, they crash Envoy as a rule."""
RETURNS = {
    "rqh": "0 2 1 3 4",
    "rsh": "0 2 1 3 4",
    "rqb": "0 1 2 3",
    "rsb": "0 1 2 3",
    "rqt": "0 1",
    "rst": "0 1",
}
SELECTORS = st.sampled_from(["", "", "", "", "#1", "#2", "$", "!"])
CALL = "http auth 1000 X :method GET :path /c :authority a"
GRPC_CALL = "gcall grpc pkg.Service Method 1000 X"
ALWAYS = (
    "rqh pairs 0",
    "rqb bget 0 0 40000",
    "rqt pairs 1",
    "rsh pairs 2",
    "rsb bget 1 0 40000",
    "rst pairs 3",
    "log prop response.code_details",
    "log prop response.flags",
    "log prop request.size",
    "log prop request.total_size",
    "log prop response.size",
    "log pairs 2",
)
"""What shows what the mock has made of what came before."""


def _filled(draw: Any, template: str, event: str) -> str:
    words = []
    for word in template.split():
        if word == "m":
            words.append(OWN_MAP.get(event) or ("0" if event in REQUEST_EVENTS else "2"))
        elif word == "b":
            words.append("0" if event in REQUEST_EVENTS else "1")
        elif word in PARTS:
            words.append(draw(PARTS[word]))
        else:
            words.append(word)
    return " ".join(words)


@st.composite
def _operation(draw: Any) -> list[str]:
    """One operation at one event."""
    event = draw(st.sampled_from((*REQUEST_EVENTS, *RESPONSE_EVENTS, "log", "done", "ctx")))
    if event in ("rqb", "rsb") and draw(st.integers(0, 3)):
        template = draw(st.sampled_from(BODY_OPERATIONS))
    elif event in OWN_MAP and draw(st.integers(0, 2)):
        template = draw(st.sampled_from(HEADER_OPERATIONS))
    else:
        some = OTHER_OPERATIONS if event in OWN_MAP or event in ("rqb", "rsb") else OTHER_OPERATIONS[LOCAL:]
        template = draw(st.sampled_from(some))
    return [f"{event}{draw(SELECTORS)} {_filled(draw, template, event)}"]


@st.composite
def _sequence(draw: Any) -> list[str]:
    """Several operations at one event."""
    chosen = draw(st.sampled_from(SEQUENCES))
    outside = () if chosen[0].startswith("local") else ("ctx", "log")
    event = draw(st.sampled_from((*REQUEST_EVENTS, *RESPONSE_EVENTS, *outside)))
    name = draw(NAMES)
    templates = [template.replace("W", name) for template in chosen]
    return [f"{event} {_filled(draw, template, event)}" for template in templates]


@st.composite
def _held(draw: Any) -> list[str]:
    """A body that a filter holds until its end, or one way only."""
    event = draw(st.sampled_from(["rqb", "rsb"]))
    lines = [f"{event}! ret {draw(st.sampled_from('1 1 2 3'.split()))}"]
    template = draw(st.sampled_from(BODY_OPERATIONS))
    lines.append(f"{event}$ {_filled(draw, template, event)}")
    return lines


@st.composite
def _returned(draw: Any) -> list[str]:
    """A callback that returns something else."""
    event = draw(st.sampled_from(sorted(RETURNS)))
    return [f"{event}{draw(SELECTORS)} ret {draw(st.sampled_from(RETURNS[event].split()))}"]


@st.composite
def _called(draw: Any, contexts: list[int]) -> list[str]:
    """A stream that waits for the answer of a callout, which lets it go, or replies.

    Args:
        contexts: the context of each exchange's stream.
    """
    event = draw(st.sampled_from(["rqh", "rqh", "rsh"]))
    grpc = draw(st.integers(0, 3)) == 0
    answered = "gcl" if grpc else "http"
    lines = [f"{event} {_filled(draw, GRPC_CALL if grpc else CALL, event)}", f"{event} ret 1"]
    then = draw(st.sampled_from(["cont", "cont", "cont", "local"]))
    before = draw(st.lists(st.sampled_from(HEADER_OPERATIONS + OTHER_OPERATIONS[:8]), max_size=2))
    for number, context in enumerate(contexts, 1):
        on = f"{answered}#{number}"
        lines += [f"{on} pairs 6", f"{on} bget 4 0 100", f"{on} status", f"{on} effctx {context}"]
        lines += [f"{on} {_filled(draw, template, event)}" for template in before if not template.startswith("local")]
        if then == "local":
            lines.append(f"{on} {_filled(draw, 'local S D X G W V', event)}")
        else:
            lines.append(f"{on} cont {'0' if event == 'rqh' else '1'}")
    return lines


@st.composite
def _ticking(draw: Any, calls: bool) -> list[str]:
    """What a filter does every so often.

    Args:
        calls: it may call out, and see the answer.
    """
    lines = [f"cfg tick {draw(st.sampled_from('300 700 2000 2500'.split()))}"]
    for template in draw(st.lists(st.sampled_from(("time", *OTHER_OPERATIONS)), max_size=3)):
        lines.append(f"tick{draw(SELECTORS)} {_filled(draw, template, 'tick')}")
    if draw(st.integers(0, 2)) == 0:
        lines.append(f"tick{draw(st.sampled_from(['#1', '#2']))} tick {draw(st.sampled_from(['0', '500', '3000']))}")
    if calls and draw(st.booleans()):
        lines += [f"tick{draw(st.sampled_from(['', '#1', '#2']))} {_filled(draw, CALL, 'tick')}"]
        lines += ["http pairs 6", "http bget 4 0 100", "http time"]
    return lines


@st.composite
def scripts(draw: Any, contexts: list[int], *, calls: bool, ticks: bool) -> str:
    """What one filter does.

    Args:
        contexts: the context of each exchange's stream.
        calls: it calls out; one filter at most does, so that no two answers race.
        ticks: it ticks; one filter at most does, because they are the same guest.
    """
    some = st.one_of(*[_operation()] * 6, _sequence(), _sequence(), _held(), _held(), _returned())
    parts = draw(st.lists(some, max_size=6))
    lines = [line for part in parts for line in part]
    for event, number in (("rq", 0), ("rs", 2)):
        if any(line.startswith(f"{event}b") and " bset" in line for line in lines) and draw(st.integers(0, 5)):
            lines.append(f"{event}h rem {number} content-length")
    if calls:
        lines += draw(_called(contexts))
    if ticks:
        lines += draw(_ticking(not calls))
    if draw(st.integers(0, 2)):
        lines += ALWAYS
    return "\n".join(lines)
