"""Verbs whose help names no type for what is only there or not there."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Verb(TyperCommand):
    """A verb; `--overwrite` is shown as it is typed, not as `--overwrite <bool>`, and MODEL not as {MODEL}."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the verb in its first line of help."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, `--help` among them."""
        return _untyped(super().get_params(ctx))


class Group(TyperGroup):
    """All verbs; likewise."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, `--help` among them."""
        return _untyped(super().get_params(ctx))


def _untyped(options: list[Any]) -> list[Any]:
    for option in options:
        if getattr(option, "is_flag", False):
            option.metavar = ""
    return options
