"""Hosts that begin with the state after a start are as hosts that were started: over the guests of every SDK."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_proxywasm import Filter, Response, Toolkit
from pytest_proxywasm.errors import FilterError
from pytest_proxywasm.mock import MockHost

CONFIGURATIONS = (
    ("filter=headers", "request-set=x-added: 1"),
    ("filter=callout", "cluster=there", "path=/check", "timeout-ms=500"),
    ("filter=fetcher", "cluster=there", "period-ms=2500"),
    ("filter=kinds",),
    ("filter=panic",),
)
CLUSTERS = {"there": Response(200, body=b"{}")}
NAMES = st.sampled_from(["x-a", "x-b", "authorization", "cookie", "x-user"])
VALUES = st.binary(max_size=6).map(lambda value: value.translate(None, b"\0\r\n").strip())
STEPS = st.one_of(
    st.tuples(
        st.just("request"),
        st.sampled_from(["GET", "POST"]),
        st.sampled_from(["/", "/admin?q=1", "/panic", "/x"]),
        st.lists(
            st.tuples(NAMES, st.binary(max_size=6).map(lambda b: b.translate(None, b"\0\r\n").strip())), max_size=3
        ),
        st.lists(st.binary(min_size=1, max_size=30), max_size=3),
    ),
    st.tuples(st.just("advance"), st.sampled_from([0.1, 1, 7])),
)


def seen(host: MockHost) -> tuple[Any, ...]:
    """All that a test can see of a host."""
    vms = [vm for worker in (host._main, *host.workers) for vm in worker.vms.values()]
    return (
        host.trace.text(wasi=True),
        host.logs,
        dict(host.metrics),
        {key: (value, host.shared_data.cas(key)) for key, value in host.shared_data.items()},
        dict(host.queues),
        host.clock.now_ns,
        [(vm.failed, sorted(vm.contexts)) for vm in vms],
        [callout.outcome for callout in host.callouts],
        len(host.pending_callouts),
    )


def inside(host: MockHost) -> list[Any]:
    """Memory and globals of its guests."""
    states = [
        vm.guest.instance.save()  # type: ignore[attr-defined]
        for worker in (host._main, *host.workers)
        for vm in worker.vms.values()
        if vm.guest.instance is not None  # type: ignore[attr-defined]
    ]
    return [(state.memory, state.globals) for state in states]


def act(host: MockHost, steps: list[Any]) -> list[Any]:
    """Do these steps; what could be seen after each."""
    out = []
    for step in steps:
        try:
            if step[0] == "advance":
                host.clock.advance(step[1])
                what: Any = None
            else:
                _, method, path, headers, chunks = step
                exchange = host.request(method, path, headers=headers, chunks=chunks or None)
                what = exchange.trace.text(wasi=True), exchange.response, exchange.upstream_request, exchange.details
        except FilterError as error:
            what = type(error), str(error)
        out.append((what, seen(host)))
    return out


@pytest.fixture(scope="module")
def mocks(toolkit: Toolkit) -> Toolkit:
    """Opens mock hosts, whatever the run's hosts are: these tests hold two of them against each other."""
    return toolkit if toolkit.backend == "mock" else Toolkit(toolkit.root, engine=toolkit.engine_choice)


@pytest.fixture(scope="module")
def resets(mocks: Toolkit) -> Callable[..., Any]:
    """Opens hosts that begin with a captured state."""

    def open_host(one: Filter, **options: Any) -> MockHost:
        for _ in range(2):
            mocks.host(one, **options).close()
        host = mocks.host(one, **options)
        (starts,) = mocks._starts
        newest = next(reversed(starts._known.values()))
        assert newest.captured is not None
        if not newest.worth_it:
            host.close()
            host = MockHost([one], engine=mocks.engine, started=newest.captured, **options)
        return host

    return open_host


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda lines: lines[0])
def test_a_reset_host_is_as_a_fresh_one(
    gallery: Filter, mocks: Toolkit, resets: Callable[..., MockHost], configuration: tuple[str, ...]
) -> None:
    """After the start, and after each of any steps; also when hosts before it trapped or grew their memory."""
    one = gallery.replace(configuration="\n".join(configuration))

    @settings(max_examples=5, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=st.lists(STEPS, max_size=5), seed=st.sampled_from([0, 7]), trace=st.booleans())
    def compare(steps: list[Any], seed: int, trace: bool) -> None:
        options: dict[str, Any] = {"seed": seed, "trace": trace, "on_trap": "continue", "clusters": CLUSTERS}
        fresh = MockHost([one], engine=mocks.engine, **options)
        reset = resets(one, **options)
        try:
            assert seen(reset) == seen(fresh)
            assert inside(reset) == inside(fresh)
            assert act(reset, steps) == act(fresh, steps)
            assert inside(reset) == inside(fresh)
            fresh.close()
            reset.close()
            assert reset.trace.text(wasi=True) == fresh.trace.text(wasi=True)
        finally:
            fresh.close()
            reset.close()

    compare()


