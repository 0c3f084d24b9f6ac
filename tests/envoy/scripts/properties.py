"""Properties: every path in every phase; what filters set themselves."""

from __future__ import annotations

from collections.abc import Iterator

from .build import FULL, GET, GRPC, HEAD, POST, Case, case, chunked, request, script
from .phases import PHASES, in_phase

AREA = "properties"

PATHS = """
request request.path request.url_path request.host request.scheme request.method request.headers
request.headers.x-foo request.headers.X-Foo request.headers.nope request.headers.:path request.headers.host
request.headers.cookie request.referer request.useragent request.id request.protocol request.query
request.size request.total_size request.nope request.path.x request.headers.x-foo.y request.time request.duration
response response.code response.code_details response.flags response.grpc_status response.headers
response.headers.content-type response.headers.x-multi response.trailers response.trailers.x-trail response.size
response.total_size response.nope response.backend_latency
source source.address source.port source.nope destination destination.address destination.port
connection connection.id connection.mtls connection.requested_server_name connection.tls_version
connection.subject_local_certificate connection.subject_peer_certificate connection.dns_san_local_certificate
connection.dns_san_peer_certificate connection.uri_san_local_certificate connection.uri_san_peer_certificate
connection.sha256_peer_certificate_digest connection.termination_details connection.transport_failure_reason
connection.nope connection_id
upstream upstream.address upstream.port upstream.local_address upstream.tls_version upstream.transport_failure_reason
upstream.request_attempt_count upstream.cx_pool_ready_duration upstream.locality upstream.subject_local_certificate
upstream.uri_san_peer_certificate upstream.sha256_peer_certificate_digest upstream.nope upstream.cluster
metadata metadata.filter_metadata metadata.filter_metadata.m metadata.typed_filter_metadata metadata.nope
filter_state filter_state.nope upstream_filter_state upstream_filter_state.nope
node node.id node.metadata cluster_name cluster_metadata route_name route_metadata listener_direction
listener_metadata upstream_host_metadata virtual_host_name virtual_host_metadata
plugin_name plugin_root_id plugin_vm_id plugin_name.x
xds xds.node.id xds.node.cluster xds.node.metadata xds.node.metadata.k xds.node.metadata.num xds.node.metadata.b
xds.node.metadata.nested xds.node.metadata.nested.a xds.node.metadata.list xds.node.metadata.nope xds.node.locality
xds.node.locality.region xds.node.locality.zone xds.node.locality.sub_zone xds.node.user_agent_name xds.node.nope
xds.node.client_features xds.node.listening_addresses
xds.cluster_name xds.cluster_metadata xds.cluster_metadata.filter_metadata xds.route_name xds.route_metadata
xds.route_metadata.filter_metadata xds.route_metadata.filter_metadata.m xds.route_metadata.filter_metadata.m.a
xds.virtual_host_name xds.virtual_host_metadata xds.upstream_host_metadata
xds.upstream_host_metadata.filter_metadata xds.upstream_host_locality_metadata xds.filter_chain_name
xds.listener_metadata xds.listener_metadata.filter_metadata xds.listener_direction xds.nope
nope nope.x wasm wasm.x ''
""".split()

NODE = {
    "id": "nid",
    "cluster": "ncl",
    "metadata": {"k": "v", "num": 5, "nested": {"a": "b"}, "list": ["x", "y"], "b": True},
    "locality": {"region": "r", "zone": "z"},
}
ROUTE = {
    "name": "r1",
    "match": {"prefix": "/"},
    "route": {"cluster": "web"},
    "metadata": {"filter_metadata": {"m": {"a": [1, "x", {"p": True}]}}},
}
WIRE = chunked(
    "/chunked?n=2&sz=3&d=0&tr=1",
    "hello",
    fields=("x-foo: 1", "x-foo: 2", "cookie: a=1", "cookie: b=2", "referer: http://r/", "user-agent: ua"),
    trailers=("x-t: v",),
)
READ = [f"prop {path}" for path in PATHS]


