"""What became of an exchange, in a form that can be compared between runs; knows which differences mean nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..code import text_code
from ..headers import Headers
from ..model import Exchange

VARYING = frozenset(
    b"x-request-id date x-envoy-upstream-service-time x-envoy-expected-rq-timeout-ms connection content-length "
    b"transfer-encoding".split()
)
"""Headers that say which exchange it is, when it was, or how a body is framed."""

_COUNTED = re.compile(rb"[0-9a-fA-F]*[0-9][0-9a-fA-F-]*")
_LONG = 200


@dataclass(slots=True)
class Result:
    """One run of an exchange.

    Attributes:
        fields: what can be compared, by name.
        stalled: what `StreamStalled` said, if the run stalled.
        trapped: what the trap said, if the guest trapped.
        callouts: how many callouts the filters made.
        status: of the response; 0 if there is none.
    """

    fields: dict[str, Any]
    stalled: str = ""
    trapped: str = ""
    callouts: int = 0
    status: int = 0


def result_of(exchange: Exchange, stalled: str = "") -> Result:
    """What became of an exchange."""
    fields: dict[str, Any] = {"outcome": exchange.outcome}
    local = exchange.local_response is not None
    fields["replied by"] = "the filter" if local else "the upstream"
    response = exchange.response
    if response is not None:
        fields["response status"] = response.status
        fields["response headers"] = _kept(response.headers)
        fields["response body"] = response.body
        fields["response trailers"] = _kept(response.trailers)
    request = exchange.upstream_request
    # Where the filter replies, it is chance how much of the request has got through before.
    if request is not None and not local and exchange.outcome == "complete":
        fields["upstream request headers"] = _kept(request.headers)
        fields["upstream request body"] = request.body
        fields["upstream request trailers"] = _kept(request.trailers)
    trapped = str(exchange.errors[0]) if exchange.errors else ""
    return Result(fields, stalled, trapped, len(exchange.callouts), response.status if response is not None else 0)


def _kept(headers: Headers) -> Headers:
    return Headers.from_raw(pair for pair in headers.raw if pair[0] not in VARYING)


def differences(one: Result, other: Result, *, trailers: bool = True, counted: bool = True) -> list[str]:
    """How two results differ, a line each.

    Args:
        trailers: whether trailers count.
        counted: whether numbers in header values and bodies count.
    """
    lines = []
    for name in dict.fromkeys([*one.fields, *other.fields]):
        if not trailers and name.endswith("trailers"):
            continue
        left, right = one.fields.get(name), other.fields.get(name)
        if not counted:
            left, right = _without_numbers(left), _without_numbers(right)
        if left == right:
            continue
        lines += _difference(name, one.fields.get(name), other.fields.get(name))
    return lines


def _without_numbers(value: Any) -> Any:
    if isinstance(value, bytes):
        return _COUNTED.sub(b"#", value)
    if isinstance(value, Headers):
        return Headers.from_raw((name, _COUNTED.sub(b"#", text)) for name, text in value.raw)
    return value


def _difference(name: str, left: Any, right: Any) -> list[str]:
    if isinstance(left, Headers) and isinstance(right, Headers):
        changed = [
            key for key in dict.fromkeys([*left.keys(), *right.keys()]) if left.get_all(key) != right.get_all(key)
        ]
        if changed:
            kind = name.removesuffix("s")
            return [f"{kind} {key!r}: {_values(left, key)} != {_values(right, key)}" for key in changed]
        return [f"{name}: in another order"]
    return [f"{name}: {_shown(left)} != {_shown(right)}"]


def _values(headers: Headers, name: str) -> str:
    values = headers.get_all(name)
    return " and ".join(_shown(value) for value in values) if values else "(not there)"


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, (bytes, str)):
        if len(value) > _LONG:
            return f"{text_code(value[:_LONG])}... ({len(value)} bytes)"
        return text_code(value)
    return str(value)
