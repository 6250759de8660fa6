"""How a file is written: its opening, its length, its name, what it prints, what it swallows."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from house.floors import wing_of
from house.source import Finding, Source

FILE_LINES = 250
FUNCTION_LINES = 40


def check_opening(sources: Sequence[Source]) -> Iterator[Finding]:
    """A file opens with a docstring whose first line says what it is for."""
    for source in sources:
        if not (ast.get_docstring(source.tree) or "").strip():
            yield Finding(source.path, 1, "no docstring opens the file; say in one line what it is for")


def check_names(sources: Sequence[Source]) -> Iterator[Finding]:
    """A file is named for its one idea."""
    for source in sources:
        if PurePosixPath(source.path).stem in {"utils", "util"}:
            yield Finding(source.path, 1, "a file called utils holds anything; name it for its one idea")


def check_length(sources: Sequence[Source]) -> Iterator[Finding]:
    """A file has at most 250 lines, a function 40 of code (docstring, comments and blank lines not counted)."""
    for source in sources:
        lines = source.text.splitlines()
        if len(lines) > FILE_LINES:
            yield Finding(source.path, FILE_LINES + 1, f"{len(lines)} lines; a file has at most {FILE_LINES}")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = _code_lines(node, lines)
                if count > FUNCTION_LINES:
                    rule = f"{node.name} has {count} lines of code; a function has at most {FUNCTION_LINES}"
                    yield Finding(source.path, node.lineno, rule)


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    numbers = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    if ast.get_docstring(node, clean=False) is not None:
        docstring = node.body[0]
        numbers -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return sum(1 for number in numbers if lines[number - 1].strip() and not lines[number - 1].strip().startswith("#"))


def check_printing(sources: Sequence[Source]) -> Iterator[Finding]:
    """The command line is the only place that prints."""
    for source in sources:
        if wing_of(source.module) == "cli":
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield Finding(source.path, node.lineno, "prints; only cli/ does, everything else returns")


def check_swallowing(sources: Sequence[Source]) -> Iterator[Finding]:
    """No error is caught without a name, and none is caught and dropped."""
    for source in sources:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            if node.type is None:
                yield Finding(source.path, node.lineno, "bare except; name the error that is expected")
            if all(_is_nothing(statement) for statement in node.body):
                yield Finding(source.path, node.lineno, "an error is caught and dropped; handle it, or let it through")


def _is_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )
