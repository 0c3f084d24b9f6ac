"""`Filter`: a value made of a guest and options, and what is said when the guest is none."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.build import Builder
from pytest_proxywasm.engine import wat_to_wasm
from pytest_proxywasm.engine.binary import byte_vector, unsigned
from pytest_proxywasm.filters import load_filter
from pytest_proxywasm.guest import is_wat

WAT = """
(module
  (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024)))
"""
WASM = wat_to_wasm(WAT)


def complaint(wasm: Any, **options: Any) -> str:
    """What `Filter` says to it."""
    with pytest.raises(pw.UsageError) as caught:
        pw.Filter(wasm, **options)
    return str(caught.value)


class TestValue:
    def test_options_default_to_those_of_the_design(self) -> None:
        one = pw.Filter(WASM)

        assert (one.configuration, one.vm_configuration) == (b"", b"")
        assert (one.name, one.root_id, one.vm_id) == ("", "", "")
        assert one.environment == {}
        assert one.failure_policy == "fail_closed"
        assert one.allow_on_headers_stop_iteration is False
        assert one.allowed_capabilities is None
        assert one.build is None

    def test_equal_guest_and_options_make_equal_filters_wherever_the_guest_came_from(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wasm"
        path.write_bytes(WASM)

        assert pw.Filter(WASM, name="a") == pw.Filter(path, name="a")
        assert hash(pw.Filter(WASM, name="a")) == hash(pw.Filter(path, name="a"))
        assert pw.Filter(WASM, name="a") != pw.Filter(WASM, name="b")
        assert pw.Filter(WASM) != pw.Filter(WASM + b"\0\x02\x01x")
        assert pw.Filter(WASM) != "a filter"

    def test_it_cannot_be_changed(self) -> None:
        one = pw.Filter(WASM)

        with pytest.raises(AttributeError, match=r"make another: filter.replace\(name=...\)"):
            one.name = "x"
        with pytest.raises(AttributeError, match=r"make another: filter.replace\(...\)"):
            del one.name
        with pytest.raises(TypeError):
            one.environment["A"] = "b"  # type: ignore[index]

    def test_it_can_be_pickled(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wasm"
        path.write_bytes(WASM)
        one = pw.Filter(
            path, configuration={"a": 1}, environment={"A": "b"}, allowed_capabilities=["proxy_log"], name="a"
        )
        copy = pickle.loads(pickle.dumps(one))
        path.unlink()

        assert copy == one
        assert copy.path == path
        assert copy.wasm_bytes() == WASM

    def test_options_are_keyword_only(self) -> None:
        with pytest.raises(TypeError, match="positional"):
            pw.Filter(WASM, b"configuration")  # type: ignore[misc]

    def test_replace_leaves_the_rest(self) -> None:
        one = pw.Filter(WASM, name="a", configuration="x", environment={"A": "b"})
        other = one.replace(configuration=[1], environment={"C": "d"})

        assert other == pw.Filter(WASM, name="a", configuration=b"[1]", environment={"C": "d"})
        assert one.configuration == b"x"
        assert one.environment == {"A": "b"}

    def test_replace_takes_another_guest(self, tmp_path: Path) -> None:
        (tmp_path / "b.wasm").write_bytes(WASM + b"\0\x02\x01x")
        one = load_filter(Builder(tmp_path, tmp_path), WASM, name="a")
        other = one.replace(wasm="b.wasm", vm_id="v")

        assert other.path == tmp_path / "b.wasm"
        assert (other.name, other.vm_id) == ("a", "v")

    def test_replace_names_the_nearest_option(self) -> None:
        with pytest.raises(pw.UsageError) as caught:
            pw.Filter(WASM).replace(root="x")
        assert str(caught.value) == "Filter.replace() has no option 'root'; did you mean 'root_id'?"

    def test_its_repr_is_short_and_shows_what_is_not_default(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a.wasm").write_bytes(WASM)
        builder = Builder(tmp_path, tmp_path)

        assert repr(load_filter(builder, "sub/a.wasm", name="a")) == f"Filter({str(Path('sub/a.wasm'))!r}, name='a')"
        one = pw.Filter(WASM, configuration=b"x" * 9999, allowed_capabilities=["b", "a"], environment={"A": "b"})
        assert repr(one).startswith(f"Filter(<{len(WASM)} bytes, sha256 {one.sha256[:16]}>, configuration=b'xxx")
        assert repr(one).endswith("environment={'A': 'b'}, allowed_capabilities=['a', 'b'])")
        assert len(repr(one)) < 300


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "wanted"),
        [
            (b"\xff", b"\xff"),
            (bytearray(b"a"), b"a"),
            ("ä", "ä".encode()),
            ({"b": [1, None], "a": "ä"}, '{"b":[1,null],"a":"ä"}'.encode()),
            ([1, 2.5, True], b"[1,2.5,true]"),
            (7, b"7"),
            (False, b"false"),
            ({}, b"{}"),
        ],
    )
    def test_a_configuration_is_bytes_text_or_json(self, given: Any, wanted: bytes) -> None:
        assert pw.Filter(WASM, configuration=given).configuration == wanted
        assert pw.Filter(WASM, vm_configuration=given).vm_configuration == wanted

    def test_a_configuration_that_is_no_json_is_refused(self) -> None:
        assert complaint(WASM, configuration={1, 2}) == (
            "configuration= takes bytes, str or a JSON value, and this set is none: "
            "Object of type set is not JSON serializable"
        )
        assert "and this float is none: Out of range float values" in complaint(WASM, vm_configuration=float("nan"))
        assert complaint(WASM, configuration=None) == (
            "configuration=None is ambiguous: leave it out for an empty one, or write 'null' for JSON's null"
        )

    def test_an_unknown_failure_policy_is_refused(self) -> None:
        assert complaint(WASM, failure_policy="FAIL_OPEN") == (
            "failure_policy='FAIL_OPEN' does not exist; did you mean 'fail_open'?"
        )
        assert complaint(WASM, failure_policy="x") == (
            "failure_policy='x' does not exist; there are: fail_closed, fail_open, fail_reload, fail_open_legacy"
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"name": b"a"}, "name= takes a str, not b'a'"),
            ({"root_id": None}, "root_id= takes a str, not None"),
            (
                {"allow_on_headers_stop_iteration": 1},
                "allow_on_headers_stop_iteration= takes True or False, not 1",
            ),
            ({"environment": [("A", "b")]}, "environment= takes a mapping of str to str, not [('A', 'b')]"),
            ({"environment": {"A": 1}}, "environment= takes a mapping of str to str, without 'A': 1"),
            ({"environment": {"A=B": ""}}, "environment= has an impossible variable: 'A=B': ''"),
            (
                {"allowed_capabilities": "proxy_log"},
                "allowed_capabilities= takes a list of names, or None for all, not 'proxy_log'",
            ),
            ({"allowed_capabilities": [1]}, "allowed_capabilities= takes names as str, not 1"),
        ],
    )
    def test_a_value_of_the_wrong_type_is_refused(self, options: dict[str, Any], message: str) -> None:
        assert complaint(WASM, **options) == message

    def test_an_unknown_option_names_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(pw.UsageError, match=r"a filter has no option 'config'; did you mean 'configuration'\?"):
            load_filter(Builder(tmp_path, tmp_path), WASM, config=b"")


class TestGuest:
    def test_it_tells_its_abi_imports_exports_and_digest(self) -> None:
        one = pw.Filter(WASM)

        assert one.abi_version == "0.2.1"
        assert [(entry.module, entry.name, entry.kind) for entry in one.imports] == [("env", "proxy_log", "function")]
        assert one.imports[0].type is not None
        assert one.imports[0].type.params == ("i32", "i32", "i32")
        assert [entry.name for entry in one.exports] == ["memory", "proxy_abi_version_0_2_1", "malloc"]
        assert len(one.sha256) == 64
        assert one.path is None

    def test_a_guest_without_a_marker_has_no_abi_version(self) -> None:
        assert pw.Filter("(module)").abi_version is None

    def test_a_corrupt_guest_is_the_filters_fault(self) -> None:
        with pytest.raises(pw.FilterStartError, match="the filter: corrupt WebAssembly module"):
            pw.Filter(WASM[:-3]).exports  # noqa: B018

    def test_wat_may_begin_with_blanks_and_comments(self) -> None:
        assert is_wat(" ;; (a comment)\n (; another\n;) ( module $m )")
        assert is_wat("(module)")
        assert not is_wat("(modules)")
        assert not is_wat("module.wasm")
        assert pw.Filter(";; a\n(module)").wasm_bytes() == WASM[:8]

    def test_a_file_may_be_wat(self, tmp_path: Path) -> None:
        (tmp_path / "a.wat").write_text(WAT)

        assert pw.Filter(tmp_path / "a.wat") == pw.Filter(WASM)

    def test_a_mistake_in_wat_is_shown(self) -> None:
        assert complaint("(module (func").startswith("the guest given as WAT has a mistake: ")

    def test_a_relative_path_starts_at_the_root_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.wasm").write_bytes(WASM)
        assert load_filter(Builder(tmp_path, tmp_path), "a.wasm").path == tmp_path / "a.wasm"

        monkeypatch.chdir(tmp_path)
        assert pw.Filter("a.wasm").path == tmp_path / "a.wasm"

    def test_a_missing_file_is_an_error_that_shows_where_it_was_looked_for(self, tmp_path: Path) -> None:
        for name in ("b.txt", "other.wasm", "filtr.wasm", ".hidden"):
            (tmp_path / name).touch()
        (tmp_path / "src").mkdir()

        assert complaint(tmp_path / "filter.wasm") == (
            f"there is no filter {tmp_path / 'filter.wasm'}\n"
            f"its folder {tmp_path} is there, and holds: filtr.wasm, other.wasm, b.txt, src/\n"
            f"Build it before the tests, or have it built: proxywasm.filter('{tmp_path / 'filter.wasm'}', "
            'build="..."), or in the ini file proxywasm_build = ...'
        )

    def test_a_missing_folder_is_shown_by_the_nearest_that_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "Cargo.toml").touch()
        text = complaint(tmp_path / "target" / "wasm32-wasip1" / "a.wasm")

        assert f"{tmp_path} is there, and holds: Cargo.toml\n" in text
        assert 'build="cargo build --release --target wasm32-wasip1"' in text

    def test_many_neighbours_are_counted(self, tmp_path: Path) -> None:
        for number in range(20):
            (tmp_path / f"{number:02}.txt").touch()

        assert ", 11.txt and 8 more" in complaint(tmp_path / "filter.wasm")

    def test_an_empty_folder_is_called_empty(self, tmp_path: Path) -> None:
        assert f"its folder {tmp_path} is there, and empty" in complaint(tmp_path / "filter.wasm")

    def test_a_folder_is_no_filter(self, tmp_path: Path) -> None:
        (tmp_path / "a.wasm").touch()

        assert complaint(tmp_path) == f"the filter {tmp_path} is a folder, and holds: a.wasm"

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"", "it is empty"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "an ELF file: a native program or library, or an engine's"),
            (b"\xcf\xfa\xed\xfe1234", "a Mach-O file"),
            (b"MZ\x90\0", "a Windows program or library"),
            (b"!<arch>\n", "an archive of object files, such as a Rust rlib: the crate-type must be cdylib"),
            (b"BC\xc0\xde\x35\x14", "LLVM bitcode"),
            (b"\x1f\x8b\x08\0", "a gzip file: unpack it first"),
            (b"PK\x03\x04\x14\0", "a zip file: unpack it first"),
            (b"\x28\xb5\x2f\xfd\x04", "a zstd file: unpack it first"),
            (b"x" * 257 + b"ustar\x0000", "a tar archive: unpack it first"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer: run 'git lfs pull'"),
            (b"\n<!DOCTYPE html><html>", "an HTML page: a failed download, as a rule"),
            (b'{"message": "Not Found"}', "JSON: an error message instead of a download, as a rule"),
            (b"#!/bin/sh\n", "a script"),
            (b"404: Not Found", "text. WAT is recognised by its first token, '(module'"),
            (b"\0asm\x01", "and ends there: it was cut off"),
            (b"\0asm\x02\0\0\0", "WebAssembly of an unknown version"),
            (b"\0asm\x0d\0\x01\0", "a WebAssembly component. Proxies load core modules: build for wasm32-wasip1"),
        ],
    )
    def test_another_kind_of_file_is_named(self, content: bytes, what: str, tmp_path: Path) -> None:
        (tmp_path / "a.wasm").write_bytes(content)
        text = complaint(tmp_path / "a.wasm")

        assert text.startswith(f"the filter {tmp_path / 'a.wasm'} is not a WebAssembly module: it ")
        assert what in text
        if content:
            assert f"it begins with {content[:16]!r}, " in text

    def test_garbage_is_shown_by_its_first_bytes(self) -> None:
        assert complaint(b"\x93\xb0\0garbage and more") == (
            "the guest given as bytes is not a WebAssembly module: it begins with b'\\x93\\xb0\\x00garbage and m'"
        )

    @pytest.mark.parametrize(
        ("wasm", "message"),
        [
            ("", "the path of the filter is empty"),
            ("(func)\n(x)", "'(func)\\n(x)' is neither a path nor WAT: WAT is text whose first token is '(module'"),
            (7, "a filter is given as bytes, as a path, or as WAT, not as int: 7"),
        ],
    )
    def test_what_is_neither_bytes_nor_path_nor_wat_is_refused(self, wasm: Any, message: str) -> None:
        assert complaint(wasm) == message

    def test_bytes_cannot_be_built(self) -> None:
        assert complaint(WASM, build="make") == ("build= makes a file, so the filter must be given by that file's path")


def with_producers(**fields: list[str]) -> bytes:
    """An empty module with a producers section."""
    content = byte_vector(b"producers") + unsigned(len(fields))
    for field, names in fields.items():
        content += byte_vector(field.replace("_", "-").encode()) + unsigned(len(names))
        content += b"".join(byte_vector(name.encode()) + byte_vector(b"1.0") for name in names)
    return WASM[:8] + b"\0" + byte_vector(content)


def module(imports: list[str], exports: list[str], data: str = "") -> str:
    """WAT of a module with these functions."""
    lines = [f'(import "{name.split(".")[0]}" "{name.split(".")[1]}" (func))' for name in imports]
    lines += [f'(func (export "{name}"))' for name in exports]
    return f'(module {" ".join(lines)} (memory 1) (data (i32.const 0) "{data}"))'


class TestSdk:
    @pytest.mark.parametrize(
        ("wasm", "sdk"),
        [
            (with_producers(language=["Rust"], processed_by=["rustc"]), "rust"),
            (with_producers(language=["C99"], processed_by=["rustc", "clang"]), "rust"),
            (with_producers(language=["Go"], processed_by=["Go cmd/compile"]), "go"),
            (with_producers(processed_by=["TinyGo"]), "tinygo"),
            (with_producers(language=["C_plus_plus_14"], processed_by=["clang"]), "cpp"),
            (with_producers(processed_by=["Zig"]), "zig"),
            (module([], [], "library/std/src/panicking.rs"), "rust"),
            (module([], [], "~\\00l\\00i\\00b\\00/\\00r\\00t\\00"), "assemblyscript"),
            (module(["wasi_unstable.proc_exit"], ["abort_proc_exit"]), "assemblyscript"),
            (module([f"wasi_snapshot_preview1.f{n}" for n in range(15)], ["_initialize"]), "go"),
            (module(["wasi_snapshot_preview1.fd_write"], ["_start", "malloc", "calloc", "realloc", "free"]), "tinygo"),
            (module(["env.emscripten_notify_memory_growth"], ["malloc"]), "cpp"),
            (module(["wasi_snapshot_preview1.fd_close"], ["malloc", "_initialize"]), "cpp"),
            (
                module(["wasi_snapshot_preview1.fd_write"], ["proxy_on_memory_allocate", "proxy_abi_version_0_2_0"]),
                "zig",
            ),
            ("(module)", None),
            (WAT, None),
            (WASM[:8] + b"\0" + byte_vector(byte_vector(b"producers") + b"\x7f"), None),
        ],
    )
    def test_it_is_told_by_its_marks(self, wasm: str | bytes, sdk: str | None) -> None:
        assert pw.Filter(wasm).sdk == sdk
