"""The model card of a saved folder as text: what it is, how it loads, what was done, measured and proved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from identikit.plan import GROWING, Plan
from identikit.reporting import numbers
from identikit.reporting.card_steps import fenced, steps
from identikit.reporting.front_matter import front_matter
from identikit.reporting.markdown import escape
from identikit.results.provenance import Provenance

#: The first line behind the front matter of what identikit wrote: a later save may replace such a text.
MARK = "<!-- written by identikit -->"
#: Said of every model that generates and has lost layers.
GENERATION = (
    "Generative reasoning (arithmetic, code, answers in several steps) is known not to recover from depth pruning as "
    "classification, retrieval and embeddings do (Shrestha et al. 2026, arXiv:2602.01997; He et al. 2026, "
    "arXiv:2603.24652): measure it before you rely on it."
)


@dataclass(frozen=True)
class Proof:
    """How the folder was proved before it appeared.

    by: what was done, a clause. gap: the largest difference of any output, in its own units; None where the weights
    alone were compared. size: the largest value of these outputs. examples: how many were run.
    """

    by: str
    gap: float | None = None
    size: float = 0.0
    examples: int = 0


@dataclass(frozen=True)
class Facts:
    """What a card says.

    kind: the model's class. form: "checkpoint" or "plan". loads: Python that loads the folder. parameters: of the
    model. matter: the front matter, key to text or texts. holds: of each step of the provenance, whether its figures
    are still the saved model's. zeroed: sub-layers stored as zeros. generates: whether the model writes text (or
    speech) step by step. original: the file with the original model's card, where one lies beside.
    """

    kind: str
    form: str
    plan: Plan
    loads: str
    proof: Proof
    parameters: int = 0
    matter: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    holds: tuple[bool, ...] = ()
    zeroed: tuple[str, ...] = ()
    generates: bool = False
    original: str = ""


def card(facts: Facts) -> str:
    """The whole text: front matter, mark, title, sections."""
    return (
        "\n\n".join(
            [
                f"{front_matter(facts.matter)}{MARK}\n# {_title(facts)}",
                *_about(facts),
                f"## Loading it\n\n{fenced(facts.loads, 'python')}",
                f"## What was changed\n\n{_changed(facts)}",
                *steps(facts.provenance, facts.holds, edited=bool(facts.plan.edits)),
                f"## How this folder was proved\n\n{_proved(facts.proof)}",
                f"## Made with\n\n{_versions(facts)}",
                *_original(facts),
            ]
        )
        + "\n"
    )


def _title(facts: Facts) -> str:
    called = facts.provenance.name.rstrip("/").rpartition("/")[2]
    name = escape(numbers.clean(called or facts.plan.model or facts.kind))
    grown = [edit for edit in facts.plan if edit.op in GROWING]
    less = len(facts.plan) - len(grown)
    said = [f"without {numbers.plural(less - len(facts.zeroed), 'layer')}"] if less > len(facts.zeroed) else []
    said += [f"with {numbers.plural(len(facts.zeroed), 'sub-layer')} zeroed"] if facts.zeroed else []
    said += [f"with layers put in at {numbers.plural(len(grown), 'place')}"] if grown else []
    end = ": full configuration and plan" if facts.form == "plan" else ""
    return f"{name} {' and '.join(said)}{end}".replace(" :", ":").strip()


def _about(facts: Facts) -> list[str]:
    """What the folder is, and what is known of such models."""
    size = f", {numbers.count(facts.parameters)} parameters" if facts.parameters else ""
    if facts.form == "plan":
        said = [
            f"A {escape(facts.kind)}{size}. This folder is **no checkpoint of a model library**: `from_pretrained` and "
            "the like do not read it. It holds the model's full configuration (`configuration.json`, where its library "
            "has one), what is out of action (`plan.json`), and the weights that are left "
            "(`identikit-weights.safetensors`); identikit makes the model from them again. The layers named in the "
            "plan are not computed and their weights are not stored: the model is as small and as fast as a "
            "checkpoint without them would be."
        ]
    elif facts.zeroed:
        said = [
            f"A {escape(facts.kind)}{size}. It loads with its own library, without identikit, and computes what the "
            "model without these sub-layers does. **For that it is no smaller and no faster than with them**: the "
            "library builds every layer that its configuration names, so their weights are stored as zeros. "
            '`ik.load("this folder")` takes them out again; saved with `format="plan"` a folder holds neither their '
            "weights nor their computation."
        ]
    else:
        said = [f"A {escape(facts.kind)}{size}."]
    lost = any(edit.op not in GROWING for edit in facts.plan)
    return [*said, f"**Beware.** {GENERATION}"] if facts.generates and lost else said


def _changed(facts: Facts) -> str:
    if not facts.plan.edits:
        return "Nothing: no layer was taken out or put in."
    lines = [f"- {_code(str(edit))}" for edit in facts.plan]
    return "In the paths of the model first loaded (`plan.json`):\n\n" + "\n".join(lines)


def _proved(proof: Proof) -> str:
    if proof.gap is None:
        return f"Before the folder appeared, {proof.by}."
    run = numbers.plural(proof.examples, "example") if proof.examples else "one batch"
    gap = "is 0: they are equal" if proof.gap == 0 else f"is {proof.gap:.1e}, of values up to {proof.size:.2g}"
    same = f"The largest difference of its outputs from those of the model that was saved {gap}."
    return f"Before the folder appeared, {proof.by} and run on {run}. {same}"


def _versions(facts: Facts) -> str:
    return ", ".join(f"{escape(name)} {escape(version)}" for name, version in facts.versions.items()) + "."


def _original(facts: Facts) -> list[str]:
    if not facts.original:
        return []
    return [
        "## The original model\n\n"
        f"Its own card lies beside this one as it was: [{facts.original}]({facts.original}). **Every figure in it is "
        "the original model's**; none was measured on this one."
    ]


def _code(text: str) -> str:
    """`text` as a code span, whatever backticks it holds."""
    text = numbers.clean(text)  # an empty line would end the span
    ticks = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{ticks}{text}{ticks}" if len(ticks) == 1 else f"{ticks} {text} {ticks}"
