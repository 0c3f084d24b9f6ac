"""The mock host: how engine, ABI and host make a proxy that tests can drive."""

from .host import MockHost

__all__ = ["MockHost"]
