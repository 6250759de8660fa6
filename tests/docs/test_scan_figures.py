"""What README says of scans is what benchmarks/scan.py measured, and meets the goals that stand there."""

from __future__ import annotations

from docs.test_figures import ROOT, result


def readme() -> str:
    return " ".join((ROOT / "README.md").read_text().split())


def test_the_greedy_search() -> None:
    found = result("scan.json")["greedy"]
    assert found["mean"] <= found["goal"]["mean"]
    assert found["most"] <= found["goal"]["most"]
    count = len(found["models"])
    said = (
        f"A greedy search for {found['drop']} of {found['layers']} layers computes {found['mean']} of the layer passes"
    )
    assert said in readme()
    assert f"over {count} random models, {found['most']} at most" in readme()
    assert f"with the same choice in {found['same_choice']} of {count};" in readme()
    assert found["MiniLM"]["sleb"] == found["MiniLM"]["identikit"] == found["MiniLM"]["expected"]
    assert set(found["MiniLM"]["dev"].values()) == {85.2}


def test_the_race() -> None:
    found = result("scan.json")["race"]
    for kind in ("planted", "MiniLM"):
        assert found[kind]["same_choice"] >= found["goal"]["same_choice_of_20"]
        assert found[kind]["share_of_the_examples"]["mean"] <= found["goal"]["share"]
    share, seeds = found["planted"]["share_of_the_examples"]["mean"], found["planted"]["seeds"]
    assert f"sees {100 * share:.1f} % of the examples" in readme()
    assert f"in {found['planted']['same_choice']} of {seeds} draws (planted effects)" in readme()
