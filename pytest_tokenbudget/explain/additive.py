"""Metrics that are sums over stages: their value and their shares, from compositions alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from pytest_tokenbudget.explain.prefix import fresh_shares
from pytest_tokenbudget.explain.share import Share, merged
from pytest_tokenbudget.explain.tokens_read import read_shares
from pytest_tokenbudget.explain.tokens_written import reasoning_shares, tool_call_shares, written_shares
from pytest_tokenbudget.explain.words import instead
from pytest_tokenbudget.records.composition import PART_NAMES, PartName, StageComposition


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


def read(*parts: PartName) -> Additive:
    """The input tokens of some parts."""

    def value(composition: StageComposition) -> Fraction:
        return Fraction(sum(part.tokens for part in composition.parts if part.part in parts))

    def shares(before: StageComposition, after: StageComposition) -> list[Share]:
        return read_shares(before, after, parts)

    return Additive(value, shares, "framing")


def weighted(input_weight: Fraction, output_weight: Fraction) -> Additive:
    """Input and output tokens, each with a weight: total tokens, or their price."""
    everything = read(*PART_NAMES)

    def value(composition: StageComposition) -> Fraction | None:
        taken = everything.value(composition)
        written = _output(composition)
        return None if taken is None or written is None else taken * input_weight + written * output_weight

    def shares(before: StageComposition, after: StageComposition) -> list[Share]:
        taken = [share.scaled(input_weight) for share in everything.shares(before, after)]
        written = [share.scaled(output_weight) for share in written_shares(before, after)]
        return merged([*taken, *written])

    return Additive(value, shares, "framing")


def _optional(number: int | None) -> Fraction | None:
    return None if number is None else Fraction(number)


def _output(composition: StageComposition) -> Fraction | None:
    return _optional(composition.output_tokens)


def _call_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    text = instead(after.calls, before.calls, "call")
    return [Share("calls", "", Fraction(after.calls - before.calls), text)]


def _attempt_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    text = instead(after.attempts, before.attempts, "failed attempt")
    return [Share("retries", "", Fraction(after.attempts - before.attempts), text)]


def _tool_calls(composition: StageComposition) -> Fraction:
    return Fraction(sum(part.distinct for part in composition.parts if part.part == "tool_results"))


ADDITIVE: Mapping[str, Additive] = {
    "input_tokens": read(*PART_NAMES),
    "tool_schema_tokens": read("tools"),
    "system_tokens": read("system"),
    "history_tokens": read("assistant", "tool_results"),
    "fresh_input_tokens": Additive(lambda c: Fraction(c.fresh_input_tokens), fresh_shares, "framing"),
    "output_tokens": Additive(_output, written_shares, "output"),
    "reasoning_tokens": Additive(lambda c: _optional(c.reasoning_tokens), reasoning_shares, "reasoning"),
    "total_tokens": weighted(Fraction(1), Fraction(1)),
    "calls": Additive(lambda c: Fraction(c.calls), _call_shares, "calls"),
    "failed_attempts": Additive(lambda c: Fraction(c.attempts), _attempt_shares, "retries"),
    "tool_calls": Additive(_tool_calls, tool_call_shares, "output"),
}
"""Metric name -> how it is explained."""
