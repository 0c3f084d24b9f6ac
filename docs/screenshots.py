"""Takes the pictures of docs/images/: the trace viewer's page of each failing test in docs/gallery/.

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


def main() -> None:
    """Run the gallery, open each page, keep what is seen first."""
    driver = shutil.which("chromedriver")
    if driver is None:
        sys.exit("no chromedriver: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "docs/gallery/pytest.ini"]
        command += ["--rootdir=.", "docs/gallery", "--proxywasm-trace=on", f"--proxywasm-output={pages}"]
        subprocess.run(command, cwd=DOCS.parent, env={**os.environ, "COLUMNS": "80"}, check=False)
        options = ChromeOptions()
        for flag in (*FLAGS, f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={folder}/profile"):
            options.add_argument(flag)
        browser = Chrome(options=options, service=Service(driver))
        shutil.rmtree(IMAGES, ignore_errors=True)
        IMAGES.mkdir(parents=True)
        try:
            for page in sorted(pages.glob("*/trace.html")):
                browser.get(page.as_uri())
                picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
                name = page.parent.name.rpartition("-")[2]
                picture.quantize(COLOURS, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
