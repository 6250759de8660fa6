"""No weight of a layer that is out of action goes into the file: a bypassed one leaves nothing but its name behind."""

from __future__ import annotations

import torch
from torch import nn

from identikit.errors import SaveError
from identikit.surgery.forwards import EditedForward


def no_trace(model: nn.Module, program: torch.export.ExportedProgram) -> None:
    """Raise SaveError where `program` holds a weight that lies in a bypassed layer of `model` alone.

    The weights that a graph does not read have left it (`unused.py`); one that is still there is being computed with.
    """
    gone = [path for path, module in model.named_modules() if _out_of_action(module)]
    held = [*program.state_dict, *program.constants]
    for path in gone:
        left = next((name for name in held if name.startswith(f"{path}.")), None)
        if left is not None:
            raise SaveError(
                f'"{path}" is bypassed, but the graph still computes with its {left.removeprefix(path + ".")}. '
                "Take it out first: ik.remove."
            )


def _out_of_action(module: nn.Module) -> bool:
    forward = vars(module).get("forward")
    return isinstance(forward, EditedForward) and not forward.runs
