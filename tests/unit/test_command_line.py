"""``python -m pytest_proxywasm``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pytest_proxywasm.cli import main

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
HEADER = str(FIXTURES / "wat/header.wat")
PROBE = str(FIXTURES / "probe/probe.wasm")
Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *arguments: str, exit_code: int = 0) -> list[str]:
    """The lines a command prints to stdout."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == exit_code, err
    return [line.rstrip() for line in out.splitlines()]


def complaint(capsys: Capture, *arguments: str, exit_code: int) -> str:
    """What a command prints to stderr."""
    assert main(arguments) == exit_code
    return capsys.readouterr().err


class TestInspect:
    def test_it_says_what_a_filter_is_and_that_envoy_loads_it(self, capsys: Capture) -> None:
        lines = printed(capsys, "inspect", HEADER)
        assert "  ABI      0.2.1" in lines
        assert "  memory   65,536 bytes at the start, no limit of its own" in lines
        assert lines[lines.index("Would Envoy load it?") + 1] == "  yes"
        assert any(
            line.split("  ")[0] == "env.proxy_send_local_response" and line.endswith("Proxy-Wasm 0.1.0 to 0.2.1")
            for line in lines
        )
        assert any(line.startswith("proxy_on_request_headers ") and line.endswith("callback") for line in lines)
        assert any(line.endswith("code") for line in lines[lines.index("Sections") :])

    def test_the_reason_why_envoy_refuses_comes_with_its_words_and_an_exit_code(self, capsys: Capture) -> None:
        lines = printed(capsys, "inspect", str(FIXTURES / "hostile/unknown_import.wat"), exit_code=1)
        at = lines.index("Would Envoy load it?")
        assert lines[at + 1 : at + 3] == [
            "  no",
            "  Failed to load Wasm module due to a missing import: env.proxy_nope",
        ]
        assert any(line.startswith("env.proxy_nope") and line.endswith("no host known here") for line in lines)

    @pytest.mark.parametrize(
        ("name", "note"),
        [
            ("proxy_redis_call", "Higress: its Redis calls"),
            ("proxy_get_buffer", "ngx_wasm_module (Kong): a draft's name of proxy_get_buffer_bytes"),
            ("proxy_clear_route_cache", "Proxy-Wasm 0.1.0 only"),
            ("proxy_log", "every host has it with another type"),
            ("envoy_resolve_dns", "Envoy (a look-up in DNS, answered by envoy_on_resolve_dns), not the mock host"),
        ],
    )
    def test_an_import_is_told_by_who_offers_it(self, name: str, note: str, capsys: Capture, tmp_path: Path) -> None:
        file = tmp_path / "a.wat"
        file.write_text(
            f'(module (import "env" "{name}" (func)) (memory (export "memory") 1)'
            '(func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))'
        )
        lines = printed(capsys, "inspect", str(file), exit_code=1)
        assert next(line for line in lines if line.startswith(f"env.{name}")).endswith(note)

    def test_what_envoy_offers_and_the_mock_does_not_is_no_refusal(self, capsys: Capture, tmp_path: Path) -> None:
        file = tmp_path / "a.wat"
        file.write_text(
            '(module (import "env" "envoy_resolve_dns" (func)) (memory (export "memory") 1)'
            '(func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))'
        )
        lines = printed(capsys, "inspect", str(file), exit_code=1)
        assert "  yes, but the mock host does not emulate all of it" in lines

    def test_json(self, capsys: Capture) -> None:
        found = json.loads("\n".join(printed(capsys, "inspect", PROBE, "--json")))
        assert found["abi"] == "0.2.1"
        assert found["problem"] is None
        assert {one["name"] for one in found["exports"]} >= {"proxy_on_request_headers", "_initialize"}

    def test_a_corrupt_module_is_one_line(self, capsys: Capture, tmp_path: Path) -> None:
        (tmp_path / "a.wasm").write_bytes(b"\0asm\x01\0\0\0\x01\xff")
        text = complaint(capsys, "inspect", str(tmp_path / "a.wasm"), exit_code=1)
        assert text.startswith("FilterStartError: Failed to parse corrupted Wasm module: corrupt WebAssembly module: ")

    def test_what_is_no_module_is_a_wrong_argument(self, capsys: Capture, tmp_path: Path) -> None:
        (tmp_path / "a.wasm").write_bytes(b"<html>")
        text = complaint(capsys, "inspect", str(tmp_path / "a.wasm"), exit_code=2)
        assert text.startswith("error: the filter ")
        assert "an HTML page: a failed download, as a rule" in text


