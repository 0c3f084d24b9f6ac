"""Hostcalls of logging, time, status, configuration, properties and contexts."""

from __future__ import annotations

from typing import Annotated

from ...abi.enums import AbiVersion, Status
from ...abi.hostcall import U32, Block, Bytes, Input, Output, Path, Reply, Text
from ...headers import to_bytes
from ...model import LogLevel
from .. import reasons
from ..context import Context
from ..foreign import FOREIGN_FUNCTIONS
from .registry import HOSTCALLS

V0_1_0, V0_2_1 = AbiVersion.V0_1_0, AbiVersion.V0_2_1


@HOSTCALLS.declare(during_start=True, inside_allocator=True)
def proxy_log(
    context: Context, log_level: Annotated[LogLevel, Input("word", enum=LogLevel, checked=True)], message: Text
) -> Status:
    """Log a message. OK also below the proxy's threshold; a level above 5 is BAD_ARGUMENT and logs nothing."""
    context.log(log_level, message)
    return Status.OK


@HOSTCALLS.declare(since=V0_2_1)
def proxy_get_log_level(context: Context) -> Annotated[LogLevel, Output("u32", "log_level", enum=LogLevel)]:
    """The lowest level the proxy keeps."""
    return context.proxy.log_level


@HOSTCALLS.declare()
def proxy_get_status(
    context: Context,
) -> Annotated[tuple[int, bytes], Output("u32", "status_code"), Output("data", "message", text=True)]:
    """How the callout ended that is being delivered: code and message; 0 and nothing outside of one.

    Envoy: a gRPC status; 11 (BROKEN_CONNECTION) and "reset" for an HTTP call that was reset. The code stays.
    """
    return int(context.root.status_code), context.root.status_message


@HOSTCALLS.declare()
def proxy_get_property(context: Context, path: Path) -> Annotated[bytes | Status, Output("data", "value")]:
    """A property (Envoy: attribute) by its path, encoded by its type.

    NOT_FOUND when a part of the path leads nowhere (now); SERIALIZATION_FAILURE for a path that stops at a group, and
    for an empty one.
    """
    return context.get_property(path)


@HOSTCALLS.declare()
def proxy_set_property(context: Context, path: Path, value: Bytes) -> Status:
    """Store a value with the stream, under the raw path as one key; NOT_FOUND without a stream."""
    return context.set_property(path, value)


@HOSTCALLS.declare(until=V0_1_0)
def proxy_get_configuration(context: Context) -> Annotated[bytes, Output("data", "value")]:
    """The plugin's configuration while it is configured, else the VM's (replaced by buffers 6 and 7 in 0.2.0)."""
    plugin = context.root.plugin_configuration
    return context.vm.config.vm_configuration if plugin is None else plugin


@HOSTCALLS.declare()
def proxy_get_current_time_nanoseconds(context: Context) -> Annotated[int, Output("u64", "time")]:
    """The time, nanoseconds since the Unix epoch."""
    return context.proxy.clock.now_ns


@HOSTCALLS.declare()
def proxy_set_tick_period_milliseconds(context: Context, period: U32) -> Status:
    """Have ``proxy_on_tick`` called on the root context every so often; 0 stops it."""
    context.root.set_tick_period(period)
    return Status.OK


@HOSTCALLS.declare()
def proxy_set_effective_context(context: Context, context_id: U32) -> Status:
    """Let later hostcalls of this callback act on another context; 0 goes back to the own one."""
    vm = context.vm
    if context_id == 0:
        vm.effective = None
        return Status.OK
    chosen = vm.contexts.get(context_id)
    if chosen is None:
        return context.because(Status.BAD_ARGUMENT, reasons.no_context, context_id, tuple(vm.contexts))
    vm.effective = chosen
    return Status.OK


@HOSTCALLS.declare()
def proxy_done(context: Context) -> Status:
    """Release a root context whose ``proxy_on_done`` returned 0; NOT_FOUND when none is waiting."""
    return context.root.done()


@HOSTCALLS.declare()
def proxy_call_foreign_function(
    context: Context, function_name: Text, arguments: Bytes
) -> Annotated[Status | Reply, Output("data", "results", optional=True, always=True)]:
    """Call a function of the proxy by name; NOT_FOUND when there is none. What a test registers comes first.

    Envoy writes the result pointers also when a function fails; only an unknown one leaves them alone.
    """
    registered = context.proxy.foreign_functions.get(function_name)
    if registered is not None:
        return Reply(Status.OK, (to_bytes(registered(arguments), "the result of a foreign function"),))
    function = FOREIGN_FUNCTIONS.get(function_name)
    if function is None:
        names = (*context.proxy.foreign_functions, *FOREIGN_FUNCTIONS)
        return context.because(Status.NOT_FOUND, reasons.no_function, function_name, names)
    answer = function(context, arguments)
    if not isinstance(answer, Status):
        return Reply(Status.OK, (Block(answer),))
    if answer is not Status.OK and context.vm.guest.why is None:
        context.because(answer, reasons.function_failed, function_name)
    return Reply(answer, (b"",))


@HOSTCALLS.declare(returns="value")
def pthread_equal(context: Context, left: U32, right: U32) -> int:
    """Whether two numbers are equal (a leftover of old Emscripten runtimes)."""
    return int(left == right)


@HOSTCALLS.declare(returns="none", during_start=True)
def emscripten_notify_memory_growth(context: Context, memory_index: U32) -> None:
    """Emscripten guests report that their memory grew; nothing to do."""
