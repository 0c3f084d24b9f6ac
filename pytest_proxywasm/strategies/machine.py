"""`HostMachine`: a rule-based state machine over one host; knows Hypothesis's stateful testing and hosts.

Where a plan is drawn as a whole and then run, a machine chooses each step when it sees what the last one did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from ..abi.enums import Status
from ..headers import Headers
from ..invariants import check
from ..mock.plans import PlannedClusters
from ..model import GrpcResponse, Reset, Response, Timeout
from .exchanges import callout_outcomes
from .headers import headers as any_headers
from .messages import bodies, paths

if TYPE_CHECKING:
    from ..mock import MockHost
    from ..mock.stream import HttpStream

__all__ = ["HostMachine"]

_FAULTS = (
    ("proxy_set_shared_data", Status.CAS_MISMATCH),
    ("proxy_get_shared_data", Status.NOT_FOUND),
    ("proxy_http_call", Status.INTERNAL_FAILURE),
    ("proxy_get_property", Status.NOT_FOUND),
    ("proxy_enqueue_shared_queue", Status.NOT_FOUND),
)
_HEADERS = any_headers(max_size=3)
_PIECES = bodies(max_size=2000)
_METHODS = st.sampled_from(["GET", "POST"])


class HostMachine(RuleBasedStateMachine):
    """Opens streams on a host and drives them in any order, with ticks, callouts, faults and resets.

    Derive from it, say in `open_host` how the host starts, and add rules and invariants of your own; they find the host
    as ``self.host`` and the open streams as ``self.streams``. Run it with ``run_state_machine_as_test``, or as the
    ``TestCase`` of the class. A failing run prints its steps as a program, and the host's trace, once.

    Attributes:
        checks: names of the invariants that hold at the end of a run (see ``pw.check``).
        faults: pairs of a hostcall and the status that it may answer out of turn; events of the environment that
            every filter must live with.
    """

    checks: ClassVar[Sequence[str]] = ("no_trap", "one_reply", "content_length", "repeated_headers")
    faults: ClassVar[Sequence[tuple[str, Any]]] = _FAULTS

    open_streams = Bundle("open_streams")

    def open_host(self) -> MockHost:
        """Start the host; a machine closes it."""
        raise NotImplementedError("def open_host(self): return proxywasm.host(proxywasm_filter)")

    def __init__(self) -> None:
        super().__init__()
        self.host: MockHost = self.open_host()
        self.streams: list[HttpStream] = []

    @initialize()
    def begin(self) -> None:
        """Every cluster exists; callouts to those without a handler wait for `answer`."""
        proxy = self.host._proxy
        proxy.clusters = PlannedClusters(proxy.clusters, None)

    @rule(
        target=open_streams, path=paths(), fields=_HEADERS, end=st.booleans(), method=st.sampled_from(["GET", "POST"])
    )
    def open_stream(self, path: str, fields: Headers, end: bool, method: str) -> HttpStream:
        """A client sends the headers of a request."""
        stream = self.host.stream()
        self.streams.append(stream)
        pseudo = [(":method", method), (":path", path)]
        self._note(stream.request_headers([*pseudo, *fields.raw], end_of_stream=end))
        return stream

    @rule(stream=open_streams, piece=_PIECES, end=st.booleans())
    def send(self, stream: HttpStream, piece: bytes, end: bool) -> None:
        """A client sends a piece of its body."""
        if self._may_send(stream):
            self._note(stream.request_body(piece, end_of_stream=end))

    @rule(stream=open_streams, trailers=_HEADERS)
    def send_trailers(self, stream: HttpStream, trailers: Headers) -> None:
        """A client ends its request with trailers."""
        if self._may_send(stream) and len(trailers):
            self._note(stream.request_trailers(trailers))

    @rule(stream=open_streams, status=st.sampled_from([200, 404, 503]), fields=_HEADERS, end=st.booleans())
    def respond(self, stream: HttpStream, status: int, fields: Headers, end: bool) -> None:
        """An upstream sends the headers of its response."""
        if self._may_answer(stream) and not stream._core.answered:
            self._note(stream.response_headers([(":status", str(status)), *fields.raw], end_of_stream=end))

    @rule(stream=open_streams, piece=_PIECES, end=st.booleans())
    def respond_more(self, stream: HttpStream, piece: bytes, end: bool) -> None:
        """An upstream sends a piece of its response's body."""
        core = stream._core
        if self._may_answer(stream) and core.answered and not core.response.complete:
            self._note(stream.response_body(piece, end_of_stream=end))

    @rule(stream=consumes(open_streams), by=st.sampled_from(["downstream", "upstream"]))
    def break_off(self, stream: HttpStream, by: str) -> None:
        """One side goes away."""
        if not stream.finished and (by == "downstream" or self._may_answer(stream)):
            stream.reset(by)

    @rule(seconds=st.sampled_from([0.001, 0.5, 1.0, 10.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Time passes: ticks and timeouts."""
        self.host.clock.advance(seconds)

    @rule(number=st.integers(0, 3), outcome=callout_outcomes(delays=False))
    def answer(self, number: int, outcome: Any) -> None:
        """A callout that waits is answered, in any order, also after its stream has gone."""
        pending = self.host.pending_callouts
        if number >= len(pending):
            return
        event(f"callout: {type(outcome).__name__}")
        one: Any = pending[number]
        if isinstance(outcome, Response):
            one.respond(outcome if one.callout.kind == "http" else GrpcResponse())
        elif isinstance(outcome, Timeout):
            one.time_out()
        elif isinstance(outcome, Reset):
            one.reset(after_headers=outcome.after_headers)
        else:
            one.refuse()

    @rule(data=st.data())
    def fault(self, data: st.DataObject) -> None:
        """The next such hostcall fails, as it does when another VM was faster, or a cluster has no host."""
        hostcall, status = data.draw(st.sampled_from(list(self.faults)))
        self.host.inject(hostcall, status)

    @invariant()
    def holds(self) -> None:
        """What `checks` names holds after every step."""
        check(self.host, only=[name for name in self.checks if name != "memory"])

    def teardown(self) -> None:
        """Close the host; its trace belongs to a failing run."""
        note(self.host.trace.text())
        self.host.close()

    # What is possible now.

    def _may_send(self, stream: HttpStream) -> bool:
        return not stream._core.ended and not stream._core.request.complete

    def _may_answer(self, stream: HttpStream) -> bool:
        core = stream._core
        return not core.ended and not core.upstream_failed and core.upstream_headers is not None

    @staticmethod
    def _note(action: Any) -> None:
        if action is not None:
            event(f"action: {action.name}")
