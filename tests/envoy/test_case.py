"""Reading cases, and the filters in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pytest_proxywasm.model import GuestLog, LogLevel

from .case import CaseError, expand, load
from .configuration import Label, NotReplayable, configuration_bytes, filter_of
from .lines import guest_lines, recorded_level
from .replay import main

CASES = Path(__file__).with_name("cases.jsonl")


def test_text_is_latin_1() -> None:
    """A byte a character."""
    assert expand("a\u00e9") == b"a\xe9"


def test_a_shortened_request_has_its_full_length() -> None:
    """The start, the end of the headers, and x up to the length."""
    assert expand({"starts": "GET", "length": 10}) == b"GET\r\n\r\nxxx"


def test_the_digest_tells_where_the_letters_are() -> None:
    """In a header that is too long they come first."""
    whole = b"GET / HTTP/1.1\r\nX: " + b"x" * 50 + b"\r\n\r\n"
    short = {"starts": "GET / HTTP/1.1\r\nX: x", "length": len(whole)}
    assert expand({**short, "sha256": hashlib.sha256(whole).hexdigest()}) == whole


def test_what_is_no_case_is_refused(tmp_path: Path) -> None:
    """With file and line."""
    path = tmp_path / "cases.jsonl"
    path.write_text('\n{"id": "x"}\n')
    with pytest.raises(CaseError, match=r"cases\.jsonl:2"):
        load(path)


@pytest.mark.parametrize(
    ("kind", "value", "encoded"),
    [
        ("StringValue", "x", b"x"),
        ("BytesValue", "AAE=", b"\x00\x01"),
        ("Duration", "3s", b"\x08\x03"),
        ("Struct", {"a": 1}, b"\x0a\x0e\x0a\x01a\x12\x09\x11\x00\x00\x00\x00\x00\x00\xf0\x3f"),
        ("Struct", {"a": [True, None]}, b"\x0a\x0f\x0a\x01a\x12\x0a\x32\x08\x0a\x02\x20\x01\x0a\x02\x08\x00"),
        ("Empty", None, b""),
    ],
)
def test_configuration_messages_are_encoded_as_envoy_does(kind: str, value: object, encoded: bytes) -> None:
    """Fact A16."""
    message = {"protobuf": {"@type": f"type.googleapis.com/google.protobuf.{kind}", "value": value}}
    assert configuration_bytes(message) == encoded


def test_an_unknown_message_is_named() -> None:
    """Rather than guessed."""
    with pytest.raises(NotReplayable, match=r"x\.Y"):
        configuration_bytes({"protobuf": {"@type": "a/x.Y"}})


def test_a_filter_has_everything_its_configuration_says() -> None:
    """In the package's words."""
    probe = Path(__file__).parents[2] / "fixtures" / "probe"
    made = filter_of(
        {
            "wasm": "probe.wasm",
            "name": "n",
            "fail_open": True,
            "environment_variables": {"key_values": {"A": "b"}, "host_env_keys": ["HOME", "NOSUCH"]},
            "capability_restriction_config": {"allowed_capabilities": {"proxy_log": {}}},
        },
        probe,
    )
    assert made.failure_policy == "fail_open_legacy"
    assert dict(made.environment) == {"HOME": "/root", "A": "b"}
    assert made.allowed_capabilities == frozenset({"proxy_log"})
    with pytest.raises(NotReplayable, match=r"filters\.nope"):
        filter_of({"nope": 1}, probe)


def log(text: str, context_id: int, name: str, level: LogLevel = LogLevel.INFO) -> GuestLog:
    """A logged line."""
    return GuestLog(level, text.encode(), context_id, name)


def test_lines_begin_with_what_envoy_puts_before_them() -> None:
    """Root contexts go without the name, start functions without anything (fact R3)."""
    label = Label("n", "r", "v")
    logs = [
        log("CB _initialize ctx=0", 0, label),
        log("CB context_create ctx=1 0", 1, label),
        log("CB context_create ctx=2 1", 2, label),
        log("two\nlines", 2, Label("", "", "")),
    ]
    assert guest_lines(logs, LogLevel.DEBUG) == [
        "CB _initialize ctx=0",
        "[r v] CB context_create ctx=1 0",
        "[n r v] CB context_create ctx=2 1",
        "two",
    ]
    assert guest_lines(logs, LogLevel.DEBUG, since=2)[0].startswith("[n r v]")


def test_what_the_recorder_left_out_is_left_out() -> None:
    """The end of the first root context, the results of done, and what is below the level."""
    names = ["CB done ctx=1", "RET done = 1", "CB delete ctx=1", "RET delete = 0", "CB done ctx=2"]
    logs = [*(log(text, 1, "") for text in names), log("trace", 2, "", LogLevel.TRACE)]
    assert guest_lines(logs, LogLevel.DEBUG) == ["CB done ctx=2"]
    assert guest_lines(logs, recorded_level(["HOST(trace) x"])) == ["CB done ctx=2", "trace"]


def test_the_command_reports_counts_last(capsys: pytest.CaptureFixture[str]) -> None:
    """And its exit status says whether all passed."""
    first = load(CASES)[0]
    assert main([str(CASES), "--case", first.id]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--area", "nope"], "there are: "),
        (["--case", "nope"], "there are: "),
        (["--probe", "no/such/folder"], "no/such/folder"),
    ],
)
def test_unusable_arguments_exit_with_2(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what there is."""
    with pytest.raises(SystemExit) as exit_info:
        main([str(CASES), *arguments])
    assert exit_info.value.code == 2
    assert says in capsys.readouterr().err


def test_a_missing_file_exits_with_2() -> None:
    """Like every unusable argument."""
    with pytest.raises(SystemExit) as exit_info:
        main(["no/such/cases.jsonl"])
    assert exit_info.value.code == 2
