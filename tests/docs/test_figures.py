"""Figures that pages quote from benchmarks are the ones in benchmarks/results."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def result(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text())


def page(name: str) -> str:
    return " ".join((ROOT / "docs" / name).read_text().split())


def test_the_side_of_the_padded_shortcut() -> None:
    found = result("cifar.json")
    assert found["images"] == 1000
    for network, by_side in found["accuracy_by_pad_side"].items():
        row = " | ".join(f"{by_side[side]:.1f} %" for side in ("both", "front", "behind"))
        assert f"| {network} | {row} |" in page("mistakes.md")


def test_the_time_of_identities() -> None:
    found = result("blocks.json")["blocks"]["ten identities in a network, against none"]
    assert found["equal"]
    said = f"with an identity behind each take {found['ratio']:.3f} times as long as the same without"
    assert said in page("identity.md")


def test_the_time_of_bypassed_layers() -> None:
    found = result("overhead.json")
    shape, ratio = found["shape"], found["eager"]["ratio"]
    said = f"{shape['bypassed']} of its {shape['layers']} layers bypassed takes {ratio:.3f} times as long"
    assert said in page("identity.md")


def test_the_errors_on_tables() -> None:
    found = result("tabular.json")
    digits = {"california_housing": 4, "diabetes": 1}
    names = ["identikit", "rtdl ResNet", "HistGradientBoosting", "linear", "scikit-learn MLP"]
    for table, by_name in found["tables"].items():
        errors = [round(by_name[name]["error"], digits.get(table, 3)) for name in names]
        shown = [f"{error:.{digits.get(table, 3)}f}" for error in errors]
        cells = [f"**{text}**" if error == min(errors) else text for text, error in zip(shown, errors, strict=True)]
        assert f"| {table} | {' | '.join(cells)} |" in page("tables.md")


def test_the_time_of_an_epoch() -> None:
    found = result("tabular.json")["seconds_per_epoch"]
    said = f"takes {found['identikit']:.3f} CPU seconds, against {found['rtdl ResNet']:.3f} for the ResNet of rtdl"
    assert said in page("tables.md")


def test_the_coverage_in_the_readme() -> None:
    found, rivals = result("coverage.json"), result("coverage_rivals.json")["verdicts"]
    counts: Counter[str] = Counter()
    for facts in found["classes"].values():
        for verdicts in facts["removals"].values():
            counts.update(verdicts)
    types, builds = (sum(facts[key] for facts in found["classes"].values()) for key in ("types", "builds"))
    of = sum(counts.values()) - counts["needed"]
    plain, both = (100 * number / of for number in (counts["checkpoint"], counts["checkpoint"] + counts["plan"]))
    said = " ".join((ROOT / "README.md").read_text().split())
    assert f"{builds} of the {types} model types" in said
    assert f"layers {of:,} times: {plain:.1f} % are plain checkpoints, {both:.1f} % with the plan form" in said
    assert f"{counts['wrong'] + counts['crash']} are wrong" in said
    names = ("right", "right once reloaded", "wrong checkpoint", "error")
    for rival, verdicts in rivals.items():
        cells = " | ".join(str(verdicts.get(name, 0)) for name in names)
        assert f"| {rival} | {cells} |" in page("benchmarks.md")


def test_the_shares_of_proved_roles() -> None:
    sources = [found["summary"] for found in result("roles.json").values()]
    cells = []
    for kind in ("pre-norm", "post-norm", "scaled"):
        proved, of = (sum(each[kind][key] for each in sources) for key in ("proved", "of"))
        cells.append(f"{proved} of {of} ({100 * proved / of:.1f} %)")
    models, proofs, wrong = (sum(each[key] for each in sources) for key in ("models", "proofs", "wrong"))
    assert f"| **all** | {models} | {' | '.join(cells)} | {proofs} | {wrong} |" in page("sublayers.md")


def test_the_models_of_timm() -> None:
    found = result("timm_models.json")
    bypass, kinds = found["bypass"], ("checkpoint", "plan", "refused", "wrong", "crash")
    said = f"Of {bypass['modules']:,} modules that keep the shape of what they take, drawn by a seed,"
    assert f"{said} {bypass['runs']:,} run" in page("timm.md")
    for word in ("first", "middle", "last"):
        row = " | ".join(str(found["remove"][word].get(kind, 0)) for kind in kinds)
        assert f"| {word} | {row} |" in page("timm.md")


def test_the_weights_that_are_fetched() -> None:
    found = result("scale.json")
    case, times, engines = found["case"], found["cpu_seconds"], found["engines"]
    layers, batches = case["layers"], case["batches"]
    shape = f"on {batches} batches of {case['rows']} x {case['tokens']}"
    assert f"of {layers} layers, hidden size {case['hidden']}, {shape}" in page("scale.md")
    fetch, row = (1e3 * times[key] for key in ("fetch_a_layer", "a_row_through_a_layer"))
    assert f"{fetch:.1f} ms to fetch a layer, {row:.1f} ms for a row" in page("scale.md")
    for name, facts in engines.items():
        cells = [f"{facts[key]:,g}" for key in ("layers_fetched", "to_prove_it", "rows_x_layers")]
        seconds = [f"{facts[key]:.1f} s" for key in ("predicted", "cpu_seconds")]
        assert f"| {name} | {' | '.join([*cells, *seconds])} |" in page("scale.md")
        assert 0.8 < facts["predicted"] / facts["cpu_seconds"] < 1.25
        assert facts["apart"] == 0
    watched = layers
    expected = {"loop": batches * layers**2 + watched, "suffix": batches * layers * (layers + 1) // 2 + watched}
    assert {name: engines[name]["layers_fetched"] for name in expected} == expected
    assert f"{expected['loop']:,} and {expected['suffix']:,} for the loop and the suffix" in page("scale.md")
    assert engines["chain"]["layers_fetched"] - watched < 2 * 2 * layers  # two pools, at most two calls a layer


def test_the_arithmetic_for_70_billion_parameters() -> None:
    layers, wide, inner, keys = 80, 8192, 28672, 8 * 128
    layer = 2 * wide * wide + 2 * wide * keys + 3 * wide * inner + 2 * wide
    size, batches, rows, tokens = 2 * layer, 8, 8, 512
    exact = layers * (layers + 1) // 2
    calls = sum(-(-4 * number // 32) for number in range(1, layers + 1))
    fetched = [batches * layers**2, batches * exact, 2 * calls]
    work = [2 * layer * tokens * batches * rows * each for each in (layers**2, exact, exact)]
    state = rows * tokens * wide * 2
    minutes = [(each * size / 25e9 + flops / 400e12) / 60 for each, flops in zip(fetched, work, strict=True)]
    said = page("scale.md")
    assert f"| layers fetched | {' | '.join(f'{each:,}' for each in fetched)} |" in said
    assert f"| bytes moved | {' | '.join(f'{each * size / 1e12:.1f} TB' for each in fetched)} |" in said
    assert f"| arithmetic | {' | '.join(f'{each / 1e15:.0f} PFLOP' for each in work)} |" in said
    assert f"| states kept | none | {layers * state / 1e9:.1f} GB | {2 * layers * 4 * state / 1e9:.1f} GB |" in said
    assert f"400 TFLOP/s | {' | '.join(f'{each:.0f} min' for each in minutes)} |" in said
    assert f"A layer is {size / 1e9:.2f} GB and all of them {layers * size / 1e9:.1f} GB" in said
    assert f"{2 * layer * tokens / 1e12:.2f} TFLOP in a layer; a state of a batch is {state / 1e6:.0f} MB" in said
    assert f"{32 * rows * tokens:,} tokens each: {calls} calls a pool" in said
