"""Healing with training: a smaller model learns from the full one what it said and what went on inside it."""
