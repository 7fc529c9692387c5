"""Samples meet a baseline: gates become verdicts."""
