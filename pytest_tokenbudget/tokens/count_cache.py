"""Counts that outlive a session, so that a second run of an unchanged test loads no vocabulary."""

from __future__ import annotations

from typing import Protocol


class CountCache(Protocol):
    """Keeps counts between sessions, by a key that names the encoding and the text's digest, never the text."""

    def get(self, key: str) -> int | None:
        """The count under a key, ``None`` where there is none."""

    def set(self, key: str, tokens: int) -> None:
        """Keep a count."""
