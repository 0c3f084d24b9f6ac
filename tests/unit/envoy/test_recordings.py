"""When two traces of a guest, without the recorder and with it, tell that it is the same."""

from __future__ import annotations

from typing import Any

from pytest_proxywasm import Action, MapType, Status
from pytest_proxywasm.envoy.recordings import first_difference
from pytest_proxywasm.trace import Arguments, Callback, Hostcall, Trace, WasiCall


def trace(*, status: Status = Status.OK, action: Action = Action.CONTINUE, size: int = 3, **args: Any) -> Trace:
    """A callback with a hostcall and a WASI call."""
    event = Callback("proxy_on_request_headers", Arguments(num_headers=7), 2, "", 0)
    event.action = action
    event.hostcalls.append(Hostcall("proxy_get_header_map_value", Arguments(args), status, Arguments(), event))
    event.hostcalls.append(WasiCall("clock_time_get", Arguments(clock_id=size), 0, Arguments(), event))
    return Trace([event])


def test_bytes_and_sizes_and_the_runtimes_own_calls_do_not_count() -> None:
    plain = trace(map=MapType.HTTP_REQUEST_HEADERS, key_size=3)
    assert first_difference(plain, trace(map=MapType.HTTP_REQUEST_HEADERS, key="x-a", size=4)) == ""


def test_names_order_numbers_statuses_and_actions_count() -> None:
    plain = trace(map=MapType.HTTP_REQUEST_HEADERS)
    assert first_difference(plain, trace(map=MapType.HTTP_RESPONSE_HEADERS)) == (
        "proxy_get_header_map_value map=0 -> <Status.OK: 0> became proxy_get_header_map_value map=2 -> <Status.OK: 0>"
    )
    assert "NOT_FOUND" in first_difference(plain, trace(map=MapType.HTTP_REQUEST_HEADERS, status=Status.NOT_FOUND))
    assert "PAUSE" in first_difference(plain, trace(map=MapType.HTTP_REQUEST_HEADERS, action=Action.PAUSE))
    assert "nothing more" in first_difference(plain, Trace())
