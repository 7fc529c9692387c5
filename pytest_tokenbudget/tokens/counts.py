"""The fragments of a prompt and their counts: each text is counted once by its content, what was rendered is remembered."""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pytest_tokenbudget.files import DiskCache
from pytest_tokenbudget.records.composition import PartName

MILLI = 1_000
"""Weights and fixed amounts are whole thousandths of a token, so that sums are exact."""


class Fragment(NamedTuple):
    """A run of a prompt that is counted by itself.

    Its tokens are ``weight * (tokens of text) + fixed``, in thousandths.

    Attributes:
        part: Part of the composition.
        name: Tool name for ``tools`` and ``tool_results``, else ``""``.
        text: The text to count, ``""`` for none.
        identity: What the piece's digest is made of where that is not ``text``.
        weight: Thousandths of a token per token of the text.
        fixed: Thousandths of a token, whatever the text.
    """

    part: PartName
    name: str = ""
    text: str = ""
    identity: str = ""
    weight: int = MILLI
    fixed: int = 0


def whole_tokens(milli: int) -> int:
    """Whole tokens of thousandths, rounded half up."""
    return (milli + MILLI // 2) // MILLI


@dataclass(frozen=True, slots=True)
class Rendering:
    """A prompt as its model reads it.

    Attributes:
        fragments: In the order in which the provider's cache sees them.
        estimated: Whether the rules that made it are a guess for this prompt.
    """

    fragments: tuple[Fragment, ...]
    estimated: bool


@lru_cache(maxsize=1024)
def framing(tokens: int, identity: str = "") -> Fragment:
    """Tokens that are no one's text: role headers, separators, the provider's own preambles."""
    return Fragment("framing", identity=identity, fixed=tokens * MILLI)


_PATHS = re.compile(
    r"^(?:.*/)?(?:(?:us|eu|apac|global|jp|au|ca)\.)?(?:(?:anthropic|openai|meta|amazon|cohere|mistral|qwen|deepseek)\.)?"
)


def bare_model(model: str) -> str:
    """A model's own name without gateway, region and vendor: ``us.anthropic.claude-x``, ``openai/gpt-4o`` -> the end."""
    return _PATHS.sub("", model.lower(), count=1)


SHOWN = 12
"""Hexadecimal digits of a piece's digest: enough to tell the texts of one project apart."""


def digest(text: str) -> str:
    """A text's digest, 32 hexadecimal digits (128 bits), so that it can key counts across sessions."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def count_cache(folder: Path | None) -> DiskCache | None:
    """Keep counts between sessions in a folder; ``None`` keeps none."""
    libraries = ("toktok-rs", "tiktoken", "tokenizers")
    return None if folder is None else DiskCache(folder / "counts.json", libraries=libraries, form=1, most=50_000)


class CountCache(Protocol):
    """Keeps counts between sessions, by a key that names the encoding and the text's digest, never the text."""

    def get(self, key: str) -> object:
        """The count under a key; anything else where there is none."""

    def set(self, key: str, tokens: int) -> None:
        """Keep a count."""


CountTexts = Callable[[Sequence[str]], list[int]]
"""Counts each of several texts; special tokens in them are text."""

Measured = tuple[int, str]
"""Tokens of a text and its digest."""

_LIMIT_CHARACTERS = 64_000_000
"""Characters of remembered texts after which all are forgotten: a long session must not fill the memory."""


class TextCounts:
    """The counts of one encoding.

    Args:
        key: Names the encoding in the cache; ``None`` keeps its counts out of the cache.
        load: Gives what counts texts; it is asked when a text comes that neither this object nor the cache knows.
        cache: Counts of earlier sessions.
    """

    def __init__(self, key: str | None, load: Callable[[], CountTexts], cache: CountCache | None = None) -> None:
        self._key = key
        self._load = load
        self._count: CountTexts | None = None
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
        kept: list[Any] = [
            None if self._cache is None else self._cache.get(f"{self._key} {found}") for found in digests
        ]
        unknown = [at for at, count in enumerate(kept) if not (type(count) is int and count >= 0)]
        if unknown:
            self._count = self._count or self._load()
            for at, count in zip(unknown, self._count([texts[at] for at in unknown]), strict=True):
                kept[at] = count
                if self._cache is not None:
                    self._cache.set(f"{self._key} {digests[at]}", count)
        self._characters += sum(map(len, texts))
        for text, tokens, found in zip(texts, kept, digests, strict=True):
            self._known[text] = (tokens, found)


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
