"""Hostcalls of what VMs share: shared data, queues, metrics."""

from __future__ import annotations

from typing import Annotated

from ...abi.enums import MetricType, Status
from ...abi.hostcall import I64, U32, U64, Bytes, Input, Output, Text
from ...headers import to_text
from .. import reasons
from ..context import Context
from .registry import HOSTCALLS


@HOSTCALLS.declare()
def proxy_get_shared_data(
    context: Context, key: Bytes
) -> Annotated[tuple[bytes, int] | Status, Output("data", "value"), Output("u32", "cas")]:
    """A value shared by all VMs of the same vm_id, and its compare-and-set number."""
    vm_id = context.vm.config.vm_id
    found = context.proxy.shared_data.get(vm_id, key)
    if found is None:
        keys = tuple(context.proxy.shared_data.scope(vm_id))
        return context.because(Status.NOT_FOUND, reasons.no_shared_data, key, keys, vm_id)
    return found


@HOSTCALLS.declare()
def proxy_set_shared_data(context: Context, key: Bytes, value: Bytes, cas: U32) -> Status:
    """Share a value; CAS_MISMATCH when the key is there and cas is neither 0 nor its number."""
    vm_id, data = context.vm.config.vm_id, context.proxy.shared_data
    status = data.set(vm_id, key, value, cas)
    if status is not Status.OK:
        context.because(status, reasons.cas_mismatch, key, cas, data.scope(vm_id)[key][1])
    return status


@HOSTCALLS.declare()
def proxy_register_shared_queue(context: Context, queue_name: Text) -> Annotated[int, Output("u32", "queue_id")]:
    """The id of a queue of the own vm_id, made when it is new; the last to register is told of items."""
    return context.proxy.queues.register(context.vm.config.vm_id, queue_name, context.root.queue_ready).id


@HOSTCALLS.declare()
def proxy_resolve_shared_queue(
    context: Context, vm_id: Text, queue_name: Text
) -> Annotated[int | Status, Output("u32", "queue_id")]:
    """The id of a queue of some vm_id (empty: the own one); NOT_FOUND when there is none."""
    wanted, queues = to_text(vm_id) or context.vm.config.vm_id, context.proxy.queues
    queue = queues.resolve(wanted, queue_name)
    if queue is None:
        names = tuple(one.name for one in queues.by_id.values() if one.vm_id == wanted)
        return context.because(Status.NOT_FOUND, reasons.no_queue_name, wanted, queue_name, names)
    return queue.id


@HOSTCALLS.declare()
def proxy_dequeue_shared_queue(context: Context, queue_id: U32) -> Annotated[bytes | Status, Output("data", "value")]:
    """Take the first item; EMPTY when there is none, NOT_FOUND for an unknown id."""
    item = context.proxy.queues.dequeue(queue_id)
    if item is Status.NOT_FOUND:
        return context.because(Status.NOT_FOUND, reasons.no_queue, queue_id, tuple(context.proxy.queues.by_id))
    return item


@HOSTCALLS.declare()
def proxy_enqueue_shared_queue(context: Context, queue_id: U32, value: Bytes) -> Status:
    """Put an item at the end and tell whoever registered the queue last."""
    status = context.proxy.queues.enqueue(queue_id, value)
    if status is not Status.OK:
        context.because(status, reasons.no_queue, queue_id, tuple(context.proxy.queues.by_id))
    return status


@HOSTCALLS.declare()
def proxy_define_metric(
    context: Context, metric_type: Annotated[MetricType | int, Input("word", enum=MetricType)], name: Text
) -> Annotated[int | Status, Output("u32", "metric_id")]:
    """A new id for a metric; the same name again gives another id of the same metric."""
    if not isinstance(metric_type, MetricType):
        return context.because(Status.BAD_ARGUMENT, f"metric_type={metric_type}: 0 (COUNTER), 1 (GAUGE), 2 (HISTOGRAM)")
    return context.vm.metric_ids.add(context.proxy.metrics.define(metric_type, name))


@HOSTCALLS.declare()
def proxy_increment_metric(context: Context, metric_id: U32, delta: I64) -> Status:
    """Change a counter (only upwards) or a gauge."""
    status = context.vm.metric_ids.increment(metric_id, delta)
    if status is Status.BAD_ARGUMENT:
        return context.because(status, reasons.bad_increment, metric_id, delta)
    return _known_metric(context, metric_id, status)


def _known_metric(context: Context, metric_id: int, status: Status) -> Status:
    if status is Status.NOT_FOUND:
        context.because(status, reasons.no_metric, metric_id, tuple(context.vm.metric_ids))
    return status


@HOSTCALLS.declare()
def proxy_record_metric(context: Context, metric_id: U32, value: U64) -> Status:
    """Set a gauge, add to a counter, put a sample into a histogram."""
    return _known_metric(context, metric_id, context.vm.metric_ids.record(metric_id, value))


@HOSTCALLS.declare()
def proxy_get_metric(context: Context, metric_id: U32) -> Annotated[int | Status, Output("u64", "value")]:
    """The value of a counter or gauge; BAD_ARGUMENT for a histogram."""
    value = context.vm.metric_ids.get(metric_id)
    if value is Status.BAD_ARGUMENT:
        return context.because(Status.BAD_ARGUMENT, reasons.histogram_value, metric_id)
    return _known_metric(context, metric_id, value) if isinstance(value, Status) else value
