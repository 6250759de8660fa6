"""Healing without training: what dropped layers did is fitted by least squares, and put where something stays."""
