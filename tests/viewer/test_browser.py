"""The page in a real browser: it shows the trace, is used by keyboard, and has no error of accessibility."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_proxywasm as pw
from pytest_proxywasm.engine import get_engine
from pytest_proxywasm.viewer import page

PROBE = Path(__file__).resolve().parents[2] / "fixtures/probe/probe.wasm"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,1000"
).split()
EVIL = "</script><script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window; it fails in CI where it is missing."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        reason = "no chromium with chromedriver: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(f"in CI nothing is skipped: {reason}", pytrace=False)
        pytest.skip(reason)
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = Chrome(options=options, service=Service(driver))
    started.set_page_load_timeout(120)
    yield started
    started.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page in a file: two filters, one named like another lane, a callout, an error, and hostile text."""
    file = tmp_path_factory.mktemp("page") / "trace.html"
    asks = "rqh http aux 1000 '' :method GET :path / :authority a\nrqh get 9 x\nrqh ret 1\nhcr eff $\n"
    first = pw.Filter(PROBE, configuration=asks.encode(), name="asks")
    second = pw.Filter(PROBE, configuration=b"rqh get 0 x-evil\nrph add 2 x-new 1", name="host")
    with pw.MockHost([second, first], engine=get_engine(), clusters={"aux": pw.After(0.5, pw.Response(200))}) as host:
        with pytest.raises(pw.StreamStalled):
            host.get(f"/?{EVIL}", headers={"x-evil": EVIL, "x-bin": b"\xff"})
        html = page(host.trace, title="test_it", error=f"it failed {EVIL}", exchanges=host.exchanges, logs=host.logs)
    file.write_text(html, "utf-8")
    return file.as_uri()


@pytest.fixture
def opened(browser: Any, address: str) -> Any:
    """The page, just opened."""
    browser.get(address)
    return browser


def shown(browser: Any) -> list[str]:
    """The names of the callbacks that can be seen."""
    script = "return [...document.querySelectorAll('.event .row .name')].map((one) => one.textContent)"
    return list(browser.execute_script(script))


def press(browser: Any, keys: str) -> None:
    """Press keys wherever the focus is."""
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(keys).perform()


def test_it_shows_the_trace_and_nothing_complains(opened: Any) -> None:
    names = shown(opened)
    assert "on_request_headers" in names
    assert "on_http_call_response" in names
    lanes = opened.execute_script("return [...document.querySelectorAll('#lanes span')].map((one) => one.textContent)")
    assert lanes == ["time", "client", "host", "asks", "host services", "upstream", "clusters"]
    assert opened.title == "test_it · Proxy-Wasm trace"
    assert EVIL in opened.find_element("id", "error").text
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_arrows_go_through_the_chain_and_to_clusters(opened: Any) -> None:
    """Percent of the width: client 8, first filter 25, second 42, host services 58, upstream 75, clusters 92."""
    script = """return [...document.querySelectorAll('.event .stage:has(.arrow)')].map((one) => {
        const arrow = one.querySelector('.arrow'), left = parseFloat(arrow.style.left);
        const ends = [Math.round(left), Math.round(left + parseFloat(arrow.style.width))];
        return [one.querySelector('.name').textContent, ...(arrow.matches('.right') ? ends : ends.reverse())];
    })"""
    arrows = opened.execute_script(script)
    requests = [arrow for arrow in arrows if arrow[0] == "on_request_headers"]
    assert requests == [["on_request_headers", 8, 25], ["on_request_headers", 25, 42]]
    assert ["http_call aux GET /", 42, 92] in arrows
    assert ["on_http_call_response", 92, 42] in arrows


def test_the_exchange_its_logs_and_errors_are_seen_without_opening_anything(opened: Any) -> None:
    begins = [one.text for one in opened.find_elements("css selector", ".begin")]
    assert begins == [f"GET /?{EVIL}\nno response"]
    notes = [one.text for one in opened.find_elements("css selector", ".note")]
    assert "info: RET request_headers = 1" in notes
    assert "get_header_map_value BAD_ARGUMENT" in notes
    opened.find_element("css selector", ".note.bad").click()
    assert opened.find_element("css selector", ".detail .failed").is_displayed()


def test_a_callout_opens_to_its_headers_as_rows(opened: Any) -> None:
    opened.find_element("id", "expand").click()
    parts = "[...one.children].map((part) => part.textContent)"
    rows = opened.execute_script(f"return [...document.querySelectorAll('.map > div')].map((one) => {parts})")
    assert [":path", '"/"'] in rows


def test_a_long_trace_can_be_searched_and_walked(browser: Any, tmp_path: Path) -> None:
    """Rows are placed in pieces; search and keys work on all of them."""
    with pw.MockHost([pw.Filter(PROBE, configuration=b"rqh get 0 x-n", name="probe")], engine=get_engine()) as host:
        for number in range(150):
            host.get("/", headers={"x-n": f"number-{number}"})
        (tmp_path / "trace.html").write_text(page(host.trace, title="long"), "utf-8")
        names = [event.name.removeprefix("proxy_") for event in host.trace]
    assert len(names) > 500
    browser.get((tmp_path / "trace.html").as_uri())
    browser.set_script_timeout(120)
    browser.execute_async_script(
        "const [done] = arguments;"
        "const wait = () => 'complete' in document.documentElement.dataset ? done() : setTimeout(wait, 10);"
        "wait();"
    )
    assert shown(browser) == names
    browser.find_element("id", "search").send_keys("number-149")
    assert shown(browser) == ["on_request_headers"]
    press(browser, "\ue00c")
    press(browser, "j")
    assert "on_request_headers" in browser.switch_to.active_element.text
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_search_hostcall_and_errors_narrow_it_down(opened: Any) -> None:
    everything = len(shown(opened))
    opened.find_element("id", "search").send_keys("x-evil")
    assert 0 < len(shown(opened)) < everything
    opened.find_element("id", "search").clear()
    opened.execute_script("document.getElementById('search').dispatchEvent(new Event('input'))")
    opened.find_element("css selector", "#hostcall option[value=proxy_http_call]").click()
    assert shown(opened) == ["on_request_headers"]
    opened.find_element("css selector", "#hostcall option[value='']").click()
    opened.find_element("id", "failed").click()
    assert 0 < len(shown(opened)) < everything


def test_it_is_used_by_keyboard(opened: Any) -> None:
    press(opened, "n")
    focused = opened.switch_to.active_element
    assert focused.get_attribute("aria-expanded") == "false"
    press(opened, "\ue007")
    assert focused.get_attribute("aria-expanded") == "true"
    assert "BAD_ARGUMENT" in opened.find_element("css selector", ".detail .failed").text
    press(opened, "/")
    assert opened.switch_to.active_element.get_attribute("id") == "search"
    press(opened, "j")
    assert opened.switch_to.active_element.get_attribute("value") == "j"
    press(opened, "\ue00c")
    before = opened.execute_script("return document.documentElement.dataset.theme")
    press(opened, "t")
    assert opened.execute_script("return document.documentElement.dataset.theme") != before
    press(opened, "?")
    assert opened.find_element("id", "help").is_displayed()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_passes_axe(theme: str, opened: Any) -> None:
    import axe_core_python

    opened.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
    opened.find_element("id", "expand").click()
    opened.execute_script((Path(axe_core_python.__path__[0]) / "axe.min.js").read_text("utf-8"))
    opened.set_script_timeout(120)
    found = opened.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
