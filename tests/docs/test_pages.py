"""Every Python block of the pages runs, and shows what the page says it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.page import Section, read

ROOT = Path(__file__).parents[2]
PAGES = [
    "docs/audit.md",
    "docs/blocks.md",
    "docs/card.md",
    "docs/evaluators.md",
    "docs/export.md",
    "docs/features.md",
    "docs/growth.md",
    "docs/heal.md",
    "docs/identity.md",
    "docs/mistakes.md",
    "docs/prune.md",
    "docs/replace.md",
    "docs/practice.md",
    "docs/scan.md",
    "docs/scale.md",
    "docs/simplify.md",
    "docs/state_dicts.md",
    "docs/sublayers.md",
    "docs/tables.md",
    "docs/timm.md",
]


def sections() -> list[object]:
    """Each section of each page with the page's opening."""
    found: list[object] = []
    for page in PAGES:
        opening, *rest = read(ROOT / page, page)
        for section in [opening, *rest]:
            if section.blocks:
                found.append(pytest.param(opening, section, id=f"{page}: {section.title or 'opening'}"))
    return found


@pytest.mark.parametrize(("opening", "section"), sections())
def test_section(opening: Section, section: Section) -> None:
    section.run(opening)
