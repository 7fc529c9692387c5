"""Splits a difference among its reasons: calls, parts of the input, answers, reasoning, tools.

The shares are rounded so that their sum stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations
from math import factorial

from pytest_tokenbudget.explain.growth import pairs, split_by_calls
from pytest_tokenbudget.explain.phrases import (
    clean_name,
    say_change,
    say_detail,
    say_instead,
    say_own_change,
    say_tokens,
)
from pytest_tokenbudget.records.composition import PART_NAMES, StageComposition

Value = Callable[..., Fraction]


def shapley(value: Value, before: Sequence[Fraction], after: Sequence[Fraction]) -> list[Fraction]:
    """Split ``value(*after) - value(*before)`` among its factors.

    Each factor's share is its effect when it alone is moved from before to after, averaged over all orders in which the
    factors can be moved (L. S. Shapley, "A Value for n-Person Games", 1953). For a product of two factors that is the
    change of one times the mean of the other: ``Δ(n·s) = Δn·(s0 + s1)/2 + Δs·(n0 + n1)/2``.

    Args:
        value: The quantity as a function of its factors.
        before: The factors before, at most a handful: the work grows with the factorial of their number.
        after: The factors after.

    Returns:
        The shares, one a factor. They add up exactly to the difference.
    """
    shares = [Fraction(0)] * len(before)
    for order in permutations(range(len(before))):
        factors = list(before)
        standing = value(*factors)
        for moved in order:
            factors[moved] = after[moved]
            reached = value(*factors)
            shares[moved] += reached - standing
            standing = reached
    return [share / factorial(len(before)) for share in shares]


def product(*factors: Fraction) -> Fraction:
    """The product of the factors, as a value for :func:`shapley`."""
    result = Fraction(1)
    for factor in factors:
        result *= factor
    return result


@dataclass(frozen=True, slots=True)
class Share:
    """One reason and its exact share of a metric's difference.

    Attributes:
        part: As in :class:`~pytest_tokenbudget.records.composition.Cause`.
        name: Tool or stage name, else ``""``.
        delta: Its share, exact, in the metric's unit.
        text: The reason in words.
        stage: Path of the stage in which it lies.
        details: What it consists of, by word: shown behind the text, largest first.
    """

    part: str
    name: str
    delta: Fraction
    text: str
    stage: str = ""
    details: tuple[tuple[str, Fraction], ...] = ()

    def scaled(self, factor: Fraction) -> Share:
        """Give the same reason in another unit."""
        return replace(
            self, delta=self.delta * factor, details=tuple((word, size * factor) for word, size in self.details)
        )

    @property
    def words(self) -> str:
        """Text and, where there are several, the largest details."""
        sums: dict[str, Fraction] = {}
        for word, size in self.details:
            sums[word] = sums.get(word, Fraction(0)) + size
        largest = sorted(sums.items(), key=lambda item: (-abs(item[1]), item[0]))
        shown = [(word, size) for word, size in largest if abs(size) >= 1][:3]
        if len(shown) < 2:
            return self.text
        return f"{self.text}: {', '.join(f'{say_tokens(size)} {word}' for word, size in shown)}"


def merge_shares(shares: Iterable[Share]) -> list[Share]:
    """Shares of the same stage, part and name become one, with the text of the larger."""
    found: dict[tuple[str, str, str], Share] = {}
    for share in shares:
        key = (share.stage, share.part, share.name)
        other = found.get(key)
        if other is None:
            found[key] = share
            continue
        first = share if abs(share.delta) > abs(other.delta) else other
        found[key] = replace(first, delta=share.delta + other.delta, details=(*other.details, *share.details))
    return list(found.values())


def round_whole(deltas: Sequence[Fraction], total: int) -> list[int]:
    """Round shares to whole numbers that add up to ``total`` (largest remainder).

    Returns:
        One whole number a share, less than 1 away from it. Of equal remainders the first is rounded up.
    """
    floors = [math.floor(delta) for delta in deltas]
    missing = total - sum(floors)
    by_remainder = sorted(range(len(deltas)), key=lambda i: (floors[i] - deltas[i], i))
    for index in by_remainder[:missing]:
        floors[index] += 1
    return floors


def round_floats(deltas: Sequence[Fraction], total: Fraction) -> list[float]:
    """Round shares to floats whose sum, added up in any order, is ``total`` to the last digit where floats can do that.

    All but the smallest are rounded to a multiple of one power of two that is coarse enough for every partial sum to be
    exact; the smallest takes the rest.

    Returns:
        One float a share.
    """
    if not deltas:
        return []
    size = sum(abs(delta) for delta in deltas)
    step = Fraction(2) ** (math.frexp(float(size))[1] - 52)
    rounded = [round(delta / step) * step for delta in deltas]
    smallest = min(range(len(deltas)), key=lambda i: (abs(deltas[i]), i))
    rounded[smallest] += total - sum(rounded)
    return [float(value) for value in rounded]


def read_shares(before: StageComposition, after: StageComposition, parts: Collection[str] = PART_NAMES) -> list[Share]:
    """The shares in the difference of the input tokens of two compositions of one stage.

    Returns:
        Shares that add up to the difference of the sums of these parts.
    """
    calls, own, drift = split_parts(before, after, parts)
    shares = with_drift([calls_share(before, after, calls), *own], drift, before, after)
    return [share for share in shares if share.delta]


def split_parts(
    before: StageComposition,
    after: StageComposition,
    parts: Collection[str] = PART_NAMES,
    *,
    new: bool = False,
    more_framing: int = 0,
) -> tuple[list[tuple[str, Fraction]], list[Share], Fraction]:
    """Split the difference of each part: what the calls did, what it did itself, and what merely counts otherwise.

    With ``new``, contents count only where no earlier call had carried them; ``more_framing`` counts beside these.
    """
    by_calls: list[tuple[str, Fraction]] = []
    shares: list[Share] = []
    drift, more = Fraction(0), after.calls - before.calls
    for pair in pairs(before, after, parts):
        part = pair.key[0]
        of_calls, own = split_by_calls(pair, before.calls, after.calls, new=new)
        if part == "framing":
            own += more_framing
            if (of_calls + own) * more > 0:
                # Framing follows the calls altogether: a longer conversation has more messages to frame.
                of_calls, own = of_calls + own, Fraction(0)
        by_calls.append((say_detail(part), of_calls))
        if pair.recounted(more):
            drift += own
        else:
            shares.append(Share(*pair.key, own, say_own_change(pair.before, pair.after)))
    return by_calls, shares, drift


def calls_share(before: StageComposition, after: StageComposition, details: list[tuple[str, Fraction]]) -> Share:
    """More or fewer calls, and what they consist of."""
    text = say_instead(after.calls, before.calls, "call")
    return Share("calls", "", sum([size for _, size in details], Fraction(0)), text, details=tuple(details))


def with_drift(shares: list[Share], drift: Fraction, before: StageComposition, after: StageComposition) -> list[Share]:
    """Give the change in the count of unchanged texts to what caused it.

    With another model it is the model. Otherwise the provider's tokenizer counts an unchanged text as before, and only
    the scale by which local counts are fitted to the provider's number has moved: because of the parts that did change,
    which therefore share it in proportion to their size. Where nothing changed that could carry it, it stands alone.
    """
    if not drift:
        return shares
    if before.models != after.models:
        more = f"{say_tokens(abs(drift))} {'more' if drift > 0 else 'fewer'}"
        text = f"{say_models(before, after)}: the same texts count {more}"
        return [*shares, Share("model", "", drift, text)]
    own = [share for share in shares if share.part not in ("framing", "calls") and share.delta]
    for carriers in (own, [share for share in shares if share.part == "calls"]):
        weight = sum((abs(share.delta) for share in carriers), Fraction(0))
        if abs(drift) <= weight:
            kept = [share for share in shares if share not in carriers]
            return [*kept, *(replace(each, delta=each.delta + drift * abs(each.delta) / weight) for each in carriers)]
    return [*shares, Share("framing", "", drift, "the same texts count otherwise than before")]


def say_models(before: StageComposition, after: StageComposition) -> str:
    """``gpt-4o -> gpt-4.1``."""
    return " -> ".join(", ".join(map(clean_name, side.models[:3])) or "unknown model" for side in (before, after))


def written_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    """The shares in the difference of the output tokens: calls times what each wrote, reasoning apart.

    Returns:
        Shares that add up to the difference; none where either output is unknown.
    """
    if before.output_tokens is None or after.output_tokens is None or not (before.calls and after.calls):
        return []
    return _output_shares(before, after, "output", [side.output_tokens or 0 for side in (before, after)])


def reasoning_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    """The shares in the difference of the reasoning tokens."""
    if not (before.calls and after.calls):
        return []
    return _output_shares(before, after, "reasoning", [side.reasoning_tokens or 0 for side in (before, after)])


def _output_shares(before: StageComposition, after: StageComposition, of: str, written: Sequence[int]) -> list[Share]:
    """Calls times what each wrote: answers, and the reasoning that is part of what was written."""
    sides = [
        (
            Fraction(side.calls),
            Fraction(tokens - (side.reasoning_tokens or 0), side.calls),
            Fraction(side.reasoning_tokens or 0, side.calls),
        )
        for side, tokens in zip((before, after), written, strict=True)
    ]
    calls, answers, reasoning = shapley(lambda n, w, r: n * (w + r), *sides)
    (_, *was), (_, *now) = sides
    shares = [
        calls_share(before, after, [(say_detail(of), calls)]),
        Share("output", "", answers, f"answers {say_change(was[0], now[0])} tokens a call"),
        Share("reasoning", "", reasoning, f"reasoning {say_change(was[1], now[1])} tokens a call"),
    ]
    return [share for share in shares if share.delta]


def tool_call_shares(before: StageComposition, after: StageComposition) -> list[Share]:
    """The shares in the difference of the tool calls, as far as their results came back into the input."""
    shares = []
    for pair in pairs(before, after, ("tool_results",)):
        was = pair.before.distinct if pair.before is not None else 0
        now = pair.after.distinct if pair.after is not None else 0
        text = f"{clean_name(pair.key[1]) or 'tools'}: {say_instead(now, was, 'result')}"
        shares.append(Share("tool_results", pair.key[1], Fraction(now - was), text))
    return [share for share in shares if share.delta]
