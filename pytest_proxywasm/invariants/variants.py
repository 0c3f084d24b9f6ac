"""Other ways in which the same exchange can arrive; knows how messages are framed, and no host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..headers import Headers
from ..model import After, Request, Response
from ..plans import ExchangePlan

_BETWEEN = 8
UNKNOWN_TRAILER = (b"x-unknown-trailer", b"1")


@dataclass(frozen=True, slots=True)
class Variant:
    """A plan that must give the same result as another.

    Attributes:
        usual: the plan to compare with.
        other: the variant.
        what: how it differs, in words that complete "the result depends on".
        may_differ: the results need not be the same, for a filter may treat an empty body otherwise than none; but it
            must not trap or stall.
    """

    usual: ExchangePlan
    other: ExchangePlan
    what: str
    may_differ: bool = False


def rechunked(plan: ExchangePlan) -> Iterator[Variant]:
    """The same bodies cut differently, and empty bodies whose end comes alone."""
    if plan.client_resets_after is not None:
        return
    upstream = _response(plan)
    request = plan.request
    if request.body:
        usual = plan.replace(request=_request(request, chunks=(request.body,)))
        if len(request.body) > 1:
            other = plan.replace(request=_request(request, chunks=_cut(request.body)))
            yield Variant(usual, other, "how the request's body is cut into pieces")
    elif request.method != "HEAD" and not len(request.trailers):
        other = plan.replace(request=_request(request, chunks=()))
        yield Variant(
            plan.replace(request=_request(request, chunks=None)),
            other,
            "whether an empty request ends with its headers or right after them",
            may_differ=True,
        )
    if upstream is None or not _may_have_body(plan, upstream):
        return
    if len(upstream.body) > 1:
        yield Variant(
            _answered(plan, _answer(upstream, chunks=(upstream.body,))),
            _answered(plan, _answer(upstream, chunks=_cut(upstream.body))),
            "how the response's body is cut into pieces",
        )
    elif not upstream.body and not len(upstream.trailers):
        yield Variant(
            _answered(plan, _answer(upstream, chunks=None)),
            _answered(plan, _answer(upstream, chunks=())),
            "whether an empty response ends with its headers or right after them",
            may_differ=True,
        )


def with_trailers(plan: ExchangePlan) -> Iterator[Variant]:
    """The same bodies with a trailer that nobody knows; over HTTP/2, where trailers may follow any body."""
    if plan.client_resets_after is not None:
        return
    request = plan.request
    if request.body and not len(request.trailers):
        usual = plan.replace(request=_request(request, chunks=request.chunks or (request.body,)), http_version="2")
        tail = Headers.from_raw([UNKNOWN_TRAILER])
        other = usual.replace(request=_request(usual.request, chunks=usual.request.chunks, trailers=tail))
        yield Variant(usual, other, "whether there are trailers behind the request's body")
    upstream = _response(plan)
    if upstream is not None and upstream.body and not len(upstream.trailers) and _may_have_body(plan, upstream):
        # Over HTTP/1.1, which the upstream speaks, trailers need chunks, and no content-length.
        fields = Headers.from_raw(pair for pair in upstream.headers.raw if pair[0] != b"content-length")
        chunks = upstream.chunks or (upstream.body,)
        plain = Response(upstream.status, fields, chunks=chunks)
        tailed = Response(upstream.status, fields, trailers=[UNKNOWN_TRAILER], chunks=chunks)
        yield Variant(
            _answered(plan, plain), _answered(plan, tailed), "whether there are trailers behind the response's body"
        )


def _cut(body: bytes) -> tuple[bytes, ...]:
    """The first and the last piece as short as can be, and a few between them.

    Several, because a filter may take the size of a piece for that of the body.
    """
    if len(body) <= 2:
        return body[:1], body[1:]
    middle = body[1:-1]
    size = max(2, -(-len(middle) // _BETWEEN))
    return body[:1], *(middle[at : at + size] for at in range(0, len(middle), size)), body[-1:]


def _response(plan: ExchangePlan) -> Response | None:
    answer: Any = plan.upstream.answer if isinstance(plan.upstream, After) else plan.upstream
    return answer if isinstance(answer, Response) else None


def _may_have_body(plan: ExchangePlan, response: Response) -> bool:
    return plan.request.method != "HEAD" and response.status not in (204, 304)


def _answered(plan: ExchangePlan, response: Response) -> ExchangePlan:
    before = plan.upstream
    return plan.replace(upstream=After(before.seconds, response) if isinstance(before, After) else response)


def _request(request: Request, *, chunks: tuple[bytes, ...] | None, trailers: Headers | None = None) -> Request:
    """The same headers, the same content-length if it has one, another framing."""
    fields = request.headers
    if request.body and request.chunks is None and not len(request.trailers) and "content-length" not in fields:
        fields = Headers.from_raw([*fields.raw, (b"content-length", b"%d" % len(request.body))])
    tail = request.trailers if trailers is None else trailers
    return Request(
        request.method,
        request.path,
        fields,
        b"",
        tail,
        chunks=chunks,
        authority=request.authority,
        scheme=request.scheme,
    )


def _answer(response: Response, *, chunks: tuple[bytes, ...] | None) -> Response:
    fields = response.headers
    if response.chunks is None and not len(response.trailers) and "content-length" not in fields:
        fields = Headers.from_raw([*fields.raw, (b"content-length", b"%d" % len(response.body))])
    return Response(response.status, fields, b"", response.trailers, chunks=chunks)
