"""How alike two requests are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from pytest_tokenbudget.records.prompt import Image, Message, Part, Prompt, Reasoning, Text, ToolCall, ToolResult

_WORD = re.compile(r"\w+")
_MOST = 1000
"""Words that are looked at of a request, from its end: what is asked stands there."""

_CHARACTERS = 10 * _MOST
"""Characters of a message in which they are looked for, likewise from its end."""

ALL, LAST, MODEL = 0.6, 0.3, 0.1
"""Weights of all words but the system's, of the last message's words, and of the same model."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a request is recognised by. The system prompt and the tools are left out: they are what changes.

    Attributes:
        model: The model that is asked.
        words: Words of the conversation with their counts.
        last: Words of its last message.
    """

    model: str
    words: Counter[str]
    last: Counter[str]


def look_of(prompt: Prompt | None) -> Look:
    """What a request is recognised by; of a request that cannot be read, nothing."""
    if prompt is None:
        return Look("", Counter(), Counter())
    words: list[str] = []
    last: list[str] | None = None
    for message in reversed(prompt.messages):
        if message.role == "system":
            continue
        spoken = _words(message)
        last = spoken if last is None else last
        words += spoken
        if len(words) > _MOST:
            break
    return Look(prompt.model, Counter(words[:_MOST]), Counter((last or [])[:_MOST]))


def _words(message: Message) -> list[str]:
    return _WORD.findall(" ".join(_text(part) for part in message.parts)[-_CHARACTERS:])


def _text(part: Part) -> str:
    match part:
        case Text() | Reasoning():
            return part.text
        case ToolCall():
            return f"{part.name} {part.arguments}"
        case ToolResult():
            return " ".join(_text(inner) for inner in part.parts)
        case Image():
            return part.reference
        case _:
            return part.text or part.reference


def likeness(now: Look, then: Look) -> float:
    """From 0 (nothing in common) to 1 (the same conversation with the same model)."""
    return (
        ALL * _shared(now.words, then.words) + LAST * _shared(now.last, then.last) + MODEL * (now.model == then.model)
    )


def _shared(one: Counter[str], other: Counter[str]) -> float:
    """Weighted Jaccard index."""
    whole = one.total() + other.total()
    if not whole:
        return 1.0
    common = (one & other).total()
    return common / (whole - common)


def names(prompt: Prompt | None) -> frozenset[str]:
    """Names of the tools that a request offers."""
    return frozenset() if prompt is None else frozenset(tool.name for tool in prompt.tools)
