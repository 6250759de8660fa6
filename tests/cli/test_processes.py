"""The command line as a process of its own: what it does not import, and the whole jobs on the real model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"
HEAVY = ("torch", "numpy", "transformers", "datasets", "sentence_transformers", "safetensors", "matplotlib", "pandas")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom identikit.cli import main\n"
        "try:\n    main(['prune', '--help'])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print('LOADED', [name for name in sys.argv[1:] if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *HEAVY], capture_output=True, text=True, check=True)
    assert "Usage: identikit" in done.stdout or "Usage:" in done.stdout
    assert done.stdout.strip().endswith("LOADED []")


def test_a_refusal_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "identikit", "scan", "/no/such/folder"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'error: no folder "/no/such/folder". MODEL is a folder, file.py:function or a hub id.\n'
    assert done.stdout == ""


@pytest.mark.long
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the STS-B sentences are not at {DATA}")
def test_two_layers_dropped_without_labels_keep_the_quality(minilm_path: Path, tmp_path: Path) -> None:
    """Chosen on 300 pairs of train sentences by fidelity, judged on dev. Full 86.72, best pair 85.55, worst 66.84."""
    from identikit.metrics import resolve
    from identikit.sources import open_model, read_data

    to = tmp_path / "smaller"
    command = [sys.executable, "-m", "identikit", "prune", str(minilm_path), "--data", str(DATA / "stsb-en-train.csv")]
    command += ["--drop", "2", "--limit", "300", "--to", str(to), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    front = json.loads(done.stdout)
    assert len(front["points"][front["chosen"]]["places"]) == 2

    import identikit as ik

    opened = open_model(to)
    dev = read_data(DATA / "stsb-en-dev.csv", opened)
    info = ik.scan(opened.model, dev, "0.model.encoder.layer.0", resolve("spearman")).header.metrics["spearman"]
    score = info.full * (100 if info.full <= 1 else 1)
    assert score >= 85.1


@pytest.mark.long
def test_the_demo(tmp_path: Path) -> None:
    """From nothing to a smaller model that loads without identikit."""
    from sentence_transformers import SentenceTransformer

    command = [sys.executable, "-m", "identikit", "demo", "--limit", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "identikit-demo"
    model = SentenceTransformer(str(folder / "model"), device="cpu")
    assert model.encode(["a b c"]).shape == (1, 384)
    assert (folder / "report.html").stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["identikit-demo"]
