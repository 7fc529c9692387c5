"""From the compositions of single calls to that of a stage: the unit that is stored and explained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import PartName, PartTotal, Piece, StageComposition

PREFIX_PIECES = 32
"""How many pieces of the first call are kept to find where a cache prefix breaks."""

_HISTORY = ("user", "assistant", "tool_results")


@dataclass(slots=True)
class _Tally:
    """One part while it is summed."""

    tokens: int = 0
    calls: int = 0
    largest: int = 0
    repeated: int = 0
    digests: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Prefixes:
    """The prompts of earlier calls as a tree of pieces: what a later call shares with any of them."""

    children: dict[str, _Prefixes] = field(default_factory=dict)

    def add(self, pieces: Sequence[Piece]) -> int:
        """Add a prompt.

        Returns:
            Tokens of the pieces that no earlier prompt has as a common prefix with this one.
        """
        node, fresh, common = self, 0, True
        for piece in pieces:
            child = node.children.get(piece.digest)
            if child is None:
                common = False
                child = node.children[piece.digest] = _Prefixes()
            if not common:
                fresh += piece.tokens
            node = child
        return fresh


def stage_composition(calls: Sequence[Call]) -> StageComposition:
    """Sum up what the calls of one stage, in one sample, consist of.

    Args:
        calls: Calls and failed attempts, in the order of their starts.

    Returns:
        The sums. ``fresh_input_tokens`` counts, call by call, the input behind the longest common prefix with an earlier
        call; it is exact in whole pieces (a message, a tool), as providers' caches work on far smaller blocks.
    """
    done = [call for call in calls if call.succeeded]
    tallies: dict[tuple[PartName, str], _Tally] = {}
    seen: set[str] = set()
    prefixes, fresh, history = _Prefixes(), 0, []
    for call in done:
        if call.composition is None:
            continue
        pieces = call.composition.pieces
        fresh += prefixes.add(pieces)
        _tally(pieces, tallies, seen)
        history.append(sum(piece.tokens for piece in pieces if piece.part in _HISTORY))
    parts = tuple(_total(key, tally) for key, tally in sorted(tallies.items()))
    first = next((call.composition.pieces for call in done if call.composition is not None), ())
    return StageComposition(
        calls=len(done),
        parts=parts,
        input_tokens=sum(part.tokens for part in parts),
        fresh_input_tokens=fresh,
        output_tokens=_sum(0 if call.operation == "embeddings" else call.usage.output_tokens for call in done),
        reasoning_tokens=_known(call.usage.reasoning_tokens for call in done),
        history_growth=_median([b - a for a, b in zip(history, history[1:], strict=False)]),
        attempts=len(calls) - len(done),
        models=tuple(sorted({call.model or call.request_model for call in done} - {""})),
        prefix=tuple((label(piece.part, piece.name), piece.digest) for piece in first[:PREFIX_PIECES]),
        estimated=any(call.composition is not None and call.composition.estimated for call in done),
    )


def label(part: str, name: str) -> str:
    """A part with its name: ``tools:calendar_write``."""
    return f"{part}:{name}" if name else part


def _tally(pieces: Iterable[Piece], tallies: dict[tuple[PartName, str], _Tally], seen: set[str]) -> None:
    """Add one call's pieces; pieces of one part and name in one call are one occurrence."""
    occurrences: dict[tuple[PartName, str], int] = {}
    for piece in pieces:
        key = (piece.part, piece.name)
        tally = tallies.setdefault(key, _Tally())
        tally.tokens += piece.tokens
        tally.digests.add(piece.digest)
        occurrences[key] = occurrences.get(key, 0) + piece.tokens
        if piece.digest in seen:
            tally.repeated += piece.tokens
    seen.update(piece.digest for piece in pieces)
    for key, tokens in occurrences.items():
        tallies[key].calls += 1
        tallies[key].largest = max(tallies[key].largest, tokens)


def _total(key: tuple[PartName, str], tally: _Tally) -> PartTotal:
    joined = "\n".join(sorted(tally.digests)).encode()
    return PartTotal(
        part=key[0],
        name=key[1],
        tokens=tally.tokens,
        calls=tally.calls,
        distinct=len(tally.digests),
        largest=tally.largest,
        digest=blake2b(joined, digest_size=6).hexdigest(),
        repeated_tokens=tally.repeated,
    )


def _median(values: list[int]) -> float | None:
    middle, ordered = len(values) // 2, sorted(values)
    if not ordered:
        return None
    return float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _sum(values: Iterable[int | None]) -> int | None:
    """The sum, unknown where one is unknown."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _known(values: Iterable[int | None]) -> int | None:
    """The sum of what is known, unknown where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
