"""The README of a saved folder, for people who find it without knowing identikit: what it is, and how it is loaded."""

from __future__ import annotations

from pathlib import Path

from identikit.files import write_text
from identikit.plan import Plan

#: The first line of what identikit wrote: a later save may replace such a text, a person's own it leaves alone.
MARK = "<!-- written by identikit -->"
README = "README.md"
#: Where the card goes if a person's own README stands in the folder that is replaced.
ASIDE = "IDENTIKIT.md"

_PLAN = """{mark}
# {model} without {count}: full configuration and plan

This folder is **no checkpoint of a model library**: `from_pretrained` and the like do not read it. It holds the model's
full configuration (`configuration.json`), what is out of action (`plan.json`), and the weights that are left
(`identikit-weights.safetensors`). identikit makes the model from them again:

```python
import identikit as ik

model = ik.load("this folder"{argument})
```

The layers named in the plan are not computed and their weights are not stored: the model is as small and as fast as a
checkpoint without them would be.

Out of action, in the paths of the model first loaded:

{edits}
"""

_ZEROED = """{mark}
# {model} with {count} zeroed

This folder is a checkpoint of the model's own library: it loads there without identikit, and computes what the model
without these sub-layers does. **For that it is no smaller and no faster than with them**: the library builds every
layer that its configuration names, so the weights of these are stored as zeros.

`ik.load("this folder")` takes them out again. For a folder that holds neither their weights nor their computation, save
the model with `format="plan"`.

Out of action, in the paths of the model first loaded (`plan.json`):

{edits}
"""


def write_zeroed_card(partial: Path, target: Path, plan: Plan, count: int) -> None:
    """Write the card of a checkpoint with `count` zeroed sub-layers into `partial`, which is to take `target`'s place.

    A README that travelled along stays.
    """
    if not (partial / README).exists():
        text = _ZEROED.format(
            mark=MARK,
            model=plan.model or "A model",
            count="1 sub-layer" if count == 1 else f"{count} sub-layers",
            edits="\n".join(f"- `{edit}`" for edit in plan),
        )
        write_text(partial / _name(target), text)


def write_plan_card(partial: Path, target: Path, plan: Plan, *, needs_model: bool) -> None:
    """Write the card of a plan folder into `partial`, which is to take the place of `target`."""
    text = _PLAN.format(
        mark=MARK,
        model=plan.model or "A model",
        count="1 layer" if len(plan) == 1 else f"{len(plan)} layers",
        argument=", model=the_full_model" if needs_model else "",
        edits="\n".join(f"- `{edit}`" for edit in plan) or "- nothing",
    )
    write_text(partial / _name(target), text)


def ours(text: Path) -> bool:
    """Whether identikit wrote this text."""
    with text.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()


def _name(target: Path) -> str:
    """README.md, or another name where a person's own README stands and is to stay."""
    theirs = (target / README).is_file() and not ours(target / README)
    return ASIDE if theirs else README
