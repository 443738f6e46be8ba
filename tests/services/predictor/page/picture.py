"""`make page-picture`: the README's picture of the page, while the demo learns its last task."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

from tests.conftest import CHROMIUM_ARGUMENTS
from tests.services.predictor.page.watching import Watched

ROOT = Path(__file__).parents[4]
PICTURE = ROOT / "docs" / "pictures" / "page.png"
LAST_TASK = "digits-8-9"
LEARNING_SECONDS = 900.0


def take(url: str, path: Path) -> None:
    """From the head of the page to the accuracy matrix."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS
        )
        page = chromium.new_page(
            viewport=ViewportSize(width=1440, height=900), color_scheme="light"
        )
        page.goto(url)
        watched = Watched(page)
        watched.wait_until_shown()
        watched.curves("shadow")
        watched.wait_for_text("#healthy .because", LAST_TASK, LEARNING_SECONDS)
        watched.wait_for(f"document.querySelector('[data-figure=\"shadow {LAST_TASK} accuracy\"]')")
        page.wait_for_timeout(3000)  # some points of its curve
        below = page.locator("#ask").bounding_box()
        assert below is not None
        clip = {"x": 0, "y": 0, "width": 1440, "height": below["y"]}
        page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type]
        chromium.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        command = [
            sys.executable,
            "-m",
            "services",
            "demo",
            "--keep-running",
            "--directory",
            directory,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
            assert demo.stdout is not None
            shown = ""
            while not (named := re.search(r"Watch it live at (http\S+)", shown)):
                shown += demo.stdout.readline()
            try:
                take(named[1], PICTURE)
            finally:
                demo.terminate()
                demo.communicate()
    print(f"{PICTURE} ({PICTURE.stat().st_size / 1000:,.0f} kB)")


if __name__ == "__main__":
    main()
