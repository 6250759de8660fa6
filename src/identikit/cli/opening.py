"""The options of the model and of the data that most verbs take, said once, and what they open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from identikit.cli import options as o

if TYPE_CHECKING:
    from identikit.sources.opened import Opened
    from identikit.sources.readings import Data

_OF_MODEL = ("task", "device", "dtype", "trust_remote_code", "seed")
_OF_DATA = ("text", "text_pair", "target", "no_header", "batch_size", "max_length", "limit", "seed")


@dataclass(frozen=True)
class Asked:
    """What the user said of the model and the data."""

    task: o.Task = None
    device: o.Device = "auto"
    dtype: o.Dtype = None
    trust_remote_code: o.Trust = False
    text: o.Text = None
    text_pair: o.TextPair = None
    target: o.Target = None
    no_header: o.NoHeader = False
    batch_size: o.BatchSize = 32
    max_length: o.MaxLength = None
    limit: o.Limit = None
    seed: o.Seed = 0

    @property
    def of_model(self) -> dict[str, Any]:
        """How a model is opened."""
        return {name: getattr(self, name) for name in _OF_MODEL}

    def model(self, name: str, device_map: str | None = None) -> Opened:
        """The model that `name` means."""
        return opened_model(name, device_map=device_map, **self.of_model)

    def data(self, file: str | None, opened: Opened) -> Data | None:
        """The data of `file`, encoded for the model; None where no file is named."""
        if file is None:
            return None
        from identikit.sources.data import read_data

        return read_data(file, opened, **{name: getattr(self, name) for name in _OF_DATA})

    def example(self, file: str | None, opened: Opened) -> Any:
        """An example of what the model takes: the first batch of `file`, or the model's own."""
        first = replace(self, limit=self.limit or self.batch_size).data(file, opened)
        return opened.inputs if first is None else next(iter(first))


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The verb `command`, its parameter `asked` spread out into the options that `Asked` holds."""
    own = [each for each in signature(command, eval_str=True).parameters.values() if each.name != "asked"]
    hints = get_type_hints(Asked, include_extras=True)
    shared = [
        Parameter(each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(Asked)
    ]

    @wraps(command)
    def verb(**given: Any) -> None:
        asked = Asked(**{each.name: given.pop(each.name) for each in shared})
        command(**given, asked=asked)

    taken = [*(each.replace(kind=Parameter.KEYWORD_ONLY) for each in own), *shared]
    verb.__signature__ = Signature(taken)  # type: ignore[attr-defined]  # what typer reads
    verb.__annotations__ = {each.name: each.annotation for each in taken}
    return verb


def opened_model(name: str, *, device_map: str | None = None, **how: Any) -> Opened:
    """The model that MODEL names; one that identikit saved before carries what it says of itself."""
    from identikit.saving.layout import PLAN_WEIGHTS
    from identikit.saving.load import stored_provenance
    from identikit.sources.model import open_model
    from identikit.surgery.carried_provenance import carry_provenance

    if (Path(name).expanduser() / PLAN_WEIGHTS).is_file() and device_map is None:
        return _replayed(name, **how)
    opened = open_model(name, device_map=device_map, **how)
    if opened.folder is not None:
        carry_provenance(opened.model, stored_provenance(opened.folder))
    return opened


def _replayed(name: str, *, task: str | None, trust_remote_code: bool, seed: int, **where: Any) -> Opened:
    """The model of a folder that holds a plan; the plan is replayed, and what lies beside it says how to feed it."""
    from identikit.saving.load import load
    from identikit.sources.beside import opened_beside

    folder = Path(name).expanduser()
    model = load(folder, trust_remote_code=trust_remote_code, **where)
    return opened_beside(model, folder, name, task=task, trust_remote_code=trust_remote_code)
