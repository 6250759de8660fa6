"""What README and docs/benchmarks.md say of scans is what benchmarks/scan.py measured, and meets its goals."""

from __future__ import annotations

from collections import Counter

from docs.test_figures import ROOT, page, result


def readme() -> str:
    return " ".join((ROOT / "README.md").read_text().split())


CASES = ("BERT-like-24, 8 x 8 x 64", "BERT-like-24, 128 x 1 x 32", "BERT-like-24, 32 x 1 x 32")
WAYS = {
    '`engine="auto"`': "identikit auto",
    '`engine="suffix"`': "identikit suffix",
    '`engine="chain"`': "identikit chain",
    '`method="auto"`: half of the layers exactly': "identikit method=auto",
    '`method="influence"`': "identikit method=influence",
    '`method="taylor"`': "identikit method=taylor",
    "nnsight, skipping each layer": "nnsight skip",
    "a model built anew without each layer": "rebuild",
}


def test_leave_one_out() -> None:
    found = result("scan.json")["leave one out"]
    for said, way in WAYS.items():
        shares = [found[case][way]["cpu_over_the_hook_loops"] for case in CASES]
        assert f"| {said} | {' | '.join(f'{share:.3f}' for share in shares)} |" in page("scan.md")
    first, second = (found[case]["identikit auto"]["cpu_over_the_hook_loops"] for case in CASES[:2])
    assert f"takes {first:.3f} of the CPU time of a loop with hooks at 8 x 64 tokens a batch, " in readme()
    assert f" a batch, {second:.3f} at 1 x 32, and gives its scores bit for bit." in readme()
    for case, lines in found.items():
        assert f"| {case} | {lines['nnsight skip']['cpu_over_the_hook_loops']:.3f} |" in page("benchmarks.md")
    assert first <= result("scan.json")["goals"]["24 layers, 8 x 64 tokens"]


def test_replayed_models() -> None:
    found = result("replay_models.json")
    assert found["bad"] == []
    asked: dict[str, Counter[str]] = {"suffix": Counter(), "chain": Counter()}
    for case, verdicts in found["models"].items():
        asked[case.rpartition(" ")[2]].update(verdicts)
    suffix, chain = asked["suffix"], asked["chain"]
    count, by_suffix = suffix.total(), sum(number for kind, number in chain.items() if kind.startswith("suffix"))
    assert f"On {count} models of transformers" in page("scan.md")
    assert suffix == {"suffix, bit-equal": count}
    equal, close = chain["chain, bit-equal"], chain["chain, within tolerance"]
    assert f"{equal} were bit-equal, {close} within float32's" in page("scan.md")
    assert f"and {by_suffix} were scanned by suffix" in page("scan.md")


def test_all_exact_ways_agree() -> None:
    """Bit for bit, and no way computes more layer passes than L (L + 1) / 2 a row."""
    for case, ways in result("scan.json")["leave one out"].items():
        most = ways["examples"] * ways["layers"] * (ways["layers"] + 1) // 2
        for way, line in ways.items():
            if way.startswith("identikit") and "influence" not in way and "taylor" not in way:
                assert line["apart"] == 0, (case, way)
                assert line["rows_x_layers"] <= most, (case, way)


def test_the_greedy_search() -> None:
    found = result("scan.json")["greedy"]
    assert found["mean"] <= found["goal"]["mean"]
    assert found["most"] <= found["goal"]["most"]
    count = len(found["models"])
    said = f"for {found['drop']} of {found['layers']} layers computes {found['mean']} of the layer passes"
    assert said in page("benchmarks.md")
    assert f"over {count} random models, {found['most']} at most" in page("benchmarks.md")
    assert f"with the same choice in {found['same_choice']} of {count} (" in page("benchmarks.md")
    assert found["MiniLM"]["sleb"] == found["MiniLM"]["identikit"] == found["MiniLM"]["expected"]
    assert set(found["MiniLM"]["dev"].values()) == {85.2}


def test_the_race() -> None:
    found = result("scan.json")["race"]
    for kind in ("planted", "MiniLM"):
        assert found[kind]["same_choice"] >= found["goal"]["same_choice_of_20"]
        assert found[kind]["share_of_the_examples"]["mean"] <= found["goal"]["share"]
    share, seeds = found["planted"]["share_of_the_examples"]["mean"], found["planted"]["seeds"]
    assert f"sees {100 * share:.1f} % of the examples" in page("benchmarks.md")
    assert f"in {found['planted']['same_choice']} of {seeds} draws (planted effects)" in page("benchmarks.md")
