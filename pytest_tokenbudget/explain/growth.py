"""Tells from the totals of a part of the input how it depends on the number of calls."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction

from pytest_tokenbudget.records.composition import PART_NAMES, PartName, PartTotal, StageComposition

FIXED = frozenset({"system", "tools", "framing"})
"""Parts that a call carries or does not; the others gather from call to call."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A part, by its kind and name, with its totals before and after; ``None`` where it is absent."""

    key: tuple[PartName, str]
    before: PartTotal | None
    after: PartTotal | None

    def recounted(self, more_calls: int) -> bool:
        """Tell whether the same texts, sent as often a call, merely count otherwise: another tokenizer or another scale.

        Args:
            more_calls: Change in the stage's number of calls.
        """
        was, now = self.before, self.after
        if was is None or now is None or not (was.digest and was.largest and was.calls):
            return False
        further = now.calls - was.calls
        if (was.digest, was.distinct) != (now.digest, now.distinct) or further != limit_change(further, more_calls):
            return False
        expected = Fraction(was.tokens * now.largest, was.largest)
        per_call = expected * now.calls / was.calls if self.key[0] in FIXED else expected
        return abs(now.tokens - per_call) <= max(Fraction(now.tokens, 10), Fraction(now.calls))


def pairs(before: StageComposition, after: StageComposition, parts: Collection[str] = PART_NAMES) -> Iterator[Pair]:
    """The parts of two compositions side by side, in the order of their names."""
    was = {(part.part, part.name): part for part in before.parts if part.part in parts}
    now = {(part.part, part.name): part for part in after.parts if part.part in parts}
    for key in sorted({*was, *now}):
        yield Pair(key, was.get(key), now.get(key))


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


def fit_growth(part: PartTotal | None, calls: int, other: PartTotal | None, other_calls: int) -> Gathering:
    """The growth that gives exactly the part's total at its number of calls.

    Of a conversation whose messages are all kept, the last call carries all that was new, ``N``, and with even steps the
    calls carry ``T = c·(first + N)/2`` together; both are known, so ``first`` and the step follow. Where this side has one
    call, the step is that of the other side of the comparison.
    """
    if part is None or not part.calls:
        return Gathering(0, Fraction(0), Fraction(0))
    found = _fit(part, calls)
    if found is not None:
        return found
    beside = _fit(other, other_calls) if other is not None and other.calls else None
    step = Fraction(0) if beside is None or beside.replaced else beside.step
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


def split_by_calls(pair: Pair, calls_before: int, calls_after: int, *, new: bool = False) -> tuple[Fraction, Fraction]:
    """Split the difference of a part's tokens: what the stage's number of calls did, and what the part itself did.

    A part that a call carries or does not is calls that carry it times its size. Of the change in these calls, as much as the
    stage's own number of calls changed in the same direction is the calls' doing; the rest is the part's own (a tool that is
    offered in more of the calls). A part of the conversation is the number of calls and the way in which it gathers; where it
    is the same loop run longer or shorter (contents of the same largest size, arriving at the same pace), all of it is the
    calls'. Both splits are Shapley's for two factors.

    With ``new``, contents count only where no earlier call of the stage had carried them.
    """
    before, after = pair.before, pair.after
    was, now = [0 if part is None else _new(part) if new else part.tokens for part in (before, after)]
    difference, by_calls = Fraction(now - was), Fraction(0)
    if pair.key[0] in FIXED:
        if before is not None and after is not None and before.calls and after.calls:
            further = limit_change(after.calls - before.calls, calls_after - calls_before)
            size = _new_each_call if new else mean_size
            by_calls = further * (size(before) + size(after)) / 2
    elif same_loop(before, after, calls_before, calls_after):
        by_calls = difference
    else:
        for growth in (
            fit_growth(before, calls_before, after, calls_after),
            fit_growth(after, calls_after, before, calls_before),
        ):
            tokens = growth.new if new else growth.total
            by_calls += (tokens(calls_after) - tokens(calls_before)) / 2
    return by_calls, difference - by_calls


def _new(part: PartTotal) -> int:
    return part.tokens - part.repeated_tokens


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


def limit_change(change: int, limit: int) -> int:
    """Give as much of ``change`` as ``limit`` allows; 0 where they have different signs."""
    if change * limit <= 0:
        return 0
    return max(change, limit) if change < 0 else min(change, limit)
