"""The fragments of a prompt before it is counted: texts and fixed amounts, each with its part of the composition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

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
