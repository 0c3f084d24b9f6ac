"""The mock held against a real Envoy: every exchange runs in both, and a difference is an error."""

from .host import open_shadowed

__all__ = ["open_shadowed"]
