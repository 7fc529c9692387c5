"""The part of a prompt that the code alone decides: system prompt, tool schemas, response format, the first user turn.

It is counted locally, so that equal texts have equal counts whatever a provider reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import FixedPart, FixedPrompt
from pytest_tokenbudget.tokens.counts import digest
from pytest_tokenbudget.tokens.fragments import MILLI, Fragment

_SHOWN = 6
_OPENING = 40
"""Characters of a text by which its kind is known again after it has grown."""

_LOOKED_AT = 400
_NO_WORDS = re.compile(r"[\W\d_]+")
_HISTORY = frozenset({"assistant", "tool_results"})
_PER_ANSWER = "format"
"""Identity of the framing that grows with the number of answers in the history."""


def fixed_part(fragments: Sequence[Fragment], milli: Sequence[int]) -> FixedPart:
    """The part of a call's prompt that stands before anything that the model said.

    Args:
        fragments: The prompt as its model reads it.
        milli: Thousandths of a token of each.
    """
    fixed = user = 0
    system = first = ""
    for fragment, tokens in zip(fragments, milli, strict=True):
        part = fragment.part
        if part in _HISTORY:
            break
        if part in ("system", "tools") or (part == "framing" and fragment.identity != _PER_ANSWER):
            fixed += tokens
        elif part != "framing":
            user += tokens
        if part == "system":
            system = system or fragment.text
        elif part == "user":
            first = first or fragment.text
    return FixedPart(_opening((system or first)[:_LOOKED_AT]), _tokens(fixed), _tokens(user))


@lru_cache(maxsize=256)
def _opening(text: str) -> str:
    """A digest of how a text begins, its words alone: a date or a number in it does not count."""
    words = _NO_WORDS.sub(" ", text).strip().lower()
    return digest(words[:_OPENING])[:_SHOWN]


def _tokens(milli: int) -> int:
    return (milli + MILLI // 2) // MILLI


def fixed_prompts(calls: Iterable[Call], first_answer: float) -> tuple[FixedPrompt, ...]:
    """The kinds of prompts among the calls of a stage, by how they begin and by their size.

    Args:
        calls: Successful calls in the order of their starts.
        first_answer: The time at which the model first answered in the sample, s: the first user turn of a later call may hold
            what the model said, and counts for nothing.
    """
    kinds: dict[tuple[str, str, int], list[Call]] = {}
    users: dict[tuple[str, str, int], set[int]] = {}
    for call in calls:
        composition = call.composition
        if composition is not None and composition.fixed is not None:
            fixed = composition.fixed
            key = (fixed.opening, composition.encoding, fixed.tokens)
            kinds.setdefault(key, []).append(call)
            users.setdefault(key, set()).add(fixed.user_tokens)
    found = []
    for key, mine in kinds.items():
        known = len(users[key]) == 1 and mine[0].started < first_answer
        found.append(FixedPrompt(*key, user_tokens=min(users[key]) if known else None, calls=len(mine)))
    return tuple(sorted(found, key=FixedPrompt.order))
