"""Readable names of mangled functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_proxywasm.engine.symbols import demangle


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("_ZN4core9panicking5panic17h0123456789abcdefE", "core::panicking::panic"),
        (
            "_ZN59_$LT$app..Filter$u20$as$u20$proxy_wasm..traits..Context$GT$7on_done17h0123456789abcdefE",
            "<app::Filter as proxy_wasm::traits::Context>::on_done",
        ),
        ("_RNvCs4fqI2P2rA04_7mycrate3foo", "mycrate::foo"),
        ("_RINvNtC3std3mem8align_ofNtC4main3FooE", "std::mem::align_of::<main::Foo>"),
        ("_ZN11RootContext11onConfigureEm", "RootContext::onConfigure(unsigned long)"),
        (
            "_ZN3foo3setERKNSt3__112basic_stringIcNS0_11char_traitsIcEENS0_9allocatorIcEEEE",
            "foo::set(std::string const&)",
        ),
        (
            "app::run(std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char>>)",
            "app::run(std::string)",
        ),
        ("runtime.gopanic", "runtime.gopanic"),
        ("main.(*filter).OnHttpRequestHeaders", "main.(*filter).OnHttpRequestHeaders"),
        ("$assembly/index/Root#onStart", "$assembly/index/Root#onStart"),
        ("_ZN", "_ZN"),
        ("_R", "_R"),
        ("_ZN3foo17h0123456789abcdef", "_ZN3foo17h0123456789abcdef"),
        ("", ""),
    ],
)
def test_names_are_demangled_or_left_alone(raw: str, name: str) -> None:
    assert demangle(raw) == name


@given(st.sampled_from(["_Z", "_ZN", "_R", "_RN", "_RINv"]), st.text("0123456789NEKSItvCs_hR$abcX.", max_size=40))
def test_no_name_is_an_error(start: str, rest: str) -> None:
    assert isinstance(demangle(start + rest), str)
