"""The calls of one stage become its composition: sums by part, what was sent again, what no cache can serve."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Composition, PartName, PartTotal, Piece, StageComposition
from pytest_tokenbudget.stats.robust import median
from pytest_tokenbudget.tokens.fixed_prompt import fixed_prompts

HISTORY: frozenset[PartName] = frozenset({"user", "assistant", "tool_results"})
"""Parts that a conversation adds to from call to call."""

PREFIX_PIECES = 32
"""Pieces of the first call whose digests are kept: enough to see where a prefix breaks, few enough to review."""

_Key = tuple[PartName, str]


@dataclass(slots=True)
class _Sum:
    """The running totals of one part."""

    tokens: int = 0
    repeated: int = 0
    calls: int = 0
    largest: int = 0
    last_call: int = -1
    seen: dict[str, int] = field(default_factory=dict)

    def add(self, piece: Piece, call: int) -> None:
        """Add a piece of call number ``call``."""
        tokens = piece.tokens
        self.tokens += tokens
        self.largest = max(self.largest, tokens)
        if call != self.last_call:
            self.calls += 1
            self.last_call = call
        if self.seen.setdefault(piece.digest, call) != call:
            self.repeated += tokens

    def total(self, key: _Key) -> PartTotal:
        """The finished total."""
        return PartTotal(
            part=key[0],
            name=key[1],
            tokens=self.tokens,
            calls=self.calls,
            distinct=len(self.seen),
            largest=self.largest,
            digest=digest_of(self.seen),
            repeated_tokens=self.repeated,
        )


_Node = dict[tuple[str, str, str], "_Node"]


@dataclass(slots=True)
class _Prefixes:
    """The prompts of earlier calls as a trie of digests, each piece stored once."""

    root: _Node = field(default_factory=dict)

    def fresh(self, pieces: Iterable[Piece]) -> int:
        """Tokens of the pieces behind the longest prefix that an earlier call had; the call is then remembered."""
        node = self.root
        fresh = 0
        for piece in pieces:
            key = (piece.part, piece.name, piece.digest)
            following = node.get(key)
            if following is None:
                following = node[key] = {}
                fresh += piece.tokens
            node = following
        return fresh


def stage_composition(calls: Sequence[Call], answered: float = math.inf) -> StageComposition:
    """Sum the compositions of a stage's calls.

    Time is linear in the number of pieces.

    Args:
        calls: The calls and failed attempts of one stage, or of the whole test, in the order of their starts. An attempt
            that failed is counted and nothing else. A call whose request could not be read has no composition: it counts
            as a call, and its tokens are in no part.
        answered: The time at which the model first answered in the sample, s: what was sent earlier holds nothing that
            it said.

    Returns:
        The composition. All tokens are whole numbers and their sums are exact: ``input_tokens`` is the sum of the parts.
        ``fresh_input_tokens`` is, per call, what stands behind the longest common prefix (by digest, in the order of the
        pieces) with any earlier call; providers cache whole prefixes only (OpenAI "Prompt caching", Anthropic "Prompt
        caching", DeepSeek "Context caching", read 2026-11-24).
    """
    answered_calls = [call for call in calls if call.succeeded]
    composed = [call.composition for call in answered_calls if call.composition is not None]
    sums: dict[_Key, _Sum] = {}
    prefixes = _Prefixes()
    fresh = 0
    for number, composition in enumerate(composed):
        for piece in composition.pieces:
            key = (piece.part, piece.name)
            total = sums.get(key)
            if total is None:
                total = sums[key] = _Sum()
            total.add(piece, number)
        fresh += prefixes.fresh(composition.pieces)
    parts = tuple(sums[key].total(key) for key in sorted(sums))
    return StageComposition(
        calls=len(answered_calls),
        parts=parts,
        input_tokens=sum(part.tokens for part in parts),
        fresh_input_tokens=fresh,
        output_tokens=_output_tokens(answered_calls),
        reasoning_tokens=_reasoning_tokens(answered_calls),
        history_growth=_history_growth(composed),
        attempts=len(calls) - len(answered_calls),
        models=tuple(sorted({model for call in answered_calls if (model := call.model or call.request_model)})),
        prefix=first_pieces(composed[0]) if composed else (),
        estimated=any(composition.estimated for composition in composed),
        fixed=fixed_prompts(answered_calls, answered),
    )


def median_composition(compositions: Sequence[StageComposition]) -> StageComposition | None:
    """The composition that stands for several samples: that of the sample with the median of ``input_tokens``.

    A real sample and no mean, so that its parts are whole numbers that add up. Of an even number the lower median, of
    equal ones the first: the same samples give the same composition.

    Args:
        compositions: The same stage's composition in each sample.

    Returns:
        One of them; ``None`` where there is none.
    """
    if not compositions:
        return None
    by_size = sorted(compositions, key=lambda composition: composition.input_tokens)
    return by_size[(len(by_size) - 1) // 2]


def first_pieces(composition: Composition) -> tuple[tuple[str, str], ...]:
    """Label and digest of the first pieces of a call; the label is the part, with the tool's name behind a colon."""
    return tuple(
        (f"{piece.part}:{piece.name}" if piece.name else piece.part, piece.digest)
        for piece in composition.pieces[:PREFIX_PIECES]
    )


def digest_of(digests: Iterable[str]) -> str:
    """Hash over the different digests, whatever their order: 12 hexadecimal digits."""
    text = "\n".join(sorted(digests))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _output_tokens(calls: Iterable[Call]) -> int | None:
    """What the calls wrote; unknown as soon as one call's number is, an embedding writes nothing."""
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


def _history_growth(composed: Sequence[Composition]) -> float | None:
    """Median of the growth of the history from call to call, tokens; ``None`` for fewer than two calls."""
    sizes = [sum(piece.tokens for piece in each.pieces if piece.part in HISTORY) for each in composed]
    if len(sizes) < 2:
        return None
    return median(sorted(after - before for before, after in pairwise(sizes)))
