"""Header maps: every operation on every map in every phase; which names hold one value."""

from __future__ import annotations

from collections.abc import Iterator

from .build import FULL, GET, POST, Case, case, chunked, request, script
from .phases import PHASES, in_phase

AREA = "header maps"

NAMES = """
accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
access-control-allow-headers access-control-allow-methods access-control-allow-origin
access-control-allow-private-network access-control-expose-headers access-control-max-age
access-control-request-headers access-control-request-method access-control-request-private-network age allow
alt-svc authentication authorization cache-control connection content-disposition content-encoding
content-language content-length content-location content-range content-type cookie date dnt etag expect expires
forwarded from grpc-accept-encoding grpc-encoding grpc-message grpc-message-type grpc-status
grpc-status-details-bin grpc-timeout
host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive last-modified link location
max-forwards origin pragma proxy-authenticate proxy-authorization proxy-connection proxy-status range referer
retry-after server set-cookie strict-transport-security te trailer transfer-encoding upgrade
upgrade-insecure-requests user-agent vary via warning www-authenticate x-amz-date x-b3-traceid x-client-trace-id
x-content-type-options x-custom x-envoy-attempt-count x-envoy-auth-partial-body x-envoy-cluster
x-envoy-decorator-operation x-envoy-degraded x-envoy-downstream-service-cluster x-envoy-downstream-service-node
x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-force-trace x-envoy-hedge-on-per-try-timeout
x-envoy-immediate-health-check-fail x-envoy-internal x-envoy-ip-tags x-envoy-is-timeout-retry x-envoy-max-retries
x-envoy-original-dst-host x-envoy-original-host x-envoy-original-method x-envoy-original-path x-envoy-original-url
x-envoy-overloaded
x-envoy-peer-metadata x-envoy-ratelimited x-envoy-retriable-header-names x-envoy-retriable-status-codes
x-envoy-retry-grpc-on x-envoy-retry-on x-envoy-upstream-alt-stat-name x-envoy-upstream-canary
x-envoy-upstream-healthchecked-cluster x-envoy-upstream-rq-per-try-timeout-ms
x-envoy-upstream-rq-timeout-alt-response x-envoy-upstream-rq-timeout-ms x-envoy-upstream-service-time
x-envoy-upstream-stream-duration-ms x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port
x-forwarded-proto x-frame-options x-ot-span-context x-real-ip x-request-id x-squash-debug x-xss-protection
:authority :method :path :protocol :scheme :status
""".split()

READING = ("get {m} x-t", "get {m} :path", "get {m} :status", "size {m}", "pairs {m}")
WRITING = ("add {m} x-a 1", "rep {m} x-b 2", "rem {m} x-none", "add {m} X-A 3", "size {m}", "pairs {m}")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _maps()
    yield from _inline()
    yield from _operations()
    yield from _wire()


def _maps() -> Iterator[Case]:
    for phase in PHASES:
        for group, maps in (("req", (0, 1)), ("resp", (2, 3)), ("other", (4, 5, 6, 7, 8))):
            operations = [op.format(m=m) for m in maps for op in (*READING, *WRITING)]
            yield in_phase(f"hm-{phase}-{group}", AREA, f"maps {maps} in {phase}", phase, *operations)
        replaced = [f"setpairs {m} x-new 1 x-new 2" for m in range(4)] + [f"pairs {m}" for m in range(4)]
        yield in_phase(f"hm-{phase}-set", AREA, f"replace each map in {phase}", phase, *replaced)
    for phase, wire in (("rqb$", POST), ("rsb$", POST), ("rsb$", chunked("/chunked?n=2", "a", "b")), ("rqb!", POST)):
        tag = "c" if "chunked" in wire else ""
        for m in (1, 3):
            operations = [op.format(m=m) for op in (*READING, *WRITING)]
            yield case(
                f"ht-{phase}{tag}-{m}", AREA, f"trailers {m} made in {phase}", script(phase, *operations), wire=wire
            )
    for m, phase in ((1, "rqb$"), (3, "rsb$")):
        for kind, first in (("add", f"add {m} x-t 1"), ("rep", f"rep {m} x-t 1"), ("set", f"setpairs {m} x-t 1")):
            wire = chunked("/chunked?n=2", "a", "b")
            yield case(f"ht-{phase}-{kind}", AREA, f"trailers {m} by {kind}", script(phase, first), wire=wire)
            paused = f"{phase[:3]} ret 1\n{phase} ret 0"
            lines = script(phase, first)
            yield case(f"ht-{phase}-{kind}-buf", AREA, f"trailers by {kind}, body kept", paused, lines, wire=wire)
        yield case(f"ht-{phase}-cl", AREA, "trailers with content-length", script(phase, f"add {m} x-t 1"), wire=POST)
    for event, m in (("rqt", 1), ("rst", 3)):
        for op in (f"setpairs {m}", f"rem {m} x-t", f"rem {m} x-trail", f"setpairs {m} a b", f"rawsetpairs {m} %01"):
            name = op.replace(" ", "-").replace("%", "")
            wire = FULL
            yield case(f"ht-{event}-{name}", AREA, f"{op} in {event}", script(event, op, f"pairs {m}"), wire=wire)


