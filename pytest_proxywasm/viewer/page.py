"""One HTML file of a trace: the data as JSON in a page that shows it; knows traces and exchanges, no host.

Whatever a guest sent is data in the page and is shown as text: it cannot become markup or a script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from ..host.clock import START_NS
from ..model import Exchange, GuestLog, HeaderChanges, Request, Response
from ..trace import Callback, Hostcall, Trace, WasiCall
from ..trace.text import quoted, redacted, show, show_action, show_bytes

__all__ = ["page"]

_MOST_BYTES = 4096
_LANES = {
    "proxy_on_request_headers": "client",
    "proxy_on_request_body": "client",
    "proxy_on_request_trailers": "client",
    "proxy_on_request_metadata": "client",
    "proxy_on_new_connection": "client",
    "proxy_on_downstream_data": "client",
    "proxy_on_downstream_connection_close": "client",
    "proxy_on_response_headers": "upstream",
    "proxy_on_response_body": "upstream",
    "proxy_on_response_trailers": "upstream",
    "proxy_on_response_metadata": "upstream",
    "proxy_on_upstream_data": "upstream",
    "proxy_on_upstream_connection_close": "upstream",
    "proxy_on_http_call_response": "clusters",
    "proxy_on_grpc_receive": "clusters",
    "proxy_on_grpc_receive_initial_metadata": "clusters",
    "proxy_on_grpc_receive_trailing_metadata": "clusters",
    "proxy_on_grpc_close": "clusters",
}
"""Whose doing a callback is; the host's if it is not here."""

_TARGETS = {
    "proxy_http_call": "clusters",
    "proxy_grpc_call": "clusters",
    "proxy_grpc_stream": "clusters",
    "proxy_grpc_send": "clusters",
    "proxy_grpc_cancel": "clusters",
    "proxy_grpc_close": "clusters",
    "proxy_send_local_response": "client",
}
"""Where a hostcall goes; to the host if it is not here."""

_SECRET_PART = 6
"""How long a part of a hidden value is that is looked for by itself: a token without its scheme, a cookie's value."""


def page(
    trace: Trace,
    *,
    title: str,
    error: str = "",
    exchanges: Sequence[Exchange] = (),
    logs: Iterable[GuestLog] = (),
    redact: Iterable[str] = (),
) -> str:
    """A complete HTML document.

    Args:
        title: the test's name.
        error: what the test failed with.
        exchanges: shown above the trace, with what the filters changed; those of another part of the host's trace
            are left out.
        logs: what the guests logged, in order; they are shown where they were logged.
        redact: names of headers whose values are hidden, in ``error`` as well where exchanges have them.
    """
    hidden = frozenset(name.lower() for name in redact)
    there = {id(one) for one in trace}
    shown = [one for one in exchanges if one.request is not None and _belongs(one, there)]
    data = {
        "title": title,
        "error": _without_secrets(error, shown, hidden),
        "exchanges": [_exchange(one, hidden) for one in shown],
        "events": _events(trace, shown, hidden),
        "logs": sum(1 for _ in logs),
    }
    # "<" is all that could end the script element or begin a comment in it.
    encoded = json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    parts = {name: files(__package__).joinpath(f"viewer.{name}").read_text("utf-8") for name in ("html", "css", "js")}
    head, _, rest = parts["html"].partition("/*STYLE*/")
    middle, _, rest = rest.partition("/*DATA*/")
    before, _, after = rest.partition("/*SCRIPT*/")
    return "".join((head, parts["css"], middle, encoded, before, parts["js"], after))


