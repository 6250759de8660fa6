"""Compares a translated page with the English one: what must be the same in both, section by section.

The rule for writers of pages: who changes an English page carries the change over to its translation. Compared are

- the headings by level, and under each heading the paragraphs, list items and table cells, in their order;
- blocks of code and of output, character for character, so that running those of the English page runs both;
- what stands in backticks, where links lead, and what is bold or slanted, in any order;
- figures with their digits (`86.71`, `94.9 %`), and the words two to fifteen, which stand as 二 or 两 to 十五.

The line under the title that leads to the other language is left out. A link to a page that is translated leads to the
translation; a link within the page, to the heading that stands at the same place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import unified_diff
from itertools import pairwise, zip_longest
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from docs.test_links import anchors

_PARSER = MarkdownIt("commonmark").enable("table")
_FIGURE = re.compile(r"(?<![A-Za-z0-9_.])\.?\d+(?:[.,]\d+)*(?:\s?%)?")
_ONES = ["two", "three", "four", "five", "six", "seven", "eight", "nine"]
_WORDS = [*_ONES, "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen"]
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.IGNORECASE)
_NUMERALS = {numeral: value for value, numeral in enumerate("一二三四五六七八九", start=1)} | {"两": 2}
_NUMBER = re.compile(r"十?[一二两三四五六七八九]|十")


@dataclass
class Part:
    """One piece of a section: a heading, a paragraph, a list item, a cell, a block."""

    kind: str  # h2, paragraph, list_item, td, python ...
    text: str = ""  # of its own, without what stands in backticks


@dataclass
class Section:
    """What stands under one heading, and the heading."""

    title: str = "the opening"
    parts: list[Part] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    marks: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in ("figures", "code", "links", "emphasis")}
    )
    words: Counter[int] = field(default_factory=Counter)  # numbers written out


def language_line(text: str) -> str:
    """The paragraph right under the title of a page, which leads to the other language."""
    return text.split("\n\n", 2)[1]


def differences(english: str, translated: str, pages: Mapping[str, str]) -> Iterator[str]:
    """What of an English page is not in its translation, or only there; each with the section it is about.

    Args:
        english: the text of the English page.
        translated: the text of the translation.
        pages: which file of the translation stands for which English one, as links of these pages name them.
    """
    ours, theirs = _sections(english), _sections(translated)
    if [each.parts[0].kind for each in ours] != [each.parts[0].kind for each in theirs]:
        found = [", ".join(f'{each.parts[0].kind} "{each.title}"' for each in page) for page in (ours, theirs)]
        yield f"the headings in English are {found[0]}\nin the translation {found[1]}"
        return
    for one, other in zip(ours, theirs, strict=True):
        one.marks["links"] = Counter(_translated(link, pages) for link in one.marks["links"].elements())
        for text in _apart(one, other):
            yield f'section "{one.title}" ("{other.title}"): {text}'


def _apart(one: Section, other: Section) -> Iterator[str]:
    for kind, ours in one.marks.items():
        missing, more = ours - other.marks[kind], other.marks[kind] - ours
        for said, which in (("missing", missing), ("not in the English text", more)):
            if which:
                yield f"{kind} {said}: {', '.join(which.elements())}"
    if words := one.words - other.words:
        yield f"numbers missing, written out: {', '.join(_WORDS[value - 2] for value in words.elements())}"
    for number, (right, block) in enumerate(zip_longest(one.blocks, other.blocks, fillvalue=""), start=1):
        lines = list(unified_diff(block.splitlines(), right.splitlines(), n=0, lineterm=""))[2:]
        if lines:
            yield "\n".join([f"block {number} is to be changed so:", *(line for line in lines if line[:2] != "@@")])
    for number, (part, same) in enumerate(zip_longest(one.parts, other.parts)):
        if part is None or same is None or part.kind != same.kind:
            yield f"{_said(other.parts[number:])} stands where in English there is {_said(one.parts[number:])}"
            return
        if part.text == same.text and len(re.findall(r"[A-Za-z]{2,}", part.text)) > 1:
            yield f"not translated: {part.text}"


def _said(parts: list[Part]) -> str:
    """What the first of these parts is, and how its text, or that of the first of its cells, begins."""
    text = next((part.text for part in parts if part.text), "")
    return f'{parts[0].kind} "{text[:60]}"' if parts else "nothing"


def _sections(text: str) -> list[Section]:
    """The sections of a page with the language line left out; links within the page by the number of their heading."""
    tokens = _PARSER.parse(text.replace(f"\n\n{language_line(text)}\n\n", "\n\n", 1))
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    places = {f"#{anchor}": f"#{number}" for number, title in enumerate(titles) for anchor in anchors(f"# {title}")}
    sections = [Section()]
    for token in tokens:
        if token.type == "heading_open":
            sections.append(Section(titles[len(sections) - 1]))
        _read(token, sections[-1], places)
    return [section for section in sections if section.parts]


def _read(token: Token, section: Section, places: Mapping[str, str]) -> None:
    if token.type in ("fence", "code_block", "html_block"):
        section.parts.append(Part(token.info or token.type))
        section.blocks.append(f"{token.markup}{token.info}\n{token.content}{token.markup}")
    elif token.nesting == 1:
        section.parts.append(Part(token.tag if token.type == "heading_open" else token.type.removesuffix("_open")))
    for child in token.children or ():
        if child.type == "code_inline":
            section.marks["code"][f"`{child.content}`"] += 1
        elif child.type == "link_open":
            link = unquote(str(child.attrs["href"]))
            section.marks["links"][places.get(link, link)] += 1
        elif child.type in ("strong_open", "em_open"):
            section.marks["emphasis"][child.tag] += 1
    if token.children:
        prose = "".join(child.content or " " for child in token.children if child.type in ("text", "softbreak"))
        section.parts[-1].text = prose
        section.marks["figures"].update(figure.replace(" ", "") for figure in _FIGURE.findall(prose))
        section.words.update(_WORDS.index(word.lower()) + 2 for word in _WORD.findall(prose))
        section.words.update(10 * (word[0] == "十") + _NUMERALS.get(word[-1], 0) for word in _NUMBER.findall(prose))


def _translated(link: str, pages: Mapping[str, str]) -> str:
    file, hash_, anchor = link.partition("#")
    return pages.get(file, file) + hash_ + anchor
