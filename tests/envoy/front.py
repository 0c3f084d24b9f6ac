"""The downstream HTTP/1 codec of Envoy: what a client's bytes become, and what it refuses; knows no filters.

`RequestReader` reads the bytes of one socket write at a time and says what the connection manager is told, in the way
Envoy's codec does: body bytes of one write come as one piece, and the end of a body is an event of its own. What the
codec refuses is a `Refusal`, the reply Envoy makes of it. The way back to the client is in `client`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Data", "Event", "Head", "Refusal", "RequestReader", "Settings", "Trailers", "reason_phrase"]

Pair: TypeAlias = "tuple[bytes, bytes]"

REASONS: Mapping[int, str] = {
    100: "Continue",
    101: "Switching Protocols",
    200: "OK",
    201: "Created",
    202: "Accepted",
    203: "Non-Authoritative Information",
    204: "No Content",
    205: "Reset Content",
    206: "Partial Content",
    207: "Multi-Status",
    208: "Already Reported",
    226: "IM Used",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    305: "Use Proxy",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Payload Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Entity",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    510: "Not Extended",
    511: "Network Authentication Required",
    599: "Last Unassigned Server Error Code",
}
"""The reason phrases Envoy knows."""

METHODS = frozenset(
    b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND "
    b"REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE "
    b"MKCALENDAR LINK UNLINK SOURCE".split()
)
CLOSING = (b"connection", b"proxy-connection")

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_REQUEST_LINE = re.compile(rb"(\S+) (\S+) HTTP/(\d)\.(\d)\Z")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)(.*)\Z", re.IGNORECASE)


def reason_phrase(status: str) -> str:
    """The words Envoy sends with a status."""
    return REASONS.get(int(status) % (1 << 16), "Unknown") if status.isdigit() else "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What of Envoy's configuration the codec and the first steps of the connection manager depend on."""

    max_header_kib: int = 60
    max_headers: int = 100
    accept_http_10: bool = False
    use_remote_address: bool = False
    local_address: bytes = b"192.0.2.2"
    """The recorder's own address: what Envoy puts into x-forwarded-for of a client on the loopback interface."""


@dataclass(frozen=True, slots=True)
class Head:
    """Request headers, pseudo headers first, as the filters get them but for what the connection manager adds last.

    Attributes:
        wants_close: the client asked for the connection to be closed after this exchange.
    """

    headers: tuple[Pair, ...]
    end_of_stream: bool
    wants_close: bool


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the body; an empty one ends it."""

    data: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class Trailers:
    """Trailers, which end the request."""

    headers: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The codec refuses the request: the reply's status and body, and Envoy's response code details."""

    status: int
    details: str

    @property
    def body(self) -> bytes:
        """The reason phrase, which is the body of such replies."""
        return REASONS[self.status].encode()


Event: TypeAlias = "Head | Data | Trailers | Refusal"


class _Refused(Exception):
    def __init__(self, status: int, details: str) -> None:
        super().__init__(details)
        self.refusal = Refusal(status, details)


