"""More sections of docs/benchmarks.md for scripts/benchmarks_page.py: pictures, tables, speed, time, memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks_page import quality_table, repeat, result, table


def pictures() -> str:
    found, sides = result("quality")["cifar"], result("cifar")
    ways = {
        "identikit, `--method beam`": "ours beam 4",
        "identikit, beam, `--compensate fold`": "ours beam 4, fold",
        "identikit, beam, `--compensate adapter`": "ours beam 4, adapter",
        "SLEB": "SLEB",
        "perplexity, one layer at a time": "perplexity one-shot",
        "ShortGPT's block influence": "block influence",
        "angular span (Gromov et al.)": "angular span",
        "Taylor": "Taylor",
        "the last blocks": "last layers",
    }
    rows = [
        [network, *(f"{each[side]:.1f} %" for side in ("both", "front", "behind"))]
        for network, each in sides["accuracy_by_pad_side"].items()
    ]
    return f"""## Pictures: ResNet-32

Blocks gone from the public weights; accuracy in per cent on {sides["images"]:,} CIFAR-10 images (all blocks: {found["full"]:.1f}), each half chosen on the
other, best in bold:

{quality_table(ways, [found[f"{gone} gone"] for gone in (1, 2, 3, 4)], ["1 block gone", "2", "3", "4"], "accuracy", max, 1)}

{repeat("python benchmarks/quality.py --data FOLDER --part cifar", "quality")}

The same weights through `CifarResNet`, by the side on which the padded shortcut puts its zeros (right: on both):

{table(["network", "both", "front", "behind"], rows)}

{repeat("python benchmarks/cifar.py --data FOLDER", "cifar")}"""  # noqa: E501


def tables() -> str:
    found, quality = result("tabular"), result("quality")["tabular"]
    names = ["identikit", "rtdl ResNet", "HistGradientBoosting", "linear", "scikit-learn MLP"]
    digits = {"california_housing": 4, "diabetes": 1}
    rows = []
    for name, each in found["tables"].items():
        errors = [round(each[way]["error"], digits.get(name, 3)) for way in names]
        shown = [f"{error:.{digits.get(name, 3)}f}" for error in errors]
        cells = [f"**{text}**" if error == min(errors) else text for text, error in zip(shown, errors, strict=True)]
        rows.append([name, each["error_is"], *cells])
    gone = []
    for title, each in (("as it is", quality["as it is"]), ("trained with dropout", quality["residual_dropout=0.2"])):
        for way, said in (("ours greedy", "dropped"), ("ours greedy, fold", "folded")):
            for seed, line in enumerate(each[f"{way}: furthest within 1 % on the validation rows"]):
                gone.append([title, said, seed, f"{line['gone']} of 8", f"{100 * (line['test'] - 1):.1f} %"])
    seconds = found["seconds_per_epoch"]
    return f"""## Tables

Test error, the mean of {found["seeds"]} random splits, best in bold:

{table(["table", "error", *names], rows)}

An epoch of California Housing takes {seconds["identikit"]:.3f} s, by rtdl's network {seconds["rtdl ResNet"]:.3f} s.

{repeat("python benchmarks/tabular.py --data FOLDER", "tabular")}

Blocks of such a network that go within 1 % of its error on the validation rows, and what that costs on the test rows:

{table(["network", "what went is", "seed", "gone", "more test RMSE"], gone)}

{repeat("python benchmarks/quality.py --data FOLDER --part tabular", "quality")}"""


def speeds() -> str:
    rows = [
        [name, each["gone"], f"{each['times_as_fast']:.3f}", f"{each['with_a_layer_more']:.3f}"]
        for name, each in result("quality")["speedup"].items()
        if isinstance(each, dict) and "gone" in each
    ]
    return f"""## Speeds asked for and reached

`--speedup` on MiniLM and on two models with random weights; wall seconds, the full and the smaller model in turn:

{table(["asked", "layers gone", "times as fast", "with one layer fewer gone"], rows)}

{repeat("python benchmarks/quality.py --data FOLDER --part speedup", "quality")}"""


def scans() -> str:
    found = result("scan")
    ways = {
        "nnsight, skipping each layer": "nnsight skip",
        "a model built anew without each layer": "rebuild",
        '`ik.scan`, `engine="auto"`': "identikit auto",
        '`method="auto"`: half of the layers exactly': "identikit method=auto",
        '`method="influence"`': "identikit method=influence",
        '`method="taylor"`': "identikit method=taylor",
    }
    rows = [
        [case, *(f"{each[way]['cpu_over_the_hook_loops']:.3f}" for way in ways.values())]
        for case, each in found["leave one out"].items()
    ]
    greedy, race, disk = found["greedy"], found["race"], found["disk"]
    return f"""## Scans

