"""For scans on several processes: a model in float64, its data, rows to compare, a metric that kills its process."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
import small_net

TESTS = str(Path(__file__).parents[1])


def net() -> Any:
    """The same weights in every process."""
    return small_net.made().double()


def data(batches: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of 4 examples; the last one has 3."""
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(4 * batches - 1, small_net.WIDTH, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 3, (len(inputs),), generator=draw)
    return list(zip(inputs.split(4), labels.split(4), strict=True))


def facts(result: ik.ScanResult) -> list[Any]:
    """The rows without the time they took."""
    return [{**row.to_json(), "seconds": 0} for row in result]


def near(rows: list[Any], others: list[Any], tolerance: float = 1e-9) -> bool:
    """Whether rows are the same up to rounding: the chain engine stacks as many branches as it measures to be fast."""
    words, numbers = zip(*map(_parts, rows), strict=True)
    other_words, other_numbers = zip(*map(_parts, others), strict=True)
    close = [pytest.approx(other, rel=tolerance, abs=tolerance) for other in other_numbers]
    return words == other_words and list(numbers) == close


def _parts(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """What a row says in words and counts, and its measured numbers."""
    numbers = {name: value for name, value in row.items() if isinstance(value, float)}
    return {name: value for name, value in row.items() if name not in numbers}, numbers


def killing(folder: Path, *, rank: int | None = None, times: int = 1) -> str:
    """A metric that kills its process (the one of `rank`) the first `times` that it judges the fourth batch."""
    file = folder / "killing.py"
    text = """
        import os, signal
        from pathlib import Path

        HERE, RANK = Path({folder!r}), {rank!r}

        def metric(output, batch, reference):
            mine = RANK is None or os.environ.get("RANK") == str(RANK)
            for time in range({times}):
                mark = HERE / f"killed {{time}}"
                if mine and len(output) == 4 and not mark.exists() and (HERE / "armed").exists() and fourth(batch):
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return output.sum(1)

        def fourth(batch):
            return batch.args[0].sum().item() == {fourth!r}
    """
    fourth = data()[3][0].sum().item()
    file.write_text(textwrap.dedent(text.format(folder=str(folder), rank=rank, times=times, fourth=fourth)))
    return f"{file}:metric"
