"""Runs a filter a few times to see which header names it asks for; knows hosts, and nothing of Hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import ProxyWasmError
from ..headers import Headers, to_text
from ..model import Request, Response
from ..plans import ExchangePlan
from .vocabulary import NOTHING, Words, words_in

if TYPE_CHECKING:
    from ..filters import Filter
    from ..mock import MockHost

__all__ = ["learn"]

_ROUNDS = 3
_HEADER_CALLS = (
    "proxy_get_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
)


def learn(start: Callable[[], MockHost], filters: Sequence[Filter]) -> Words:
    """The header names filters ask for, also those they ask for once they have found others, and their configuration.

    A few fixed exchanges, so that the same filters give the same words; nothing, if they do not start.
    """
    try:
        host = start()
    except ProxyWasmError:
        return NOTHING
    names: set[str] = set()
    with suppress(ProxyWasmError), host:
        for _ in range(_ROUNDS):
            known = len(names)
            sent = [(name, "a=1") for name in sorted(names) if not name.startswith(":")]
            for plan in _plans(Headers([pair for pair in sent if pair[0] not in ("content-length", "host")])):
                with suppress(ProxyWasmError):
                    host.run(plan)
            for call in host.trace.hostcalls():
                if call.name in _HEADER_CALLS and "key" in call.args:
                    key = call.args["key"]
                    names.add((key if isinstance(key, str) else to_text(key)).lower())
            if len(names) == known:
                break
    return words_in(names, [text for one in filters for text in (one.configuration, one.vm_configuration)])


def _plans(headers: Headers) -> list[ExchangePlan]:
    body = b'{"a": 1}'
    tail = [("x-trailer", "1")]
    post = Request("POST", "/a?b=c", headers, body)
    put = Request("PUT", "/a", headers, body, tail)
    return [
        ExchangePlan(request=Request(headers=headers), upstream=Response(200, headers, body)),
        ExchangePlan(request=post, upstream=Response(404, headers, body, tail)),
        ExchangePlan(
            request=put,
            upstream=Response(200, headers),
            callouts=(Response(403),),
        ),
    ]