def _value(value: Any) -> list[Any]:
    """A value as text, and as hex where the text does not show all bytes; a map as its rows."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    elif not isinstance(value, bytes):
        if (
            value
            and isinstance(value, (list, tuple))
            and all(isinstance(one, tuple) and len(one) == 2 for one in value)
        ):
            return [[[_bare(name), *_value(content)] for name, content in value]]
        return [show(value)]
    is_plain = value.isascii() and all(32 <= byte < 127 or byte in b"\n\t" for byte in value)
    return [_text(value)] if is_plain else [_text(value), _hex(value)]


def _text(value: bytes) -> str:
    return quoted(value[:_MOST_BYTES]) + (f"... ({len(value)} bytes)" if len(value) > _MOST_BYTES else "")


def _hex(value: bytes) -> str:
    return value[:_MOST_BYTES].hex(" ") + (" ..." if len(value) > _MOST_BYTES else "")


def _bare(name: Any) -> str:
    return show(name)[1:-1] if isinstance(name, (bytes, str)) else show(name)


def _fields(fields: Iterable[tuple[str, Any]]) -> list[list[Any]]:
    return [[name, *_value(value)] for name, value in fields]


def _belongs(exchange: Exchange, there: set[int]) -> bool:
    return not exchange.trace or any(id(event) in there for event in exchange.trace)


def _events(trace: Trace, exchanges: Sequence[Exchange], hidden: frozenset[str]) -> list[dict[str, Any]]:
    begins: dict[int, list[int]] = {}
    replied: set[int] = set()
    for number, one in enumerate(exchanges):
        if one.trace:
            begins.setdefault(id(one.trace[0]), []).append(number)
            if one.local_response is not None and one.upstream_response is None:
                replied.update(map(id, one.trace))
    made = []
    for event in trace:
        shown = _event(event, hidden)
        if id(event) in begins:
            shown["x"] = begins[id(event)]
        if shown["l"] == "upstream" and id(event) in replied:
            # Not from the upstream: the host sends a filter's reply back through the chain.
            shown["l"] = "host"
        made.append(shown)
    return made


def _event(event: Callback, hidden: frozenset[str]) -> dict[str, Any]:
    return {
        "n": event.name,
        "a": _fields(event.args.items()),
        "r": show_action(event.action) if event.finished else "did not return",
        "f": event.filter,
        "w": event.worker,
        "c": event.context_id,
        "t": round((event.time_ns - START_NS) / 1e6, 3) if event.time_ns is not None else None,
        "l": _LANES.get(event.name, "host"),
        "h": [_call(call, hidden) for call in event.hostcalls],
    }


def _call(call: Hostcall, hidden: frozenset[str]) -> dict[str, Any]:
    args, results = redacted(call, hidden)
    made: dict[str, Any] = {
        "n": call.name,
        "a": _fields(args.items()),
        "s": show(call.status) if call.status is not None else "",
        "r": _fields(results.items()),
        "l": _TARGETS.get(call.name, "host"),
    }
    note = _note(call, args)
    if note:
        made["o"] = note
    if call.reason:
        made["y"] = call.reason
    if call.injected:
        made["i"] = 1
    if isinstance(call, WasiCall):
        made["w"] = 1
    return made


def _note(call: Hostcall, args: dict[str, Any]) -> str:
    """What is told of a call beside its name where there is one line for it."""
    if call.name == "proxy_log":
        level = args.get("log_level")
        return f"{show(level).lower()}: {_text(_bytes(args.get('message', '')))[1:-1]}" if level is not None else ""
    if call.name == "proxy_send_local_response":
        return show(args.get("status_code", ""))
    if call.name == "proxy_http_call":
        headers = {_bytes(name): _bytes(value) for name, value in args.get("headers", ())}
        parts = (_bytes(args.get("upstream", "")), headers.get(b":method", b""), headers.get(b":path", b""))
        return " ".join(_text(part)[1:-1] for part in parts if part)
    if call.name in ("proxy_grpc_call", "proxy_grpc_stream"):
        return "/".join(_text(_bytes(args.get(name, "")))[1:-1] for name in ("service_name", "method_name"))
    return _text(_bytes(args["key"])) if "key" in args else ""


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _without_secrets(text: str, exchanges: Sequence[Exchange], hidden: frozenset[str]) -> str:
    """A text without the values that these headers have in the exchanges."""
    secrets = set()
    for one in exchanges:
        for message in (one.request, one.upstream_request, one.upstream_response, one.response):
            for name, value in message.headers.items() if message is not None else ():
                if name.lower() in hidden and value:
                    secrets.add(value)
                    secrets.update(part for part in re.split(r"[\s;,=]+", value) if len(part) >= _SECRET_PART)
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "<redacted>", text)
    return text


def _exchange(one: Exchange, hidden: frozenset[str]) -> dict[str, Any]:
    assert one.request is not None
    return {
        "title": f"{one.request.method} {_text(one.request.path.encode('utf-8', 'surrogateescape'))[1:-1]}",
        "outcome": one.outcome or "still running",
        "details": one.details,
        "status": one.response.status if one.response is not None else None,
        "reply": one.local_response is not None,
        "request": _message(one.request, hidden),
        "upstream_request": _message(one.upstream_request, hidden),
        "upstream_response": _message(one.upstream_response, hidden),
        "response": _message(one.response, hidden),
        "request_changes": _changes(one.request_changes, hidden) if one.request_after is not None else None,
        "response_changes": _changes(one.response_changes, hidden) if one.response_after is not None else None,
        "events": len(one.trace) if one.trace is not None else 0,
    }


def _message(message: Request | Response | None, hidden: frozenset[str]) -> dict[str, Any] | None:
    if message is None:
        return None
    headers = message.headers.items()
    if isinstance(message, Request) and ":path" not in message.headers:
        pseudo = {":method": message.method, ":path": message.path, ":authority": message.authority}
        headers = [*pseudo.items(), *headers]
    return {
        "headers": [[name, _hide(name, value, hidden)] for name, value in headers],
        "body": _value(message.body) if message.body else None,
        "trailers": [[name, _hide(name, value, hidden)] for name, value in message.trailers.items()],
    }


def _hide(name: str, value: str, hidden: frozenset[str]) -> str:
    return "<redacted>" if name.lower() in hidden else show_bytes(value)[1:-1]


def _changes(changes: HeaderChanges, hidden: frozenset[str]) -> list[list[str]]:
    rows = []
    for name, values in changes.removed.items():
        rows += [["-", name, _hide(name, value, hidden)] for value in values]
    for name, (before, after) in changes.replaced.items():
        rows += [["-", name, _hide(name, value, hidden)] for value in before]
        rows += [["+", name, _hide(name, value, hidden)] for value in after]
    for name, values in changes.added.items():
        rows += [["+", name, _hide(name, value, hidden)] for value in values]
    return rows
