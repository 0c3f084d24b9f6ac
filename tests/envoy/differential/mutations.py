"""``python -m tests.envoy.differential.mutations``: small mistakes planted in the mock, each of which must be caught.

A mistake is caught by a generated life on which the mock with the mistake in it and Envoy differ. To find such a life
soon, lives are run in the mock alone at first, with and without the mistake; the ones that tell them apart are then run
beside Envoy.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed

import pytest_proxywasm as pw
from pytest_proxywasm.abi.enums import MetricType, Status
from pytest_proxywasm.headers import to_text
from pytest_proxywasm.host import buffers, callouts, headermap, properties, shared
from pytest_proxywasm.host.context import RootContext
from pytest_proxywasm.host.headermap import HeaderMap
from pytest_proxywasm.host.http import codec, connection_manager, context, ends, iteration, reply, stream, table
from pytest_proxywasm.host.http.table import DataVerdict, Effect, Event, Iteration, Step
from pytest_proxywasm.toolkit import Toolkit

from .lives import Life, probe_lives
from .run import run

__all__ = ["MUTATIONS", "catch", "draw_lives"]

PROBE = Path(__file__).parents[3] / "fixtures/probe/probe.wasm"
Mutation = Callable[[], AbstractContextManager[Any]]


def _replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Mutation:
    """``owner.name`` becomes what ``make`` makes of it."""
    return lambda: patch.object(owner, name, make(getattr(owner, name)))


def _remove_first(self: HeaderMap, name: bytes) -> None:
    key = self._key(name)
    at = next((i for i, entry in enumerate(self.entries) if entry[0] == key), None)
    if at is not None:
        del self.entries[at]


def _last_value(self: HeaderMap, name: bytes) -> bytes | None:
    values = self.get_all(name)
    return values[-1] if values else None


def _insert_at_end(self: HeaderMap, key: bytes, value: bytes) -> None:
    self.entries.append((key, value))


def _always_equal(original: Any) -> Any:
    return lambda self, vm_id, key, value, cas: original(self, vm_id, key, value, 0)


def _newest_first(original: Any) -> Any:
    def dequeue(self: shared.Queues, queue_id: int) -> bytes | Status:
        queue = self.by_id.get(queue_id)
        return queue.items.pop() if queue is not None and queue.items else original(self, queue_id)

    return dequeue


def _counts_down(original: Any) -> Any:
    def increment(self: shared.MetricIds, metric_id: int, delta: int) -> Status:
        stat = self._stats.get(metric_id)
        if stat is not None and stat.kind is MetricType.COUNTER:
            stat.value += delta
            return Status.OK
        status: Status = original(self, metric_id, delta)
        return status

    return increment


def _write_in_the_middle(original: Any) -> Any:
    def write(self: buffers.Buffer, start: int, length: int, value: bytes) -> Status:
        if 0 < start < len(self.data):
            self.data[start : start + length] = value
            return Status.OK
        status: Status = original(self, start, length, value)
        return status

    return write


def _without(name: bytes) -> Callable[[Any], Any]:
    """A local reply without a header."""

    def make(original: Any) -> Any:
        def local_reply(*args: Any, **options: Any) -> Any:
            headers, body = original(*args, **options)
            headers.remove(name)
            return headers, body

        return local_reply

    return make


def _response_in_chain_order(original: Any) -> Any:
    def init(self: iteration.Direction, filters: Any, *args: Any, is_request: bool = False) -> None:
        original(self, filters if is_request else filters[::-1], *args, is_request=is_request)

    return init


def _no_trailers(original: Any) -> Any:
    def trailers(self: iteration.Direction, start: int) -> None:
        original(self, len(self.entries))

    return trailers


def _never_the_end(original: Any) -> Any:
    return lambda self, data, end_of_stream: original(self, data, False)


def _one_more(original: Any) -> Any:
    def request(*args: Any) -> Any:
        group = original(*args)
        group["total_size"] += 1
        return group

    return request


def _date_last(original: Any) -> Any:
    def finish(headers: HeaderMap, now: float, **options: Any) -> None:
        original(headers, now, **options)
        date = headers.get(b"date")
        headers.remove(b"date")
        if date is not None:
            headers.add(b"date", date)

    return finish


def _table(state: Iteration, event: Event, effect: Effect) -> Mutation:
    return lambda: patch.dict(table.TABLE, {(state, event): Step(effect, Iteration.CONTINUE)})


@contextmanager
def _verdict_one_drops() -> Iterator[None]:
    def data_verdict(result: int, *, local_response: bool) -> DataVerdict:
        return table.data_verdict(3 if result == 1 else result, local_response=local_response)

    with patch.object(context, "data_verdict", data_verdict):
        yield


MUTATIONS: dict[str, Mutation] = {
    "ticks are not stopped by a period of 0": _replaced(
        RootContext, "set_tick_period", lambda old: lambda self, period: old(self, period) if period else None
    ),
    "replacing a header keeps its place": _replaced(HeaderMap, "replace", lambda old: HeaderMap.set),
    "removing a header leaves its second entry": _replaced(HeaderMap, "remove", lambda old: _remove_first),
    "the last value of a header is got, not the first": _replaced(HeaderMap, "get", lambda old: _last_value),
    "a new pseudo header stands last": _replaced(HeaderMap, "_insert", lambda old: _insert_at_end),
    "no request header is joined": _replaced(headermap, "REQUEST_INLINE", lambda old: frozenset()),
    "no response header is joined": _replaced(headermap, "RESPONSE_INLINE", lambda old: frozenset()),
    "one internal request header is let in": _replaced(
        connection_manager, "INTERNAL", lambda old: [name for name in old if name != b"x-envoy-force-trace"]
    ),
    "a cookie of HTTP/2 keeps its place": _replaced(
        importlib.import_module("pytest_proxywasm.mock.stream"),
        "request_map",
        lambda old: lambda headers, request, version: codec.request_map(headers, request, "1.1"),
    ),
    "a date stands after the server": _replaced(ends, "finish_response_headers", _date_last),
    "a reply has no content-length": _replaced(stream, "local_reply", _without(b"content-length")),
    "a reply to gRPC is one like others": _replaced(stream, "is_grpc", lambda old: lambda request: False),
    "403 is the wrong gRPC status": _replaced(reply, "_HTTP_TO_GRPC", lambda old: {**old, 403: 16}),
    "the response passes filters in chain order": _replaced(iteration.Direction, "__init__", _response_in_chain_order),
    "filters do not see trailers": _replaced(iteration.Direction, "_trailers", _no_trailers),
    "no body callback is told of the end": _replaced(context.Side, "on_data", _never_the_end),
    "a body callback that buffers drops the data": _verdict_one_drops,
    "a filter that held the body passes on its last piece only": _table(
        Iteration.STOP_SINGLE, Event.DATA_CONTINUE, Effect.NEXT
    ),
    "StopIteration of headers holds everything": _replaced(
        context,
        "headers_verdict",
        lambda old: lambda result, **options: old(result, **{**options, "allow_stop_iteration": False}),
    ),
    "a body can be written in the middle": _replaced(buffers.Buffer, "write", _write_in_the_middle),
    "compare-and-set does not compare": _replaced(shared.SharedData, "set", _always_equal),
    "a queue gives the newest item": _replaced(shared.Queues, "dequeue", _newest_first),
    "a counter goes down": _replaced(shared.MetricIds, "increment", _counts_down),
    "request.total_size is one more": _replaced(
        properties, "_STREAM", lambda old: {**old, b"request": _one_more(old[b"request"])}
    ),
    "a callout has no x-envoy-internal": _replaced(
        callouts,
        "prepare_upstream_headers",
        lambda old: lambda headers, *rest: (headers.remove(b"x-envoy-internal"), old(headers, *rest))[1],
    ),
    "a refused call has an empty body": _replaced(
        callouts, "_local", lambda old: lambda status, body: old(status, b"")
    ),
}
"""Mistakes by what they do."""


def draw_lives(count: int, seed: int) -> list[Life]:
    """So many generated lives."""
    found: list[Life] = []

    @with_seed(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(life=probe_lives())
    def draw(life: Life) -> None:
        found.append(life)

    draw()
    return found


def observe(life: Life) -> list[str]:
    """All that can be seen of a life in the mock."""
    toolkit = Toolkit(PROBE.parent)
    chain = [toolkit.filter(PROBE).replace(**options) for options in life.filters]
    seen: list[str] = []
    with toolkit.host(*chain, clusters=life.clusters, on_trap="continue") as host:
        for step in life.steps:
            host.clock.advance(step.after)
            with suppress(pw.StreamStalled, pw.EnvoyCrashError, pw.NotEmulatedError):
                host.request(**step.arguments, upstream=step.upstream)
            one = host.exchanges[-1] if host.exchanges else pw.Exchange()
            calls = [(call.headers, call.body) for call in one.callouts]
            seen.append(f"{one.details} {calls!r} {one.response!r} {one.upstream_request!r} {one.trace.text()}")
        seen += [to_text(repr(dict(host.metrics)).encode()), host.trace.text()]
    return seen


def catch(toolkit: Toolkit, mutation: Mutation, lives: Sequence[Life], usual: dict[int, list[str]]) -> int | None:
    """How many exchanges it takes until a mistake is caught; ``None`` if it is not.

    Args:
        toolkit: of the backend ``both``.
        usual: what is seen of each life without a mistake, filled as needed.
    """
    exchanges = 0
    for number, life in enumerate(lives):
        exchanges += len(life.steps)
        if number not in usual:
            usual[number] = observe(life)
        with mutation():
            if observe(life) == usual[number]:
                continue
            try:
                run(toolkit, toolkit.filter(PROBE), life)
            except pw.EnvoyDiffersError:
                return exchanges
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.envoy.differential.mutations", description=__doc__)
    parser.add_argument("--lives", type=int, default=1500, help="how many generated lives there are to catch a mistake")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.getLogger("proxywasm.guest").disabled = True
    lives = draw_lives(options.lives, options.seed)
    usual: dict[int, list[str]] = {}
    missed = 0
    for name, mutation in MUTATIONS.items():
        toolkit = Toolkit(PROBE.parent, backend="both")
        try:
            exchanges = catch(toolkit, mutation, lives, usual)
        finally:
            toolkit.close()
        missed += exchanges is None
        print(f"{name}: " + ("NOT CAUGHT" if exchanges is None else f"after {exchanges} exchanges"), flush=True)
    print(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} mistakes were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
