"""The invariants that show in what a host has run already: its exchanges and its trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..abi.enums import Status
from ..code import text_code
from ..errors import FilterError, StreamStalled
from ..headers import Headers
from ..mock.explain import explain_stall
from ..model import Exchange, Response
from ..trace import Hostcall
from .named import INVARIANTS, InvariantError

if TYPE_CHECKING:
    from ..mock import MockHost

_EXPECTED = (Status.OK, Status.NOT_FOUND, Status.EMPTY)


def no_trap(host: MockHost) -> None:
    """No exchange has an error; with ``on_trap="raise"`` it would have been raised before."""
    for exchange in host.exchanges:
        for error in exchange.errors:
            if isinstance(error, FilterError) and not isinstance(error, StreamStalled):
                raise InvariantError(INVARIANTS["no_trap"], str(error), traces=[exchange.trace])


def no_stall(host: MockHost) -> None:
    """No open stream is held while nothing is due that could resume it."""
    for core in host._streams:
        held = core.request.held_by is not None or core.response.held_by is not None
        if held and not core.ended and host.clock.next_due_ns is None and not host.pending_callouts:
            message, _ = explain_stall(host._proxy, core, 0)
            raise InvariantError(INVARIANTS["no_stall"], message, traces=[host._sync(core).trace])


def one_reply(host: MockHost) -> None:
    """No context has replied twice."""
    replied: dict[tuple[int, str, int], Hostcall] = {}
    for callback in host.trace:
        context = callback.context_id
        for call in callback.hostcalls:
            if call.name == "proxy_set_effective_context" and call.status == Status.OK:
                context = int(next(iter(call.args.values())))
            elif call.name == "proxy_send_local_response" and call.status == Status.OK:
                key = callback.worker, callback.filter, context
                before = replied.get(key)
                if before is not None:
                    first, second = (_reply(one) for one in (before, call))
                    raise InvariantError(
                        INVARIANTS["one_reply"],
                        f"the filter replied twice to one stream: {first}, then {second}",
                        traces=[host.trace],
                    )
                replied[key] = call


def _reply(call: Hostcall) -> str:
    callback = call.callback.name if call.callback is not None else "a callback"
    return f"{call.args['status_code']} {text_code(call.args['body'])} in {callback}"


def content_length(exchange: Exchange) -> None:
    """Bodies that have left are as long as announced."""
    if exchange.outcome != "complete":
        return
    request, response = exchange.upstream_request, exchange.response
    if request is not None and exchange.upstream_response is not None and exchange.local_response is None:
        _length("request that the upstream got", request.headers, request.body, exchange)
    bodiless = exchange.request is not None and exchange.request.method == "HEAD"
    if response is not None and not bodiless and response.status not in (204, 304):
        _length("response that the client got", response.headers, response.body, exchange)


def _length(what: str, headers: Headers, body: bytes, exchange: Exchange) -> None:
    said = headers.get("content-length")
    if said is None or said == str(len(body)):
        return
    raise InvariantError(
        INVARIANTS["content_length"],
        f"the {what} has content-length {said!r} and a body of {len(body)} bytes: {text_code(body[:80])}",
        traces=[exchange.trace],
        details="A filter that changes a body removes content-length (Envoy then sends chunks), or sets it anew, while "
        "it still has the headers.",
    )


def repeated_headers(host: MockHost, exchange: Exchange) -> None:
    """Of headers whose name the guests do not hold, none has lost a value on its way."""
    for what, before, after in (
        ("request header", exchange.request_before, exchange.request_after),
        ("response header", exchange.response_before, exchange.response_after),
        *_trailers(exchange),
    ):
        if before is None or after is None:
            continue
        for name in dict.fromkeys(name for name, _ in before):
            problem = _lost(before.get_all(name), after.get_all(name))
            if problem and not _knows(host, name) and not _names(exchange, name):
                raise InvariantError(
                    INVARIANTS["repeated_headers"], f"{what} {name!r} {problem}", traces=[exchange.trace]
                )


def _trailers(exchange: Exchange) -> list[tuple[str, Headers | None, Headers | None]]:
    pairs: list[tuple[str, Any, Any]] = []
    sent, arrived = exchange.request, exchange.upstream_request
    if sent is not None and arrived is not None and exchange.outcome == "complete" and exchange.local_response is None:
        pairs.append(("request trailer", sent.trailers, arrived.trailers))
    answered, got = exchange.upstream_response, exchange.response
    if isinstance(answered, Response) and got is not None and exchange.outcome == "complete":
        pairs.append(("response trailer", answered.trailers, got.trailers))
    return pairs


def _lost(before: list[str], after: list[str]) -> str:
    """What happened to the values of a name; "" if all or none have passed."""
    if not after:
        return ""
    joined = "\n".join(after)
    shown = f"{_shown(before)} became {_shown(after)}"
    if len(after) < len(before) and any(value not in joined for value in before):
        return f"lost a value: {shown}"
    if "\ufffd" in joined and "\ufffd" not in "".join(before):
        return f"is not what it was: {shown}"
    return ""


def _shown(values: list[str]) -> str:
    return " and ".join(text_code(value.encode("utf-8", "surrogateescape")) for value in values)


def _names(exchange: Exchange, name: str) -> bool:
    """Whether a guest changed just this header: then it meant to."""
    changes = ("proxy_replace_header_map_value", "proxy_remove_header_map_value")
    calls = exchange.trace.hostcalls() if exchange.trace is not None else []
    return any(call.name in changes and str(call.args.get("key", "")).lower() == name for call in calls)


def _knows(host: MockHost, name: str) -> bool:
    """Whether a guest of the chain holds the name anywhere, in its module or its configuration."""
    # AssemblyScript keeps its strings in UTF-16.
    spellings = name.encode(), name.encode("utf-16-le")
    for one in host.filters:
        for text in (one.configuration, one.vm_configuration, one.wasm_bytes()):
            lower = text.lower()
            if any(spelling in lower for spelling in spellings):
                return True
    return False


def ignored_errors(host: MockHost) -> tuple[Hostcall, ...]:
    """Hostcalls that answered an error, in callbacks that went on."""
    return tuple(
        call
        for callback in host.trace
        if callback.finished
        for call in callback.hostcalls
        if isinstance(call.status, Status) and call.status not in _EXPECTED
    )