def _inline() -> Iterator[Case]:
    for event, m, end, wire in (
        ("rqh", 0, "local 200 '' '' -1", GET),
        ("rsh", 2, "setpairs 2 :status 200 content-length 0", request("GET", "/status?c=200")),
        ("rqt", 1, "setpairs 1 x y", FULL),
        ("rst", 3, "setpairs 3 x y", FULL),
    ):
        for start in range(0, len(NAMES), 24):
            lines = []
            for name in NAMES[start : start + 24]:
                lines += [f"rem {m} {name}", f"add {m} {name} a", f"add {m} {name} b", f"get {m} {name}"]
            yield case(
                f"hi-{m}-{start // 24}", AREA, f"added twice to map {m}", script(event, *lines, f"pairs {m}", end),
                wire=wire,
            )  # fmt: skip
        lines = [f"add {m} via ''", f"add {m} via b", f"get {m} via", f"add {m} via ''", f"get {m} via"]
        lines += [f"add {m} content-type a", f"add {m} content-type ''", f"get {m} content-type", f"pairs {m}"]
        lines += [f"rep {m} content-type x", f"add {m} Content-Type y", f"get {m} CONTENT-TYPE", f"pairs {m}"]
        lines += [f"setpairs {m} via 1 x 1 via 2 x 2 VIA 3", f"pairs {m}", end]
        yield case(f"hi-{m}-empty", AREA, f"empty values joined in map {m}", script(event, *lines), wire=wire)


