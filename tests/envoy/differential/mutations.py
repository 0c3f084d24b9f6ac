"""``python -m tests.envoy.differential.mutations``: mistakes planted in the mock, each of which must be found out.

A mistake is a function of the mock replaced by one that does it nearly right.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, given, settings

import pytest_proxywasm as pw
from pytest_proxywasm.abi.enums import Status
from pytest_proxywasm.host import buffers, headermap
from pytest_proxywasm.host.http import codec, connection_manager, ends, reply, router
from pytest_proxywasm.host.http import stream as streams
from pytest_proxywasm.mock import stream as mock_stream
from pytest_proxywasm.toolkit import Toolkit

from .lives import Life, probe_lives
from .run import run

PROBE = Path(__file__).parents[3] / "fixtures/probe/probe.wasm"
EXAMPLES = 120
Mutation = Callable[[], Any]


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Mutation:
    return lambda: mock.patch.object(owner, name, make(getattr(owner, name)))


def _map_method(name: str, make: Callable[[Any], Any]) -> Mutation:
    return _replace(headermap.HeaderMap, name, make)


def _in_front(self: Any, key: bytes, value: bytes) -> None:
    headermap.HeaderMap.remove(self, key)
    self.entries.insert(0, (key, value))


def _keep_all(self: Any, entries: Any) -> None:
    for name, value in entries:
        self.add(name, value)


def _without_date(old: Any) -> Any:
    def finish(headers: Any, *args: Any, **options: Any) -> None:
        old(headers, *args, **options)
        headers.remove(b"date")

    return finish


def _lenient(old: Any) -> Any:
    def write(self: Any, start: int, length: int, value: bytes) -> Status:
        old(self, start, length, value)
        return Status.OK

    return write


MUTATIONS: dict[str, Mutation] = {
    "a header that is replaced moves to the front": _map_method("replace", lambda _: _in_front),
    "removing takes the first value only": _map_method(
        "remove",
        lambda old: (
            lambda self, name: (
                self.entries.remove(next(e for e in self.entries if e[0] == name))
                if any(e[0] == name for e in self.entries)
                else old(self, name)
            )
        ),
    ),
    "setting all pairs keeps what was there": _map_method("replace_all", lambda _: _keep_all),
    "the size of a map counts names only": _replace(
        headermap.HeaderMap, "byte_size", lambda _: property(lambda self: sum(len(n) for n, _ in self.entries))
    ),
    "any referer is let in": _replace(connection_manager, "is_referer", lambda _: lambda value: True),
    "a reply has no content-type": _replace(
        streams,
        "local_reply",
        lambda old: lambda *a, **k: (lambda r: (r[0].remove(b"content-type"), r)[1])(old(*a, **k)),
    ),
    "a reply is 200": _replace(streams, "local_reply", lambda old: lambda status, *a, **k: old(200, *a, **k)),
    "a reply to HEAD has a body": _replace(
        streams, "local_reply", lambda old: lambda *a, **k: old(*a, **{**k, "head": False})
    ),
    "a gRPC request gets a plain reply": _replace(streams, "is_grpc", lambda _: lambda headers: False),
    "no date": _replace(ends, "finish_response_headers", _without_date),
    "the connection is never closed": _replace(
        streams.HttpStreamCore, "closes_connection", lambda _: property(lambda self: False)
    ),
    "the router takes nothing out": _replace(router, "ROUTERS_OWN", lambda _: ()),
    "no timeout for the upstream": _replace(
        ends,
        "prepare_upstream_headers",
        lambda old: lambda h, *a: (old(h, *a), h.remove(b"x-envoy-expected-rq-timeout-ms"))[0],
    ),
    "invalid headers are sent on": _replace(ends, "problem_with_request", lambda _: lambda headers: None),
    "a status that is none is sent on": _replace(ends, "removed_required_header", lambda _: lambda headers: None),
    "a buffer takes writes anywhere": _replace(buffers.Buffer, "write", _lenient),
    "a read goes one byte too far": _replace(
        buffers, "view_read", lambda old: lambda view, start, size: old(view, start, size + 1)
    ),
    "cookies of HTTP/2 stay apart": _replace(
        mock_stream, "request_map", lambda old: lambda headers, request, version: old(headers, request, "1.1")
    ),
    "HTTP/2 ends a body as HTTP/1.1 does": _replace(
        mock_stream,
        "feed_request",
        lambda old: lambda core, request: (setattr(core, "http_version", "1.1"), old(core, request))[1],
    ),
    "the end of a response comes with its data": _replace(
        streams.HttpStreamCore,
        "response_body",
        lambda old: lambda self, data, end: old(self, data, end) if data or not end else None,
    ),
}
_ = codec, reply


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """The mock with a mistake in it."""
    with MUTATIONS[name](), contextlib.ExitStack() as stack:
        if name == "a read goes one byte too far":
            from pytest_proxywasm.host.hostcalls import maps

            stack.enter_context(mock.patch.object(maps, "view_read", buffers.view_read))
        yield


def found(name: str) -> str:
    """How a mistake shows; "" if it does not."""
    toolkit = Toolkit(PROBE.parent, backend="both")
    filter = toolkit.filter(PROBE)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(life=probe_lives())
    def agree(life: Life) -> None:
        run(toolkit, filter, life)

    try:
        with planted(name):
            agree()
    except pw.EnvoyDiffersError as error:
        return str(error).splitlines()[2]
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    finally:
        toolkit.close()
    return ""


def main() -> int:
    """The command; its exit status."""
    missed = 0
    for name in MUTATIONS if len(sys.argv) < 2 else sys.argv[1:]:
        how = found(name)
        missed += not how
        print(f"{'found ' if how else 'MISSED'}  {name}{': ' + how if how else ''}", flush=True)
    print(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} mistakes were found")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
