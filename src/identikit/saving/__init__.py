"""Saving what is proved: write beside, reload with the library's own loader, compare, then rename."""
