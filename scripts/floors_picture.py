"""Draws docs/images/floors.svg, the house of docs/architecture.md, from the table that the tests enforce."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "floors.svg"
_NAMES = {6: "face", 5: "shrink", 4: "measure", 3: "judge, edit", 2: "read", 1: "ground"}
_WIDTH, _LEFT, _GAP, _HIGH = 960, 120, 10, 44  # pixels
_A_ROW = 6
_STYLE = """
  svg { color-scheme: light dark }
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .floor { fill: #f3f5f8 } .room { fill: #fff; stroke: #8c959f } .small { font-size: 10.5px; fill: #59636e }
  .name { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .floor { fill: #161b22 } .room { fill: #0d1117; stroke: #6e7681 } .small { fill: #9198a1 }
  }"""


def drawn(floors: dict[str, int], arrows: dict[str, set[str]]) -> str:
    """The picture. `floors`: room to floor. `arrows`: what a room takes from others on its floor."""
    parts, top = [], 0
    for floor in sorted(set(floors.values()), reverse=True):
        rooms = [room for room, here in floors.items() if here == floor and room != "__main__"]
        high = -(-len(rooms) // _A_ROW) * (_HIGH + _GAP) + _GAP
        parts.append(f'<rect class="floor" x="0" y="{top}" width="{_WIDTH}" height="{high}" rx="8"/>')
        middle = top + high / 2
        parts.append(f'<text class="name" x="16" y="{middle:.0f}">{floor} {escape(_NAMES[floor])}</text>')
        parts += _rooms(rooms, top, {room: arrows.get(room, set()) & set(rooms) for room in rooms})
        top += high + _GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top - _GAP}" role="img">'
    title = "<title>The floors of identikit: an import points to a lower floor, or along an arrow on its own</title>"
    return "\n".join([head, title, f"<style>{_STYLE}\n</style>", *parts, "</svg>"]) + "\n"


def _rooms(rooms: list[str], top: int, beside: dict[str, set[str]]) -> list[str]:
    """The rooms of a floor in rows; under each, what it takes from its own floor."""
    wide = (_WIDTH - _LEFT - _GAP * (_A_ROW + 1)) / _A_ROW
    parts = []
    for number, room in enumerate(rooms):
        x = _LEFT + _GAP + number % _A_ROW * (wide + _GAP)
        y = top + _GAP + number // _A_ROW * (_HIGH + _GAP)
        takes = ", ".join(sorted(beside[room] - {"errors"}))
        parts.append(f'<rect class="room" x="{x:.0f}" y="{y}" width="{wide:.0f}" height="{_HIGH}" rx="5"/>')
        line = y + (19 if takes else 27)
        parts.append(f'<text x="{x + 10:.0f}" y="{line}">{escape(room)}</text>')
        if takes:
            parts.append(f'<text class="small" x="{x + 10:.0f}" y="{y + 35}">→ {escape(_cut(takes))}</text>')
    return parts


def _cut(text: str, most: int = 20) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from house.floors import ARROWS, FLOORS

    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawn(FLOORS, ARROWS), encoding="utf-8")


if __name__ == "__main__":
    main()
