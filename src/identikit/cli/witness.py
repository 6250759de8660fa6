"""The witness: a fresh Python process that knows nothing of identikit loads the saved folder and embeds sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from identikit.errors import SaveError

SENTENCES = ("A plane is taking off.", "The committee postponed its decision.", "Water boils at a lower heat up here.")

# What a user would write. -I keeps this process's path and environment out of it.
_SCRIPT = """
import json, sys
import torch
from transformers import AutoModel, AutoTokenizer
from sentence_transformers import SentenceTransformer
folder, sentences = sys.argv[1], json.loads(sys.argv[2])
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
tokens = tokenizer(sentences, padding=True, return_tensors="pt")
with torch.no_grad():
    hidden = model(**tokens).last_hidden_state
mask = tokens["attention_mask"].unsqueeze(-1)
means = (hidden * mask).sum(1) / mask.sum(1)
plain = torch.nn.functional.normalize(means, dim=1)
whole = torch.tensor(SentenceTransformer(folder, device="cpu").encode(sentences))
assert "identikit" not in sys.modules
print("RESULT" + json.dumps([plain.tolist(), whole.tolist()]))
"""


def compare_in_fresh_process(model: Any, folder: Path) -> list[tuple[str, float]]:
    """The largest difference between `model`'s embeddings and the folder's, by library.

    Raises SaveError where the folder does not load, or gives other embeddings.
    """
    expected = torch.tensor(model.encode(list(SENTENCES), show_progress_bar=False))
    command = [sys.executable, "-I", "-c", _SCRIPT, str(folder.resolve()), json.dumps(SENTENCES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SaveError(f"{folder} does not load in a fresh process: {last}")
    answer = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    found = [torch.tensor(values) for values in json.loads(answer.removeprefix("RESULT"))]
    libraries = ("transformers.AutoModel", "sentence_transformers.SentenceTransformer")
    distances = [(name, float((one - expected).abs().max())) for name, one in zip(libraries, found, strict=True)]
    for name, distance in distances:
        if not distance < 1e-5:
            raise SaveError(f"{folder} loaded by {name} gives other embeddings (largest difference {distance:.1e}).")
    return distances
