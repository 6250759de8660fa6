"""The small model and its data, for every test of this folder."""

from small_net import data, net

__all__ = ["data", "net"]
