"""The signs that a table draws with, and plain ones for a terminal that has only ASCII."""

from __future__ import annotations

EIGHTHS = " ▏▎▍▌▋▊▉"
_PLAIN = {
    "±": "+-",
    "≈": "~",
    "◂": "<",
    "…": "~",
    "█": "#",
    "░": "-",
    "·": "-",
    "→": ">",
    "\N{REPLACEMENT CHARACTER}": "?",
}
_PLAIN |= dict.fromkeys(EIGHTHS[1:4], " ") | dict.fromkeys(EIGHTHS[4:], "#")


def plain(text: str) -> str:
    """`text` in ASCII, for people: what has no near sign becomes a question mark."""
    return "".join(_PLAIN.get(character, character) for character in text).encode("ascii", "replace").decode()


def bar(share: float, width: int) -> str:
    """A bar of `share` (0 to 1) of `width` characters, to an eighth of one; anything above zero can be seen."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    if share > 0.0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
