"""What a user names, opened: MODEL (`open_model`) and FILE (`read_data`); and Python objects as data (`as_data`)."""

from __future__ import annotations

from identikit.sources.data import read_data
from identikit.sources.model import open_model
from identikit.sources.objects import as_data
from identikit.sources.opened import Encoder, ImageEncoder, Opened
from identikit.sources.readings import Data

__all__ = ["Data", "Encoder", "ImageEncoder", "Opened", "as_data", "open_model", "read_data"]