def cases() -> Iterator[Case]:
    """All of them."""
    for phase in PHASES:
        yield in_phase(f"pp-{phase}", AREA, f"all paths in {phase}", phase, *READ, wire=WIRE,
                       envoy={"node": NODE, "routes": [ROUTE]}, name="pn", root_id="ri", vm_id="vi")  # fmt: skip
        yield in_phase(f"ps-{phase}", AREA, f"set and read in {phase}", phase, "setprop k v", "prop k", "rprop k",
                       "prop filter_state.wasm.k", "rprop filter_state%00wasm.k", "prop filter_state", "setprop a.b v",
                       "prop a.b", "rprop a.b", "setprop a%00b w", "rprop a%00b", "rprop a%00b%00", "setprop '' e",
                       "prop ''", "setprop k ''", "prop k", "setprop request.path z", "prop request.path",
                       "setprop filter_state x", "setprop plugin_name z", "prop plugin_name", "prop wasm.k",
                       "setprop k2 v2", after="log prop k\nlog prop k2\nlog prop filter_state\ndone prop k2",
                       wire=WIRE)  # fmt: skip
        yield in_phase(f"pn-{phase}", AREA, f"all paths in {phase}, nothing configured", phase, *READ, wire=FULL)
    last = [line for path in PATHS if path.startswith(("re", "up", "con")) for line in (f"prop {path}",)]
    short = "\n".join(f"log prop {p}" for p in ("response.code", "response.code_details", "response.flags",
                                                "response.size", "response.total_size", "request.size",
                                                "request.total_size", "response.grpc_status", "upstream.address",
                                                "upstream.transport_failure_reason",
                                                "upstream.request_attempt_count", "connection.termination_details",
                                                "request.duration", "response.backend_latency"))  # fmt: skip
    dead = {"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "dead"}}]}
    nohosts = {"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "nohosts"}}]}
    gone = {"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "missing"}}]}
    direct = {
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 299, "body": {"inline_string": "dr"}}}]
    }
    none = {"routes": [{"match": {"prefix": "/none"}, "route": {"cluster": "web"}}]}
    brief = {"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "web", "timeout": "0.2s"}}]}
    for tag, wire, envoy, lines in (
        ("get", GET, None, ""), ("post", POST, None, ""), ("head", HEAD, None, ""), ("grpc", GRPC, None, ""),
        ("204", request("GET", "/status?c=204"), None, ""), ("404", request("GET", "/status?c=404"), None, ""),
        ("503", request("GET", "/status?c=503"), None, ""), ("cut", request("GET", "/cut"), None, ""),
        ("dead", GET, dead, ""), ("deadpost", POST, dead, ""), ("nohosts", GET, nohosts, ""), ("none", GET, none, ""),
        ("direct", GET, direct, ""), ("timeout", request("GET", "/slow?d=0.6"), brief, ""),
        ("nobody", request("GET", "/none"), none, ""),
        ("local", GET, None, "rqh local 403 why body -1"), ("localrsh", GET, None, "rsh local 403 why body -1"),
        ("localrsb", GET, None, "rsb local 403 why body -1"), ("close", GET, None, "rqh close 0"),
        ("closersh", GET, None, "rsh close 0"), ("hang", GET, None, "rqh ret 1"), ("hangrsh", GET, None, "rsh ret 1"),
        ("hangrsb", GET, None, "rsb ret 1"), ("hangrqb", POST, None, "rqb ret 1"), ("trap", GET, None, "rsh trap"),
        ("badstatus", GET, None, "rsh rem 2 :status"), ("badhdr", GET, None, "rqh add 0 x%20y v"),
        ("nopath", GET, None, "rqh rem 0 :path"), ("nomethod", GET, None, "rqh rem 0 :method"),
        ("slowup", request("GET", "/slow?d=0.3"), None, ""), ("dup", request("GET", "/dup"), None, ""),
        ("chunked", request("GET", "/chunked?n=3&sz=4&d=0.02"), None, ""),
        ("missing", GET, gone, ""),
    ):  # fmt: skip
        yield case(
            f"pe-{tag}", AREA, f"what is known at the end: {tag}", lines, "rsh pairs 2", short, wire=wire, envoy=envoy
        )
        yield case(
            f"pf-{tag}", AREA, f"everything in the log: {tag}", lines, script("log", *last), wire=wire, envoy=envoy
        )
    for tag, path in (("plain", "/a"), ("query", "/a?b=c&d=e"), ("empty", "/a?"), ("frag", "/a%23b"), ("two", "/a?b?c"),
                      ("root", "/"), ("slashes", "//a//b/")):  # fmt: skip
        see = script("rqh", "prop request.path", "prop request.url_path", "prop request.query", "prop request.headers")
        yield case(f"pq-{tag}", AREA, f"path {path}", see, wire=request("GET", path))
    for m, event in ((0, "rqh"), (2, "rsh")):
        group = "request" if m == 0 else "response"
        yield case(f"ph-{event}", AREA, "header properties after changes", script(
            event, f"add {m} x-a 1", f"add {m} x-a 2", f"prop {group}.headers.x-a", f"rep {m} x-b ''",
            f"prop {group}.headers.x-b", f"prop {group}.headers.X-B", f"prop {group}.headers", f"rem {m} x-a",
            f"prop {group}.headers.x-a", f"rep {m} :path /z?y", "prop request.path", "prop request.query",
            f"rep {m} :status 404", "prop response.code", f"rep {m} user-agent u", "prop request.useragent",
            f"rep {m} host hh", "prop request.host"))  # fmt: skip
    two = [
        {"name": "A", "root_id": "A", "configuration": "rqh setprop k a\nrsh prop k\nrsh prop kb\nlog prop kb"},
        {
            "name": "B",
            "root_id": "B",
            "configuration": "rqh prop k\nrqh setprop k b\nrqh setprop kb 1\nrsh setprop kb 2",
        },
    ]
    yield case("px-two", AREA, "two filters share what they set", filters=two)
    for direction in ("UNSPECIFIED", "INBOUND", "OUTBOUND"):
        yield case(f"px-{direction}", AREA, direction, "rqh prop xds.listener_direction\nrqh prop listener_direction",
                   envoy={"listener_extra": {"traffic_direction": direction}})  # fmt: skip
    for tag, routes in (
        ("named", [{"name": "n1", "match": {"path": "/fixed"}, "route": {"cluster": "aux"}}]),
        ("second", [{"name": "n1", "match": {"path": "/x"}, "route": {"cluster": "aux"}},
                    {"name": "n2", "match": {"prefix": "/f"}, "route": {"cluster": "web"}}]),
    ):  # fmt: skip
        route = (
            "prop xds.route_name",
            "prop xds.cluster_name",
            "prop xds.virtual_host_name",
            "prop xds.route_metadata",
        )
        yield case(f"pr-{tag}", AREA, f"route {tag}", script("rqh", *route), script("rqh", "rep 0 :path /x", *route),
                   script("rsh", *route), script("log", *route), envoy={"routes": routes})  # fmt: skip
