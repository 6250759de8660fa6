"""Draws the picture at the head of README, docs/images/demo-light.svg and demo-dark.svg, from a run of the demo.

    identikit demo
    python scripts/demo_picture.py identikit-demo

The facts of the run go to docs/images/demo.json; without a folder the pictures are drawn from that file once more.
tests/docs/test_demo.py compares the pictures with the file, and what does not depend on the machine with a run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDTH, TOP, STEP, BOX = 660, 112, 44, 30
ROUND, LEFT, WIDE, BAR, END = 22, 40, 104, 168, 508  # where the way around, the boxes and the bars lie
FONT = "font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif\""
THEMES = {
    "light": {
        "paper": "#ffffff", "edge": "#d5dce6", "ink": "#1b2430", "soft": "#5b6776", "box": "#e4ebf4", "rim": "#5f7fa8",
        "bar": "#5f7fa8", "gone": "#d9772b", "faint": "#f3dfcd",
    },
    "dark": {
        "paper": "#161d29", "edge": "#2c384a", "ink": "#e6ebf2", "soft": "#9aa7b8", "box": "#24344c", "rim": "#7f9fc8",
        "bar": "#7f9fc8", "gone": "#f0a15e", "faint": "#4a3826",
    },
}  # fmt: skip


def facts(folder: Path) -> dict[str, Any]:
    """What the picture says, out of the files that the demo wrote."""
    rows = [json.loads(line) for line in (folder / "model.scan.jsonl").read_text().splitlines()[1:]]
    front = json.loads((folder / "model.front.json").read_text())
    chosen = next(each for each in front["points"] if each["dropped"] == front["chosen"])
    full = front["points"][0]
    layers = [
        {"cost": round(-row["effect"], 4), "half": round((row["high"] - row["low"]) / 2, 4)}
        for row in sorted((row for row in rows if len(row["places"]) == 1), key=lambda row: row["places"])
        if row["metric"] == "fidelity"
    ]
    scores = {name: [round(score[key], 4) for key in ("full", "edited")] for name, score in chosen["scores"].items()}
    return {
        "model": front["name"],
        "pairs": front["data"]["examples"] + front["chosen_on"]["examples"],
        "layers": layers,
        "gone": [int(place.rpartition(".")[2]) for place in chosen["places"]],
        "scores": scores,
        "parameters": [full["parameters"], chosen["parameters"]],
        "bytes": [front["size_before"], front["size_after"]],
        "versions": front["versions"],
    }


def picture(said: dict[str, Any], theme: str) -> str:
    """The SVG for one theme; it fetches nothing and names no font that has to be there."""
    colours, count = THEMES[theme], len(said["layers"])
    height = TOP + count * STEP + 74
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" {FONT} font-size="14">'
    )
    title = f"What the absence of each of the {count} layers of {said['model']} costs; layers {gone(said)} are off."
    lines = [
        f"<title>{title}</title>",
        f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="10" fill="{colours["paper"]}" '
        f'stroke="{colours["edge"]}"/>',
        text(24, 34, f"{said['model']}, {said['pairs']} sentence pairs, no labels", colours["ink"], "600", 16),
        text(24, 60, "identikit prune MODEL --data pairs.csv --keep 0.85 --to smaller", colours["soft"], mono=True),
        text(BAR, 94, "what the output loses without this layer", colours["soft"], size=12),
    ]
    return "\n".join(
        [head, *lines, *stack(said, colours), *bars(said, colours), *foot(said, colours, height), "</svg>", ""]
    )


def gone(said: dict[str, Any]) -> str:
    return " and ".join(map(str, said["gone"]))


def stack(said: dict[str, Any], colours: dict[str, str]) -> Iterator[str]:
    """The layers as boxes on the stream, which goes around those that are off."""
    middle, count = LEFT + WIDE // 2, len(said["layers"])
    for number in range(count + 1):  # the stream between the boxes, or the way around one
        y = TOP + number * STEP
        start, end = y - (STEP - BOX if number else 14), y
        if number in said["gone"] or number - 1 in said["gone"]:
            continue
        yield line(f"M{middle} {start}V{end}", colours["rim"])
    for first, last in runs(said["gone"]):
        start, end = TOP + first * STEP - (STEP - BOX), TOP + (last + 1) * STEP
        way = f"M{middle} {start}v3Q{middle} {start + 7} {middle - 8} {start + 7}H{ROUND + 8}q-8 0 -8 8"
        yield line(f"{way}V{end - 15}q0 8 8 8H{middle - 8}Q{middle} {end - 7} {middle} {end - 3}v3", colours["gone"])
    for number in range(count):
        y, off = TOP + number * STEP, number in said["gone"]
        rim = f'stroke="{colours["gone"]}" stroke-dasharray="4 4"' if off else f'stroke="{colours["rim"]}"'
        fill = "none" if off else colours["box"]
        yield f'<rect x="{LEFT}" y="{y}" width="{WIDE}" height="{BOX}" rx="6" fill="{fill}" {rim} stroke-width="1.5"/>'
        label = f"layer {number}" + (" off" if off else "")
        yield text(middle, y + 20, label, colours["gone" if off else "ink"], anchor="middle")


def runs(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours."""
    starts = [each for each in numbers if each - 1 not in numbers]
    return [(first, next(each for each in range(first, first + 99) if each + 1 not in numbers)) for first in starts]


