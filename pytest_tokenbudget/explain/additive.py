"""Explains the metrics that are sums over stages, from compositions alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

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


def _parts(*parts: PartName) -> Additive:
    """The input tokens of some parts."""
    return Additive(
        lambda side: Fraction(sum(part.tokens for part in side.parts if part.part in parts)),
        lambda before, after: read_shares(before, after, parts),
        "framing",
    )


def _numbers(name: Literal["calls", "failed_attempts"], part: str, word: str) -> Additive:
    """A number that the composition holds."""

    def shares(before: StageComposition, after: StageComposition) -> list[Share]:
        was, now = getattr(before, name), getattr(after, name)
        return [Share(part, "", Fraction(now - was), say_instead(now, was, word))]

    return Additive(lambda side: Fraction(getattr(side, name)), shares, part)


def weigh_tokens(input_weight: Fraction, output_weight: Fraction) -> Additive:
    """Input and output tokens, each with a weight: total tokens, or their price."""

    def value(side: StageComposition) -> Fraction | None:
        if side.output_tokens is None:
            return None
        return side.input_tokens * input_weight + side.output_tokens * output_weight

    def shares(before: StageComposition, after: StageComposition) -> list[Share]:
        taken = [share.scaled(input_weight) for share in read_shares(before, after)]
        written = [share.scaled(output_weight) for share in written_shares(before, after)]
        return merge_shares([*taken, *written])

    return Additive(value, shares, "framing")


def _optional(number: int | None) -> Fraction | None:
    return None if number is None else Fraction(number)


def _tool_calls(side: StageComposition) -> Fraction:
    return Fraction(sum(part.distinct for part in side.parts if part.part == "tool_results"))


ADDITIVE: Mapping[str, Additive] = {
    "input_tokens": _parts(*PART_NAMES),
    "tool_schema_tokens": _parts("tools"),
    "system_tokens": _parts("system"),
    "history_tokens": _parts("assistant", "tool_results"),
    "fresh_input_tokens": Additive(lambda side: Fraction(side.fresh_input_tokens), fresh_shares, "framing"),
    "output_tokens": Additive(lambda side: _optional(side.output_tokens), written_shares, "output"),
    "reasoning_tokens": Additive(lambda side: _optional(side.reasoning_tokens), reasoning_shares, "reasoning"),
    "total_tokens": weigh_tokens(Fraction(1), Fraction(1)),
    "calls": _numbers("calls", "calls", "call"),
    "failed_attempts": _numbers("failed_attempts", "retries", "failed attempt"),
    "tool_calls": Additive(_tool_calls, tool_call_shares, "output"),
}
"""Metric name -> how it is explained."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A stage by its path, and the composition of its own calls before and after; ``None`` where it made none."""

    stage: str
    before: StageComposition | None
    after: StageComposition | None


def leaves(stage: str, before: Compositions, after: Compositions) -> list[Leaf]:
    """Pair the compositions of a stage and of those inside it, before and after, in the order of their paths."""
    paths = sorted([path for path in {*before, *after} if inside(path, stage)])
    found = [Leaf(path, present(before.get(path)), present(after.get(path))) for path in paths]
    return [leaf for leaf in found if leaf.before is not None or leaf.after is not None]


def present(composition: StageComposition | None) -> StageComposition | None:
    """Take a composition without a call and without a failed attempt for none."""
    if composition is None or not (composition.calls or composition.failed_attempts):
        return None
    return composition


def additive_shares(found: Iterable[Leaf], metric: Additive, *, unnamed: str) -> list[Share]:
    """The shares of stages in a metric's difference; the texts need not name the stage ``unnamed``."""
    shares: list[Share] = []
    for leaf in found:
        if leaf.before is not None and leaf.after is not None:
            place = "" if leaf.stage == unnamed else f"{clean_name(leaf.stage)}: "
            own = metric.shares(leaf.before, leaf.after)
            shares += [replace(share, stage=leaf.stage, text=place + share.text) for share in own]
            continue
        side, sign, word = (leaf.after, 1, "appeared") if leaf.after is not None else (leaf.before, -1, "vanished")
        if side is not None and (value := metric.value(side)):
            gist = f"{counted(side.calls, 'call')}, {say_tokens(side.input_tokens)} input tokens"
            text = f"{clean_name(leaf.stage) or 'the test'} {word}: {gist}"
            shares.append(Share("stage", leaf.stage, sign * value, text, leaf.stage))
    return shares
