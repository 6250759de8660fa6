"""Choosing the layers to drop for a target, and dropping them."""
