"""The wide zoo: every model type of transformers' auto classes, small, from its config class, with no download.

`build("causal-lm", "llama")` gives a model whose every layer matters and a batch that it runs on, or raises
NotBuilt with the reason. `python -m wide list --auto causal-lm` (in tests/) says which build.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch, tensors_of
from identikit.families.transformers_config import caches_off
from identikit.families.transformers_quiet import silenced

from .batches import batches
from .configs import small_config
from .weights import weights

AUTOS = {
    "causal-lm": "CAUSAL_LM",
    "masked-lm": "MASKED_LM",
    "sequence-classification": "SEQUENCE_CLASSIFICATION",
    "seq2seq-lm": "SEQ_TO_SEQ_CAUSAL_LM",
    "image-classification": "IMAGE_CLASSIFICATION",
    "audio-classification": "AUDIO_CLASSIFICATION",
    "ctc": "CTC",
    "speech-seq2seq": "SPEECH_SEQ_2_SEQ",
}
MOST_PARAMETERS = 30_000_000


class NotBuilt(Exception):  # noqa: N818  # a verdict rather than a fault
    """This model type is not in the zoo; `str` says why."""


def types(auto: str) -> dict[str, str]:
    """The model types of an auto class, and the class that each of them means."""
    from transformers.models.auto import modeling_auto

    named = getattr(modeling_auto, f"MODEL_FOR_{AUTOS[auto]}_MAPPING_NAMES")
    return {kind: name if isinstance(name, str) else name[0] for kind, name in named.items()}


def build(auto: str, model_type: str, *, seed: int = 0) -> tuple[nn.Module, Batch]:
    """The small model of this type, in eval mode, and a batch; equal at every call. Raises NotBuilt."""
    reasons = []
    with silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for vary in (True, False):
            try:
                return _build(auto, model_type, vary=vary, seed=seed)
            except (Exception, SystemExit) as cause:  # whatever a constructor or a forward raises is the reason
                reasons.append(f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:300])
    raise NotBuilt(reasons[-1] if reasons[0] == reasons[-1] else " / ".join(reasons))


def _build(auto: str, model_type: str, *, vary: bool, seed: int) -> tuple[nn.Module, Batch]:
    made = skeleton(auto, model_type, vary=vary)
    reasons = []
    for weigh in weights(seed):
        model = weigh(made)
        for batch in batches(model):
            try:
                output = run(model, batch)
            except (Exception, SystemExit) as cause:
                reasons.append(f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:200])
                continue
            found = [value for value in tensors_of(output) if value.is_floating_point()]
            if found and all(bool(value.isfinite().all()) for value in found):
                return model, batch
            reasons.append("outputs that are not finite")
    raise NotBuilt("; ".join(dict.fromkeys(reasons)) or "no batch is known that it takes")


def skeleton(auto: str, model_type: str, *, vary: bool = True) -> nn.Module:
    """The model as its class makes it, random weights."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = small_config(CONFIG_MAPPING[model_type], model_type, vary=vary)
    kind: Any = getattr(transformers, types(auto)[model_type])
    if not isinstance(config, kind.config_class):  # the mapping names the whole, the class takes a part of it
        config = next((part for part in vars(config).values() if isinstance(part, kind.config_class)), config)
    if auto.endswith("classification"):
        config.get_text_config().pad_token_id = config.pad_token_id = 0
    if auto == "causal-lm" and hasattr(config, "is_decoder"):
        config.is_decoder = True
    with torch.device("meta"):
        size = sum(value.numel() for value in kind(config).parameters())
    if size > MOST_PARAMETERS:
        raise NotBuilt(f"{size:,} parameters are too many")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(config).eval()


def run(model: nn.Module, batch: Batch) -> Any:
    """The output on the batch, caches off; a model that draws random numbers draws the same ones each time."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]), caches_off(model):
        torch.manual_seed(0)
        return batch.copied().call(model)
