"""The recorded answers as a file: a line for each call, its answers with the callbacks they were given in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .calls import calls
from .events import EVENTS
from .trials import Answers

__all__ = ["GUESTS", "RECORDED", "load", "save"]

OTHERS = "*"

RECORDED = Path(__file__).parents[1] / "recorded" / "universal.json"
GUESTS = Path(__file__).parents[3] / "fixtures" / "universal"


def save(path: Path, answers: Answers) -> None:
    """Write the table: the call, then its results, then what followed, each with its callbacks.

    The callbacks of the most frequent answer are not listed.
    """
    found: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {}
    for (event, call), (result, after) in answers.items():
        results, later = found.setdefault(call, ({}, {}))
        results.setdefault(result, []).append(event)
        later.setdefault(after, []).append(event)
    lines = [json.dumps([call, _joined(results), _joined(later)]) for call, (results, later) in found.items()]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _joined(answers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    most = max(answers, key=lambda answer: len(answers[answer]))
    return {answer: OTHERS if answer == most else " ".join(events) for answer, events in answers.items()}


def load(path: Path = RECORDED) -> Answers:
    """Read it."""
    made = {
        version: {str(call) for call in calls(version)} for version in dict.fromkeys(event.version for event in EVENTS)
    }
    answers = Answers()
    for call, results, later in json.loads(path.read_text(encoding="utf-8")):
        events = [str(event) for event in EVENTS if call in made[event.version]]
        after = _expanded(later, events)
        for event, result in _expanded(results, events).items():
            answers[event, call] = (result, after[event])
    return answers


def _expanded(answers: Mapping[str, str], events: Sequence[str]) -> dict[str, str]:
    most = next(answer for answer, named in answers.items() if named == OTHERS)
    listed = {event: answer for answer, named in answers.items() if named != OTHERS for event in named.split()}
    return {event: listed.get(event, most) for event in events}