def _operations() -> Iterator[Case]:
    for name in (":authority", ":path", ":method", ":scheme", "host", ":protocol", ":status", ":new"):
        for op in (f"rep 0 {name} GET", f"add 0 {name} GET", f"rem 0 {name}", f"rep 0 {name} ''"):
            tag = op.replace(" ", "-").replace("'", "")
            yield case(f"ho-{tag}", AREA, op, script("rqh", op, "pairs 0", "size 0", f"get 0 {name}"), "rsh pairs 2")
    for value in ("200", "204", "304", "100", "101", "199", "0", "1", "42", "''", "-1", "+200", "2e2", "%20200",
                  "200%20", "0200", "65536", "65736", "4294967496"):  # fmt: skip
        yield case(
            f"ho-status-{value}".replace("'", "").replace("%", ""), AREA, f"response :status {value}",
            script("rsh", f"rep 2 :status {value}", "pairs 2"), "log get 2 :status\nlog prop response.code",
            "log prop response.code_details",
        )  # fmt: skip
    for op in ("add 2 :status 201", "rem 2 :status", "add 2 :path /x", "add 2 host h", "setpairs 2", "rep 2 date x",
               "add 2 date x", "rem 2 server", "add 2 connection close", "add 2 transfer-encoding chunked",
               "add 2 content-length 3", "rep 2 content-length 3", "rem 2 content-length", "rep 2 content-length x",
               "add 2 upgrade h2c", "add 2 keep-alive 5", "add 2 trailer x", "add 2 X-UP v", "add 2 x%00y v",
               "add 2 x-v a%00b", "add 2 '' v", "add 2 x%0d%0ay v", "setpairs 2 x-a 1 :status 201",
               "setpairs 2 :status 201 :status 202 x 1", "setpairs 2 x-a 1"):  # fmt: skip
        tag = op.replace(" ", "-").replace("%", "").replace("'", "")
        yield case(f"ho-{tag}", AREA, f"{op} in rsh", script("rsh", op, "pairs 2", "size 2"), "log pairs 2")
    for op in ("add 0 connection close", "add 0 transfer-encoding chunked", "add 0 content-length 3",
               "add 0 expect 100-continue", "add 0 upgrade websocket", "add 0 te trailers", "add 0 keep-alive 5",
               "add 0 x-envoy-upstream-rq-timeout-ms 200", "add 0 x-envoy-expected-rq-timeout-ms 3",
               "rem 0 x-request-id", "rep 0 x-request-id abc", "rem 0 x-forwarded-proto",
               "rep 0 x-forwarded-proto https", "rep 0 x-forwarded-proto ftp", "rep 0 :scheme https", "rep 0 :scheme x",
               "rep 0 :path nopath", "rep 0 :path /a%20b", "rep 0 :path /a%23b", "rep 0 :path *",
               "rep 0 :method FOO", "rep 0 :method get", "rep 0 :method HEAD", "rep 0 :method G%20T", "rep 0 host ''",
               "rep 0 host a%20b", "add 0 x%00y v", "add 0 x-v a%00b", "add 0 '' v", "add 0 x-v%20 v",
               "add 0 x-v %20v%20", "add 0 x-v %ff%fe", "add 0 x(y v", "setpairs 0 :path /echo :method GET "
               ":authority a x-forwarded-proto http :scheme http", "setpairs 0 x 1 :path /echo :path /b :method GET "
               "x-forwarded-proto http", "setpairs 0 host a :path /echo :method GET x-forwarded-proto http",
               "setpairs 0 host a :authority b :path /echo :method GET x-forwarded-proto http"):  # fmt: skip
        tag = op.replace(" ", "-").replace("%", "").replace("'", "").replace("/", "")[:40]
        yield case(
            f"ho-{tag}", AREA, f"{op} in rqh", script("rqh", op, "pairs 0", "size 0"), "log pairs 0",
            "rsh pairs 2", "log prop response.code_details", wire=request("GET", "/echo"),
        )  # fmt: skip
    for op in ("rep 0 :method HEAD", "rep 0 :method POST", "rem 0 content-length", "rep 0 content-length 3",
               "rep 0 content-length 9", "add 0 transfer-encoding chunked", "add 0 content-length 5"):  # fmt: skip
        tag = op.replace(" ", "-")
        yield case(
            f"hp-{tag}", AREA, f"{op} in rqh of a POST", script("rqh", op, "pairs 0"), "rsh pairs 2",
            wire=request("POST", "/echo", body="hello"),
        )  # fmt: skip
    for raw, title in (("''", "nothing"), ("%00", "a zero byte"), ("%00%00%00%00", "no pairs"),
                       ("%01%00%00%00", "one pair missing"), ("%ff%ff%ff%ff", "many"),
                       ("%01%00%00%00%01%00%00%00%01%00%00%00a%00b%00", "one"),
                       ("%01%00%00%00%01%00%00%00%01%00%00%00a%00b", "no last NUL"),
                       ("%01%00%00%00%01%00%00%00%01%00%00%00axb%00", "no NUL"),
                       ("%01%00%00%00%01%00%00%00%01%00%00%00a%00b%00c", "left over"),
                       ("%01%00%00%00%01%00%00%00%01%00%00%00A%00B%00", "upper case")):  # fmt: skip
        yield case(
            f"hr-{title.replace(' ', '-')}", AREA, f"raw pairs: {title}",
            script("rsh", f"rawsetpairs 2 {raw}", "pairs 2", "size 2", "rep 2 :status 203"),
        )  # fmt: skip


