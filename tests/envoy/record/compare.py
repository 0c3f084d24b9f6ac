"""Whether two recordings of a case agree, by the rules that hold between a recording and its replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..case import parse
from ..compare import compare
from ..result import Result

__all__ = ["compare_recordings"]


def compare_recordings(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """A readable account of every difference; empty when the recordings agree."""
    was, now = old["expected"], new["expected"]
    result = Result(
        ready=now["ready"],
        crashed=now["envoy_exit"] < 0,
        guest_log=now["guest_log"],
        client=now.get("client"),
        more_clients=now.get("more_clients"),
        upstream=now.get("upstream"),
        client_got=now.get("client_got"),
        upstream_got=now.get("upstream_got"),
    )
    problems = [compare(parse(old), result)]
    if was["envoy_exit"] != now["envoy_exit"]:
        problems.append(f"Envoy's exit status was {was['envoy_exit']} and is {now['envoy_exit']}")
    return "\n".join(problem for problem in problems if problem)
