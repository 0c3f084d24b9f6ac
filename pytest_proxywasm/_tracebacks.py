"""Keeps our frames out of the tracebacks pytest shows of our own errors, so that they end at the user's line.

A module takes part with ``from ._tracebacks import hide_own_errors as __tracebackhide__``; a mistake of
ours, any other exception, is shown in full.
"""

from __future__ import annotations

from typing import Any

from .errors import ProxyWasmError


def hide_missing_names(excinfo: Any) -> bool:
    """Whether pytest leaves out the frame of a look-up of ours that found nothing under a name."""
    return excinfo is not None and isinstance(excinfo.value, KeyError)


def hide_own_errors(excinfo: Any) -> bool:
    """Whether pytest leaves out the frame (pytest passes its ``ExceptionInfo``, or ``None``)."""
    return excinfo is not None and isinstance(excinfo.value, ProxyWasmError)
