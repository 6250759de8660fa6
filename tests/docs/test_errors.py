"""Each kind of error has a page in docs/errors, and each message on it a symptom, a cause and a fix."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.test_links import anchors
from docs.test_pages import PAGES
from identikit import errors

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "errors"
KINDS = sorted(
    name
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.IdentikitError | errors.IdentikitWarning) and kind is not errors.IdentikitError
)
_PARTS = ("Symptom", "Cause", "Fix")
_PART = re.compile(rf"^\*\*({'|'.join(_PARTS)})\.\*\*", re.MULTILINE)
_SHOWN = re.compile(r"```python\n.*?^```\n```text\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"^> (?P<text>\w+: .*)$", re.MULTILINE)


def page_of(kind: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower() + ".md"


def sections(text: str) -> dict[str, str]:
    """Title to text, of what stands under each `##`."""
    titled = [each.partition("\n") for each in re.split(r"^## ", text, flags=re.MULTILINE)[1:]]
    return {title: rest for title, _, rest in titled}


def faults(text: str, kind: str) -> Iterator[str]:
    """What a page of `kind` lacks."""
    found = sections(text)
    if len(found) < 2:
        yield f"{len(found)} messages; a page has two at least"
    for title, section in found.items():
        _, *pieces = _PART.split(section)
        parts = dict(zip(pieces[::2], pieces[1::2], strict=True))
        if tuple(pieces[::2]) != _PARTS:
            yield f"{title}: {', '.join(pieces[::2])} in place of {', '.join(_PARTS)}"
            continue
        shown = _SHOWN.search(parts["Symptom"]) or _QUOTED.search(parts["Symptom"])
        if shown is None or not shown["text"].strip().splitlines()[-1].startswith(f"{kind}: "):
            yield f"{title}: the symptom shows no {kind}"
        if not parts["Cause"].strip():
            yield f"{title}: no cause"
        if "```python\n" not in parts["Fix"]:
            yield f"{title}: the fix has no code"


def messages_in_code(kind: str) -> Iterator[re.Pattern[str]]:
    """The messages that `kind` is raised with anywhere, as patterns: what is filled in may be anything."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == kind and node.args:
                pieces = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
                texts = [piece.value if isinstance(piece, ast.Constant) else None for piece in pieces]
                yield re.compile("".join(".+?" if text is None else re.escape(str(text)) for text in texts))


def test_each_kind_has_a_page_and_no_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*map(page_of, KINDS), "README.md"}
    assert {page for page in PAGES if page.startswith("docs/errors/")} == {
        f"docs/errors/{path.name}" for path in FOLDER.iterdir()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_page(kind: str) -> None:
    text = (FOLDER / page_of(kind)).read_text(encoding="utf-8")
    assert text.startswith(f"# {kind}\n")
    assert list(faults(text, kind)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_lists_the_kind_and_all_its_messages(kind: str) -> None:
    rows = [
        line
        for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| [{kind}](")
    ]
    assert len(rows) == 1
    _, name, meaning, messages, _ = rows[0].split("|")
    text = (FOLDER / page_of(kind)).read_text(encoding="utf-8")
    assert name.strip() == f"[{kind}]({page_of(kind)})"
    assert meaning.strip()
    linked = re.findall(rf"\[([^\]]+)\]\({page_of(kind)}#([^)]+)\)", messages)
    assert [title for title, _ in linked] == list(sections(text))
    assert {anchor for _, anchor in linked} <= anchors(text)


@pytest.mark.parametrize("kind", KINDS)
def test_quoted_messages_are_those_of_the_code(kind: str) -> None:
    """A message that takes a cluster is quoted, not run; its words are then looked up."""
    quoted = [found["text"] for found in _QUOTED.finditer((FOLDER / page_of(kind)).read_text(encoding="utf-8"))]
    known = list(messages_in_code(kind)) if quoted else []
    for text in quoted:
        message = text.removeprefix(f"{kind}: ")
        assert any(pattern.fullmatch(message) and pattern.pattern != ".+?" for pattern in known), message


GOOD = """# PlaceError

## One

**Symptom.**

```python
f()
```
```text
PlaceError: no.
```

**Cause.** It is so.

**Fix.**

```python
g()
```

## Two

**Symptom.**

> PlaceError: no.

**Cause.** It is so.

**Fix.** Do this:

```python
g()
```
"""
BROKEN = {
    "one message": (GOOD[: GOOD.index("## Two")], "1 messages; a page has two at least"),
    "no cause": (GOOD.replace("**Cause.** It is so.", "", 1), "One: Symptom, Fix in place of Symptom, Cause, Fix"),
    "an empty cause": (GOOD.replace("It is so.", "", 1), "One: no cause"),
    "a fix in words": (GOOD.replace("Do this:\n\n```python\ng()\n```", "Do this."), "Two: the fix has no code"),
    "another kind": (GOOD.replace("> PlaceError", "> RoleError"), "Two: the symptom shows no PlaceError"),
    "nothing shown": (GOOD.replace("```text\nPlaceError: no.\n```", ""), "One: the symptom shows no PlaceError"),
}


def test_a_whole_page_has_no_fault() -> None:
    assert list(faults(GOOD, "PlaceError")) == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_page_lacks_is_named(name: str) -> None:
    text, expected = BROKEN[name]
    assert list(faults(text, "PlaceError")) == [expected]
