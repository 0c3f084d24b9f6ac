"""What happened in a run: callbacks and hostcalls as events, and their text."""

from .events import Arguments, Callback, Hostcall, Trace, WasiCall, Why

__all__ = ["Arguments", "Callback", "Hostcall", "Trace", "WasiCall", "Why"]
