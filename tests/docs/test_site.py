"""The pages build into a site without one warning, offline, and the site fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import identikit as ik

ROOT = Path(__file__).parents[2]
_FETCHED = re.compile(
    r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href|srcset)=[\"']?((?:https?:)?//[^\"'> ]+)"
)
_STYLED = re.compile(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; what would use the network meets a closed door."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix().replace("README", "index")
        assert (site / name).is_file(), name
    assert (site / "repository" / "CONTRIBUTING.html").is_file()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert _FETCHED.findall(page.read_text(encoding="utf-8")) == [], page
    for sheet in site.rglob("*.css"):
        assert _STYLED.findall(sheet.read_text(encoding="utf-8")) == [], sheet


def test_what_is_fetched_would_be_found() -> None:
    assert _FETCHED.findall('<script defer src="https://a.org/b.js"><link rel=x href=//c.org/d>') == [
        "https://a.org/b.js",
        "//c.org/d",
    ]
    assert _STYLED.findall("@import 'https://a.org/b.css'; x{y:url(//c.org/d)}") == ["https://a.org/b.css", "//c.org/d"]


def test_signatures_and_docstrings_stand_on_the_reference_pages(site: Path) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    for name in ik.__all__:
        thing = getattr(ik, name)
        assert f'id="{thing.__module__}.{thing.__qualname__}"' in pages, name
    assert "one example of what its forward takes" in pages  # of a docstring's arguments
    assert "<!-- :::" not in pages


def test_every_picture_is_there(site: Path) -> None:
    for page in set(site.rglob("*.html")) - {site / "404.html"}:  # that one is shown at any address
        for shown in re.findall(r'<(?:img|source)[^>]+(?:src|srcset)="([^"]+)"', page.read_text(encoding="utf-8")):
            assert (page.parent / shown).is_file(), (page, shown)


def test_a_link_out_of_docs_leads_to_a_page_of_the_site(site: Path) -> None:
    text = (site / "benchmarks.html").read_text(encoding="utf-8")
    assert 'href="repository/benchmarks/results/quality.json"' in text
    assert (site / "repository" / "benchmarks" / "results" / "quality.json").is_file()
    listed = (site / "repository" / "benchmarks.html").read_text(encoding="utf-8")
    assert 'href="benchmarks/stsb.py.html"' in listed
    assert "benchmarks/results/stsb.json" in (site / "repository" / "benchmarks" / "stsb.py.html").read_text()
