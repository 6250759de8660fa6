"""A model that is made already, opened: what the files of its folder say of what it takes."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from identikit.families import family_of
from identikit.families.sentence_transformers import SentenceTransformers
from identikit.families.transformers import Transformers
from identikit.sources.checkpoint import opened_transformers
from identikit.sources.named import described
from identikit.sources.opened import Opened
from identikit.sources.sentences import opened_sentences


def opened_beside(model: nn.Module, folder: Path, name: str, *, task: str | None, trust_remote_code: bool) -> Opened:
    """`model` with the tokenizer, the labels and the transform that lie in `folder`, as `open_model` would find them.

    For a model that no library loads from there: identikit made it, by replaying a plan.
    """
    family = family_of(model)
    if isinstance(family, SentenceTransformers):
        return opened_sentences(model, folder, name)
    if isinstance(family, Transformers):
        return opened_transformers(model, folder, name, task=task, trust_remote_code=trust_remote_code)
    return described(model, name=name, task=task, folder=folder)
