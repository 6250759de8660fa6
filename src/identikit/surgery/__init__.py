"""Editing: layers out of action for a while (a Handle) or for good (removed)."""
