"""The rules of the house as checks: what may import what (floors.py), how a file is written (manners.py)."""
