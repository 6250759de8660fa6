"""Writes docs/benchmarks.md from benchmarks/results: what was compared, the figures, the command that repeats it.

    python scripts/benchmarks_page.py

Every figure on the page comes from a file of results by this; tests/docs/test_generated.py compares the page with what
this would write, and asks that each file of results is named on it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = Path("docs") / "benchmarks.md"
OPENING = """# Benchmarks

<!-- Written by scripts/benchmarks_page.py from benchmarks/results. Do not edit. -->

Every figure that identikit's pages quote was measured by a script in [benchmarks](../benchmarks), which wrote it to
`benchmarks/results`; this page is made from those files. Run from a clone after `make setup`, the command under a
heading repeats what stands there. `--data FOLDER` is a folder with the public files that the head of the script names;
nothing is downloaded.

The machine of all of them: two cores of an Intel Xeon server, 24 GB, no GPU; {versions}. Times are medians, CPU seconds
unless it says otherwise, of one thread unless it says otherwise, and of ways that ran in turn in one process, so that
ratios mean more than seconds. Where something else is better, it stands here too.
"""

#: The rivals of both parts: what a row is called, and its name in the result.
_PUBLISHED = {
    "SLEB": "SLEB",
    "ShortGPT's block influence": "block influence",
    "perplexity, one layer at a time": "perplexity one-shot",
    "angular span (Gromov et al.)": "angular span",
    "Taylor": "Taylor",
    "the last layers": "last layers",
}


def result(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    first, *others = (f"| {' | '.join(map(str, row))} |" for row in [head, *rows])
    return "\n".join([first, "|---" * len(head) + "|", *others])


def repeat(command: str, *names: str) -> str:
    files = ", ".join(f"[{name}.json](../benchmarks/results/{name}.json)" for name in names)
    return f"```console\n$ {command}\n```\n\nThe figures: {files}."


def coverage() -> str:
    found, rivals = result("coverage"), result("coverage_rivals")
    counts: Counter[str] = Counter()
    for facts in found["classes"].values():
        for verdicts in facts["removals"].values():
            counts.update(verdicts)
    types, builds = (sum(facts[key] for facts in found["classes"].values()) for key in ("types", "builds"))
    of = counts.total() - counts["needed"]
    plain, both = (100 * number / of for number in (counts["checkpoint"], counts["checkpoint"] + counts["plan"]))
    names = ("right", "right once reloaded", "wrong checkpoint", "error")
    rows = [[f"{name}", *(each.get(key, 0) for key in names)] for name, each in rivals["verdicts"].items()]
    return f"""## Which layers can go

{builds} of the {types} model types of transformers' auto classes, built small, lost one or two layers {of:,} times, each
removal held against a reference that is no part of identikit, saved, loaded by transformers and compared, decoding
included: {plain:.1f} % are plain checkpoints, {both:.1f} % with the plan form, the rest is refused by name, {counts["wrong"] + counts["crash"]} are wrong.
Model by model: [coverage.md](coverage.md).

{repeat("make zoo", "coverage")}

The same removal (layer {rivals["layer"]}) by other means, of {rivals["models"]} causal language models, by the same judge:

{table(["by", "right", "right once reloaded", "a wrong checkpoint", "an error"], rows)}

{repeat("python benchmarks/coverage.py --rivals", "coverage_rivals")}"""  # noqa: E501


def roles() -> str:
    found = [each["summary"] for each in result("roles").values()]
    models, proofs, wrong = (sum(each[key] for each in found) for key in ("models", "proofs", "wrong"))
    timm, replay = result("timm_models"), result("replay_models")
    kinds: Counter[str] = Counter()
    for verdicts in replay["models"].values():
        kinds.update(verdicts)
    equal, close = (sum(number for kind, number in kinds.items() if word in kind) for word in ("bit-equal", "within"))
    serving = [
        [name, each["version"], f"{each['largest_difference']:g}", each["same_next_token"]]
        for name, each in result("serving").items()
    ]
    bypass = timm["bypass"]
    return f"""## Whether what is proved is true

