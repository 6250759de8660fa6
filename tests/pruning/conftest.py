"""The small model and its data, for every test of this folder."""

from pruning.counted import counted
from small_net import data, net

__all__ = ["counted", "data", "net"]