def test_a_checkpoint_is_as_the_state_it_was_taken_in(gallery: Filter, mocks: Toolkit) -> None:
    """Any steps, a checkpoint, any other steps, back, and the same steps again."""

    @settings(max_examples=5, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(before=st.lists(STEPS, max_size=2), after=st.lists(STEPS, max_size=3), other=st.lists(STEPS, max_size=3))
    def compare(before: list[Any], after: list[Any], other: list[Any]) -> None:
        one = gallery.replace(configuration="filter=panic")
        with MockHost([one], engine=mocks.engine, on_trap="continue") as host:
            act(host, before)
            checkpoint, then = host.checkpoint(), (seen(host), inside(host))
            first = act(host, after)
            for _ in range(2):
                host.restore(checkpoint)
                assert (seen(host), inside(host)) == then
                act(host, other)
                host.restore(checkpoint)
                assert act(host, after) == first
                host.restore(checkpoint)

    compare()


def test_chains_workers_services_and_starts_like_envoys(
    gallery: Filter, mocks: Toolkit, resets: Callable[..., MockHost]
) -> None:
    """Several VMs and root contexts, their ids, ticks and queues."""
    first = gallery.replace(configuration="filter=metrics", name="first", vm_id="a")
    second = gallery.replace(configuration="filter=queue-receiver\nqueue=jobs", name="second", vm_id="b")
    options: dict[str, Any] = {"workers": 2, "starts": "envoy"}
    for _ in range(4):
        reset = mocks.host(first, second, **options)
        fresh = MockHost([first, second], engine=mocks.engine, **options)
        steps = [("request", "GET", "/", [], []), ("advance", 2), ("request", "POST", "/x", [], [b"a"])]
        assert (seen(reset), inside(reset)) == (seen(fresh), inside(fresh))
        assert act(reset, steps) == act(fresh, steps)
        assert inside(reset) == inside(fresh)
        reset.close()
        fresh.close()


def test_log_records_of_the_start_come_again(
    gallery: Filter, resets: Callable[..., MockHost], caplog: pytest.LogCaptureFixture, mocks: Toolkit
) -> None:
    one = gallery.replace(configuration="filter=headers")
    caplog.set_level(1, "proxywasm.guest")
    records = []
    for _ in range(6):
        caplog.clear()
        mocks.host(one).close()
        records.append([(r.levelno, r.getMessage(), r.pathname) for r in caplog.records])
    assert all(each == records[0] for each in records)
    assert logging.getLogger("proxywasm.guest").level == 1


def test_two_hosts_at_once_share_nothing(gallery: Filter, resets: Callable[..., MockHost]) -> None:
    one = gallery.replace(configuration="filter=metrics")
    left, right = resets(one), resets(one)
    before = seen(right)
    act(left, [("request", "GET", "/", [], []), ("advance", 5)])
    assert seen(right) == before
    left.close()
    assert right.get("/").outcome == "complete"
    right.close()
    assert seen_after_close(left)[0] == len(left.trace)


def seen_after_close(host: MockHost) -> tuple[int, int]:
    """What a closed host still shows."""
    return len(host.trace), len(host.logs)


def test_what_a_start_depends_on_tells_starts_apart(gallery: Filter, mocks: Toolkit) -> None:
    """Configuration, seed, node, limits; not the upstream, which is each host's own."""
    one = gallery.replace(configuration="filter=headers")
    for status in (200, 201, 202, 203):
        with mocks.host(one, upstream=Response(status), clusters={"c": Response(status)}) as host:
            assert host.get("/").response.status == status
            assert host._proxy.clusters["c"].handler.status == status
    from pytest_proxywasm.mock.starts import _key

    keys = [
        _key([one], options)
        for options in (
            {},
            {"seed": 1},
            {"node": {"id": "x"}},
            {"node": {"id": True}},
            {"node": {"id": 1}},
            {"clusters": {"c": None}},
            {"max_memory": 2**24},
            {"services": [one]},
            {"workers": 2},
        )
    ]
    assert len(set(keys)) == len(keys)
    assert _key([one], {"node": {"id": object()}}) is None
