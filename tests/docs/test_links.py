"""Every link from a page to a heading or to a file of the repository leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\]\((?!\w+:)(?P<file>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")


def broken(page: Path) -> Iterator[str]:
    for link in _LINK.finditer(_prose(page.read_text())):
        target = page.parent / link["file"] if link["file"] else page
        if not target.exists() or (link["anchor"] and link["anchor"] not in anchors(target.read_text())):
            yield link[0]


def anchors(text: str) -> set[str]:
    """The headings as they stand in an address: lower case, only letters, digits, `-` and `_`, spaces as `-`."""
    headings = re.findall(r"^#+ (.*)$", _prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def _prose(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    assert not list(broken(page))


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title: `x += 1`\n[a](#a-title-x--1) [b](#a-title) [c](page.md) [d](gone.md) [e](https://gone.org)\n"
        "```python\n# no heading\nx[0](y)\n```\n[f](#no-heading)\n"
    )
    assert list(broken(page)) == ["](#a-title)", "](gone.md)", "](#no-heading)"]