Roles of inner layers: {proofs:,} proofs over {models} models of transformers, timm, torchvision and torch.nn, {wrong} wrong (by kind: [sublayers.md](sublayers.md#how-often-a-role-is-proved)).

{repeat("python benchmarks/roles.py", "roles")}

Any layer of any family of timm: of {bypass["modules"]:,} modules drawn by a seed from all {bypass["files"]} files, {bypass["runs"]:,} run as the identity
and {bypass["refused"]} is refused by name; {bypass["compared with numbers"]} compared with numbers, none wrong ([timm.md](timm.md#over-all-of-timm)).

{repeat("python benchmarks/timm_models.py", "timm_models")}

Replayed scans against the plain loop, of {kinds.total() // 2:,} models of transformers, timm, torchvision and torch.nn, by suffix and by chain:
{equal:,} of {kinds.total():,} bit-equal, {close:,} within float32's tolerance, {len(replay["bad"])} wrong.

{repeat("python benchmarks/replay_models.py", "replay_models")}

A pruned checkpoint converted by serving engines' own converters and run there, against transformers:

{table(["engine", "version", "largest difference of a logit", "same next token"], serving)}

{repeat("python benchmarks/serving.py --engine ctranslate2", "serving")}"""  # noqa: E501


def percent(value: float) -> str:
    return f"{value:.1f} %"


def minilm() -> str:
    stsb, found = result("stsb"), result("quality")["minilm"]
    pairs = stsb["spearman_dev_of_each_pair"].values()
    ways = {
        "identikit, `--method beam`": "ours beam 4",
        "identikit, `--method greedy`": "ours greedy",
        "identikit, beam, `--compensate fold`": "ours beam 4, fold",
        "identikit, beam, `--compensate adapter`": "ours beam 4, adapter",
        "identikit, beam, healed five minutes": "ours beam 4, healed",
        "ReplaceMe's least squares": "least squares",
        "ReplaceMe's least squares, healed by `ik.heal`": "least squares, healed",
        **_PUBLISHED,
    }
    return f"""## Sentence embeddings: MiniLM

Two of six layers of all-MiniLM-L6-v2 chosen without labels on {stsb["train_pairs"]:,} sentence pairs of STS-B *train*; Spearman on *dev* (times 100)
is {stsb["spearman_dev"]:.2f}, and {stsb["beam"]["spearman_dev"]:.2f} with `--method beam` (full model {stsb["spearman_dev_full"]:.2f}; the best of all fifteen pairs is {max(pairs):.2f}, the worst {min(pairs):.2f}).

{repeat("python benchmarks/stsb.py --data FOLDER --pairs", "stsb")}

Beside the published ways, written from their papers, on the same sentences (full model {found["full"]:.2f}; best in bold, healed ones apart):

{quality_table(ways, [found[f"{size} layers"] for size in (4, 3, 2)], ["4 of 6 layers", "3 of 6", "2 of 6"], "spearman", max)}

{repeat("python benchmarks/quality.py --data FOLDER --part minilm", "quality")}"""  # noqa: E501


def quality_table(
    ways: dict[str, str],
    sizes: list[dict[str, Any]],
    heads: list[str],
    key: str,
    best: Callable[..., float],
    digits: int = 2,
) -> str:
    """A row a way and a column a size; the best of each column in bold, what was healed apart."""
    cells: dict[str, list[float | None]] = {
        said: [round(size[name][key], digits) if name in size else None for size in sizes]
        for said, name in ways.items()
    }
    ranked = [row for said, row in cells.items() if "healed" not in said]
    tops = [best(row[at] for row in ranked if row[at] is not None) for at in range(len(sizes))]

    def shown(said: str, value: float | None, top: float) -> str:
        if value is None:
            return "-"
        return f"**{value:.{digits}f}**" if value == top and "healed" not in said else f"{value:.{digits}f}"

    rows = [[said, *(shown(said, *pair) for pair in zip(row, tops, strict=True))] for said, row in cells.items()]
    return table(["way", *heads], rows)


def llama() -> str:
    found = result("quality")["llama"]
    key = "perplexity, second half"
    ways = {
        "identikit, greedy by `kl`": "ours greedy, kl",
        "identikit, greedy by `kl`, `--compensate fold`": "ours greedy, kl, fold",
        "identikit, greedy by `kl`, `--compensate adapter`": "ours greedy, kl, adapter",
        "identikit, greedy by `fidelity` (the default)": "ours greedy, fidelity",
        "ReplaceMe's least squares": "least squares",
        **_PUBLISHED,
    }
    sizes = (7, 6, 5, 4)
    heads = [f"{size} of 8 layers" for size in sizes]
    healed = {name: name for name in ("ours greedy, kl", "ours greedy, kl, fold", "least squares", "last layers")}
    said = {"ours greedy, kl": "identikit, greedy by `kl`", "ours greedy, kl, fold": "identikit, folded"}
    after = {said.get(name, ways_of(ways, name)): name for name in healed}
    return f"""## A language model: LLaMA of 8 layers

Trained on text, character by character; the perplexity of a character on the second half of the held-out text (full model {found["full"][key]:.2f}), best in bold:

{quality_table(ways, [found[f"{size} layers"] for size in sizes], heads, key, min)}

Each healed for one minute on one core by `ik.heal`, from the full model:

{quality_table(after, [found[f"{size} layers, 1 minutes of healing"] for size in sizes], heads, key, min)}

{repeat("python benchmarks/quality.py --data FOLDER --part llama", "quality")}"""  # noqa: E501


def ways_of(ways: dict[str, str], name: str) -> str:
    return next(said for said, way in ways.items() if way == name)


SECTIONS: list[Callable[[], str]] = [coverage, roles, minilm, llama]


def page() -> str:
    from benchmarks_more import MORE

    versions = "Python {python}, torch {torch}, transformers {transformers}".format(**result("scan")["versions"])
    return OPENING.format(versions=versions) + "\n" + "\n\n".join(section() for section in [*SECTIONS, *MORE]) + "\n"


def write() -> None:
    (ROOT / PAGE).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(write())
