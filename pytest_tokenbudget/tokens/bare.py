"""Prompts that no template surrounds: what is embedded, and what the completion models of old go on writing."""

from __future__ import annotations

from pytest_tokenbudget.records.prompt import Prompt, Text
from pytest_tokenbudget.tokens.fragments import MILLI, Fragment, Rendering

APIS = frozenset(
    {
        "alephalpha.complete",
        "cohere.embed",
        "google.embed_content",
        "google.predict_embed",
        "huggingface.text_generation",
        "ollama.embed",
        "openai.completions",
        "openai.embeddings",
    }
)
"""The wire formats whose texts reach the model as they stand."""


def render(prompt: Prompt, *, weight: int, estimated: bool) -> Rendering:
    """The texts of a prompt, and as many tokens as it has ids in place of texts.

    Args:
        prompt: The prompt.
        weight: Thousandths of a token per token of a text.
        estimated: Whether that is a guess.
    """
    ids = prompt.extra.get("token_ids", 0)
    fragments = [Fragment("user", identity=f"{ids} token ids", fixed=ids * MILLI)] if ids else []
    for message in prompt.messages:
        fragments += [
            Fragment("user", text=part.text, weight=weight) for part in message.parts if isinstance(part, Text)
        ]
    if isinstance(suffix := prompt.extra.get("suffix"), str):
        fragments.append(Fragment("user", text=suffix, weight=weight))
    return Rendering(tuple(fragments) or (Fragment("user", identity="nothing"),), estimated)
