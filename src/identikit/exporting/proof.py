"""What was written, run and compared with the model: on the example, on other numbers of rows, on other lengths."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from identikit.exporting.dynamic import Group
from identikit.exporting.not_proved import NotProvedError
from identikit.exporting.signature import Tensors
from identikit.exporting.sizes import padded, resized
from identikit.structure.compare import difference

Run = Callable[[Tensors], tuple[torch.Tensor, ...]]

#: How far an output may be off, as a share of its size (`structure.compare.difference`, ten times what a reloaded
#: checkpoint may be: another library multiplies in another order). Whole numbers must be equal.
ALLOWED = 10
TOLERANCES = {"float64": 1e-8, "float32": 1e-4, "float16": 2e-2, "bfloat16": 8e-2}
_PASSES = 5
_PATIENCE = 0.3  # seconds that a pass may take for its time to be measured


@dataclass(frozen=True)
class Proved:
    """The sizes that were run, and the largest absolute difference in any output of any run."""

    runs: tuple[str, ...]
    difference: float


def prove(
    model: Run, written: Run, outputs: Sequence[str], example: Tensors, learned: Tensors, groups: Sequence[Group]
) -> Proved:
    """Compare `written` with `model` on `example` and on `learned` in other sizes of each of `groups`.

    Raises SaveError naming the output and the difference where one is not equal.
    """
    runs, worst = [], 0.0
    for said, tensors in _cases(model, example, learned, groups):
        expected = model(tensors)
        try:
            found = written(tensors)
        except Exception as cause:  # whatever the runtime raises on sizes that the model takes
            first = " ".join(str(cause).split())[:300]
            raise NotProvedError(
                f"the graph that was made does not run on {said}: {first} Nothing was written."
            ) from cause
        worst = max(worst, _compared(outputs, expected, found, said))
        runs.append(said)
    return Proved(tuple(runs), worst)


def faster(model: Run, written: Run, example: Tensors) -> float | None:
    """How many times as fast `written` is on the example: medians of passes in turn. None where a pass takes long."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_PASSES):
        for run, spent in zip((model, written), times, strict=True):
            began = time.perf_counter()
            run(example)
            spent.append(time.perf_counter() - began)
        if times[0][0] > _PATIENCE:
            return None
    return sorted(times[0])[_PASSES // 2] / max(sorted(times[1])[_PASSES // 2], 1e-9)


def _cases(model: Run, example: Tensors, learned: Tensors, groups: Sequence[Group]) -> Iterator[tuple[str, Tensors]]:
    """The example as it is; more rows, longer and padded; one row, shorter. One size alone where all do not go."""
    yield "the example", example
    together = [{g.name: g.others[0] for g in groups}, {g.name: 1 if g.rows else g.shorter for g in groups}]
    for sizes in together if groups else []:
        case = _case(learned, groups, sizes)
        if takes(model, case):
            yield _said(sizes), case
            continue
        for name, size in sizes.items():
            case = _case(learned, groups, {name: size})
            if takes(model, case):
                yield _said({name: size}), case


def _case(learned: Tensors, groups: Sequence[Group], sizes: dict[str, int]) -> Tensors:
    asked = [group.at(sizes[group.name]) for group in groups if group.name in sizes]
    places = {place: size for each in asked for place, size in each.items()}
    rows = [place for group in groups if group.rows for place in group.places]
    lengths = [place for group in groups if not group.rows for place in group.places]
    return padded(resized(learned, places), rows, lengths)


def _said(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


def takes(model: Run, tensors: Tensors) -> bool:
    """Whether the model runs on inputs of these sizes."""
    try:
        model(tensors)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever a forward raises, it does not take these sizes
        return False
    return True


def _compared(
    names: Sequence[str], expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor], said: str
) -> float:
    """The largest absolute difference. Raises SaveError where an output is farther off than its dtype allows."""
    worst = 0.0
    for name, one, other in zip(names, expected, found, strict=True):
        off = difference(other.cpu(), one.cpu())
        gap = _gap(one, other)
        if off > ALLOWED:
            dtype = str(one.dtype).removeprefix("torch.")
            allowed = f"{TOLERANCES[dtype]:.0e} of its size" if dtype in TOLERANCES else "nothing"
            what = f"differs by {gap:.1e}" if one.shape == other.shape else f"has shape {tuple(other.shape)}"
            wanted = "" if one.shape == other.shape else f" instead of {tuple(one.shape)}"
            raise NotProvedError(
                f'the graph that was made is not the model: on {said} the output "{name}" {what}{wanted} '
                f"({dtype} may differ by {allowed}). Nothing was written."
            )
        worst = max(worst, gap)
    return worst


def _gap(one: torch.Tensor, other: torch.Tensor) -> float:
    if one.shape != other.shape or one.numel() == 0:
        return 0.0
    gap = (one.detach().cpu().double() - other.detach().cpu().double()).abs()
    return float(gap[gap.isfinite()].max()) if bool(gap.isfinite().any()) else 0.0
