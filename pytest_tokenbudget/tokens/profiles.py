"""Measured profiles of model families whose tokenizer or prompt format is not public."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """What a prompt costs a family of models, against its texts counted in ``o200k_base``.

    Attributes:
        name: Name of the family.
        text: Tokens a token of text.
        start: Tokens of every prompt (hidden system prompt, begin and prime of the answer).
        message: Tokens a message.
        system: Tokens more where there is a system prompt.
        tools: Tokens of the tool prompt.
        tool: Tokens a tool.
        tool_text: Tokens a token of the tools' compact JSON.
        call: Tokens a tool call in the history, beside its name and arguments.
        result: Tokens a tool result, beside its text.
        schema: Tokens a token of a structured output's schema; 0 where it costs nothing.
        n: Requests that it was fitted on.
        fitted: Date of the fit.
    """

    name: str
    text: float = 1.0
    start: float = 3
    message: float = 4
    system: float = 0
    tools: float = 0
    tool: float = 0
    tool_text: float = 1.0
    call: float = 5
    result: float = 5
    schema: float = 1.0
    n: int = 0
    fitted: str = ""


DEFAULT = Profile("default")
_TABLE: tuple[tuple[str, Profile], ...] = ()
_COMPILED = tuple((re.compile(pattern), profile) for pattern, profile in _TABLE)


def profile_of(provider: str, model: str) -> Profile:
    """The profile of a model: the first whose pattern is found in ``provider/model``, else the default one."""
    whole = f"{provider}/{model}".lower()
    for pattern, profile in _COMPILED:
        if pattern.search(whole):
            return profile
    return DEFAULT
