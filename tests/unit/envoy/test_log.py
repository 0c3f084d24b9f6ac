"""Records of a log that grows, whatever guests put into theirs."""

from __future__ import annotations

from pathlib import Path

from pytest_proxywasm.envoy.log import LogReader

MARK = "\x1eabcd|"


def test_a_record_may_have_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(f"{MARK}info|wasm|7|first\nsecond\n{MARK}error|lua|8|other\n".encode() + b"no record of its own\n")
    records = LogReader(path, MARK).all()
    assert [(r.level, r.component, r.thread, r.text) for r in records] == [
        ("info", "wasm", "7", "first\nsecond"),
        ("error", "lua", "8", "other\nno record of its own"),
    ]


def test_what_is_just_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(f"{MARK}info|wasm|7|one\n{MARK}info|wasm|7|tw".encode())
    reader = LogReader(path, MARK)
    assert [r.text for r in reader.new()] == ["one"]
    assert reader.new() == []
    with path.open("ab") as log:
        log.write(b"o\n")
    assert [r.text for r in reader.new()] == ["two"]
    assert reader.size() == path.stat().st_size


def test_bytes_that_are_no_text_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(f"{MARK}info|wasm|7|".encode() + b"\xff\x00|x\n")
    (record,) = LogReader(path, MARK).all()
    assert record.raw == b"\xff\x00|x"
