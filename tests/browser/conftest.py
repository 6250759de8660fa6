"""A headless Chromium that opens pages from the disk; whatever it says, asks of a network or refuses fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from identikit.reporting.html import report

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage")  # root has no sandbox; a container has little shared memory
REQUIRED = os.environ.get("IDENTIKIT_BROWSER") == "required"


def _found() -> str:
    """The path of an installed Chromium. Without one the test is skipped; where one is required it fails."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        said = f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)"
        if REQUIRED:
            pytest.fail(f"{said}, and IDENTIKIT_BROWSER=required")
        pytest.skip(said)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for the module: Playwright's event loop must not run on under the tests of other modules."""
    path = _found()
    if REQUIRED:
        import playwright.sync_api as playwright
    else:
        playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


Opens = Callable[..., Any]


@pytest.fixture
def opens(chromium: Any, tmp_path: Path) -> Iterator[Opens]:
    """`opens(result, width=, **context)`: the page of a report on `result`, opened from the disk."""
    contexts, said, asked, written = [], [], [], []

    def open_page(result: object, *, width: int = 1280, **how: Any) -> Any:
        file = report(result, tmp_path / f"report {len(written)}.html")
        settings = {"viewport": {"width": width, "height": 900}, "reduced_motion": "reduce"} | how
        context = chromium.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: asked.append(request.url))
        written.append(file.as_uri())
        page.goto(written[-1])
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert asked == written
