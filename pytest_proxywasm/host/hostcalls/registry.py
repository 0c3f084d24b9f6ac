"""The registry hostcalls are declared in."""

from ...abi.hostcall import Registry

HOSTCALLS = Registry()
