"""Measuring what layers are worth: plans judged on data, with error bars, resumable."""