class TestRun:
    def test_it_shows_the_response_and_the_trace(self, capsys: Capture) -> None:
        assert printed(capsys, "run", HEADER, "/x", "-H", "x-block: yes") == [
            "complete",
            "HTTP/1.1 403",
            "content-length: 7",
            "content-type: text/plain",
            "x-filter: wat",
            "date: Wed, 01 Jan 2020 00:00:00 GMT",
            "server: envoy",
            "",
            "denied",
            "",
            "Trace",
            "> proxy_on_context_create context=2 parent_context_id=1",
            "< done",
            "> proxy_on_request_headers context=2 num_headers=7 end_of_stream=true",
            '    proxy_get_header_map_value map=HTTP_REQUEST_HEADERS key="x-block" -> OK value="yes"',
            '    proxy_send_local_response status_code=403 details="" body="denied\\n" headers=[] grpc_status=-1 -> OK',
            "< PAUSE",
            "> proxy_on_response_headers context=2 num_headers=3 end_of_stream=false",
            '    proxy_add_header_map_value map=HTTP_RESPONSE_HEADERS key="x-filter" value="wat" -> OK',
            "< CONTINUE",
        ]

    def test_clusters_logs_and_chunks(self, capsys: Capture, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("rqh log 2 hello\nrqh http aux 1000 '' :method GET :path /check :authority a\n")
        arguments = ["run", PROBE, "--configuration", f"@{script}", "-d", "one", "-d", "two", "--cluster", "aux=204"]
        lines = printed(capsys, *arguments, "--upstream", "503", "--upstream-data", "sorry")
        assert "HTTP/1.1 503" in lines
        assert "sorry" in lines
        assert lines[lines.index("Callouts") + 1] == "  GET /check to cluster 'aux': 204"
        assert "  info: hello" in [line for line in lines if "hello" in line and "proxy_log" not in line]
        assert "> proxy_on_request_body context=2 body_size=3 end_of_stream=false" in lines

    def test_json(self, capsys: Capture) -> None:
        found = json.loads("\n".join(printed(capsys, "run", HEADER, "--json")))
        assert found["outcome"] == "complete"
        assert found["response"]["status"] == 200
        assert ["x-filter", "wat"] in found["response"]["headers"]
        assert found["trace"][0] == "proxy-wasm trace 1"

    def test_a_filter_that_fails_shows_its_trace_and_then_why(self, capsys: Capture) -> None:
        assert main(["run", str(FIXTURES / "hostile/loop_in_headers.wat")]) == 1
        out, err = capsys.readouterr()
        assert "> proxy_on_request_headers context=2 num_headers=6 end_of_stream=true" in out
        assert err.startswith("\nGuestBudgetExceeded: the filter did not return from proxy_on_request_headers")

    def test_what_a_guest_sends_cannot_steer_the_terminal(self, capsys: Capture, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("rqh local 200 '' 'a\\x1b[31mb' -1")
        out = "\n".join(printed(capsys, "run", PROBE, "--configuration", f"@{script}"))
        assert "\x1b" not in out

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["-H", "bad"], "error: 'bad' is no header: it looks like 'name: value'\n"),
            (
                ["--upstream", "99"],
                "error: --upstream=99: it is a status, or timeout, reset, refused, no-hosts\n",
            ),
            (["--upstream", "no-hosts"], "error: --upstream=no-hosts: that is for --cluster\n"),
            (
                ["--cluster", "authz"],
                "error: --cluster=authz: it looks like NAME=ANSWER, as in --cluster=authz=200\n",
            ),
            (["-d", "@nowhere"], "error: @nowhere: nowhere cannot be read: No such file or directory\n"),
        ],
    )
    def test_wrong_arguments_are_one_line(self, arguments: list[str], text: str, capsys: Capture) -> None:
        assert complaint(capsys, "run", HEADER, *arguments, exit_code=2) == text


def test_without_rich_it_says_what_to_install(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert complaint(capsys, "inspect", HEADER, exit_code=2) == (
        "error: the command line needs the package rich: pip install 'pytest-proxywasm[cli]'\n"
    )


def test_an_unknown_command_is_refused(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["frob"])
    assert caught.value.code == 2
    assert "invalid choice: 'frob'" in capsys.readouterr().err
