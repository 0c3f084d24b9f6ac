"""What the differential test has found wrong in the mock host, one case each."""

from __future__ import annotations

from collections.abc import Iterator

from .build import FULL, GET, HEAD, POST, Case, case, script

__all__ = ["cases"]

LENGTHS = ("abc", "%207", "-1", "%2b5", "99999999999999999999", "''")


def cases() -> Iterator[Case]:
    """The cases."""
    for number, length in enumerate(LENGTHS):
        yield case(
            f"diff-size-{number}",
            "properties",
            f"request.size with content-length {length}",
            script(
                "rqh",
                "prop request.size",
                f"rep 0 content-length {length}",
                "prop request.size",
                "rem 0 content-length",
                "prop request.size",
            ),
            wire=POST,
        )
    yield case(
        "diff-authority",
        "headers",
        ":authority in a response is written as host",
        "rsh setpairs 2 :method GET :path /new :authority a :scheme http :status 200",
        wire=GET,
    )
    yield case(
        "diff-head-method",
        "bodies",
        "a response to HEAD whose method a filter has changed",
        script("rqh", "rep 0 :method GET") + "\nrsb bget 1 0 100",
        wire=HEAD,
    )
    yield case(
        "diff-head-status",
        "bodies",
        "a refused response to HEAD whose method a filter has changed",
        "rqh rep 0 :method GET\nrsh rem 2 :status",
        wire=HEAD,
    )
    yield case(
        "diff-head-local",
        "replies",
        "a reply to HEAD whose method a filter has changed",
        "rqh rep 0 :method GET\nrqh local 403 denied body -1",
        wire=HEAD,
    )
    yield case(
        "diff-no-status",
        "headers",
        "a response without status",
        "rsh rem 2 :status\nlog pairs 2\nlog prop response.code",
        wire=GET,
    )
    yield case(
        "diff-head-grpc",
        "replies",
        "a reply to a gRPC request whose method is HEAD",
        "rqh local 403 denied body -1",
        wire="HEAD /fixed HTTP/1.1\r\nHost: example.com\r\ncontent-type: application/grpc\r\n\r\n",
    )
    yield case(
        "diff-resume-and-pass",
        "failures",
        "a response that ends with its headers is resumed in their callback, and passed",
        "rsh cont 1",
        wire="GET /status?c=204 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    )
    yield case(
        "diff-grpc-forgotten",
        "replies",
        "a reply to a gRPC request whose content-type a filter has removed",
        "rqh#1 rem 0 content-type\nrqh local 403 denied body -1",
        wire="POST /fixed HTTP/1.1\r\nHost: example.com\r\ncontent-type: application/grpc\r\n\r\n",
    )
    yield case(
        "diff-grpc-made",
        "replies",
        "a reply to a request that a filter has made gRPC",
        "rqh rep 0 content-type application/grpc\nrqh local 403 denied body -1",
        wire=GET,
    )
    for number, event in enumerate(("rsh", "rsb")):
        yield case(
            f"diff-held-cut-{number}",
            "failures",
            f"the upstream breaks off while a filter holds the response in {event}",
            f"rsh ret 1\n{event} ret 1\nlog prop response.code_details\nlog prop response.code\nlog pairs 2",
            wire="GET /cut HTTP/1.1\r\nHost: example.com\r\n\r\n",
        )
    yield case(
        "diff-grpc-replaced",
        "replies",
        "a reply to a gRPC request in place of the upstream's response",
        "rsh local 403 denied body -1\nlog prop response.grpc_status\nlog prop response.code\nlog pairs 2"
        "\nlog prop response.headers.x-up\nlog prop response.headers.grpc-status",
        wire="POST /anything HTTP/1.1\r\nHost: example.com\r\ncontent-type: application/grpc\r\n\r\n",
    )
    timeout = "rqh add 0 x-envoy-upstream-rq-timeout-ms 300\nlog pairs 2\nlog prop response.flags\nlog prop response.code_details"
    for number, (held, kind) in enumerate(
        (("", ""), ("rsh ret 1\n", ""), ("rsh ret 1\n", "content-type: application/grpc\r\n"))
    ):
        yield case(
            f"diff-timeout-{number}",
            "failures",
            "the upstream is too slow behind its headers" + (", which a filter holds" if held else ""),
            held + timeout,
            wire=f"POST /chunked?n=3&sz=3&d=2 HTTP/1.1\r\nHost: example.com\r\n{kind}content-length: 0\r\n\r\n",
        )
    held = script("rqh", "http aux 1000 '' :method GET :path /aux :authority a", "ret 1")
    held += "\n" + script("http", "effctx 2", "rem 0 :method", "cont 0")
    yield case(
        "diff-refused-and-let-go",
        "failures",
        "a request that a filter lets go without its method, with the body that had come",
        f"{held}\nlog prop response.code_details\nlog prop response.flags",
        wire=FULL,
    )
