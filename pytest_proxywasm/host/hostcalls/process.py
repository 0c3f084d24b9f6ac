"""Hostcalls of what VMs share: shared data, queues, metrics."""

from __future__ import annotations

from typing import Annotated

from ...abi.enums import MetricType, Status
from ...abi.hostcall import I64, U32, U64, Bytes, Input, Output, Text
from ...headers import to_text
from ..context import Context
from .registry import HOSTCALLS


@HOSTCALLS.declare()
def proxy_get_shared_data(
    context: Context, key: Bytes
) -> Annotated[tuple[bytes, int] | Status, Output("data", "value"), Output("u32", "cas")]:
    """A value shared by all VMs of the same vm_id, and its compare-and-set number."""
    found = context.proxy.shared_data.get(context.vm.config.vm_id, key)
    return Status.NOT_FOUND if found is None else found


@HOSTCALLS.declare()
def proxy_set_shared_data(context: Context, key: Bytes, value: Bytes, cas: U32) -> Status:
    """Share a value; CAS_MISMATCH when the key is there and cas is neither 0 nor its number."""
    return context.proxy.shared_data.set(context.vm.config.vm_id, key, value, cas)


@HOSTCALLS.declare()
def proxy_register_shared_queue(context: Context, queue_name: Text) -> Annotated[int, Output("u32", "queue_id")]:
    """The id of a queue of the own vm_id, made when it is new; the last to register is told of items."""
    return context.proxy.queues.register(context.vm.config.vm_id, queue_name, context.root.queue_ready).id


@HOSTCALLS.declare()
def proxy_resolve_shared_queue(
    context: Context, vm_id: Text, queue_name: Text
) -> Annotated[int | Status, Output("u32", "queue_id")]:
    """The id of a queue of some vm_id (empty: the own one); NOT_FOUND when there is none."""
    queue = context.proxy.queues.resolve(to_text(vm_id) or context.vm.config.vm_id, queue_name)
    return Status.NOT_FOUND if queue is None else queue.id


@HOSTCALLS.declare()
def proxy_dequeue_shared_queue(context: Context, queue_id: U32) -> Annotated[bytes | Status, Output("data", "value")]:
    """Take the first item; EMPTY when there is none, NOT_FOUND for an unknown id."""
    return context.proxy.queues.dequeue(queue_id)


@HOSTCALLS.declare()
def proxy_enqueue_shared_queue(context: Context, queue_id: U32, value: Bytes) -> Status:
    """Put an item at the end and tell whoever registered the queue last."""
    return context.proxy.queues.enqueue(queue_id, value)


@HOSTCALLS.declare()
def proxy_define_metric(
    context: Context, metric_type: Annotated[MetricType | int, Input("word", enum=MetricType)], name: Text
) -> Annotated[int | Status, Output("u32", "metric_id")]:
    """A new id for a metric; the same name again gives another id of the same metric."""
    if not isinstance(metric_type, MetricType):
        return Status.BAD_ARGUMENT
    return context.vm.metric_ids.add(context.proxy.metrics.define(metric_type, name))


@HOSTCALLS.declare()
def proxy_increment_metric(context: Context, metric_id: U32, delta: I64) -> Status:
    """Change a counter (only upwards) or a gauge."""
    return context.vm.metric_ids.increment(metric_id, delta)


@HOSTCALLS.declare()
def proxy_record_metric(context: Context, metric_id: U32, value: U64) -> Status:
    """Set a gauge, add to a counter, put a sample into a histogram."""
    return context.vm.metric_ids.record(metric_id, value)


@HOSTCALLS.declare()
def proxy_get_metric(context: Context, metric_id: U32) -> Annotated[int | Status, Output("u64", "value")]:
    """The value of a counter or gauge; BAD_ARGUMENT for a histogram."""
    return context.vm.metric_ids.get(metric_id)
