"""Runs the Python of a Markdown page and compares everything that the page shows with what happens.

The rule for writers of pages:

- Every ```python block is run, in order. What stands before the first `##` heading runs first for each section; apart
  from that a section stands alone. A block in a `<!-- python ... -->` comment is run like the others and not shown.
- A block shows what Python's prompt would: the value of each expression on a line of its own (inside `with`, `for` and
  `if` too), and what is printed. It is compared, character for character, with the ```text block right after it.
- A value that fits on its line stands there instead, behind `# ->`.
- A block that raises ends with the line that does, and shows `Class: message`, whole. The message of another library
  may be cut short with ` ...`.

So nothing is claimed unchecked, and nothing is shown unclaimed: an expression whose value stands nowhere, a ```text
block behind no code, and a `# ->` behind something that has no value are errors of the page.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from identikit.errors import IdentikitError

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,})(?P<language>(?!py(?!thon$))[a-z]*)$")
_OTHER_FENCE = re.compile(r" *(```|~~~)")
_HIDDEN = "<!-- python"
_CLAIM = re.compile(r"# -> ?(?P<value>.*)")


class PageError(AssertionError):
    """A page shows something other than what happens; the text names the page and the line."""


@dataclass
class Block:
    """One block of code: where it starts, what it is, and the output shown below it."""

    path: str
    line: int  # of its first line of code, counted from 1
    code: str
    shown: str = ""

    def wrong(self, line: int, text: str) -> PageError:
        return PageError(f"{self.path}:{line}: {text}")


@dataclass
class Section:
    """The blocks under one `##` heading; the first section of a page has no title and is its opening."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    def run(self, opening: Section) -> None:
        """Run the opening and then this section, in one fresh namespace and from one seed."""
        namespace: dict[str, Any] = {"__name__": "__main__"}
        torch.manual_seed(0)
        blocks = self.blocks if self is opening else [*opening.blocks, *self.blocks]
        for block in blocks:
            run(block, namespace)


def read(path: Path, name: str) -> list[Section]:
    """The sections of a page, its opening first; `name` is what messages call it."""
    sections = [Section("")]
    just_ended: Block | None = None  # the block whose output may come next
    lines = _Lines(name, path.read_text(encoding="utf-8"))
    for number, line in lines:
        fence = _FENCE.match(line)
        if line.strip() == _HIDDEN:
            sections[-1].blocks.append(Block(name, number + 1, lines.until("-->")))
        elif fence is not None and fence["language"] == "python":
            just_ended = Block(name, number + 1, lines.until(fence["ticks"], fence["indent"]))
            sections[-1].blocks.append(just_ended)
            continue
        elif fence is not None and fence["language"] == "text":
            if just_ended is None:
                raise PageError(f"{name}:{number}: shows an output of no code; a text block follows a python block")
            just_ended.shown = lines.until(fence["ticks"], fence["indent"])
        elif fence is not None:
            lines.until(fence["ticks"])
        elif _OTHER_FENCE.match(line):
            raise PageError(f"{name}:{number}: this block would not be run; open it with ```python")
        elif line.startswith("## "):
            sections.append(Section(line.removeprefix("## ").strip()))
        elif not line.strip():
            continue
        just_ended = None
    return sections


class _Lines:
    """The lines of a page with their numbers; a block is taken out whole."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines = enumerate(text.splitlines(), start=1)
        self._number = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for number, line in self._lines:
            self._number = number
            yield number, line

    def until(self, end: str, indent: str = "") -> str:
        """The lines up to `end`; the indentation of a block in a list is taken off."""
        start = self._number
        text: list[str] = []
        for _, line in self:
            if line.strip() == end:
                return "\n".join(text)
            text.append(line.removeprefix(indent))
        raise PageError(f"{self._name}:{start}: the block is never closed; close it with {end}")


def run(block: Block, namespace: dict[str, Any]) -> None:
    """Run a block, a statement at a time, and compare what it shows.

    Raises:
        PageError: where the page and what happens differ.
        Exception: what the code raises, if the page shows no output of the block at all.
    """
    # empty lines in front: tracebacks then point into the page
    tree = _Showing().visit(ast.parse("\n" * (block.line - 1) + block.code, block.path))
    show = _Show(block)
    namespace[_Showing.NAME] = show
    shown = io.StringIO()
    for statement in tree.body:
        code = compile(ast.Module([statement], []), block.path, "exec", dont_inherit=True)
        try:
            with contextlib.redirect_stdout(shown):
                exec(code, namespace)
        except PageError:
            raise
        except Exception as error:
            if not block.shown:
                raise
            if statement is not tree.body[-1]:
                rest = "the rest of the block never runs; end it there"
                raise block.wrong(statement.lineno, f"raises {type(error).__name__}, so {rest}") from error
            shown.write(_told(error, block.shown.rstrip().splitlines()[-1]))
    for line in sorted(show.claims.keys() - show.kept):
        raise block.wrong(line, "no value on this line was compared; put `# ->` behind an expression that runs")
    happened, said = shown.getvalue().rstrip(), block.shown.rstrip()
    if happened != said:
        raise block.wrong(block.line, f"the block shows\n{happened or 'nothing'}\nthe page says\n{said or 'nothing'}")


def _told(error: Exception, said: str) -> str:
    """An error as a page shows it; `said` is how this page does."""
    message = f"{type(error).__name__}: {error}\n"
    start = said.removesuffix(" ...")
    cut = start != said and ": " in start and message.startswith(start) and not isinstance(error, IdentikitError)
    return said if cut else message


class _Showing(ast.NodeTransformer):
    """Hands the value of each expression on a line of its own to `_Show`; what is in functions and classes stays."""

    NAME = "__show__"

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        call = ast.Call(ast.Name(self.NAME, ast.Load()), [node.value, ast.Constant(node.end_lineno)], [])
        return ast.fix_missing_locations(ast.copy_location(ast.Expr(ast.copy_location(call, node)), node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return node


class _Show:
    """Compares a value with the claim on its line, or prints it; None is shown nowhere unless it is claimed."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self.claims = _claims(block)
        self.kept: set[int] = set()

    def __call__(self, value: Any, line: int) -> None:
        claim = self.claims.get(line)
        if claim is None:
            if value is not None:
                print(repr(value))
        elif claim == repr(value):
            self.kept.add(line)
        else:
            raise self._block.wrong(line, f"shows {value!r}\nthe page says {claim}")


def _claims(block: Block) -> dict[int, str]:
    """The values that stand behind `# ->`, by the line of the page."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(block.code).readline):
        claim = _CLAIM.fullmatch(token.string) if token.type == tokenize.COMMENT else None
        if claim is not None:
            found[token.start[0] + block.line - 1] = claim["value"].strip()
    return found
