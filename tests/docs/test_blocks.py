"""No block of code on any page is left out: each is of a kind that a test runs or compares, on a page that it reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.test_console import PAGES as WITH_COMMANDS
from docs.test_console import PRINTED
from docs.test_pages import PAGES as RUN

ROOT = Path(__file__).parents[2]
PAGES = sorted({"README.md", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))})
TRANSLATED = {"docs/identity.zh.md"}  # its blocks are those of the English page (test_chinese.py), which are run
FILES = {"docs/formats.md"}  # its JSON is read by the readers and the schemas (tests/results/test_schemas.py)
DRAWN = {"docs/architecture.md"}  # the picture of the floors is no code (tests/house compares it)
_FENCE = re.compile(r"^ *(?P<ticks>`{3,}|~{3,}) *(?P<language>[^`\n]*)$")


def languages(text: str) -> Iterator[str]:
    """What each block of a page says that it is, in order."""
    closing = ""
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if closing:
            closing = "" if line.strip() == closing else closing
        elif fence is not None:
            closing = fence["ticks"]
            yield fence["language"].strip()


def left_out(page: str, text: str) -> set[str]:
    """The kinds of block on a page that no test reads."""
    found = set(languages(text))
    read = {"python", "text"} if page in RUN else set()
    read |= {"console"} if page in WITH_COMMANDS or page == PRINTED else set()
    read |= {"json"} if page in FILES else set()
    read |= {""} if page in DRAWN else set()
    return set() if page in TRANSLATED else found - read


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_read(page: str) -> None:
    assert left_out(page, (ROOT / page).read_text(encoding="utf-8")) == set()


def test_what_examples_print_is_what_was_written_down() -> None:
    """The page whose commands stand with their output shows nothing but runs of the worked examples."""
    runs = json.loads((ROOT / "benchmarks" / "results" / "examples.json").read_text(encoding="utf-8")).values()
    text = (ROOT / PRINTED).read_text(encoding="utf-8")
    first_lines = re.findall(r"^```console\n(.*)$", text, re.MULTILINE)
    assert sorted(first_lines) == sorted(f"$ {run['command']}" for run in runs)


def test_no_page_is_asked_for_in_vain() -> None:
    assert set(RUN) <= set(PAGES)
    assert len(RUN) == len(set(RUN))


def test_a_block_that_no_test_reads_is_named() -> None:
    assert left_out("docs/scan.md", "```python\nx\n```\n```bash\nls\n```\n~~~\n```console\n~~~\n") == {"bash", ""}
    assert left_out("docs/new.md", "```python\nx\n```\n") == {"python"}
