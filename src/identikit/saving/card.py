"""The README of a saved folder, for people who find it without knowing identikit, and its twin for programs."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from identikit.costing.cost import parameters_of
from identikit.families import Family
from identikit.files import write_bytes, write_text
from identikit.heads.cut_record import RECORD
from identikit.plan import Plan
from identikit.reporting.card import MARK, Facts, Proof, card
from identikit.saving.layout import CONFIGURATION, PROVENANCE
from identikit.saving.original import ORIGINAL, README, Matter, Original, base_of, original_of, same_task, written_by_us
from identikit.surgery.carried_provenance import holding, provenance_of

__all__ = ["ASIDE", "MARK", "README", "ours", "write_card"]

#: Where the card goes if a person's own README stands in the folder that is replaced.
ASIDE = "IDENTIKIT.md"
_CARRIED = ("license", "license_name", "license_link", "language")
_TAGS = ("identikit", "layer-pruning")


def write_card(
    model: nn.Module,
    family: Family,
    partial: Path,
    target: Path,
    *,
    form: str,
    plan: Plan,
    proof: Proof,
    like: Path | None,
    zeroed: tuple[str, ...] = (),
) -> None:
    """Write the card of what lies proved in `partial`, which is to take the place of `target`, and its twin.

    The card of the folder `like` goes beside it. A person's own README in `target` stays.
    """
    original = original_of(like)
    facts = Facts(
        kind=type(model).__name__,
        form=form,
        plan=plan,
        loads=_loads(model, family, partial, form),
        proof=proof,
        parameters=parameters_of(model),
        matter=_matter(model, family, form, plan, original, like),
        versions=_versions(model),
        provenance=provenance_of(model),
        holds=holding(model),
        zeroed=zeroed,
        generates=family.generates(model),
        original="" if original.text is None else ORIGINAL,
    )
    if original.text is not None and _stays(target) == original.text:  # saved over its own source: it stays there
        facts = replace(facts, original=README)
    elif original.text is not None:
        write_bytes(partial / ORIGINAL, original.text)
    write_text(partial / (README if _stays(target) is None else ASIDE), card(facts))
    write_text(partial / PROVENANCE, json.dumps(_twin(facts), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def ours(text: Path) -> bool:
    """Whether identikit wrote this text."""
    return written_by_us(text.read_bytes())


def _stays(target: Path) -> bytes | None:
    """A person's own README in the folder that is replaced; None where there is none."""
    text = (target / README).read_bytes() if (target / README).is_file() else None
    return text if text is not None and not written_by_us(text) else None


def _loads(model: nn.Module, family: Family, partial: Path, form: str) -> str:
    """Python that loads the folder: by its library where that can, else by identikit."""
    own = family.loads(model) if form == "checkpoint" else ""
    code = "" if (partial / CONFIGURATION).is_file() else ", model=the_full_model"
    return own or f'import identikit as ik\n\nmodel = ik.load("this folder"{code})'


def _matter(
    model: nn.Module, family: Family, form: str, plan: Plan, original: Original, like: Path | None
) -> dict[str, Any]:
    """The front matter: what is known for sure, and what the original's card says that holds for this model too."""
    told: Matter = original.matter
    library = family.name if family.self_contained and form == "checkpoint" else "identikit"
    base = base_of(model, like) or told.get("base_model", "")
    matter: dict[str, Any] = {"base_model": base} if base else {}
    matter |= {"library_name": library} | {key: told[key] for key in _CARRIED if key in told}
    if "pipeline_tag" in told and RECORD not in vars(model) and same_task(model, like, library, told):
        matter["pipeline_tag"] = told["pipeline_tag"]
    tags = told.get("tags", ())
    own = _TAGS if plan.edits else _TAGS[:1]
    return matter | {"tags": list(dict.fromkeys([*((tags,) if isinstance(tags, str) else tags), *own]))}


def _versions(model: nn.Module) -> dict[str, str]:
    """Of identikit, Python, and every library that a class in the model comes from."""
    libraries = {type(module).__module__.partition(".")[0] for module in model.modules()} | {"torch"}
    known = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(libraries)}
    found = {name: str(version) for name, version in known.items() if isinstance(version, str)}
    return {"identikit": metadata.version("identikit"), "python": platform.python_version(), **found}


def _twin(facts: Facts) -> dict[str, Any]:
    """What the card says, for programs; the plan is in plan.json."""
    saved = {"form": facts.form, "model": facts.kind, "parameters": facts.parameters}
    proof = {"by": facts.proof.by, "difference": facts.proof.gap, "examples": facts.proof.examples}
    more = {"zeroed": list(facts.zeroed), "proof": proof, "versions": dict(facts.versions), "holds": list(facts.holds)}
    return facts.provenance.to_json() | {"saved": saved | more}
