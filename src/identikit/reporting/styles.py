"""The terminal's colours by what they mean: those that can be read on a dark and on a light ground (yellow cannot)."""

from __future__ import annotations

USUAL = ""  # the terminal's own ink
BEST = "green"
BEWARE = "magenta"
WRONG = "bold red"
