"""The Chinese pages keep in step with the English ones, and what was not carried over is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.translated import differences, language_line

ROOT = Path(__file__).parents[2]
# the English page, the Chinese one, and which file stands for which in the links of these pages
PAIRS = [
    ("README.md", "README.zh.md", {"docs/identity.md": "docs/identity.zh.md"}),
    ("docs/identity.md", "docs/identity.zh.md", {}),
]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(("english", "chinese", "pages"), PAIRS, ids=["README", "identity"])
def test_in_step(english: str, chinese: str, pages: dict[str, str]) -> None:
    apart = "\n".join(differences(read(english), read(chinese), pages))
    assert not apart, f"{chinese} is not in step with {english}; carry the change over:\n{apart}"


@pytest.mark.parametrize(("english", "chinese"), [pair[:2] for pair in PAIRS], ids=["README", "identity"])
def test_each_leads_to_the_other(english: str, chinese: str) -> None:
    assert language_line(read(english)) == f"[简体中文]({Path(chinese).name})"
    assert language_line(read(chinese)).startswith(f"[English]({Path(english).name})")


ENGLISH = """# Title

[简体中文](page.zh.md)

Two of 24 layers: **86.71**, 94.9 %, see [below](#what-it-takes) and [more](more.md#part).

```python
x = 1  # -> 1
```

## What it takes

- a `Tap` in *three* layers
- eleven others of `Tap`

| what | where |
|---|---|
| one of these | [more](more.md) |
"""
CHINESE = """# Title

[English](page.md)

24 层中的两层：**86.71**，94.9%，见[下文](#要什么)和[更多](more.zh.md#part)。

```python
x = 1  # -> 1
```

## 要什么

- *三*层里各有一个 `Tap`
- 其余十一个 `Tap`

| 什么 | 哪里 |
|---|---|
| 其中之一 | [更多](more.zh.md) |
"""
MORE = {"more.md": "more.zh.md"}
TAKES = 'section "What it takes" ("要什么"): '
OPENING = 'section "Title" ("Title"): '
HEADINGS = 'the headings in English are h1 "Title", h2 "What it takes"\nin the translation '
# what of the Chinese page is written otherwise, and what is said of it
WRONG = {
    "a figure": (
        "86.71",
        "86.70",
        [f"{OPENING}figures missing: 86.71", f"{OPENING}figures not in the English text: 86.70"],
    ),
    "no figure": ("，94.9%", "", [f"{OPENING}figures missing: 94.9%"]),
    "another unit": (
        "94.9%",
        "94.9",
        [f"{OPENING}figures missing: 94.9%", f"{OPENING}figures not in the English text: 94.9"],
    ),
    "a number written out": ("两层", "三层", [f"{OPENING}numbers missing, written out: two"]),
    "a longer number": ("十一", "一", [f"{TAKES}numbers missing, written out: eleven"]),
    "code": ("`Tap`\n-", "`Tip`\n-", [f"{TAKES}code missing: `Tap`", f"{TAKES}code not in the English text: `Tip`"]),
    "a link": (
        "(more.zh.md)",
        "(more.md)",
        [f"{TAKES}links missing: more.zh.md", f"{TAKES}links not in the English text: more.md"],
    ),
    "a link in the page": (
        "#要什么",
        "#什么",
        [f"{OPENING}links missing: #1", f"{OPENING}links not in the English text: #什么"],
    ),
    "stars that show": ("：**86.71**，", "**：86.71**，", [f"{OPENING}emphasis missing: strong"]),
    "a block": (
        "x = 1  #",
        "x = 2  #",
        [f"{OPENING}block 1 is to be changed so:\n-x = 2  # -> 1\n+x = 1  # -> 1"],
    ),
    "an item": (
        "- 其余十一个 `Tap`",
        "  其余十一个 `Tap`",
        [f'{TAKES}table "什么" stands where in English there is list_item "eleven others of "'],
    ),
    "a paragraph more": (
        "\n## ",
        "又及。\n\n## ",
        [f'{OPENING}paragraph "又及。" stands where in English there is nothing'],
    ),
    "a cell in English": ("其中之一", "one of these", [f"{TAKES}not translated: one of these"]),
    "another level": ("## 要", "### 要", [f'{HEADINGS}h1 "Title", h3 "要什么"']),
    "a heading more": ("\n- *三*", "\n## 又一节\n\n- *三*", [f'{HEADINGS}h1 "Title", h2 "要什么", h2 "又一节"']),
}


def test_right() -> None:
    assert list(differences(ENGLISH, CHINESE, MORE)) == []


@pytest.mark.parametrize(("right", "wrong", "said"), WRONG.values(), ids=WRONG)
def test_wrong(right: str, wrong: str, said: list[str]) -> None:
    assert right in CHINESE
    assert list(differences(ENGLISH, CHINESE.replace(right, wrong, 1), MORE)) == said


def test_what_the_english_page_has_more() -> None:
    paragraph = ENGLISH.replace("\n## ", "\nSomething new.\n\n## ")
    said = f'{OPENING}nothing stands where in English there is paragraph "Something new."'
    assert list(differences(paragraph, CHINESE, MORE)) == [said]
    row = f"{ENGLISH}| a new one | - |\n"
    said = f'{TAKES}nothing stands where in English there is tr "a new one"'
    assert list(differences(row, CHINESE, MORE)) == [said]
