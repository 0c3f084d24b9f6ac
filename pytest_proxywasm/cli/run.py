"""``run FILTER [PATH]``: one exchange with a filter, as curl would show it, and its trace."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FilterError, UsageError
from ..headers import to_text
from ..model import ConnectionRefused, NoHosts, Reset, Response, Timeout
from . import EXIT_FILTER
from .output import console, heading, trace_text

if TYPE_CHECKING:
    from rich.console import Console

    from ..mock import MockHost
    from ..model import Exchange

__all__ = ["add_arguments", "run"]

_FAILURES: dict[str, Any] = {
    "timeout": Timeout(),
    "reset": Reset(),
    "refused": ConnectionRefused(),
    "no-hosts": NoHosts(),
}
_ANSWERS = f"a status, or {', '.join(_FAILURES)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("filter", help="a .wasm file, or WAT")
    parser.add_argument("path", nargs="?", default="/", help="the request's path (default: /)")
    of_filter = parser.add_argument_group("the filter", "@FILE reads a value from a file")
    of_filter.add_argument("--configuration", default="", metavar="TEXT", help="the plugin's configuration")
    of_filter.add_argument("--vm-configuration", default="", metavar="TEXT", help="the VM's configuration")
    of_filter.add_argument("--name", default="", help="the plugin's name")
    of_filter.add_argument("--root-id", default="", metavar="ID", help="its root_id")
    request = parser.add_argument_group("the request")
    request.add_argument("-X", "--method", help="its method (default: GET, with --data POST)")
    request.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a header")
    request.add_argument(
        "-d", "--data", action="append", default=[], metavar="TEXT", help="a body; each further one is another chunk"
    )
    request.add_argument("--trailer", action="append", default=[], metavar="'NAME: VALUE'", help="a trailer")
    request.add_argument("--http2", action="store_true", help="over HTTP/2 instead of HTTP/1.1")
    others = parser.add_argument_group("what else there is")
    others.add_argument("--upstream", default="200", metavar="ANSWER", help=f"what the upstream answers: {_ANSWERS}")
    others.add_argument("--upstream-header", action="append", default=[], metavar="'NAME: VALUE'", help="its header")
    others.add_argument("--upstream-data", default="", metavar="TEXT", help="its body")
    others.add_argument(
        "--cluster",
        action="append",
        default=[],
        metavar="NAME=ANSWER[:BODY]",
        help=f"a cluster the filter may call, and what it answers: {_ANSWERS}",
    )
    parser.add_argument("--engine", default="auto", help="auto (default), wasmtime or wasmer")
    parser.add_argument("--start", action="store_true", help="show the trace of the start as well")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the exchange; `EXIT_FILTER` when the filter does not start, traps or never ends the request."""
    from ..toolkit import Toolkit

    kit = Toolkit(Path.cwd(), engine=arguments.engine, report=lambda line: print(line, file=sys.stderr))
    filter = kit.filter(
        arguments.filter,
        configuration=_value(arguments.configuration),
        vm_configuration=_value(arguments.vm_configuration),
        name=arguments.name,
        root_id=arguments.root_id,
    )
    upstream = _answer(arguments.upstream, "--upstream", _pairs(arguments.upstream_header), arguments.upstream_data)
    if isinstance(upstream, NoHosts):
        raise UsageError("--upstream=no-hosts: that is for --cluster")
    clusters = dict(_cluster(one) for one in arguments.cluster)
    chunks = [_value(one) for one in arguments.data]
    body: dict[str, Any] = {"body": chunks[0]} if len(chunks) == 1 else {"chunks": chunks} if chunks else {}
    failure: FilterError | None = None
    with kit.host(filter, upstream=upstream, clusters=clusters) as host:
        try:
            host.request(
                arguments.method or ("POST" if chunks else "GET"),
                arguments.path,
                headers=_pairs(arguments.header),
                trailers=_pairs(arguments.trailer),
                http_version="2" if arguments.http2 else "1.1",
                **body,
            )
        except FilterError as error:
            failure = error
        exchange = host.exchanges[-1]
        if arguments.json:
            print(json.dumps(_as_json(exchange, failure), indent=2))
        else:
            _show(console(), host, exchange, arguments.start)
    if failure is not None:
        print(f"\n{type(failure).__name__}: {failure}", file=sys.stderr)
        return EXIT_FILTER
    return 0


