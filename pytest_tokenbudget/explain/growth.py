"""Tells from the totals of a part of the input how it depends on the number of calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from pytest_tokenbudget.records.composition import PartTotal

FIXED = frozenset({"system", "tools", "framing"})
"""Parts that a call carries or does not; the others gather from call to call."""


class Growth(Protocol):
    """A part's tokens as functions of the number of calls of its stage."""

    def total(self, calls: int) -> Fraction:
        """Tokens over all calls."""

    def new(self, calls: int) -> Fraction:
        """Tokens of contents that no earlier call had carried."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A part that is not there."""

    def total(self, calls: int) -> Fraction:
        """Nothing, however many calls."""
        return Fraction(0)

    def new(self, calls: int) -> Fraction:
        """Nothing, however many calls."""
        return Fraction(0)


@dataclass(frozen=True, slots=True)
class Gathering:
    """A part of a conversation: some calls without it, then ``first`` tokens, then ``step`` more in each call.

    Attributes:
        without: Calls before the first one that carries it.
        first: Tokens in the first call that carries it.
        step: Tokens that each further call adds.
        replaced: Whether each call's content takes the place of the one before, so that nothing is sent again.
    """

    without: int
    first: Fraction
    step: Fraction
    replaced: bool = False

    def total(self, calls: int) -> Fraction:
        """Tokens over all calls."""
        carrying = max(0, calls - self.without)
        return carrying * self.first + self.step * (carrying * (carrying - 1) // 2)

    def new(self, calls: int) -> Fraction:
        """Tokens of contents that no earlier call had carried."""
        carrying = max(0, calls - self.without)
        if not carrying:
            return Fraction(0)
        if self.replaced:
            return carrying * self.first
        return self.first + self.step * (carrying - 1)


def fit_growth(part: PartTotal | None, calls: int, other: PartTotal | None, other_calls: int) -> Growth:
    """The growth that gives exactly the part's total at its number of calls.

    Of a conversation whose messages are all kept, the last call carries all that was new, ``N``, and with even steps the
    calls carry ``T = c·(first + N)/2`` together; both are known, so ``first`` and the step follow.

    Args:
        part: Totals of the part, ``None`` where it is absent.
        calls: Calls of its stage.
        other: Totals of the same part on the other side of the comparison: its step serves where this side has one call.
        other_calls: Calls of the other side.
    """
    if part is None or not part.calls:
        return Absent()
    found = _fit(part, calls)
    if found is not None:
        return found
    step = Fraction(0)
    if other is not None and other.calls:
        beside = _fit(other, other_calls)
        if beside is not None and not beside.replaced:
            step = beside.step
    return Gathering(max(0, calls - part.calls), Fraction(part.tokens), step)


def _fit(part: PartTotal, calls: int) -> Gathering | None:
    without = max(0, calls - part.calls)
    total, carrying = Fraction(part.tokens), part.calls
    new = Fraction(part.tokens - part.repeated_tokens)
    if carrying == 1:
        return Gathering(without, total, total) if without else None
    first = 2 * total / carrying - new
    if not part.repeated_tokens or first < 0:
        return Gathering(without, total / carrying, Fraction(0), replaced=True)
    return Gathering(without, first, (new - first) / (carrying - 1))


@dataclass(frozen=True, slots=True)
class Effect:
    """A part's difference, split.

    Attributes:
        calls: What the number of calls did.
        own: What the part itself did.
    """

    calls: Fraction
    own: Fraction

    def and_own(self, more: int) -> Effect:
        """With so much more of the part's own."""
        return Effect(self.calls, self.own + more)


def give_to_calls(effect: Effect, more_calls: int) -> Effect:
    """The effect of framing, which follows the calls altogether: a longer conversation has more messages to frame."""
    together = effect.calls + effect.own
    return Effect(together, Fraction(0)) if together * more_calls > 0 else effect


def carried_effect(before: PartTotal | None, after: PartTotal | None, more_calls: int) -> Effect:
    """Split the tokens of a part that a call carries or does not: calls that carry it times its size.

    Of the change in the calls that carry it, as much as the stage's own number of calls changed in the same direction is
    the calls' doing; the rest is the part's own (a tool that is offered in more of the calls). The split is Shapley's for
    the product.

    Args:
        before: Totals before, ``None`` where absent.
        after: Totals after.
        more_calls: Change in the stage's number of calls.
    """
    if before is None or after is None or not (before.calls and after.calls):
        return Effect(Fraction(0), Fraction(_tokens(after) - _tokens(before)))
    by_calls = limit_change(after.calls - before.calls, more_calls)
    calls = by_calls * (mean_size(before) + mean_size(after)) / 2
    return Effect(calls, after.tokens - before.tokens - calls)


def gathered_effect(before: PartTotal | None, after: PartTotal | None, calls_before: int, calls_after: int) -> Effect:
    """Split the tokens of a part of the conversation between the number of calls and the part itself.

    Shapley's split for two factors, the number of calls and the way in which the part gathers. Where the part is the same
    loop run longer or shorter (contents of the same largest size, arriving at the same pace), all of it is the calls'.

    Args:
        before: Totals before, ``None`` where absent.
        after: Totals after.
        calls_before: Calls of the stage before.
        calls_after: Calls of the stage after.
    """
    difference = Fraction(_tokens(after) - _tokens(before))
    if same_loop(before, after, calls_before, calls_after):
        return Effect(difference, Fraction(0))
    was = fit_growth(before, calls_before, after, calls_after)
    now = fit_growth(after, calls_after, before, calls_before)
    calls = _mean_step(was.total, now.total, calls_before, calls_after)
    return Effect(calls, difference - calls)


def new_effect(before: PartTotal | None, after: PartTotal | None, calls_before: int, calls_after: int) -> Effect:
    """Give the effects on the tokens of contents that no earlier call of the stage had carried."""
    difference = Fraction(_new(after) - _new(before))
    present = after or before
    if present is not None and present.part in FIXED:
        return _fixed_new_effect(before, after, calls_after - calls_before, difference)
    if same_loop(before, after, calls_before, calls_after):
        return Effect(difference, Fraction(0))
    was = fit_growth(before, calls_before, after, calls_after)
    now = fit_growth(after, calls_after, before, calls_before)
    calls = _mean_step(was.new, now.new, calls_before, calls_after)
    return Effect(calls, difference - calls)


def _fixed_new_effect(
    before: PartTotal | None, after: PartTotal | None, more_calls: int, difference: Fraction
) -> Effect:
    if before is None or after is None or not (before.calls and after.calls):
        return Effect(Fraction(0), difference)
    by_calls = limit_change(after.calls - before.calls, more_calls)
    calls = by_calls * sum((_new_each_call(part) for part in (before, after)), Fraction(0)) / 2
    return Effect(calls, difference - calls)


def _new_each_call(part: PartTotal) -> Fraction:
    """Give the tokens that one more call adds: none where all calls carry the same content."""
    return Fraction(_new(part), part.calls) if part.distinct > 1 else Fraction(0)


def same_loop(before: PartTotal | None, after: PartTotal | None, calls_before: int, calls_after: int) -> bool:
    """Tell whether a part of the conversation changed only because the same loop made more or fewer calls."""
    more = calls_after - calls_before
    if not more:
        return False
    if before is None or after is None:
        only = after if more > 0 else before
        return only is not None and (before if more > 0 else after) is None and only.calls <= abs(more)
    if not is_similar(Fraction(before.largest), Fraction(after.largest)):
        return False
    further = after.distinct - before.distinct
    pace = max(1, -(-before.distinct // max(1, calls_before)))
    return further == 0 or (further * more > 0 and abs(further) <= abs(more) * pace)


def is_similar(one: Fraction, other: Fraction) -> bool:
    """Tell whether two sizes differ by no more than the scale of a call can move them: 3 %, or 2 tokens."""
    return abs(one - other) <= max(Fraction(2), max(one, other) * 3 / 100)


def mean_size(part: PartTotal) -> Fraction:
    """Tokens a call that carries it, on average."""
    return Fraction(part.tokens, part.calls) if part.calls else Fraction(0)


def _mean_step(
    was: Callable[[int], Fraction], now: Callable[[int], Fraction], calls_before: int, calls_after: int
) -> Fraction:
    return (was(calls_after) - was(calls_before) + now(calls_after) - now(calls_before)) / 2


def limit_change(change: int, limit: int) -> int:
    """Give as much of ``change`` as ``limit`` allows; 0 where they have different signs."""
    if change * limit <= 0:
        return 0
    return max(change, limit) if change < 0 else min(change, limit)


def _tokens(part: PartTotal | None) -> int:
    return part.tokens if part is not None else 0


def _new(part: PartTotal | None) -> int:
    return part.tokens - part.repeated_tokens if part is not None else 0
