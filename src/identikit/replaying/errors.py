"""What an engine says where it cannot replay a model. None of these reaches a user: the next engine takes over."""

from __future__ import annotations


class NotReplayableError(Exception):
    """This model cannot be replayed this way; the text says why."""


class DamagedError(NotReplayableError):
    """A replay changed what was recorded: what was handed out before is right, this plan's output may not be."""
