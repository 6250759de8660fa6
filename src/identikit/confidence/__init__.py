"""How sure a ranking is: paired differences with intervals, ties, races."""
