"""The refusal that another way of writing the graph may still mend."""

from __future__ import annotations

from identikit.errors import SaveError


class NotProvedError(SaveError):
    """What was written cannot be run, or does not compute what the model does."""
