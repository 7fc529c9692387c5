"""Which encoding a model uses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pytest_tokenbudget.tokens.fragments import bare_model

FALLBACK = "o200k_base"
"""What texts of models without a public vocabulary are counted in; their profiles know the ratio to it."""

_OPENAI: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"gpt-oss", "o200k_harmony"),
        (r"gpt-3\.5|gpt-35|gpt-4$|gpt-4-|gpt-4:|ft:gpt-4$|ft:gpt-4-|ft:gpt-3\.5", "cl100k_base"),
        (r"text-embedding-|davinci-002|babbage-002|ft:davinci-002|ft:babbage-002", "cl100k_base"),
        (r"gpt-|chatgpt-|ft:gpt-|o[1-9](?:$|-)|codex-|computer-use|omni-", "o200k_base"),
        (r"text-davinci-00[23]|text-davinci-edit|code-(?:davinci|cushman)|(?:davinci|cushman)-codex", "p50k_base"),
        (r"(?:text-)?(?:davinci|curie|babbage|ada)(?:-001)?$", "r50k_base"),
    )
)
"""Patterns of OpenAI's models. ``tiktoken.model`` (tiktoken 0.14, read 2026-11-24) names the models that it knows; these
are the same and hold for the names that came later. The legacy ``text-embedding-ada-002`` is cl100k_base too.
"""


@dataclass(frozen=True, slots=True)
class EncodingChoice:
    """The encoding of a model.

    Attributes:
        name: ``o200k_base``, or the configured path, package or encoding.
        exact: Whether it is the model's own.
        configured: Whether the project's configuration names it.
    """

    name: str
    exact: bool
    configured: bool = False


def encoding_of(model: str, configured: Sequence[tuple[str, str]] = ()) -> EncodingChoice:
    """The encoding of a model.

    Args:
        model: The model's name, with or without vendor or region.
        configured: Pattern of model names (``*`` and ``?``, any case) and what counts them, the first match wins.

    Returns:
        The configured one, else OpenAI's, else ``o200k_base`` as a stand-in.
    """
    whole, name = model.lower(), bare_model(model)
    for pattern, source in configured:
        wanted = pattern.lower()
        if fnmatchcase(whole, wanted) or fnmatchcase(name, wanted):
            return EncodingChoice(source, exact=True, configured=True)
    for compiled, encoding in _OPENAI:
        if compiled.match(name):
            return EncodingChoice(encoding, exact=True)
    return EncodingChoice(FALLBACK, exact=False)
