"""``python -m pytest_proxywasm record``: cases in a real Envoy, written down and held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_proxywasm.cli import main

from .conftest import PROBE

CASE: dict[str, Any] = {
    "id": "one",
    "title": "a header is added",
    "kind": "http",
    "filters": [{"wasm": "probe.wasm", "configuration": "rqh add 0 x-new 1"}],
    "request": "GET /fixed HTTP/1.1\r\nHost: example.com\r\n\r\n",
}
GUESTS = ("--guests", str(PROBE.parent))
Capture = pytest.CaptureFixture[str]


def written(path: Path, *cases: Any) -> str:
    """A file with cases."""
    path.write_text("\n".join(json.dumps(case) for case in cases) + "\n", encoding="utf-8")
    return str(path)


def complaint(capsys: Capture, *arguments: str) -> str:
    """What the command complains about."""
    assert main(["record", *arguments]) == 2
    return capsys.readouterr().err


def test_a_case_is_recorded_and_agrees_with_itself(envoy: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.jsonl"
    assert (
        main(["record", written(tmp_path / "in.jsonl", CASE), str(out), *GUESTS, "--proxywasm-envoy", str(envoy)]) == 0
    )
    assert capsys.readouterr().out == "1 of 1 cases recorded in Envoy 1.40.0\n"
    (line,) = out.read_text(encoding="utf-8").splitlines()
    recorded = json.loads(line)
    assert {key: value for key, value in recorded.items() if key != "expected"} == CASE
    expected = recorded["expected"]
    assert (expected["ready"], expected["envoy_exit"]) == (True, 0)
    assert "  OP add 0 x-new 1 -> 0" in expected["guest_log"]
    assert "x-new: 1" in expected["upstream"][0]["headers"]
    assert expected["client"]["status"] == "HTTP/1.1 200 OK"
    assert main(["record", str(out), "--compare", *GUESTS]) == 0
    assert capsys.readouterr().out == "1 of 1 cases agree with Envoy 1.40.0\n"


def test_a_difference_is_shown(envoy: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out.jsonl"
    main(["record", written(tmp_path / "in.jsonl", CASE), str(out), *GUESTS])
    text = out.read_text(encoding="utf-8").replace("HTTP/1.1 200 OK", "HTTP/1.1 201 Created")
    out.write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert main(["record", str(out), "--compare", *GUESTS]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["one: a header is added", "--- recorded", "+++ now"]
    assert '-  "status": "HTTP/1.1 201 Created",' in lines
    assert '+  "status": "HTTP/1.1 200 OK",' in lines
    assert lines[-1] == "0 of 1 cases agree with Envoy 1.40.0"


def test_a_request_that_cannot_be_is_a_case_that_cannot_be_recorded(
    envoy: Path, tmp_path: Path, capsys: Capture
) -> None:
    wrong = {**CASE, "request": {"starts": "GET / HTTP/1.1", "length": 3}}
    assert (
        main(["record", written(tmp_path / "in.jsonl", wrong, {**CASE, "id": "two"}), str(tmp_path / "o"), *GUESTS])
        == 1
    )
    assert capsys.readouterr().out == (
        "one: a header is added\n"
        "it cannot be recorded: a request of 3 bytes cannot start with 14 bytes\n\n"
        "1 of 2 cases recorded in Envoy 1.40.0\n"
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no json", ":1: no JSON object: "),
        ([1], ":1: a case has id, kind, filters; this one has no id"),
        ({"id": "x", "kind": "http"}, ":1: a case has id, kind, filters; this one has no filters"),
        ({**CASE, "kind": "udp"}, ":1: kind is http or tcp, not 'udp'"),
        ({**CASE, "filters": ["probe.wasm"]}, ':1: filters are objects that name their module, as in {"wasm": '),
        ({**CASE, "filters": [{"wasm": "none.wasm"}]}, "case one: there is no "),
    ],
)
def test_what_is_no_case_says_so(envoy: Path, tmp_path: Path, capsys: Capture, case: Any, words: str) -> None:
    path = tmp_path / "in.jsonl"
    if isinstance(case, str):
        path.write_text(case, encoding="utf-8")
    else:
        written(path, case)
    assert words in complaint(capsys, str(path), str(tmp_path / "out"), *GUESTS)
    assert not (tmp_path / "out").exists()


def test_arguments_that_do_not_fit_say_so(envoy: Path, tmp_path: Path, capsys: Capture) -> None:
    path = written(tmp_path / "in.jsonl", CASE)
    assert "record: give OUT to record, or --compare to hold this Envoy against" in complaint(capsys, path)
    assert "record: give OUT to record, or --compare" in complaint(capsys, path, "out", "--compare")
    assert "case one has not been recorded: it has no 'expected'" in complaint(capsys, path, "--compare", *GUESTS)
    assert "has no such case" in complaint(capsys, path, "out", "--case", "two", *GUESTS)
    assert "cannot be read" in complaint(capsys, str(tmp_path / "none"), "out")
    assert "there is no such program" in complaint(capsys, path, "out", "--proxywasm-envoy", "/nowhere")
    missing = str(tmp_path / "nowhere" / "out")
    assert f"error: {missing} cannot be written: No such file or directory" in complaint(capsys, path, missing, *GUESTS)
