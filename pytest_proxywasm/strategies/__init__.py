"""Strategies for Hypothesis: messages, exchanges and schedules as a proxy's filters meet them.

Everything they draw is traffic that a real Envoy accepts and shows to a filter, unless the caller asks for something
else; what they draw prints as code that can be pasted into a test.
"""

from .configurations import configurations
from .exchanges import callout_outcomes, exchange_plans, grpc_callout_outcomes, schedules, tcp_streams
from .headers import header_names, header_values, headers, trailers
from .machine import HostMachine
from .messages import bodies, chunkings, paths, requests, responses
from .steering import steer

__all__ = [
    "HostMachine",
    "bodies",
    "callout_outcomes",
    "chunkings",
    "configurations",
    "exchange_plans",
    "grpc_callout_outcomes",
    "header_names",
    "header_values",
    "headers",
    "paths",
    "requests",
    "responses",
    "schedules",
    "steer",
    "tcp_streams",
    "trailers",
]
