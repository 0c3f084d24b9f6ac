"""The phases of an exchange, each with a request that reaches it; operations are put into them."""

from __future__ import annotations

from typing import Any

from .build import FULL, Case, case, script

__all__ = ["ENDS", "PHASES", "REQUEST_PHASES", "RESPONSE_PHASES", "in_phase"]

REQUEST_PHASES = ("rqh", "rqb", "rqt")
RESPONSE_PHASES = ("rsh", "rsb", "rst")
ENDS = ("log", "done", "del")

CALL = "http aux 1000 '' :method GET :path /aux :authority a"

PHASES: dict[str, str] = {
    **dict.fromkeys(("ctx", *REQUEST_PHASES, *RESPONSE_PHASES, *ENDS), ""),
    # Root callbacks while a stream is held, with and without its context.
    "tick": "rqh ret 1\nrqh tick 100\ntick#1 tick 0\ntick#1 {}\ntick#1 effctx 2\ntick#1 cont 0",
    "tickeff": "rqh ret 1\nrqh tick 100\ntick#1 tick 0\ntick#1 effctx 2\ntick#1 {}\ntick#1 effctx 2\ntick#1 cont 0",
    "http": f"rqh {CALL}\nrqh ret 1\nhttp {{}}\nhttp effctx 2\nhttp cont 0",
    "httpeff": f"rqh {CALL}\nrqh ret 1\nhttp effctx 2\nhttp {{}}\nhttp cont 0",
    "httprsh": f"rsh {CALL}\nrsh ret 1\nhttp effctx 2\nhttp {{}}\nhttp cont 1",
    "httprqb": f"rqb#1 {CALL}\nrqb ret 1\nrqt ret 1\nhttp effctx 2\nhttp {{}}\nhttp cont 0",
    "httprqt": f"rqt {CALL}\nrqt ret 1\nhttp effctx 2\nhttp {{}}\nhttp cont 0",
    "httprsb": f"rsb#1 {CALL}\nrsb ret 1\nrst ret 1\nhttp effctx 2\nhttp {{}}\nhttp cont 1",
    "httprst": f"rst {CALL}\nrst ret 1\nhttp effctx 2\nhttp {{}}\nhttp cont 1",
}
"""What brings about each phase; ``{}`` stands for the operations, which otherwise belong to the event of that name."""


def in_phase(
    id: str, area: str, title: str, phase: str, *operations: str, after: str = "", wire: str = FULL, **options: Any
) -> Case:
    """A case whose filter does these operations in a phase; ``after`` is more of its script."""
    lines = []
    for line in PHASES[phase].split("\n"):
        if line.endswith("{}"):
            lines += [line.replace("{}", operation) for operation in operations]
        elif line:
            lines.append(line)
    if not PHASES[phase]:
        lines.append(script(phase, *operations))
    return case(id, area, title, *lines, *([after] if after else []), wire=wire, **options)
