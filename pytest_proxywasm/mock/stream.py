"""`HttpStream`: an exchange step by step, as tests drive it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from ..errors import UsageError
from ..headers import Headers, HeadersLike, Text, to_bytes
from ..host.callouts import response_entries
from ..host.headermap import HeaderMap
from ..host.http.codec import request_map, response_of
from ..host.http.stream import HttpStreamCore
from ..model import (
    Action,
    After,
    ConnectionRefused,
    Exchange,
    Request,
    Reset,
    Response,
    Timeout,
    Upstream,
)

if TYPE_CHECKING:
    from .host import MockHost


def request_steps(core: HttpStreamCore, request: Request) -> list[Callable[[], None]]:
    """What the client sends, one event each: the headers, a body callback a chunk, the end or the trailers.

    Over HTTP/1.1 the end of a body is its own empty piece, and there are no others: an empty chunk is what ends a body.
    """
    http2 = core.http_version == "2"
    chunks = request.chunks if request.chunks is not None else ((request.body,) if request.body else ())
    has_body = request.chunks is not None or bool(request.body)
    has_trailers = bool(len(request.trailers))
    headers = request.headers
    if request.body and request.chunks is None and not has_trailers and "content-length" not in headers:
        headers = Headers.from_raw([*headers.raw, (b"content-length", b"%d" % len(request.body))])
    entries = request_map(headers, request, core.http_version)
    steps: list[Callable[[], None]] = [partial(core.request_headers, entries, not has_body and not has_trailers)]
    if not http2:
        chunks = tuple(filter(None, chunks))
    for number, chunk in enumerate(chunks):
        steps.append(partial(core.request_body, chunk, http2 and not has_trailers and number == len(chunks) - 1))
    if has_trailers:
        steps.append(partial(core.request_trailers, HeaderMap.request_trailers(request.trailers.raw)))
    elif has_body and not (http2 and chunks):
        steps.append(partial(core.request_body, b"", True))
    return steps


def feed_request(core: HttpStreamCore, request: Request, stop_after: int | None = None) -> None:
    """Send a request: all of it, or its headers and so many events more."""
    for number, step in enumerate(request_steps(core, request)):
        if number and (core.ended or core.request.complete or (stop_after is not None and number > stop_after)):
            return
        step()


def response_steps(core: HttpStreamCore, response: Response) -> list[Callable[[], None]]:
    """What an HTTP/1.1 upstream sends, one event each: the end of a body is its own empty piece, no other is empty."""
    method = core.upstream_headers.get(b":method") if core.upstream_headers is not None else None
    bodiless = method == b"HEAD" or response.status in (204, 304) or 100 <= response.status < 200
    entries = response_entries(response)
    if response.status in (204, 304) and "content-length" not in response.headers:
        entries = [entry for entry in entries if entry[0] != b"content-length"]
    headers = HeaderMap.response(entries)
    has_trailers = bool(len(response.trailers)) and not bodiless
    has_body = not bodiless and (response.chunks is not None or bool(response.body) or has_trailers)

    def begin() -> None:
        core.exchange.upstream_response = response_of(
            headers.copy(), b"" if bodiless else response.body, HeaderMap.trailers(response.trailers.raw)
        )
        core.response_headers(headers, not has_body)

    steps: list[Callable[[], None]] = [begin]
    if not has_body:
        return steps
    chunks = response.chunks if response.chunks is not None else ((response.body,) if response.body else ())
    steps += [partial(core.response_body, chunk, False) for chunk in chunks if chunk]
    if has_trailers:
        steps.append(partial(core.response_trailers, HeaderMap.trailers(response.trailers.raw)))
    else:
        steps.append(partial(core.response_body, b"", True))
    return steps


def feed_response(core: HttpStreamCore, response: Response) -> None:
    """Answer with a whole response."""
    for number, step in enumerate(response_steps(core, response)):
        if number and core.ended:
            return
        step()


def answer_with(core: HttpStreamCore, upstream: Upstream, sync: Callable[[], Exchange]) -> None:
    """Have the upstream answer the request that has reached it completely."""
    clock = core.proxy.clock
    answer: Any = upstream
    if callable(answer):
        request = sync().upstream_request
        assert request is not None
        answer = answer(request)
    delay = 0.0
    if isinstance(answer, After):
        delay, answer = answer.seconds, answer.answer
    if not isinstance(answer, (Response, Reset, ConnectionRefused, Timeout)):
        raise UsageError(
            f"the upstream gave {answer!r}; it must give a pw.Response, pw.Reset(), pw.ConnectionRefused(), "
            "pw.Timeout() or pw.After(seconds, answer)"
        )

    def act() -> None:
        if core.ended or core.upstream_failed or core.answered:
            return
        if isinstance(answer, Response):
            feed_response(core, answer)
        elif isinstance(answer, ConnectionRefused):
            core.upstream_reset("remote_connection_failure", "delayed connect error: Connection refused")
        elif isinstance(answer, Reset):
            if answer.after_headers:
                # To a HEAD request that is the whole response.
                method = core.upstream_headers.get(b":method") if core.upstream_headers is not None else None
                headers = HeaderMap.response([(b":status", b"200"), (b"transfer-encoding", b"chunked")])
                core.response_headers(headers, method == b"HEAD")
            core.upstream_reset()

    if not isinstance(answer, Timeout):
        clock.call_later(delay, act)


class HttpStream:
    """One stream that a test drives step by step.

    The response side is the test's, unless the stream was opened with ``upstream=``. What is due (callout answers) is
    delivered when time moves (``host.clock.advance``) and before each step of the response side. Each step returns the
    `Action` of the last stream callback it caused, or ``None`` if it caused none.
    """

    def __init__(self, host: MockHost, core: HttpStreamCore, upstream: Upstream | None) -> None:
        self._host = host
        self._core = core
        self._upstream = upstream
        if upstream is not None:
            core.on_upstream_complete = lambda: answer_with(core, upstream, core.sync)

    @property
    def exchange(self) -> Exchange:
        """The exchange so far."""
        return self._host._sync(self._core)

    @property
    def paused(self) -> bool:
        """Whether a filter holds either direction."""
        core = self._core
        return not core.ended and (core.request.held_by is not None or core.response.held_by is not None)

    @property
    def finished(self) -> bool:
        """Whether the stream has ended and its contexts are deleted."""
        return self._core.finished

    @property
    def upstream_complete(self) -> bool:
        """Whether the whole request has reached the upstream."""
        return self._core.upstream_complete

    def request_headers(self, headers: HeadersLike = (), end_of_stream: bool = False) -> Action | None:
        """The client sends its headers; missing pseudo headers are those of ``GET http://example.com/``."""
        given = Headers(headers)
        request = Request(headers=given)
        entries = request_map(given, request, self._core.http_version)
        self._core.exchange.request = request
        return self._step(lambda: self._core.request_headers(entries, end_of_stream))

    def request_body(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The client sends a piece of its body."""
        piece = to_bytes(data, "data")
        before = self._core.exchange.request
        if before is not None:
            self._core.exchange.request = Request(headers=before.headers, body=before.body + piece)
        return self._step(lambda: self._core.request_body(piece, end_of_stream))

    def request_trailers(self, trailers: HeadersLike) -> Action | None:
        """The client sends its trailers."""
        given = Headers(trailers)
        before = self._core.exchange.request
        if before is not None:
            self._core.exchange.request = Request(headers=before.headers, body=before.body, trailers=given)
        return self._step(lambda: self._core.request_trailers(HeaderMap.request_trailers(given.raw)))

    def response_headers(self, headers: HeadersLike = (), end_of_stream: bool = False) -> Action | None:
        """The upstream sends its headers; a missing ``:status`` is 200."""
        self._test_answers()
        given = Headers(headers)
        entries = list(given.raw)
        if ":status" not in given:
            entries.insert(0, (b":status", b"200"))
        self._host._pump()
        self._core.exchange.upstream_response = Response(headers=Headers.from_raw(entries))
        return self._step(lambda: self._core.response_headers(HeaderMap.response(entries), end_of_stream))

    def response_body(self, data: Text = b"", end_of_stream: bool = False) -> Action | None:
        """The upstream sends a piece of its body."""
        self._test_answers()
        self._host._pump()
        piece = to_bytes(data, "data")
        before = self._core.exchange.upstream_response
        if before is not None:
            self._core.exchange.upstream_response = Response(headers=before.headers, body=before.body + piece)
        return self._step(lambda: self._core.response_body(piece, end_of_stream))

    def response_trailers(self, trailers: HeadersLike) -> Action | None:
        """The upstream sends its trailers."""
        self._test_answers()
        self._host._pump()
        given = Headers(trailers)
        before = self._core.exchange.upstream_response
        if before is not None:
            self._core.exchange.upstream_response = Response(headers=before.headers, body=before.body, trailers=given)
        return self._step(lambda: self._core.response_trailers(HeaderMap.trailers(given.raw)))

    def reset(self, peer: str = "downstream") -> None:
        """One side breaks off: ``"downstream"`` (the client goes away) or ``"upstream"``."""
        if peer == "downstream":
            self._step(lambda: self._core.reset("downstream"))
        elif peer == "upstream":
            self._host._pump()
            self._step(self._core.upstream_reset)
        else:
            raise UsageError(f'reset(peer={peer!r}): it is "downstream" or "upstream"')

    def refuse(self) -> None:
        """The upstream cannot be connected to."""
        self._step(
            lambda: self._core.upstream_reset("remote_connection_failure", "delayed connect error: Connection refused")
        )

    def close(self) -> None:
        """End the stream if it has not ended: the client goes away."""
        if not (self._core.ended or self._core.undone):
            self.reset("downstream")

    def _test_answers(self) -> None:
        if self._upstream is not None:
            raise UsageError("this stream has an upstream= that answers; open it without one to answer by hand")

    def _step(self, action: Callable[[], None]) -> Action | None:
        self._host._check_usable(self._core)
        self._core.last_action = None
        self._host._steps += 1
        try:
            action()
            if self._upstream is not None:
                self._host._pump()
        finally:
            self._host._steps -= 1
        self._host._raise_failures(self._core)
        return self._core.last_action

    def __repr__(self) -> str:
        state = "finished" if self.finished else "paused" if self.paused else "open"
        return f"<HttpStream {state}, {self.exchange!r}>"
