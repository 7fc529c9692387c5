"""Sums up the calls of one stage: tokens by part, what was sent again, what no cache can serve, what the code alone decides."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import (
    Composition,
    FixedPart,
    FixedPrompt,
    PartName,
    PartTotal,
    StageComposition,
    sum_of_known,
)
from pytest_tokenbudget.tokens.counts import Fragment, digest, whole_tokens

_Key = tuple[PartName, str]


@dataclass(slots=True)
class _Sum:
    """The running totals of one part, in thousandths of a token; ``seen`` has the first call of each content."""

    tokens: int = 0
    repeated: int = 0
    behind: int = 0
    calls: int = 0
    largest: int = 0
    last_call: int = -1
    seen: dict[str, int] = field(default_factory=dict)

    def total(self, key: _Key) -> PartTotal:
        """Finish the total."""
        return PartTotal(
            part=key[0],
            name=key[1],
            tokens=whole_tokens(self.tokens),
            calls=self.calls,
            distinct=len(self.seen),
            largest=whole_tokens(self.largest),
            digest=digest_of(self.seen),
            repeated_tokens=whole_tokens(self.repeated),
            behind_tokens=whole_tokens(self.behind),
        )


_Node = dict[tuple[_Key, str], "_Node"]


def stage_composition(calls: Sequence[Call], first_answer: float = math.inf) -> StageComposition:
    """Sum the compositions of a stage's calls.

    Time is linear in the number of pieces.

    Args:
        calls: The calls and failed attempts of one stage in the order of their starts. An attempt that failed is counted
            and nothing else. A call whose request could not be read has no composition: it counts as a call, and its
            tokens are in no part.
        first_answer: The time at which the model first answered in the sample, s: what was sent earlier holds nothing that
            it said.

    Returns:
        The composition. All tokens are whole numbers and their sums are exact. Fresh is, per call, what stands behind the
        longest common prefix (by digest, in the order of the pieces) with any earlier call; providers cache whole
        prefixes only (OpenAI "Prompt caching", Anthropic "Prompt caching", DeepSeek "Context caching", read 2026-11-24).
    """
    answered = [call for call in calls if call.succeeded]
    composed = [call.composition for call in answered if call.composition is not None]
    return StageComposition(
        calls=len(answered),
        counted=_part_totals(composed),
        reported_input=sum([piece.tokens for composition in composed for piece in composition.pieces]),
        output_tokens=_output_tokens(answered),
        reasoning_tokens=sum_of_known([call.usage.reasoning_tokens for call in answered]),
        failed_attempts=len(calls) - len(answered),
        models=tuple(sorted({model for call in answered if (model := call.model or call.request_model)})),
        estimated=any(composition.estimated for composition in composed),
        fixed=fixed_prompts(answered, first_answer),
    )


def _part_totals(composed: Sequence[Composition]) -> tuple[PartTotal, ...]:
    sums: dict[_Key, _Sum] = {}
    # The prompts of earlier calls as a trie of digests, each piece stored once.
    root: _Node = {}
    for number, composition in enumerate(composed):
        node = root
        for piece in composition.pieces:
            key, tokens = (piece.part, piece.name), piece.counted_milli
            total = sums.get(key)
            if total is None:
                total = sums[key] = _Sum()
            total.tokens += tokens
            total.largest = max(total.largest, tokens)
            if number != total.last_call:
                total.calls += 1
                total.last_call = number
            following = node.get((key, piece.digest))
            if total.seen.setdefault(piece.digest, number) != number:
                total.repeated += tokens
                if following is None:
                    total.behind += tokens
            if following is None:
                following = node[key, piece.digest] = {}
            node = following
    return tuple([total.total(key) for key, total in sums.items()])


def digest_of(digests: Iterable[str]) -> str:
    """Give a hash over the different digests, whatever their order: 12 hexadecimal digits."""
    text = "\n".join(sorted(digests))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _output_tokens(calls: Iterable[Call]) -> int | None:
    """Add up what the calls wrote; unknown as soon as one call's number is, an embedding writes nothing."""
    total = 0
    for call in calls:
        if call.operation == "embeddings":
            continue
        if call.usage.output_tokens is None:
            return None
        total += call.usage.output_tokens
    return total


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
    return FixedPart(_opening((system or first)[:_LOOKED_AT]), whole_tokens(fixed), whole_tokens(user))


@lru_cache(maxsize=256)
def _opening(text: str) -> str:
    """A digest of how a text begins, its words alone: a date or a number in it does not count."""
    words = _NO_WORDS.sub(" ", text).strip().lower()
    return digest(words[:_OPENING])[:_SHOWN]


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
