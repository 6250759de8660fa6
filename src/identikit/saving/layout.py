"""The names of the files that `save` lays beside a library's own, and `load` looks for."""

from __future__ import annotations

PLAN = "plan.json"
#: The configuration of the model first loaded, before layers went; a plan is replayed on what it describes.
CONFIGURATION = "configuration.json"
#: Not a name that a model library looks for: loaded without the plan, these weights would be a silently wrong model.
PLAN_WEIGHTS = "identikit-weights.safetensors"
#: What was done to the model and measured of it, for programs; README.md says it to people.
PROVENANCE = "identikit.json"
