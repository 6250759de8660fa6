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
    right, wrong = rivals["OptiPFair"]["right"], rivals["OptiPFair"]["wrong checkpoint"]
    models = result("coverage_rivals.json")["models"]
    assert f"The usual recipe is right for {rivals['usual recipe']['right']} of {models} causal" in said
    assert f"OptiPFair for {right}, with {wrong} silently wrong" in said


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
