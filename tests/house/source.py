"""A Python file as the checks see it, the imports in it, and what a check says when a rule is broken."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "identikit"
PAINTS = {"plot", "report", "__repr__", "_repr_html_", "to_markdown", "_repr_mimebundle_"}


@dataclass(frozen=True)
class Source:
    """One file: its path as shown to people, the dotted name it is imported by, its text."""

    path: str
    module: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")


@dataclass(frozen=True)
class Import:
    """One imported module: where, under which conditions."""

    target: str
    line: int
    at_top: bool  # runs when the file is loaded
    typing_only: bool  # under `if TYPE_CHECKING`
    painting: bool  # inside a method that paints


@dataclass(frozen=True)
class Finding:
    """A broken rule; its text names the file, the line and the rule."""

    path: str
    line: int
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}"


def read_package(folder: Path) -> list[Source]:
    """Every Python file below `folder` (the package itself), in order."""
    return [_read(path, folder.parent) for path in sorted(folder.rglob("*.py"))]


def _read(path: Path, root: Path) -> Source:
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Source(str(path.relative_to(root.parent)), module, path.read_text(encoding="utf-8"))


def imports(source: Source, modules: set[str]) -> Iterator[Import]:
    """Every import of the file, wherever it stands; `modules` are the package's, to tell a module from a name in it."""
    yield from _walk(source.tree.body, source, modules, at_top=True, typing_only=False, painting=False)


def _walk(
    nodes: list[ast.stmt], source: Source, modules: set[str], *, at_top: bool, typing_only: bool, painting: bool
) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in _targets(node, source, modules):
                yield Import(target, node.lineno, at_top, typing_only, painting)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            paints = painting or node.name in PAINTS
            yield from _walk(node.body, source, modules, at_top=False, typing_only=typing_only, painting=paints)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _walk(node.body, source, modules, at_top=at_top, typing_only=True, painting=painting)
            yield from _walk(node.orelse, source, modules, at_top=at_top, typing_only=typing_only, painting=painting)
        else:
            for inner in _blocks(node):
                yield from _walk(inner, source, modules, at_top=at_top, typing_only=typing_only, painting=painting)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The statement lists inside a compound statement: bodies, else, handlers, cases."""
    for _, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield value
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, ast.ExceptHandler | ast.match_case):
                    yield item.body


def _targets(node: ast.Import | ast.ImportFrom, source: Source, modules: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parts = source.module.split(".")
        up = node.level - 1 if source.is_package else node.level
        base = ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])
    for alias in node.names:
        inner = f"{base}.{alias.name}"
        yield inner if inner in modules else base
