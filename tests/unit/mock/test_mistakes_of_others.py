"""What other test tools get wrong, each held here; and crashes that were found in production."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_proxywasm import Filter, GuestTrap, Response, UsageError


def test_adding_a_header_that_exists_appends_a_second_entry(scripts: Any) -> None:
    """Others join the values, with or without a comma, or delete the header."""
    host = scripts.start("rqh add 0 x-a two")
    exchange = host.get("/", headers={"x-a": "one"})
    assert exchange.upstream_request.headers.get_all("x-a") == ["one", "two"]


def test_a_missing_header_is_not_found(scripts: Any) -> None:
    """Others panic, or say OK and empty; an empty header is OK and empty."""
    host = scripts.start("rqh get 0 nothing", "rqh get 0 empty")
    host.get("/", headers={"empty": ""})
    assert scripts.said(host) == ["get 0 nothing -> 1 (out untouched)", "get 0 empty -> 0 ptr=0 n=0"]


def test_bytes_that_are_not_text_pass_unchanged(scripts: Any) -> None:
    """Others decode header values and bodies, and lose bytes."""
    every = bytes(range(256))
    value = every.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
    host = scripts.start("rqh get 0 x-bytes", "rqb bget 0 0 999")
    exchange = host.post("/", headers={"x-bytes": value}, body=every, upstream=Response(200, {"y": value}, every))
    assert exchange.upstream_request.body == exchange.response.body == every
    for headers in (exchange.upstream_request.headers.raw, exchange.response.headers.raw):
        assert value in [content for _, content in headers]


def test_a_bad_id_is_a_status(scripts: Any) -> None:
    """Others end the whole test process."""
    host = scripts.start("rqh effctx 99", "rqh minc 96 1", "rqh qdeq 99", "rqh gclose 98")
    host.get("/")
    assert [line.split()[-1] for line in scripts.said(host)] != []
    assert [line.partition(" -> ")[2].split()[0] for line in scripts.said(host)] == ["2", "1", "1", "1"]


def test_a_missing_guest_is_an_error(tmp_path: Any) -> None:
    """Others skip the tests."""
    with pytest.raises(UsageError, match="there is no filter"):
        Filter(tmp_path / "missing.wasm")


def test_a_guest_that_was_built_again_is_the_new_one(tmp_path: Any, scripts: Any) -> None:
    """Others test the old one."""
    path = tmp_path / "filter.wat"
    frame = (
        '(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")) '
        '(func (export "malloc") (param i32) (result i32) (i32.const 64)) '
        '(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const {})))'
    )
    actions = []
    for result in (0, 2):
        path.write_text(frame.format(result), encoding="utf-8")
        actions.append(scripts.host(Filter(path)).stream().request_headers(end_of_stream=True))
    assert actions == [0, 2]


@pytest.mark.parametrize(("body", "end"), [("", "1"), ("x", "0")])
def test_the_end_of_stream_of_headers_is_true_without_a_body(body: str, end: str, scripts: Any) -> None:
    """Others say false always."""
    host = scripts.start()
    host.post("/", body=body)
    assert scripts.seen(host)[1].endswith(f" {end}")


def test_a_trap_while_starting_is_raised(scripts: Any) -> None:
    """Others swallow it."""
    with pytest.raises(Exception, match="the guest failed in proxy_on_configure"):
        scripts.start("cfg trap")


def test_state_of_the_guest_lives_as_long_as_its_vm(scripts: Any) -> None:
    """Others make a new instance for each callback."""
    host = scripts.start("rqh mdef 0 c", "rsh minc 4 1", "log minc 4 1")
    host.get("/")
    assert host.metrics["c"].value == 2


def test_ids_do_not_depend_on_tests_before(scripts: Any) -> None:
    """Others share them between tests."""
    script = ("rqh qreg q", "rqh sdset k v 0", "rqh mdef 0 c")
    first, second = scripts.start(*script), scripts.start(*script)
    for host in (first, second):
        host.get("/")
    assert scripts.said(first) == scripts.said(second)
    assert first.trace.text() == second.trace.text()


def test_several_callouts_at_once_answer_in_any_order(scripts: Any) -> None:
    """Others mix up their ids (fact E25)."""
    call = "rqh http aux 1000 '' :method GET :path /{} :authority a"
    host = scripts.start(call.format(1), call.format(2), call.format(3), "rqh ret 1", "http bget 4 0 99")
    host.cluster("aux")
    stream = host.stream()
    stream.request_headers(end_of_stream=True)
    for at in (1, 1, 0):
        pending = host.pending_callouts[at]
        pending.respond(Response(200, body=pending.callout.path))
    assert [line for line in scripts.seen(host) if "http_call_response" in line or "bget" in line] == [
        *("http_call_response 8 3 2 0", "  bget 4 0 99 -> 0 ptr=nz n=2 d=/2"),
        *("http_call_response 12 3 2 0", "  bget 4 0 99 -> 0 ptr=nz n=2 d=/3"),
        *("http_call_response 4 3 2 0", "  bget 4 0 99 -> 0 ptr=nz n=2 d=/1"),
    ]
    stream.close()


# Crashes found in production.


def test_a_client_that_goes_away_before_the_response(scripts: Any) -> None:
    """The filter is told the end, once."""
    host = scripts.start()
    stream = host.stream()
    stream.request_headers(end_of_stream=True)
    stream.reset()
    assert scripts.seen(host) == ["context_create 1", "request_headers 6 1", "log", "done", "delete"]
    exchange = stream.exchange
    assert (exchange.outcome, exchange.details, exchange.response) == ("reset", "downstream_remote_disconnect", None)


def test_headers_read_in_the_body_phase(scripts: Any) -> None:
    """They are gone (fact C17): single values are a bad argument, all of them nothing."""
    host = scripts.start("rqb#1 get 0 :path", "rqb#1 pairs 0", "rsh get 0 :path", "rsb#1 get 2 :status")
    host.post("/", body="x", upstream=Response(200, body="y"))
    assert scripts.said(host) == [
        "get 0 :path -> 2 (out untouched)",
        "pairs 0 -> 0 ptr=0 n=0",
        "get 0 :path -> 2 (out untouched)",
        "get 2 :status -> 2 (out untouched)",
    ]


def test_a_callout_answered_after_the_stream_has_gone(scripts: Any) -> None:
    """Fact E14: the answer comes, the context does not exist any more."""
    call = "rqh http aux 1000 '' :method GET :path / :authority a"
    host = scripts.start(call, "rqh ret 1", "http effctx 2", "http cont 0", clusters={"aux": None})
    stream = host.stream()
    stream.request_headers(end_of_stream=True)
    stream.reset()
    host.pending_callouts[0].respond(Response(200))
    assert scripts.seen(host)[-3:] == ["http_call_response 4 3 0 0", "  effctx 2 -> 2", "  cont 0 -> 0"]


def test_an_empty_body_piece_with_the_end_of_stream(scripts: Any) -> None:
    """A buffer that is there and empty."""
    host = scripts.start("rqb$ bget 0 0 99", "rqb$ bset 0 0 0 end")
    exchange = host.post("/", chunks=["ab"])
    assert scripts.said(host) == ["bget 0 0 99 -> 0 ptr=0 n=0", "bset 0 0 0 end -> 0"]
    assert exchange.upstream_request.body == b"abend"


def test_trailers_keep_the_end_of_stream_of_the_body_false(scripts: Any) -> None:
    """A filter that waits for it in the body waits for ever; trailers let its body go."""
    host = scripts.start("rqb ret 1", "rqb$ bset 0 0 99 never")
    exchange = host.post("/", body="kept", trailers={"a": "b"})
    assert [line for line in scripts.seen(host) if "body" in line] == ["request_body 4 0"]
    assert exchange.upstream_request.body == b"kept"


def test_a_guest_that_panics_on_the_second_answer_fails_one_test(scripts: Any) -> None:
    """The error is this request's; the process lives."""
    host = scripts.start("rsh#1 trap")
    with pytest.raises(GuestTrap):
        host.get("/")
    assert scripts.start().get("/").outcome == "complete"
