"""Stacks made longer: blocks put in as the identity, layers repeated."""
