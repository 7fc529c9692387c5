"""A metric of a stage, or of the whole test, stage by stage: each call belongs to one stage only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from pytest_tokenbudget.explain.additive import Additive
from pytest_tokenbudget.explain.share import Share
from pytest_tokenbudget.explain.words import amount, plain
from pytest_tokenbudget.records.composition import PartTotal, StageComposition
from pytest_tokenbudget.wording import counted

Compositions = Mapping[str, StageComposition]
"""Compositions by stage path; a stage's holds those of the stages inside it, the whole test's stands under ``""``."""


DERIVED = "."
"""Stands between the digests of a stage and of those inside it, where the digest of what is left cannot be known."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A stage without the stages inside it, before and after.

    Attributes:
        stage: Its path.
        before: Its own calls before; ``None`` where it made none.
        after: Its own calls now; ``None`` where it makes none.
    """

    stage: str
    before: StageComposition | None
    after: StageComposition | None


def leaves(stage: str, before: Compositions, after: Compositions) -> list[Leaf]:
    """The stages inside a stage, each without those inside itself, so that every call stands in one of them.

    Args:
        stage: Path of the stage, ``""`` for the whole test.
        before: Compositions by stage path.
        after: Likewise.

    Returns:
        One leaf a stage that made calls (or failed attempts) on either side, in the order of the paths.
    """
    inside = _children(stage, {*before, *after})
    found = [leaf for child in inside for leaf in leaves(child, before, after)]
    own = Leaf(stage, _own(stage, inside, before), _own(stage, inside, after))
    return found if own.before is None and own.after is None else [own, *found]


def leaf_shares(leaf: Leaf, metric: Additive, *, unnamed: str) -> list[Share]:
    """The shares of one stage in a metric's difference.

    Args:
        leaf: The stage.
        metric: The metric.
        unnamed: The stage that the texts need not name.
    """
    if leaf.before is not None and leaf.after is not None:
        shares = metric.shares(leaf.before, leaf.after)
        return [_placed(share, leaf.stage, named=leaf.stage != unnamed) for share in shares]
    value = metric.value(leaf.after or leaf.before or _NOTHING)
    if not value:
        return []
    shown = plain(leaf.stage) or "the test"
    if leaf.after is not None:
        return [Share("stage", leaf.stage, value, f"{shown} appeared: {_gist(leaf.after)}", leaf.stage)]
    return [Share("stage", leaf.stage, -value, f"{shown} vanished: {_gist(leaf.before or _NOTHING)}", leaf.stage)]


def _placed(share: Share, stage: str, *, named: bool) -> Share:
    text = f"{plain(stage)}: {share.text}" if named else share.text
    return replace(share, stage=stage, text=text)


def _gist(composition: StageComposition) -> str:
    calls = counted(composition.calls, "call")
    return f"{calls}, {amount(Fraction(composition.input_tokens))} input tokens"


def _children(stage: str, paths: Iterable[str]) -> list[str]:
    """The stages directly inside a stage."""
    prefix = f"{stage}/" if stage else ""
    within = {path for path in paths if path and path != stage and path.startswith(prefix)}
    return sorted(path for path in within if not any(path.startswith(f"{other}/") for other in within))


def _own(stage: str, inside: Iterable[str], compositions: Compositions) -> StageComposition | None:
    """A stage's composition without those inside it; ``None`` where no call is left."""
    whole = compositions.get(stage)
    parts = [compositions[child] for child in inside if child in compositions]
    if whole is None:
        return None
    rest = without(whole, parts) if parts else whole
    return rest if rest.calls or rest.attempts else None


def without(whole: StageComposition, inside: Iterable[StageComposition]) -> StageComposition:
    """What is left of a stage without the stages inside it.

    Tokens and calls are exact. The number of different contents and the largest one are those of the whole, as far as
    the parts do not exclude them: a sum cannot tell which of two stages a content came from.
    """
    inside = tuple(inside)
    taken: dict[tuple[str, str], list[PartTotal]] = {}
    for composition in inside:
        for part in composition.parts:
            taken.setdefault((part.part, part.name), []).append(part)
    parts = tuple(
        rest
        for part in whole.parts
        if (rest := _part_without(part, taken.get((part.part, part.name), []))).calls or rest.tokens
    )
    return replace(
        whole,
        calls=whole.calls - sum(each.calls for each in inside),
        parts=parts,
        input_tokens=sum(part.tokens for part in parts),
        fresh_input_tokens=whole.fresh_input_tokens - sum(each.fresh_input_tokens for each in inside),
        output_tokens=_minus(whole.output_tokens, [each.output_tokens for each in inside]),
        reasoning_tokens=_minus(whole.reasoning_tokens, [each.reasoning_tokens or 0 for each in inside]),
        attempts=whole.attempts - sum(each.attempts for each in inside),
        models=tuple(model for model in whole.models if not any(model in each.models for each in inside))
        or whole.models,
    )


def _part_without(part: PartTotal, taken: Iterable[PartTotal]) -> PartTotal:
    taken = tuple(taken)
    if not taken:
        return part
    calls = part.calls - sum(each.calls for each in taken)
    distinct = max(1, part.distinct - sum(each.distinct for each in taken))
    tokens = part.tokens - sum(each.tokens for each in taken)
    repeated = part.repeated_tokens - sum(each.repeated_tokens for each in taken)
    return replace(
        part,
        calls=calls,
        distinct=distinct,
        tokens=tokens,
        repeated_tokens=min(max(0, repeated), max(0, tokens)),
        digest=DERIVED.join([part.digest, *(each.digest for each in taken)]),
    )


def _minus(whole: int | None, inside: Iterable[int | None]) -> int | None:
    rest = whole
    for value in inside:
        rest = None if rest is None or value is None else rest - value
    return rest


_NOTHING = StageComposition(calls=0, parts=(), input_tokens=0, fresh_input_tokens=0)
