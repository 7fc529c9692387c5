"""Two compositions become the causes of a change, in words and as data."""

from __future__ import annotations

from pytest_tokenbudget.explain.causes import explain
from pytest_tokenbudget.explain.notes import notes

__all__ = ["explain", "notes"]
