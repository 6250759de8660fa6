"""What the pages say of quality kept is what benchmarks/stsb.py and quality.py measured, and meets their goals."""

from __future__ import annotations

from pathlib import Path

from docs.test_figures import page, result
from docs.test_scan_figures import readme

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def row(section: str, way: str) -> list[str]:
    """The cells behind `way` in the first table of a section of the page of results, without the stars of the best."""
    (lines,) = (text.splitlines() for text in PAGE.split("\n## ") if text.startswith(f"{section}\n"))
    (cells,) = (line.split("|")[2:-1] for line in lines if line.startswith(f"| {way} |"))
    return [cell.strip(" *") for cell in cells]


def test_two_of_six_layers() -> None:
    found = result("stsb.json")
    beam, pairs = found["beam"], found["spearman_dev_of_each_pair"]
    assert found["spearman_dev"] >= found["goal"]
    assert beam["spearman_dev"] >= beam["goal"]
    said = f"is {found['spearman_dev']:.2f}, and {beam['spearman_dev']:.2f} with `--method beam` (full model "
    said += f"{found['spearman_dev_full']:.2f}; the best of all fifteen pairs is {max(pairs.values()):.2f}, the worst "
    assert said + f"{min(pairs.values()):.2f})" in page("benchmarks.md")


def test_folded_beside_the_published_methods() -> None:
    found = result("quality.json")["minilm"]
    by_size = {size: {way: line["spearman"] for way, line in found[f"{size} layers"].items()} for size in (4, 3, 2)}
    four, three, two = (by_size[size]["ours beam 4, fold"] for size in (4, 3, 2))
    rivals = [by_size[size]["least squares"] for size in (4, 3, 2)]
    said = f"has a Spearman of {four:.2f} on STS-B *dev* (full model {found['full']:.2f}), with three {three:.2f};"
    assert f"{said} the best of seven published methods has {rivals[0]:.2f} and {rivals[1]:.2f}." in readme()
    row = " | ".join(f"**{each:.2f}**" for each in (four, three))
    assert f"| identikit, beam, `--compensate fold` | {row} | {two:.2f} |" in page("benchmarks.md")
    row = " | ".join(f"{each:.2f}" for each in rivals)
    assert f"| ReplaceMe's least squares | {row} |" in page("benchmarks.md")
    healed = by_size[4]["ours beam 4, healed"]
    assert found["minutes of healing"] == 5
    assert f"| identikit, beam, healed five minutes | {healed:.2f} |" in page("benchmarks.md")
    for ways in by_size.values():
        others = {way: score for way, score in ways.items() if not way.startswith("ours") and "healed" not in way}
        assert max(others, key=lambda way: others[way]) == "least squares"
    assert four >= max(86.5, rivals[0])
    assert three >= max(85.7, rivals[1])
    assert two >= rivals[2]
    assert healed >= 86.7


SIZES = (7, 6, 5, 4)
PERPLEXITY = "perplexity, second half"


def test_a_language_model_beside_the_published_methods() -> None:
    found = result("quality.json")["llama"]
    ours, best = [], []
    for size in SIZES:
        lines = found[f"{size} layers"]
        rivals = [name for name in lines if not name.startswith("ours") and name != "beaten by"]
        ours.append(lines["ours greedy, kl, fold"][PERPLEXITY])
        best.append(min(lines[rival][PERPLEXITY] for rival in rivals))
        assert lines["beaten by"]["ours greedy, kl, fold"] == []
        assert lines["beaten by"]["ours greedy, kl, adapter"] == []
    row = " | ".join(f"**{each:.2f}**" for each in ours)
    assert f"| identikit, greedy by `kl`, `--compensate fold` | {row} |" in page("benchmarks.md")
    assert all(one < other for one, other in zip(ours, best, strict=True))
    assert f"(full model {found['full'][PERPLEXITY]:.2f})" in page("benchmarks.md")


def test_what_the_metric_chooses() -> None:
    found = result("quality.json")["llama"]
    four = {name: line[PERPLEXITY] for name, line in found["4 layers"].items() if name != "beaten by"}
    said = f"a perplexity of {four['ours greedy, fidelity']:.2f}, by `kl` {four['ours greedy, kl']:.2f} "
    assert f"{said}(the last four: {four['last layers']:.2f})" in (ROOT / "docs" / "prune.md").read_text()
    for size in (7, 6):
        lines = found[f"{size} layers"]
        assert lines["ours greedy, fidelity"]["gone"] == lines["ours greedy, kl"]["gone"]


def test_pictures() -> None:
    found = result("quality.json")["cifar"]
    (two, two_folded), (four, four_folded) = (
        [found[f"{gone} gone"][name]["accuracy"] for name in ("ours beam 4", "ours beam 4, fold")] for gone in (2, 4)
    )
    for way, cells in (("`--method beam`", (two, four)), ("beam, `--compensate fold`", (two_folded, four_folded))):
        shown = row("Pictures: ResNet-32", f"identikit, {way}")
        assert [shown[1], shown[3]] == [f"{each:.1f}" for each in cells]
    assert f"(all blocks: {found['full']:.1f})" in page("benchmarks.md")
    assert found["full"] - two <= 3.0
    for gone in (1, 2, 3, 4):
        lines = {name: line["accuracy"] for name, line in found[f"{gone} gone"].items()}
        assert lines["ours beam 4"] >= max(value for name, value in lines.items() if not name.startswith("ours"))


def test_tables() -> None:
    found = result("quality.json")["tabular"]["as it is"]
    gone = found["ours greedy, fold: furthest within 1 % on the validation rows"]
    assert [each["gone"] for each in gone] == [4, 4]
    for seed, each in enumerate(gone):
        row = f"| as it is | folded | {seed} | {each['gone']} of 8 | {100 * (each['test'] - 1):.1f} % |"
        assert row in page("benchmarks.md")
