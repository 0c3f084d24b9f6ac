"""Tells Hypothesis which strategy makes which of our types; runs when Hypothesis is imported, and loads little.

With it ``st.from_type(pw.ExchangePlan)`` and ``st.builds`` of functions that take our types work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["register"]


def register() -> None:
    """Register all types (the entry point ``hypothesis``)."""
    from hypothesis import strategies as st

    from .headers import Headers
    from .model import Request, Response
    from .plans import ExchangePlan, Schedule, TcpPlan

    for kind, name in (
        (Headers, "headers"),
        (Request, "requests"),
        (Response, "responses"),
        (ExchangePlan, "exchange_plans"),
        (Schedule, "schedules"),
        (TcpPlan, "tcp_streams"),
    ):
        st.register_type_strategy(kind, _lazily(name))


def _lazily(name: str) -> Callable[[type[Any]], Any]:
    """The strategies are loaded when the first of them is drawn from."""

    def find(_: type[Any]) -> Any:
        from . import strategies

        return getattr(strategies, name)()

    return find
