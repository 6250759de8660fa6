"""Make docs/images/report-light.png and report-dark.png: the report of the demo's model, as a browser shows it.

    python scripts/report_pictures.py

Needs Chromium and what the tests need (`make setup`). `identikit demo` scans and prunes all-MiniLM-L6-v2; the picture
is that of its scan, with a set of layers taken out that was measured on the way.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import identikit as ik

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1120, "height": 1640}
OUT = (2, 3)


def measured(folder: Path) -> ik.ScanResult:
    """What the demo measures on its way."""
    subprocess.run([sys.executable, "-m", "identikit", "demo", "--to", str(folder)], check=True)
    return ik.ScanResult.read(folder / "model.scan.jsonl")


def photographed(page_file: Path) -> None:
    """Both pictures of the top of the page, with two layers out."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme, reduced_motion="reduce")
            page.goto(page_file.as_uri())
            for number in OUT:
                page.locator(f'button[data-layer="{number}"]').click()
            page.mouse.move(0, 0)
            drawn = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(128)
            drawn.save(IMAGES / f"report-{scheme}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        photographed(ik.report(measured(Path(folder)), Path(folder) / "scan.html"))
