"""Every hostcall, declared once; `HOSTCALLS` holds them all."""

from . import basics, callouts, grpc, maps, process, streams
from .registry import HOSTCALLS

__all__ = ["HOSTCALLS", "basics", "callouts", "grpc", "maps", "process", "streams"]
