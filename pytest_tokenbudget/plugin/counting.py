"""Local counts for players: of a request's body, and of an answer's text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_tokenbudget.providers.prompts import prompt_for
from pytest_tokenbudget.tokens.counter import Counter


def body_counter(counter: Counter) -> Callable[[str, dict[str, Any]], int | None]:
    """A function from a wire format and a request's body to its input tokens, ``None`` where they cannot be counted."""

    def count(api: str, body: dict[str, Any]) -> int | None:
        prompt = prompt_for(api, body)
        return None if prompt is None else counter.count_prompt(prompt, provider=provider_of(api)).tokens

    return count


def text_counter(counter: Counter) -> Callable[[str, str, str], int | None]:
    """A function from a wire format, a model and a text to its tokens."""

    def count(api: str, model: str, text: str) -> int | None:
        return counter.count_output(text, provider=provider_of(api), model=model).tokens

    return count


def provider_of(api: str) -> str:
    """The provider whose dialect a wire format is."""
    return api.partition(".")[0]