# Arguments.


def _value(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"{text}: {text[1:]} cannot be read: {error.strerror}") from None


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for line in lines:
        # A pseudo header has its colon in front.
        at = line.find(":", 1)
        if at < 1:
            raise UsageError(f"{line!r} is no header: it looks like 'name: value'")
        pairs.append((line[:at].strip(), line[at + 1 :].strip()))
    return pairs


def _answer(text: str, argument: str, headers: list[tuple[str, str]], body: str) -> Any:
    if text in _FAILURES:
        return _FAILURES[text]
    if not text.isdigit() or not 200 <= int(text) <= 599:
        raise UsageError(f"{argument}={text}: it is {_ANSWERS}")
    return Response(int(text), headers, _value(body))


def _cluster(text: str) -> tuple[str, Any]:
    name, equals, rest = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--cluster={text}: it looks like NAME=ANSWER, as in --cluster=authz=200")
    answer, _, body = rest.partition(":")
    return name, _answer(answer, f"--cluster={name}", [], body)


# Results.


def _show(out: Console, host: MockHost, exchange: Exchange, with_start: bool) -> None:
    response = exchange.response
    details = f", {exchange.details}" if exchange.details else ""
    out.print(f"{exchange.outcome or 'not ended'}{details}", style="dim")
    if response is None:
        out.print("no response", style="red")
    else:
        out.print(f"HTTP/1.1 {response.status}", style="bold green" if response.status < 400 else "bold red")
        for name, value in response.headers.items():
            if not name.startswith(":"):
                out.print(f"{_safe(name)}: {_safe(value)}")
        if response.body:
            out.print()
            out.print(_safe(to_text(response.body)).rstrip("\n"))
        for name, value in response.trailers.items():
            out.print(f"{_safe(name)}: {_safe(value)}", style="dim")
    if exchange.callouts:
        heading(out, "Callouts")
        for callout in exchange.callouts:
            outcome = getattr(callout.outcome, "status", callout.outcome)
            out.print(f"  {callout.method} {_safe(callout.path)} to cluster {callout.cluster!r}: {outcome}")
    if exchange.logs:
        heading(out, "Logs")
        for log in exchange.logs:
            out.print(f"  {log.level.name.lower()}: {_safe(log.message)}")
    heading(out, "Trace")
    out.print(trace_text((host if with_start else exchange).trace.text().partition("\n")[2].rstrip("\n")))


def _safe(text: str) -> str:
    """Text without what moves a terminal's cursor or is no text at all."""
    encoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in encoded)


def _as_json(exchange: Exchange, failure: FilterError | None) -> dict[str, Any]:
    def message(one: Any) -> dict[str, Any] | None:
        if one is None:
            return None
        shared = {
            "headers": [[_safe(name), _safe(value)] for name, value in one.headers.items()],
            "body": _safe(one.text),
            "trailers": [[_safe(name), _safe(value)] for name, value in one.trailers.items()],
        }
        if hasattr(one, "status"):
            return {"status": one.status, **shared}
        return {"method": one.method, "path": _safe(one.path), **shared}

    return {
        "outcome": exchange.outcome,
        "details": exchange.details,
        "response": message(exchange.response),
        "upstream_request": message(exchange.upstream_request),
        "callouts": [
            {"cluster": one.cluster, "method": one.method, "path": _safe(one.path), "outcome": repr(one.outcome)}
            for one in exchange.callouts
        ],
        "logs": [{"level": one.level.name.lower(), "message": _safe(one.message)} for one in exchange.logs],
        "error": f"{type(failure).__name__}: {failure}" if failure is not None else None,
        "trace": exchange.trace.text().splitlines(),
    }
