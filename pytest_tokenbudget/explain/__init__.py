"""Why a number changed: the difference of two compositions, as causes that add up to it and notes that have no size."""

from __future__ import annotations

from pytest_tokenbudget.explain.causes import explain, notes

__all__ = ["explain", "notes"]
