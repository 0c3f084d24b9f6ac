"""Optional libraries, imported when a filter first needs them; knows what they are for and how to get them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import NotEmulatedError


def optional(module: str, *, needs: str, extra: str) -> ModuleType:
    """A module of an optional library; `NotEmulatedError` that names the extra where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise NotEmulatedError(
            f"{needs} need the optional library {module.partition('.')[0]!r}, which cannot be imported ({error}). "
            f'Install it with: pip install "pytest-proxywasm[{extra}]"'
        ) from None
