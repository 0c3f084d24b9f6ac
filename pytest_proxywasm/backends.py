"""What each backend does with every member of hosts, streams and exchanges: one table, for the refusals and the docs.

Knows names and words only; no backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ._tracebacks import hide_own_errors as __tracebackhide__  # noqa: F401
from .errors import UsageError

__all__ = ["ROWS", "Row", "refuse", "refuse_member", "refuse_options", "row"]

SAME = "same"
SHADOWED = "shadowed"
MOCK = "the mock's"


@dataclass(frozen=True, slots=True)
class Row:
    """One member.

    Attributes:
        owner: ``"Host"``, ``"HttpStream"``, ``"TcpStream"``, ``"Exchange"`` or ``"option"``.
        envoy: with ``--proxywasm-host=envoy``: ``"same"``, ``"approximated: ..."``, or ``"UsageError: ..."`` with the
            reason.
        both: with ``--proxywasm-host=both``: ``"shadowed"``, ``"the mock's"``, or why exchanges after it are not
            compared.
    """

    owner: str
    member: str
    envoy: str = SAME
    both: str = MOCK

    @property
    def refused(self) -> str:
        """Why Envoy cannot do it; "" if it can."""
        return self.envoy.removeprefix("UsageError: ") if self.envoy.startswith("UsageError: ") else ""


_VIRTUAL = "UsageError: time is real in Envoy; only the mock's can be moved"
_BY_HAND = "UsageError: a stream cannot be driven step by step through Envoy; use host.request()"
_REASONS = "why a hostcall answered so is known to the mock only; both backends at once (both) check strictly"
_HIDDEN = "UsageError: Envoy shows it to filters only, not from outside"

ROWS: tuple[Row, ...] = (
    *(Row("Host", name, both=SHADOWED) for name in ("request", "get", "post", "put", "patch", "delete", "head")),
    Row("Host", "stream", _BY_HAND, "shadowed when it has ended, if real peers can do the same"),
    Row("Host", "connect", both=SHADOWED),
    Row("Host", "sibling", "UsageError: it is for pw.check, which compares hosts of the mock"),
    Row("Host", "run", "UsageError: plans interleave streams and move the clock", "not compared: plans"),
    Row("Host", "checkpoint", "UsageError: an Envoy process cannot be saved"),
    Row("Host", "restore", "UsageError: an Envoy process cannot be put back", "not compared: checkpoints"),
    Row(
        "Host",
        "cluster",
        "approximated: a server on a port of its own; HTTP/2 if it answers gRPC; callables run in another thread; "
        "ConnectionRefused and NoHosts only for the whole cluster",
        SHADOWED,
    ),
    Row(
        "Host",
        "foreign_function",
        "UsageError: functions cannot be added to an Envoy",
        "not compared: foreign functions",
    ),
    Row("Host", "allow", f"UsageError: strict= is not there: {_REASONS}"),
    Row("Host", "inject", "UsageError: Envoy's hostcalls answer what they answer", "not compared: injected statuses"),
    Row(
        "Host", "restart", "UsageError: VMs of a running Envoy are replaced by a failure only", "not compared: restarts"
    ),
    Row(
        "Host",
        "clock",
        _VIRTUAL,
        "shadowed: filters that tick or read a clock take their time from it in Envoy as well",
    ),
    Row("Host", "trace", "approximated: events of the worker", SHADOWED),
    Row("Host", "logs", "approximated: those of the worker; context ids are the callback's", SHADOWED),
    Row(
        "Host",
        "callouts",
        "approximated: as they arrived at a cluster, so without ids and contexts, and without those that were refused",
        SHADOWED,
    ),
    Row("Host", "pending_callouts", "UsageError: a callout without a handler cannot be answered later"),
    Row(
        "Host",
        "metrics",
        "approximated: from Envoy's stats; what filters count while they start counts once for each VM; no samples of "
        "histograms",
        SHADOWED,
    ),
    Row("Host", "shared_data", _HIDDEN, "not compared: shared data written by the test"),
    Row("Host", "queues", _HIDDEN, "not compared: queue items of the test"),
    Row(
        "Host",
        "properties",
        "UsageError: Envoy's properties are what they are",
        "not compared: properties set by the test",
    ),
    Row("Host", "vm_id", _HIDDEN, "not compared: shared data written by the test"),
    Row("Host", "workers", "UsageError: Envoy hands connections to its workers as it likes"),
    Row("Host", "last_exchange"),
    Row("Host", "exchanges"),
    Row("Host", "log_level", "UsageError: Envoy runs at level trace, from which its hostcalls are read"),
    Row("Host", "protocol"),
    Row("Host", "closed"),
    Row("Host", "close", "approximated: the done and delete callbacks of root contexts are not waited for"),
    *(
        Row("HttpStream", name, _BY_HAND, "shadowed when the stream has ended, see `Host.stream`")
        for name in (
            "exchange",
            "paused",
            "finished",
            "upstream_complete",
            "request_headers",
            "reset",
            "close",
        )
    ),
    *(
        Row("HttpStream", name, _BY_HAND, "not compared: no real peer does this step by step")
        for name in (
            "request_body",
            "request_trailers",
            "response_headers",
            "response_body",
            "response_trailers",
            "refuse",
        )
    ),
    *(
        Row("TcpStream", name, both=SHADOWED)
        for name in (
            "downstream_data",
            "upstream_data",
            "close",
            "sent_upstream",
            "sent_downstream",
            "upstream_complete",
            "downstream_complete",
            "actions",
            "errors",
        )
    ),
    Row("TcpStream", "refuse", "UsageError: the upstream is connected already", "not compared: refused connections"),
    Row("TcpStream", "closed_by", "approximated: the side that ended first, or else the filter", SHADOWED),
    Row("TcpStream", "paused", "approximated: by what the last callbacks returned"),
    Row("TcpStream", "finished", "approximated: by what the client's socket shows", SHADOWED),
    Row("TcpStream", "trace", SAME, SHADOWED),
    Row("Exchange", "request"),
    Row(
        "Exchange", "upstream_request", "approximated: ':scheme' is not sent over HTTP/1.1 and shown as http", SHADOWED
    ),
    Row("Exchange", "upstream_response"),
    Row("Exchange", "response", both=SHADOWED),
    Row("Exchange", "outcome", both=SHADOWED),
    Row("Exchange", "details", "approximated: from the access log", SHADOWED),
    Row("Exchange", "local_response", "approximated: from the log, and from what reached the client", SHADOWED),
    Row("Exchange", "callouts", "approximated: as Host.callouts", SHADOWED),
    Row("Exchange", "logs", "approximated: as Host.logs", SHADOWED),
    Row("Exchange", "errors", "approximated: traps with Envoy's words and backtrace", SHADOWED),
    Row("Exchange", "trace", SAME, SHADOWED),
    Row("Exchange", "request_before", both=SHADOWED),
    Row("Exchange", "request_after", both=SHADOWED),
    Row("Exchange", "response_before", both=SHADOWED),
    Row("Exchange", "response_after", both=SHADOWED),
    Row("Exchange", "request_changes", both=SHADOWED),
    Row("Exchange", "response_changes", both=SHADOWED),
    *(
        Row("option", name)
        for name in ("protocol", "services", "upstream", "clusters", "buffer_limit", "on_trap", "trace")
    ),
    Row("option", "starts", 'approximated: the trace shows the worker\'s start, or with "envoy" all starts'),
    Row(
        "option",
        "node",
        "approximated: Envoy adds its own version and extensions, and has an id and a cluster (proxywasm) without it",
    ),
    Row("option", "routes"),
    Row("option", "strict", f"UsageError: {_REASONS}"),
    Row(
        "option",
        "workers",
        "UsageError: Envoy hands connections to its workers as it likes",
        "shadowed while one of them is used, else not compared",
    ),
    Row("option", "envoy_headers", "UsageError: Envoy always adds its headers", "not compared: envoy_headers=False"),
    Row("option", "seed", "UsageError: Envoy's randomness has no seed"),
    Row("option", "guest_budget", "UsageError: Envoy does not limit what a filter computes"),
    Row("option", "max_memory", "UsageError: Envoy does not limit a filter's memory"),
)
_BY_NAME = {(one.owner, one.member): one for one in ROWS}

_DEFAULTS: dict[str, Any] = {"workers": 1, "strict": False, "envoy_headers": True, "seed": 0}


def row(name: str) -> Row:
    """The row of a member, given as ``"Owner.member"``."""
    owner, _, member = name.partition(".")
    return _BY_NAME[owner, member]


def refuse(name: str) -> NoReturn:
    """Say that a real Envoy cannot do this, and why.

    Raises:
        UsageError: always.
    """
    found = row(name)
    shown = f"{found.member}=" if found.owner == "option" else f"{found.owner.lower()}.{found.member}"
    raise UsageError(
        f"{shown} is not there with --proxywasm-host=envoy: {found.refused}. It works in the mock "
        "(--proxywasm-host=mock)"
    )


def refuse_member(owner: str, name: str, *, missing_is_fine: bool = False) -> None:
    """Refuse a member that Envoy does not have; other names are unknown attributes.

    Raises:
        UsageError: it is one that only the mock has.
        AttributeError: nobody has it.
    """
    found = _BY_NAME.get((owner, name))
    if found is not None and found.refused:
        refuse(f"{owner}.{name}")
    if not missing_is_fine:
        raise AttributeError(f"{owner} has no attribute {name!r}")


def refuse_options(options: Mapping[str, Any]) -> None:
    """Refuse options of ``proxywasm.host`` that ask for what Envoy cannot do.

    Raises:
        UsageError: there is one.
    """
    for option, value in options.items():
        found = _BY_NAME.get(("option", option))
        if found is not None and found.refused and value != _DEFAULTS.get(option):
            refuse(f"option.{option}")
