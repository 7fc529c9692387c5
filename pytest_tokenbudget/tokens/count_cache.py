"""Counts that outlive a session, so that a second run of an unchanged test loads no vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class CountCache(Protocol):
    """Keeps counts between sessions."""

    def get(self, key: str) -> int | None:
        """The count under a key, ``None`` where there is none."""

    def set(self, key: str, tokens: int) -> None:
        """Keep a count."""


class DictCountCache:
    """A cache that can be written down as a plain mapping.

    What was neither read nor written in a session is the first to go when there is too much, so that a project's cache
    holds the texts of its tests and not of their history.

    Args:
        stored: What :meth:`dump` returned in an earlier session; anything that is no count is left out.
        limit: Counts that are kept at most.
    """

    def __init__(self, stored: Mapping[object, object] | None = None, *, limit: int = 50_000) -> None:
        self._limit = limit
        self._used: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._changed = False
        for key, tokens in (stored or {}).items():
            if isinstance(key, str) and isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0:
                self._old[key] = tokens

    def get(self, key: str) -> int | None:
        """The count under a key, ``None`` where there is none."""
        tokens = self._used.get(key)
        if tokens is None and (tokens := self._old.pop(key, None)) is not None:
            self._used[key] = tokens
        return tokens

    def set(self, key: str, tokens: int) -> None:
        """Keep a count."""
        self._changed = True
        self._used[key] = tokens

    @property
    def changed(self) -> bool:
        """Whether there is anything new to write down."""
        return self._changed

    def dump(self) -> dict[str, int]:
        """Counts by key, the ones that this session used first, at most ``limit``."""
        return dict(list({**self._used, **self._old}.items())[: self._limit])
