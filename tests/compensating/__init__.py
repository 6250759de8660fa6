"""Compensating for dropped layers: laws over the zoo, planted cases with a known answer, what is refused."""
