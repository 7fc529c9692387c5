"""Renderings of definitions that every call of an agent repeats, made once by content."""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Callable, Hashable
from typing import Any

_LIMIT = 10_000
_NUMBERS = re.compile(r"[0-9]{2,}")


class Memo:
    """Remembers texts by the content that they were made of."""

    def __init__(self) -> None:
        self._texts: dict[tuple[Hashable, bytes], str] = {}
        self._digits: dict[str, int] = {}

    def render(self, key: Hashable, content: object, make: Callable[[], str]) -> str:
        """The text made of some content, made now or before.

        Args:
            key: What else the text depends on.
            content: A JSON value; equal contents in equal order have one text.
            make: Makes the text.
        """
        whole = (key, _bytes(content))
        text = self._texts.get(whole)
        if text is None:
            if len(self._texts) >= _LIMIT:
                self._texts.clear()
            text = self._texts[whole] = make()
        return text

    def split_digits(self, text: str) -> int:
        """Tokens more where a vocabulary has a token for each digit of a number and not for three."""
        more = self._digits.get(text)
        if more is None:
            if len(self._digits) >= _LIMIT:
                self._digits.clear()
            more = self._digits[text] = sum(len(run) - -(-len(run) // 3) for run in _NUMBERS.findall(text))
        return more

    def compact(self, content: object) -> str:
        """Compact JSON of a value, non-ASCII as it stands."""
        return self.render("json", content, lambda: compact_json(content))


def compact_json(content: object) -> str:
    """Compact JSON, keys in their order; ``""`` where there is none (a cycle, too deep)."""
    try:
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""


def _bytes(content: Any) -> bytes:
    try:
        # version 2 writes no references, so equal contents have equal bytes; several times as fast as JSON
        return marshal.dumps(content, 2)
    except ValueError:
        return compact_json(content).encode("utf-8", "surrogatepass")
