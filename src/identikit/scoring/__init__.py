"""Cheap scores: what a layer seems to be worth, found in one pass over the data, without taking it out."""