def _wire() -> Iterator[Case]:
    ours = [n for n in NAMES if not n.startswith(":")]
    special = ("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te",
               "transfer-encoding", "upgrade", "trailer")  # fmt: skip
    plain = [n for n in ours if n not in special]
    for start in range(0, len(plain), 40):
        fields = [f"{n}: {v}" for n in plain[start : start + 40] for v in ("a", "b")]
        wire = request("GET", "/echo", *fields)
        yield case(f"hw-{start // 40}", AREA, "names twice on the wire", "rqh pairs 0\nlog pairs 0", wire=wire)
    for name in special:
        if name not in ("host", "content-length", "transfer-encoding"):
            value = {"expect": "100-continue", "te": "trailers", "upgrade": "websocket"}.get(name, "close")
            wire = request("GET", "/echo", f"{name}: {value}", "x-a: 1")
            yield case(f"hw-{name}", AREA, f"{name} on the wire", "rqh pairs 0\nlog pairs 0", wire=wire)
    for title, fields in (
        ("te-gzip", ["te: gzip"]), ("te-both", ["te: trailers, gzip"]),
        ("conn-named", ["connection: x-a, close", "x-a: 1", "x-b: 2"]),
        ("conn-ka", ["connection: keep-alive"]), ("empty", ["x-a:", "x-b: "]), ("tabs", ["x-a:\t1\t", "x-b:  2  "]),
        ("upper", ["X-UPPER: V", "x-Mixed: V"]), ("underscore", ["x_a: 1"]), ("utf8", ["x-a: \xc3\xa9"]),
        ("internal", ["x-envoy-internal: true", "x-envoy-retry-on: 5xx", "x-envoy-force-trace: 1"]),
        ("xff", ["x-forwarded-for: 1.2.3.4", "x-forwarded-proto: https", "x-forwarded-host: h"]),
        ("xfproto-bad", ["x-forwarded-proto: ftp"]), ("xrid", ["x-request-id: mine"]),
        ("xfcc", ["x-forwarded-client-cert: By=a"]), ("cookies", ["cookie: a=1", "cookie: b=2"]),
        ("timeout", ["x-envoy-upstream-rq-timeout-ms: 500"]), ("expected", ["x-envoy-expected-rq-timeout-ms: 7"]),
        ("many", [f"x-h{n}: {n}" for n in range(90)]), ("decorator", ["x-envoy-decorator-operation: o"]),
    ):  # fmt: skip
        wire = request("GET", "/echo", *fields)
        yield case(f"hw-{title}", AREA, f"{title} on the wire", "rqh pairs 0\nrqh size 0\nlog pairs 0", wire=wire)
    for method in ("OPTIONS", "DELETE", "PUT", "PATCH", "TRACE", "PURGE"):
        yield case(f"hw-{method}", AREA, method, "rqh pairs 0\nrsh pairs 2", wire=request(method, "/echo"))
    for title, wire in (
        ("absolute", "GET http://other.com/echo?a=b#c HTTP/1.1\r\nHost: example.com\r\n\r\n"),
        ("fragment", "GET /echo?a=b#c HTTP/1.1\r\nHost: example.com\r\n\r\n"),
        ("escaped", "GET /ec%68o/%2e%2e/a//b?x=%20 HTTP/1.1\r\nHost: example.com:80\r\n\r\n"),
        ("star", "OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n"),
        ("emptyhost", "GET /echo HTTP/1.1\r\nHost:\r\n\r\n"),
        ("nohost", "GET /echo HTTP/1.1\r\nx: y\r\n\r\n"),
        ("crlf", "\r\n\r\nGET /echo HTTP/1.1\r\nHost: e\r\n\r\n"),
        ("lf", "GET /echo HTTP/1.1\nHost: e\n\n"),
        ("badmethod", "FOO /echo HTTP/1.1\r\nHost: e\r\n\r\n"),
        ("badline", "GET /echo\r\nHost: e\r\n\r\n"),
        ("badheader", "GET /echo HTTP/1.1\r\nHost: e\r\nx y: z\r\n\r\n"),
        ("http2", "GET /echo HTTP/2.0\r\nHost: e\r\n\r\n"),
        ("twohosts", "GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("clte", "POST /echo HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("twocl", "POST /echo HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc"),
        ("teidentity", "POST /echo HTTP/1.1\r\nHost: a\r\ntransfer-encoding: identity\r\n\r\n"),
        ("tegzip", "POST /echo HTTP/1.1\r\nHost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("badchunk", "POST /echo HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        ("nul", "GET /echo HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n"),
        ("getbody", "GET /echo HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\n\r\nabc"),
        ("ext", "POST /echo HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n"),
    ):
        logs = "rqh pairs 0\nlog prop response.code_details\nlog prop response.code\nlog pairs 0"
        yield case(f"hf-{title}", AREA, f"request: {title}", logs, wire=wire)
