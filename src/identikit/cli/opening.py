"""Opening what the user named: the model with its options, the data with its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from identikit.sources.opened import Opened
    from identikit.sources.readings import Data


def opened_model(
    name: str, task: str | None, device: str, dtype: str | None, trust_remote_code: bool, seed: int,
    device_map: str | None = None,
) -> Opened:  # fmt: skip
    """The model that MODEL names; one that identikit saved before carries what it says of itself."""
    from identikit.saving.load import stored_provenance
    from identikit.sources.model import open_model
    from identikit.surgery.carried_provenance import carry_provenance

    opened = open_model(
        name, task=task, device=device, dtype=dtype, device_map=device_map, trust_remote_code=trust_remote_code,
        seed=seed,
    )  # fmt: skip
    if opened.folder is not None:
        carry_provenance(opened.model, stored_provenance(opened.folder))
    return opened


def example_inputs(file: str | None, opened: Opened, **options: Any) -> Any:
    """An example of what the model takes: the first batch of --data, or the model's own."""
    if file is None:
        return opened.inputs
    limit = options.pop("limit") or options["batch_size"]
    return next(iter(opened_data(file, opened, limit=limit, **options)))


def opened_data(file: str, opened: Opened, **options: Any) -> Data:
    """The data of --data, encoded for the model."""
    from identikit.sources.data import read_data

    return read_data(file, opened, **options)
