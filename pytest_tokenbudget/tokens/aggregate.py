"""Sums up the calls of one stage: tokens by part, what was sent again, what no cache can serve."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import PartName, PartTotal, Piece, StageComposition
from pytest_tokenbudget.tokens.fixed_prompt import fixed_prompts

_Key = tuple[PartName, str]


@dataclass(slots=True)
class _Sum:
    """The running totals of one part, in thousandths of a token."""

    tokens: int = 0
    repeated: int = 0
    behind: int = 0
    calls: int = 0
    largest: int = 0
    last_call: int = -1
    seen: dict[str, int] = field(default_factory=dict)

    def add(self, piece: Piece, call: int, *, fresh: bool) -> None:
        """Add a piece of call number ``call``; ``fresh``: it stands behind the common prefix."""
        tokens = piece.counted_milli
        self.tokens += tokens
        self.largest = max(self.largest, tokens)
        if call != self.last_call:
            self.calls += 1
            self.last_call = call
        if self.seen.setdefault(piece.digest, call) != call:
            self.repeated += tokens
            if fresh:
                self.behind += tokens

    def total(self, key: _Key) -> PartTotal:
        """Finish the total."""
        return PartTotal(
            part=key[0],
            name=key[1],
            tokens=_whole(self.tokens),
            calls=self.calls,
            distinct=len(self.seen),
            largest=_whole(self.largest),
            digest=digest_of(self.seen),
            repeated_tokens=_whole(self.repeated),
            behind_tokens=_whole(self.behind),
        )


def _whole(milli: int) -> int:
    return (milli + 500) // 1000


_Node = dict[tuple[str, str, str], "_Node"]


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
    sums: dict[_Key, _Sum] = {}
    # The prompts of earlier calls as a trie of digests, each piece stored once.
    root: _Node = {}
    for number, composition in enumerate(composed):
        node = root
        for piece in composition.pieces:
            step = (piece.part, piece.name, piece.digest)
            following = node.get(step)
            fresh = following is None
            if following is None:
                following = node[step] = {}
            node = following
            key = (piece.part, piece.name)
            total = sums.get(key)
            if total is None:
                total = sums[key] = _Sum()
            total.add(piece, number, fresh=fresh)
    return StageComposition(
        calls=len(answered),
        counted=tuple(total.total(key) for key, total in sums.items()),
        reported_input=sum(piece.tokens for composition in composed for piece in composition.pieces),
        output_tokens=_output_tokens(answered),
        reasoning_tokens=_reasoning_tokens(answered),
        failed_attempts=len(calls) - len(answered),
        models=tuple(sorted({model for call in answered if (model := call.model or call.request_model)})),
        estimated=any(composition.estimated for composition in composed),
        fixed=fixed_prompts(answered, first_answer),
    )


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


def _reasoning_tokens(calls: Iterable[Call]) -> int | None:
    known = [call.usage.reasoning_tokens for call in calls if call.usage.reasoning_tokens is not None]
    return sum(known) if known else None
