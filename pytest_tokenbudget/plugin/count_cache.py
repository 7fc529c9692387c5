"""Local counts between sessions, in pytest's cache: a second run of an unchanged test loads no vocabulary at all."""

from __future__ import annotations

from typing import Any

import pytest

KEY = "tokenbudget/counts"
MOST = 50_000
"""Counts that are kept; the oldest go first."""


class PytestCountCache:
    """Counts by digest; read when the first is asked for, written at the end of the session where any was added."""

    def __init__(self, config: pytest.Config) -> None:
        self._cache: Any = getattr(config, "cache", None)
        self._counts: dict[str, int] | None = None
        self._added: dict[str, int] = {}

    def get(self, key: str) -> int | None:
        """The count of a text, ``None`` where it is not known."""
        if self._counts is None:
            self._counts = self._stored()
        return self._counts.get(key)

    def set(self, key: str, tokens: int) -> None:
        """Keep a count."""
        self._added[key] = tokens
        if self._counts is not None:
            self._counts[key] = tokens

    def save(self) -> None:
        """Write what was added, on top of what other sessions have written meanwhile."""
        if self._cache is None or not self._added:
            return
        merged = {**self._stored(), **self._added}
        self._added = {}
        self._cache.set(KEY, dict(list(merged.items())[-MOST:]))

    def _stored(self) -> dict[str, int]:
        stored = self._cache.get(KEY, {}) if self._cache is not None else {}
        if not isinstance(stored, dict):
            return {}
        return {key: tokens for key, tokens in stored.items() if isinstance(tokens, int)}
