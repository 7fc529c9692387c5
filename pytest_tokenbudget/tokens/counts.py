"""Counts each text once by its content, in one encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_tokenbudget.tokens.count_cache import CountCache
from pytest_tokenbudget.tokens.digests import digest

Measured = tuple[int, str]
"""Tokens of a text and its digest."""

_LIMIT_CHARACTERS = 64_000_000
"""Characters of remembered texts after which all are forgotten: a long session must not fill the memory."""


class TextCounts:
    """The counts of one encoding.

    Args:
        key: Names the encoding in the cache; ``None`` keeps its counts out of the cache.
        count: Counts texts; it is asked only for texts that neither this object nor the cache knows.
        cache: Counts of earlier sessions.
    """

    def __init__(
        self, key: str | None, count: Callable[[Sequence[str]], list[int]], cache: CountCache | None = None
    ) -> None:
        self._key = key
        self._count = count
        self._cache = cache if key is not None else None
        self._known: dict[str, Measured] = {"": (0, digest(""))}
        self._characters = 0

    def measure(self, texts: Sequence[str]) -> list[Measured]:
        """Tokens and digest of each text; what is not known yet is counted in one go."""
        if self._characters > _LIMIT_CHARACTERS:
            self._known, self._characters = {"": self._known[""]}, 0
        known = self._known
        missing = {text: None for text in texts if text not in known}
        if missing:
            self._learn(list(missing))
        return [known[text] for text in texts]

    def _learn(self, texts: list[str]) -> None:
        digests = [digest(text) for text in texts]
        tokens: list[int | None] = [None] * len(texts)
        if self._cache is not None:
            tokens = [self._cache.get(f"{self._key} {found}") for found in digests]
        open_ = [at for at, count in enumerate(tokens) if count is None]
        if open_:
            for at, count in zip(open_, self._count([texts[at] for at in open_]), strict=True):
                tokens[at] = count
                if self._cache is not None:
                    self._cache.set(f"{self._key} {digests[at]}", count)
        self._characters += sum(map(len, texts))
        for text, known, found in zip(texts, tokens, digests, strict=True):
            self._known[text] = (known or 0, found)
