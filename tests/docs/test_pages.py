"""Every Python block of the pages runs, and shows what the page says it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.page import Section, read

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/audit.md",
    "docs/blocks.md",
    "docs/bypass.md",
    "docs/card.md",
    "docs/comparison.md",
    "docs/errors/README.md",
    "docs/errors/absent-error.md",
    "docs/errors/block-error.md",
    "docs/errors/budget-error.md",
    "docs/errors/cell-error.md",
    "docs/errors/data-error.md",
    "docs/errors/identikit-warning.md",
    "docs/errors/inputs-error.md",
    "docs/errors/metric-error.md",
    "docs/errors/missing-extra-error.md",
    "docs/errors/model-error.md",
    "docs/errors/not-reached-error.md",
    "docs/errors/place-error.md",
    "docs/errors/plan-error.md",
    "docs/errors/result-error.md",
    "docs/errors/role-error.md",
    "docs/errors/save-error.md",
    "docs/errors/table-error.md",
    "docs/errors/workers-error.md",
    "docs/evaluators.md",
    "docs/export.md",
    "docs/families.md",
    "docs/features.md",
    "docs/growth.md",
    "docs/heal.md",
    "docs/identity.md",
    "docs/index.md",
    "docs/mistakes.md",
    "docs/prune.md",
    "docs/replace.md",
    "docs/report.md",
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
def test_section(opening: Section, section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a page may write "smaller"
    section.run(opening)
