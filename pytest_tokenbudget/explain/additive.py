"""Explains the metrics that are sums over stages, from compositions alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from pytest_tokenbudget.explain.cache_prefix import fresh_shares
from pytest_tokenbudget.explain.phrases import clean_name, say_instead, say_tokens
from pytest_tokenbudget.explain.shares import (
    Share,
    merge_shares,
    read_shares,
    reasoning_shares,
    tool_call_shares,
    written_shares,
)
from pytest_tokenbudget.records.composition import PART_NAMES, Compositions, PartName, StageComposition, inside
from pytest_tokenbudget.wording import counted


@dataclass(frozen=True, slots=True)
class Additive:
    """A metric of which the stages' values add up to the whole test's.

    Attributes:
        value: Its value in a composition; ``None`` where the composition does not tell.
        shares: The shares in the difference of two compositions of one stage.
        rest: The part that a difference is given to that the compositions do not tell.
    """

    value: Callable[[StageComposition], Fraction | None]
    shares: Callable[[StageComposition, StageComposition], list[Share]]
    rest: str


def count_parts(*parts: PartName) -> Additive:
    """The input tokens of some parts."""

    def value(composition: StageComposition) -> Fraction:
        return Fraction(sum(part.tokens for part in composition.parts if part.part in parts))

    def shares(before: StageComposition, after: StageComposition) -> list[Share]:
        return read_shares(before, after, parts)

    return Additive(value, shares, "framing")


def weigh_tokens(input_weight: Fraction, output_weight: Fraction) -> Additive:
    """Input and output tokens, each with a weight: total tokens, or their price."""
    everything = count_parts(*PART_NAMES)

    def value(composition: StageComposition) -> Fraction | None:
        taken = everything.value(composition)
        written = _output(composition)
        return None if taken is None or written is None else taken * input_weight + written * output_weight

    def shares(before: StageComposition, after: StageComposition) -> list[Share]:
        taken = [share.scaled(input_weight) for share in everything.shares(before, after)]
        written = [share.scaled(output_weight) for share in written_shares(before, after)]
        return merge_shares([*taken, *written])

    return Additive(value, shares, "framing")


def _optional(number: int | None) -> Fraction | None:
    return None if number is None else Fraction(number)


def _output(composition: StageComposition) -> Fraction | None:
    return _optional(composition.output_tokens)


def _call_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    text = say_instead(after.calls, before.calls, "call")
    return [Share("calls", "", Fraction(after.calls - before.calls), text)]


def _attempt_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    text = say_instead(after.failed_attempts, before.failed_attempts, "failed attempt")
    return [Share("retries", "", Fraction(after.failed_attempts - before.failed_attempts), text)]


def _tool_calls(composition: StageComposition) -> Fraction:
    return Fraction(sum(part.distinct for part in composition.parts if part.part == "tool_results"))


ADDITIVE: Mapping[str, Additive] = {
    "input_tokens": count_parts(*PART_NAMES),
    "tool_schema_tokens": count_parts("tools"),
    "system_tokens": count_parts("system"),
    "history_tokens": count_parts("assistant", "tool_results"),
    "fresh_input_tokens": Additive(lambda c: Fraction(c.fresh_input_tokens), fresh_shares, "framing"),
    "output_tokens": Additive(_output, written_shares, "output"),
    "reasoning_tokens": Additive(lambda c: _optional(c.reasoning_tokens), reasoning_shares, "reasoning"),
    "total_tokens": weigh_tokens(Fraction(1), Fraction(1)),
    "calls": Additive(lambda c: Fraction(c.calls), _call_shares, "calls"),
    "failed_attempts": Additive(lambda c: Fraction(c.failed_attempts), _attempt_shares, "retries"),
    "tool_calls": Additive(_tool_calls, tool_call_shares, "output"),
}
"""Metric name -> how it is explained."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A stage's own calls, before and after.

    Attributes:
        stage: Its path.
        before: Their composition before; ``None`` where it made none.
        after: Their composition now; ``None`` where it makes none.
    """

    stage: str
    before: StageComposition | None
    after: StageComposition | None


def leaves(stage: str, before: Compositions, after: Compositions) -> list[Leaf]:
    """Pair the compositions of a stage and of those inside it, before and after.

    Args:
        stage: Path of the stage, ``""`` for the whole test.
        before: Compositions by stage path.
        after: Likewise.

    Returns:
        One leaf a stage that made calls (or failed attempts) on either side, in the order of the paths.
    """
    paths = sorted(path for path in {*before, *after} if inside(path, stage))
    found = [Leaf(path, present(before.get(path)), present(after.get(path))) for path in paths]
    return [leaf for leaf in found if leaf.before is not None or leaf.after is not None]


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
    shown = clean_name(leaf.stage) or "the test"
    if leaf.after is not None:
        return [Share("stage", leaf.stage, value, f"{shown} appeared: {_gist(leaf.after)}", leaf.stage)]
    return [Share("stage", leaf.stage, -value, f"{shown} vanished: {_gist(leaf.before or _NOTHING)}", leaf.stage)]


def present(composition: StageComposition | None) -> StageComposition | None:
    """Take a composition without a call and without a failed attempt for none."""
    if composition is None or not (composition.calls or composition.failed_attempts):
        return None
    return composition


def _placed(share: Share, stage: str, *, named: bool) -> Share:
    text = f"{clean_name(stage)}: {share.text}" if named else share.text
    return replace(share, stage=stage, text=text)


def _gist(composition: StageComposition) -> str:
    calls = counted(composition.calls, "call")
    return f"{calls}, {say_tokens(Fraction(composition.input_tokens))} input tokens"


_NOTHING = StageComposition(calls=0)
