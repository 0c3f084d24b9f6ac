"""Takes the pictures of docs/images/: the trace viewer's page of each failing test in docs/gallery/, and of members.py.

python docs/screenshots.py       needs Debian's chromium and chromium-driver, and the package Pillow

They are not compared by any test: a browser's fonts differ. `python docs/generate.py failures` puts them into the page.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images" / "failures"
WIDTH, HEIGHT, COLOURS = 1000, 1000, 32
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
).split()


def pages(tests: str, folder: Path) -> list[Path]:
    """The pages that a run of these tests leaves."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "docs/gallery/pytest.ini"]
    command += ["--rootdir=.", tests, "--proxywasm-trace=on", f"--proxywasm-output={folder}"]
    subprocess.run(command, cwd=DOCS.parent, env={**os.environ, "COLUMNS": "80"}, check=False)
    found = sorted(folder.glob("*/trace.html"))
    assert found, f"{tests} left no page"
    return found


def picture(browser: Chrome, page: Path, image: Path, width: int, height: int) -> None:
    """Keep what is seen first of a page, without what is empty below it."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get(page.as_uri())
    used = int(browser.execute_script("return document.querySelector('main').getBoundingClientRect().bottom")) + 16
    seen = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB").crop((0, 0, width, min(height, used)))
    seen.quantize(COLOURS, dither=Image.Dither.NONE).save(image, optimize=True)


def main() -> None:
    """Run the tests, open each page, keep what is seen first."""
    driver = shutil.which("chromedriver")
    if driver is None:
        sys.exit("no chromedriver: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        failures = pages("docs/gallery", Path(folder) / "failures")
        (members,) = pages("docs/gallery/members.py", Path(folder) / "members")
        options = ChromeOptions()
        for flag in (*FLAGS, f"--user-data-dir={folder}/profile"):
            options.add_argument(flag)
        browser = Chrome(options=options, service=Service(driver))
        shutil.rmtree(IMAGES, ignore_errors=True)
        IMAGES.mkdir(parents=True)
        try:
            picture(browser, members, IMAGES.parent / "trace-viewer.png", 1280, 1600)
            for page in failures:
                name = page.parent.name.rpartition("-")[2]
                picture(browser, page, IMAGES / f"{name}.png", WIDTH, HEIGHT)
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