Leaving each layer out in turn: CPU time over that of a loop with hooks, the check of the engine included; all exact ways give its
scores bit for bit. A case is layers, then batches x examples x tokens:

{table(["case", *ways], rows)}

{repeat("python benchmarks/scan.py --data FOLDER --part loo", "scan")} What the others take when they run by themselves, smaller cases
among them: [scan_rivals.json](../benchmarks/results/scan_rivals.json), by `benchmarks/scan_rivals.py`.

- A greedy search for {greedy["drop"]} of {greedy["layers"]} layers computes {greedy["mean"]} of the layer passes of SLEB's loop on average over {len(greedy["models"])} random models,
  {greedy["most"]} at most, with the same choice in {greedy["same_choice"]} of {len(greedy["models"])} (`--part greedy`).
- A race for the three least important of 24 layers sees {100 * race["planted"]["share_of_the_examples"]["mean"]:.1f} % of the examples and chooses as all of them do in {race["planted"]["same_choice"]} of
  {race["planted"]["seeds"]} draws (planted effects), on MiniLM {100 * race["MiniLM"]["share_of_the_examples"]["mean"]:.1f} % and {race["MiniLM"]["same_choice"]} of {race["MiniLM"]["seeds"]} (`--part race`).
- A model whose weights lie on disk: {disk["cpu_over_the_hook_loops"]} of the hook loop's CPU time (`--part disk`).

{fetched()}"""  # noqa: E501


def fetched() -> str:
    found: Any = result("scale")
    rows = [
        [
            name,
            *(f"{each[key]:,g}" for key in ("layers_fetched", "rows_x_layers")),
            *(f"{each[key]:.1f} s" for key in ("cpu_seconds", "predicted")),
        ]
        for name, each in found["engines"].items()
    ]
    return f"""What is fetched, in the same small case as [scale.md](scale.md#checked-on-a-small-case):

{table(["engine", "layers fetched", "rows x layers", "measured", "predicted"], rows)}

{repeat("python benchmarks/scale.py", "scale")}"""


def costs() -> str:
    overhead, sites, blocks = result("overhead"), result("sites"), result("blocks")["blocks"]
    started = [
        [f"`{name}`", f"{each['cpu']:.2f} s", f"{each['wall']:.2f} s"]
        for name, each in result("startup")["seconds"].items()
    ]
    shape = overhead["shape"]
    rows = [[name, f"{each['ratio']:.3f}", f"{each['microseconds']:,.0f} us"] for name, each in blocks.items()]
    return f"""## What identikit itself costs

A model with {shape["bypassed"]} of its {shape["layers"]} layers bypassed takes {overhead["eager"]["ratio"]:.3f} times as long as one with pass-through modules put in by hand,
{overhead["compiled"]["ratio"]:.3f} times compiled, with {overhead["recompilations_after_the_first_call"]} recompilations from call to call (wall seconds, two threads).

{repeat("python benchmarks/overhead.py", "overhead")}

`ik.sites` on a LLaMA of {sites["parameters"] / 1e9:.1f} billion parameters without values: {sites["seconds"]:.2f} s for {sites["sites"]} proved sites, {sites["peak_megabytes"]} MB at the peak, the
process and its imports included.

{repeat("python benchmarks/sites.py", "sites")}

How long a fresh process takes to answer, beside Python alone and the imports of two libraries:

{table(["what", "CPU", "wall"], started)}

{repeat("python benchmarks/startup.py", "startup")}

The blocks of `identikit.nn`, forward and backward, against the same arithmetic written by hand:

{table(["block", "times as long", "a step of ours"], rows)}

{repeat("python benchmarks/blocks.py", "blocks")}"""  # noqa: E501


ELSEWHERE = """## On pages of their own

| what | page | the figures |
|---|---|---|
| worked examples, from start to end | [examples.md](examples.md) | [examples.json](../benchmarks/results/examples.json) |
| other tools, run | [comparison.md](comparison.md) | [comparison.json](../benchmarks/results/comparison.json) |
| releases of Python and the model libraries | [compatibility.md](compatibility.md) | [compatibility.json](../benchmarks/results/compatibility.json) |"""  # noqa: E501


MORE: list[Callable[[], str]] = [pictures, tables, speeds, scans, costs, lambda: ELSEWHERE]
