"""What an export wrote, and what was proved of it: plain data, with the line that sums it up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Of a tensor: a number where the size is fixed, the name of the dimension where it is not.
Sizes = tuple[int | str, ...]


@dataclass(frozen=True)
class Exported:
    """A written file. `path` is the graph; `files` are all that belong to it (above 2 GB the weights lie beside it).

    `inputs` and `outputs` are in the graph's order, each with its sizes: a name ("batch", "length") where any size
    goes, a number where it is fixed. `limits` says how large a named size may be, where the model has a limit. `proved`
    are the sizes that the written file was run with, `difference` is the largest absolute difference to the model in
    all these runs. `speed` is how many times as fast as the model onnxruntime is on the example, on this CPU with as
    many threads (None where that was not measured).
    """

    path: Path
    format: str
    files: tuple[Path, ...]
    bytes: int
    opset: int | None
    inputs: Mapping[str, Sizes]
    outputs: Mapping[str, Sizes]
    limits: Mapping[str, int]
    proved: tuple[str, ...]
    difference: float
    speed: float | None = None

    @property
    def dynamic(self) -> tuple[str, ...]:
        """The named sizes: what may differ from call to call."""
        return tuple(dict.fromkeys(size for sizes in self.inputs.values() for size in sizes if isinstance(size, str)))

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        paths = {"path": str(self.path), "files": [str(each) for each in self.files]}
        return asdict(self) | paths | {"dynamic": list(self.dynamic)}

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """One line: file, size, opset, what may differ in size, the largest difference, the speed."""
        limits = [f"{name} (to {self.limits[name]})" if name in self.limits else name for name in self.dynamic]
        parts = [f"{self.path}: {_size(self.bytes)}"]
        if self.opset is not None:
            parts.append(f"opset {self.opset}")
        *some, last = limits or [""]
        named = f"{', '.join(some)} and {last}" if some else last
        parts.append(f"any {named}" if limits else "all sizes fixed")
        parts.append(f"largest difference {self.difference:.1e} in {len(self.proved)} runs")
        if self.speed is not None:
            parts.append(f"{self.speed:.1f} times as fast as PyTorch on this CPU")
        return ", ".join(parts)


def _size(count: int) -> str:
    number = float(count)
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.2f} GB"