class RequestReader:
    """Reads one connection's requests from what the client writes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buffer = bytearray()
        self._state = "head"
        self._left = 0
        self._trailers: list[Pair] = []

    @property
    def idle(self) -> bool:
        """Nothing of a request has been read that is not complete."""
        return self._state == "head" and not self._buffer

    def feed(self, data: bytes) -> list[Event]:
        """What one write of the client becomes."""
        if self._state == "refused":
            return []
        self._buffer += data
        events: list[Event] = []
        body = bytearray()
        try:
            while self._step(events, body):
                pass
        except _Refused as refused:
            self._state = "refused"
            if body:
                events.append(Data(bytes(body), False))
            events.append(refused.refusal)
            return events
        if body:
            events.append(Data(bytes(body), False))
        return events

    def _step(self, events: list[Event], body: bytearray) -> bool:
        if self._state == "head":
            return self._head(events)
        if self._state == "length":
            return self._body(body, events, "")
        if self._state == "chunk":
            return self._body(body, events, "chunk end")
        if self._state == "chunk end":
            return self._chunk_end()
        if self._state == "size":
            return self._chunk_size()
        return self._trailer_line(events, body)

    def _line(self) -> bytes | None:
        line, found, rest = bytes(self._buffer).partition(b"\n")
        if not found:
            return None
        self._buffer[:] = rest
        return line.removesuffix(b"\r")

    def _head(self, events: list[Event]) -> bool:
        while self._buffer[:2] == b"\r\n":
            del self._buffer[:2]
        end = re.search(rb"\r?\n\r?\n", self._buffer)
        limit = self._settings.max_header_kib * 1024
        if (end.start() if end else len(self._buffer)) > limit:
            raise _Refused(431, "http1.headers_too_large")
        if end is None:
            return False
        lines = re.split(rb"\r?\n", bytes(self._buffer[: end.start()]))
        del self._buffer[: end.end()]
        head = self._parse_head(lines[0], [_field(line) for line in lines[1:]])
        events.append(head)
        return bool(self._buffer) or self._state != "head"

    def _parse_head(self, first: bytes, fields: list[Pair]) -> Head:
        match = _REQUEST_LINE.match(first)
        if match is None and re.fullmatch(rb"\S+ \S+", first):
            raise _Refused(426, "low_version")
        if match is None or match[1] not in METHODS:
            raise _Refused(400, "http1.codec_error")
        method, target, version = match[1], match[2], (int(match[3]), int(match[4]))
        if version == (1, 0) and not self._settings.accept_http_10:
            raise _Refused(426, "low_version")
        if version not in ((1, 0), (1, 1)):
            raise _Refused(426, "low_version")
        if len(fields) > self._settings.max_headers:
            raise _Refused(431, "http1.too_many_headers")
        authority, target = _authority(target, fields)
        if authority is None:
            raise _Refused(400, "missing_host_header")
        self._frame(fields)
        tokens = {t.strip().lower() for n, v in fields if n in CLOSING for t in v.split(b",")}
        pseudo = [(b":authority", authority), (b":path", target), (b":method", method), (b":scheme", b"http")]
        plain = [(n, v) for n, v in fields if n != b"host"]
        return Head((*pseudo, *plain, *self._remote_address(plain)), self._state == "head", b"close" in tokens)

    def _frame(self, fields: list[Pair]) -> None:
        lengths = [v for n, v in fields if n == b"content-length"]
        codings = [v.lower() for n, v in fields if n == b"transfer-encoding"]
        if codings:
            if lengths:
                raise _Refused(400, "http1.content_length_and_chunked_not_allowed")
            if codings != [b"chunked"]:
                raise _Refused(501, "http1.invalid_transfer_encoding")
            self._state = "size"
        elif lengths:
            value = lengths.pop()
            if lengths or not value.isdigit():
                raise _Refused(400, "http1.codec_error")
            self._left = int(value)
            if self._left:
                self._state = "length"

    def _remote_address(self, fields: list[Pair]) -> list[Pair]:
        if not self._settings.use_remote_address:
            return []
        return [
            (b"x-forwarded-for", self._settings.local_address),
            (b"x-forwarded-proto", b"http"),
            (b"x-envoy-external-address", b"127.0.0.1"),
        ]

    def _body(self, body: bytearray, events: list[Event], after: str) -> bool:
        taken = self._buffer[: self._left]
        del self._buffer[: len(taken)]
        self._left -= len(taken)
        body += taken
        if self._left:
            return False
        if after:
            self._state = after
        else:
            self._end(events, body, Data(b"", True))
        return True

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]+", size):
            raise _Refused(400, "http1.codec_error")
        self._left = int(size, 16)
        self._state = "chunk" if self._left else "trailers"
        return True

    def _chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise _Refused(400, "http1.codec_error")
        self._state = "size"
        return True

    def _trailer_line(self, events: list[Event], body: bytearray) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            self._trailers.append(_field(line))
            return True
        trailers, self._trailers = tuple(self._trailers), []
        self._end(events, body, Trailers(trailers) if trailers else Data(b"", True))
        return True

    def _end(self, events: list[Event], body: bytearray, last: Event) -> None:
        if body:
            events.append(Data(bytes(body), False))
            body.clear()
        events.append(last)
        self._state = "head"


def _field(line: bytes) -> Pair:
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or not _NAME.match(name):
        raise _Refused(400, "http1.codec_error")
    if re.search(rb"[\0\r\n]", value):
        raise _Refused(400, "http1.invalid_characters")
    return name.lower(), value


def _authority(target: bytes, fields: list[Pair]) -> tuple[bytes | None, bytes]:
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        return absolute[2], absolute[3] or b"/"
    hosts = [value for name, value in fields if name == b"host"]
    return b",".join(hosts) if hosts else None, target


def settings_of(hcm_extra: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """The settings in a connection manager's configuration, and the keys of it that are not known here."""
    unknown = sorted(set(hcm_extra) - {"use_remote_address", "max_request_headers_kb", "http_protocol_options"})
    options = hcm_extra.get("http_protocol_options", {})
    unknown += [f"http_protocol_options.{key}" for key in sorted(set(options) - {"accept_http_10"})]
    settings = Settings(
        max_header_kib=int(hcm_extra.get("max_request_headers_kb", 60)),
        accept_http_10=bool(options.get("accept_http_10", False)),
        use_remote_address=bool(hcm_extra.get("use_remote_address", False)),
    )
    return settings, unknown
