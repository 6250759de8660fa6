"""The head cut off: a model that ends in its features."""
