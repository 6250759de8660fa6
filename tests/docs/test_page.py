"""The runner of pages says no to every way in which a page can be wrong, and names the line."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
import torch

from docs.page import PageError, read

OPENING = """# Title

```python
from identikit.errors import BlockError
start = 1
```

## First
"""


def run_page(tmp_path: Path, text: str) -> None:
    """Run every section of a page whose first section holds `text`; its first line is line 9 of the page."""
    path = tmp_path / "page.md"
    path.write_text(OPENING + text)
    opening, *sections = read(path, "page.md")
    for section in sections:
        section.run(opening)


RIGHT = {
    "a value on its line": "```python\nstart + 1  # -> 2\n```\n",
    "a value below": "```python\nprint('a')\n[\n    1,\n]\n```\n```text\na\n[1]\n```\n",
    "an error": "```python\nraise BlockError('no. Use yes.')\n```\n\n```text\nBlockError: no. Use yes.\n```\n",
    "an error of another library, cut": "```python\n1 / 0\n```\n```text\nZeroDivisionError: division ...\n```\n",
    "an error after a value": "```python\n'a'\n1 / 0\n```\n```text\n'a'\nZeroDivisionError: division by zero\n```\n",
    "a comment that claims nothing": "```python\nx = 1  # one\n```\n",
    "None is not shown": "```python\nNone\n```\n",
    "None can be claimed": "```python\nNone  # -> None\n```\n",
    "a value inside if": "```python\nif start:\n    start  # -> 1\n    2\n```\n```text\n2\n```\n",
    "a value inside for": "```python\nfor i in (1, 2):\n    i > 0  # -> True\n    i\n```\n```text\n1\n2\n```\n",
    "not inside functions": '```python\ndef f():\n    """F."""\n    1\n```\n',
    "code nobody sees": "<!-- python\nhidden = 2\n-->\n```python\nhidden  # -> 2\n```\n",
    "a block in a list": "- so:\n  ```python\n  x = 1\n  x  # -> 1\n  ```\n",
    "other languages": "```console\n$ false\n```\n",
    "a longer fence": "````python\nx = 1  # ```\n````\n",
    "one namespace in a section": "```python\nx = 1\n```\n\n### Part\n\n```python\nx  # -> 1\n```\n",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_right(text: str, tmp_path: Path) -> None:
    run_page(tmp_path, text)


WRONG = {
    "another value on its line": (
        "```python\nstart + 1  # -> 3\n```\n",
        "page.md:10: shows 2\nthe page says 3",
    ),
    "another value below": (
        "```python\n1\n```\n```text\n2\n```\n",
        "page.md:10: the block shows\n1\nthe page says\n2",
    ),
    "a value shown nowhere": (
        "```python\n1\n```\n",
        "page.md:10: the block shows\n1\nthe page says\nnothing",
    ),
    "a text between code and output": (
        "```python\nx = 1\n```\nSo:\n```text\n1\n```\n",
        "page.md:13: shows an output of no code; a text block follows a python block",
    ),
    "output of nothing": (
        "```python\nx = 1\n```\n```text\n1\n```\n",
        "page.md:10: the block shows\nnothing\nthe page says\n1",
    ),
    "a claim about an assignment": (
        "```python\nx = 1  # -> 1\n```\n",
        "page.md:10: no value on this line was compared; put `# ->` behind an expression that runs",
    ),
    "a claim on a line of its own": (
        "```python\nx = 1\n# -> 1\n```\n",
        "page.md:11: no value on this line was compared; put `# ->` behind an expression that runs",
    ),
    "a claim inside a function": (
        "```python\ndef f():\n    3  # -> 3\n```\n",
        "page.md:11: no value on this line was compared; put `# ->` behind an expression that runs",
    ),
    "a claim that is never reached": (
        "```python\nif start > 1:\n    3  # -> 3\n```\n",
        "page.md:11: no value on this line was compared; put `# ->` behind an expression that runs",
    ),
    "a claim that holds only at first": (
        "```python\nfor i in (1, 2):\n    i  # -> 1\n```\n",
        "page.md:11: shows 2\nthe page says 1",
    ),
    "a claim about what is printed": (
        "```python\nprint('a')  # -> a\n```\n",
        "page.md:10: shows None\nthe page says a",
    ),
    "another message": (
        "```python\nraise BlockError('no. Use yes.')\n```\n```text\nBlockError: no.\n```\n",
        "page.md:10: the block shows\nBlockError: no. Use yes.\nthe page says\nBlockError: no.",
    ),
    "a message of ours cut short": (
        "```python\nraise BlockError('no. Use yes.')\n```\n```text\nBlockError: no. ...\n```\n",
        "page.md:10: the block shows\nBlockError: no. Use yes.\nthe page says\nBlockError: no. ...",
    ),
    "a message cut to nothing": (
        "```python\n1 / 0\n```\n```text\nZeroDivisionError ...\n```\n",
        "page.md:10: the block shows\nZeroDivisionError: division by zero\nthe page says\nZeroDivisionError ...",
    ),
    "no error where one is shown": (
        "```python\nx = 1\n```\n```text\nBlockError: no.\n```\n",
        "page.md:10: the block shows\nnothing\nthe page says\nBlockError: no.",
    ),
    "code behind the line that raises": (
        "```python\n1 / 0\nx = 1\n```\n```text\nZeroDivisionError: division by zero\n```\n",
        "page.md:10: raises ZeroDivisionError, so the rest of the block never runs; end it there",
    ),
    "a block that is never closed": (
        "```python\nx = 1\n",
        "page.md:9: the block is never closed; close it with ```",
    ),
    "code nobody sees that is never closed": (
        "<!-- python\nx = 1\n",
        "page.md:9: the block is never closed; close it with -->",
    ),
    "a block of waves": (
        "~~~python\nx = 1\n~~~\n",
        "page.md:9: this block would not be run; open it with ```python",
    ),
    "a block of another name": (
        "```py\nx = 1\n```\n",
        "page.md:9: this block would not be run; open it with ```python",
    ),
    "a block with a title": (
        "```python title\nx = 1\n```\n",
        "page.md:9: this block would not be run; open it with ```python",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_wrong(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PageError) as refused:
        run_page(tmp_path, text)
    assert str(refused.value) == message


def test_an_error_that_no_page_shows_comes_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        run_page(tmp_path, "```python\nx = 1\n1 / 0  # -> ZeroDivisionError: division by zero\n```\n")
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == ("page.md", 11)


def test_a_section_knows_nothing_of_the_one_before(tmp_path: Path) -> None:
    with pytest.raises(NameError, match="name 'x' is not defined"):
        run_page(tmp_path, "```python\nx = start\n```\n## Second\n```python\nx\n```\n")


def test_every_section_draws_the_same_numbers(tmp_path: Path) -> None:
    torch.manual_seed(1)
    run_page(tmp_path, "```python\nimport torch\ntorch.initial_seed()  # -> 0\n```\n")
