"""The head taken off by the model's own method, where its library has one; compared with what the library says."""

from __future__ import annotations

from typing import Any

import torch

from identikit.families.anatomy import Anatomy
from identikit.heads.cut_proof import recorded_input
from identikit.heads.head import NOT_RUN, taken, vector
from identikit.structure.compare import difference
from identikit.structure.traceless import traceless


def cut_by_its_own_method(anatomy: Anatomy) -> torch.Tensor | None:
    """The features of the model, its head now off; None where it has no such method, or what that left is not proved.

    What is proved: the output is one vector of features an example, and bit for bit what the classifier took in the
    full model, or what the library's own `forward_head(..., pre_logits=True)` gave there; weights are gone, and those
    that stay have their names. The caller puts the model back where it is None.
    """
    model = anatomy.model
    method = anatomy.family.headless(model)
    if method is None:
        return None
    truths = [*_taken_by_the_classifier(anatomy), *_before_the_logits(anatomy)]
    names = set(model.state_dict())
    try:
        method()
        features = anatomy.run()
    except NOT_RUN:
        return None
    left = set(model.state_dict())
    if not isinstance(features, torch.Tensor) or features.ndim != 2 or not vector(features) or not left < names:
        return None
    exact = 0 if features.device.type == "cpu" else 1
    return features if any(difference(features, truth) <= exact for truth in truths) else None


def _taken_by_the_classifier(anatomy: Anatomy) -> list[torch.Tensor]:
    """What the layer that the model calls its classifier takes, where it is one layer that runs once."""
    asked: Any = getattr(anatomy.model, "get_classifier", None)
    classifier = asked() if callable(asked) else None
    paths = [path for path, module in anatomy.model.named_modules() if module is classifier]
    calls = anatomy.watched.by_path.get(paths[0], []) if paths else []
    found = taken(calls[0]) if len(calls) == 1 else None
    return [recorded_input(anatomy, calls[0], found[0])] if found is not None else []


def _before_the_logits(anatomy: Anatomy) -> list[torch.Tensor]:
    """What the library's two halves of a pass give, the second one without the classifier."""
    body: Any = getattr(anatomy.model, "forward_features", None)
    head: Any = getattr(anatomy.model, "forward_head", None)
    if not callable(body) or not callable(head):
        return []

    def halves(*args: Any, **kwargs: Any) -> Any:
        return head(body(*args, **kwargs), pre_logits=True)

    try:
        with anatomy.family.quiet(anatomy.model), traceless(anatomy.model):
            output = anatomy.batch.copied().call(halves)
    except NOT_RUN:
        return []
    return [output] if isinstance(output, torch.Tensor) else []
