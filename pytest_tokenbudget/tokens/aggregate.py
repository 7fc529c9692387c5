"""Sums up the calls of one stage: tokens by part, what was sent again, what no cache can serve."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Composition, PartName, PartTotal, StageComposition, sum_of_known
from pytest_tokenbudget.tokens.fixed_prompt import fixed_prompts

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
