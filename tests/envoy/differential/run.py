"""Runs a generated life in the mock and in Envoy; a difference is raised."""

from __future__ import annotations

import pytest_proxywasm as pw
from pytest_proxywasm.toolkit import Toolkit

from .lives import Life

__all__ = ["run"]


def run(toolkit: Toolkit, filter: pw.Filter, life: Life) -> int:
    """How many exchanges were run.

    Raises:
        EnvoyDiffersError: mock and Envoy do not agree.
    """
    done = 0
    chain = [filter.replace(**options) for options in life.filters]
    with toolkit.host(*chain, clusters=life.clusters, on_trap="continue") as host:
        for step in life.steps:
            try:
                done += 1
                host.clock.advance(step.after)
                host.request(**step.arguments, upstream=step.upstream)
            except pw.EnvoyDiffersError as error:
                note = f"exchange {done} of {life!r}"
                if note not in getattr(error, "__notes__", ()) and hasattr(error, "add_note"):
                    error.add_note(note)
                raise
            except (pw.StreamStalled, pw.EnvoyCrashError, pw.NotEmulatedError):
                break  # Envoy has died, or the exchanges after this one would stall as well
    return done