def line(way: str, colour: str) -> str:
    return f'<path d="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'


def bars(said: dict[str, Any], colours: dict[str, str]) -> Iterator[str]:
    """The cost of each layer's absence with its interval."""
    scale = (END - BAR) / max(each["cost"] + each["half"] for each in said["layers"])
    for number, each in enumerate(said["layers"]):
        y, end = TOP + number * STEP, BAR + each["cost"] * scale
        colour = colours["gone" if number in said["gone"] else "bar"]
        half = each["half"] * scale
        yield f'<rect x="{BAR}" y="{y + 5}" width="{end - BAR:.1f}" height="{BOX - 10}" rx="3" fill="{colour}"/>'
        yield (
            f'<path d="M{end - half:.1f} {y + 15}H{end + half:.1f}M{end - half:.1f} {y + 10}v10M{end + half:.1f} '
            f'{y + 10}v10" stroke="{colours["ink"]}" stroke-width="1.5"/>'
        )
        yield text(end + half + 10, y + 20, f"{each['cost']:.3f} ± {each['half']:.3f}", colours["ink"])


def foot(said: dict[str, Any], colours: dict[str, str], height: int) -> Iterator[str]:
    """What was kept, and what it is worth."""
    count = len(said["layers"])
    (_, fidelity), (full, edited) = said["scores"]["fidelity"], said["scores"]["spearman"]
    before, after = said["parameters"]
    cells = [
        (f"{count} → {count - len(said['gone'])}", "layers"),
        (f"{before / 1e6:.1f} → {after / 1e6:.1f} M", "parameters"),
        (" → ".join(f"{each / 1e6:.1f}" for each in said["bytes"]) + " MB", "on disk"),
        (f"{100 * fidelity:.1f} %", "of output kept"),
        (f"{full:.4f} → {edited:.4f}", "Spearman (held out)"),
    ]
    yield f'<path d="M24 {height - 62}H{WIDTH - 24}" stroke="{colours["edge"]}"/>'
    for at, (figure, what) in enumerate(cells):
        x = (24, 84, 220, 370, 494)[at]
        yield text(x, height - 36, figure, colours["ink"], "600", 15)
        yield text(x, height - 17, what, colours["soft"], size=12)


def text(
    x: float, y: float, said: str, colour: str, weight: str = "400", size: int = 14, *, anchor: str = "start",
    mono: bool = False,
) -> str:  # fmt: skip
    family = " font-family=\"ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace\"" if mono else ""
    shown = 12.5 if mono else size
    return (
        f'<text x="{x:.0f}" y="{y}" fill="{colour}" font-weight="{weight}" font-size="{shown}" '
        f'text-anchor="{anchor}"{family}>{said}</text>'
    )


def write(said: dict[str, Any]) -> None:
    (IMAGES / "demo.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    for theme in THEMES:
        (IMAGES / f"demo-{theme}.svg").write_text(picture(said, theme), encoding="utf-8")


if __name__ == "__main__":
    write(facts(Path(sys.argv[1])) if sys.argv[1:] else json.loads((IMAGES / "demo.json").read_text(encoding="utf-8")))
