"""The batches that a fit sees, and those that judge it."""

from __future__ import annotations

from identikit.batches import Batch
from identikit.errors import DataError
from identikit.sources.readings import Data

_EVERY = 4


def shares(data: Data) -> tuple[Data, Data]:
    """Three batches in four, and the fourth; of two or three the last judges. Raises DataError for one batch alone."""
    count = len(data.sizes)
    if count < 2:
        raise DataError(
            f"{data.name} is one batch: none is left to judge by whether compensate helps. Use a smaller batch_size."
        )
    every = min(_EVERY, count)

    def judges(number: int) -> bool:
        return number % every == every - 1

    def share(wanted: bool) -> Data:
        def taken(number: int, batch: Batch) -> Batch | None:
            return batch if judges(number) is wanted else None

        return data.part(taken, batches=sum(judges(number) is wanted for number in range(count)))

    return share(False), share(True)
