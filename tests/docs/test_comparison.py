"""What docs/comparison.md says of other tools is what was run: each figure is that of a file of results."""

from __future__ import annotations

import re

from docs.test_figures import page, result

FOUND = result("comparison.json")


def test_the_day_and_the_versions() -> None:
    days = {each["day"] for name, each in FOUND.items() if name != "versions"}
    assert len(days) == 1
    assert f"as of {days.pop()}" in page("comparison.md")
    for name in ("mergekit", "captum", "torch-pruning"):
        assert f"{name} {FOUND[name]['version']}" in page("comparison.md")
    versions = result("scan.json")["versions"]
    assert f"nnsight {versions['nnsight']}" in page("comparison.md")
    torch, transformers = FOUND["versions"]["torch"].partition("+")[0], FOUND["versions"]["transformers"]
    assert f"torch {torch} and transformers {transformers}" in page("comparison.md")


def test_mergekit() -> None:
    found = FOUND["mergekit"]
    known, unknown = found["verdicts"]["known to it"], found["verdicts"]["not known to it"]
    assert f"on {found['models']} causal language models" in page("comparison.md")
    said = f"Of the {sum(known.values())} whose architecture it has a definition of, {known['right']} are right, "
    said += f"{known['error']} end in an error"
    assert said in page("comparison.md")
    said = f"Of the other {sum(unknown.values())}, for which it infers one and says so, {unknown['wrong checkpoint']} "
    assert f"{said}folders are wrong" in page("comparison.md")
    assert f"and {unknown['error']} end in an error" in page("comparison.md")
    assert set(known) == {"right", "error"}
    assert {found["by_type"]["known to it"][name] for name in ("qwen2", "qwen3")} == {"error"}
    assert found["by_type"]["not known to it"]["opt"] == "wrong checkpoint"


def test_captum() -> None:
    found = FOUND["captum"]
    assert found["is_the_effect_of_zeros"]
    assert not found["is_the_effect_of_absence"]


def test_torch_pruning() -> None:
    before, after = FOUND["torch-pruning"]["parameters"]
    assert f"leave {after / 1e6:.1f} of {before / 1e6:.1f} million parameters" in page("comparison.md")


def test_the_rivals_of_the_coverage() -> None:
    found = result("coverage_rivals.json")
    recipe, optipfair = found["verdicts"]["usual recipe"], found["verdicts"]["OptiPFair"]
    said = f"right at every step for {recipe['right']} of those {found['models']} models; for "
    said += f"{recipe['right once reloaded']} only once reloaded"
    assert said in page("comparison.md")
    assert f"{recipe['wrong checkpoint']} checkpoints are wrong, {recipe['error']} end in an error" in page(
        "comparison.md"
    )
    said = (
        f"right for {optipfair['right']} of the {found['models']} models, for {optipfair['right once reloaded']} once "
    )
    said += f"reloaded; {optipfair['wrong checkpoint']} checkpoints are wrong, {optipfair['error']} end in an error"
    assert said in page("comparison.md")
    assert found["verdicts"]["nn.Identity"] == {"error": found["models"]}


def test_nnsight() -> None:
    found = result("scan.json")["leave one out"]
    small, large = found["BERT-like-24, 128 x 1 x 32"], found["BERT-like-24, 8 x 8 x 64"]
    shares = [
        f"{case[way]['cpu_over_the_hook_loops']:.3f}"
        for way in ("nnsight skip", "identikit auto")
        for case in (small, large)
    ]
    said = (
        "took {} times as long as a loop with hooks at 1 x 32 tokens a batch and {} times at 8 x 64, where `ik.scan` "
    )
    assert (said + "took {} and {}").format(*shares) in page("comparison.md")


def test_methods_from_papers() -> None:
    found = result("quality.json")["minilm"]
    for size in (4, 3, 2):
        lines = {name: line["spearman"] for name, line in found[f"{size} layers"].items() if "healed" not in name}
        others = [score for name, score in lines.items() if not name.startswith("ours")]
        assert lines["ours beam 4, fold"] > max(others)
    four = found["4 layers"]
    theirs, ours = (four[name]["spearman"] for name in ("least squares, healed", "ours beam 4, healed"))
    assert theirs > ours
    assert f"ReplaceMe's is ahead ({theirs:.2f} against {ours:.2f})" in page("comparison.md")
    lines = result("quality.json")["llama"]["7 layers, 1 minutes of healing"]
    scores = [
        line["perplexity, second half"] for name, line in lines.items() if name != "beaten by" and name != "last layers"
    ]
    assert max(scores) - min(scores) < 0.01


def test_every_figure_on_the_page_is_asked_for() -> None:
    """No figure with a comma or a point stands in the text that none of these tests knows."""
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", page("comparison.md"))
    known = ["1.125", "0.976", "0.269", "0.541", "86.78", "86.76"]
    versions = re.findall(r"\d+\.\d+\.\d+", text)
    figures = set(re.findall(r"\d+[.,]\d+", re.sub(r"\d+\.\d+\.\d+", "", text)))
    before, after = FOUND["torch-pruning"]["parameters"]
    assert figures <= {*known, f"{before / 1e6:.1f}", f"{after / 1e6:.1f}"}
    assert versions
