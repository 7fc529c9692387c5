"""Why the input grew: each part's difference, split between the number of calls and the part itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from pytest_tokenbudget.explain.growth import FIXED, Effect, carried_effect, followed, gathered_effect, same_direction
from pytest_tokenbudget.explain.phrases import detail, own_text
from pytest_tokenbudget.explain.share import Share
from pytest_tokenbudget.explain.words import amount, instead, plain
from pytest_tokenbudget.records.composition import PART_NAMES, PartName, PartTotal, StageComposition

Key = tuple[PartName, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """A part before and after.

    Attributes:
        key: Part and name.
        before: Its totals before, ``None`` where absent.
        after: Its totals after, ``None`` where absent.
    """

    key: Key
    before: PartTotal | None
    after: PartTotal | None

    @property
    def same_content(self) -> bool:
        """Whether the same texts were sent, by their digest."""
        return (
            self.before is not None
            and self.after is not None
            and bool(self.before.digest)
            and (self.before.digest, self.before.distinct) == (self.after.digest, self.after.distinct)
        )

    def recounted(self, more_calls: int) -> bool:
        """Whether the same texts, sent as often a call, merely count otherwise: another tokenizer or another scale.

        Args:
            more_calls: Change in the stage's number of calls.
        """
        if not self.same_content or self.before is None or self.after is None:
            return False
        if not self.before.largest or not self.before.calls:
            return False
        further = self.after.calls - self.before.calls
        if further != same_direction(further, more_calls):
            return False
        expected = Fraction(self.before.tokens * self.after.largest, self.before.largest)
        per_call = expected * self.after.calls / self.before.calls if self.key[0] in FIXED else expected
        return abs(self.after.tokens - per_call) <= max(Fraction(self.after.tokens, 10), Fraction(self.after.calls))


def pairs(before: StageComposition, after: StageComposition, parts: Collection[str] = PART_NAMES) -> Iterator[Pair]:
    """The parts of two compositions side by side, in the order of their names."""
    was = {(part.part, part.name): part for part in before.parts if part.part in parts}
    now = {(part.part, part.name): part for part in after.parts if part.part in parts}
    for key in sorted({*was, *now}):
        yield Pair(key, was.get(key), now.get(key))


def read_shares(before: StageComposition, after: StageComposition, parts: Collection[str] = PART_NAMES) -> list[Share]:
    """The shares in the difference of the input tokens of two compositions of one stage.

    Args:
        before: The composition before.
        after: The composition now.
        parts: The parts that the metric counts.

    Returns:
        Shares that add up to the difference of the sums of these parts.
    """
    calls: list[tuple[str, Fraction]] = []
    own: list[Share] = []
    drift: list[Fraction] = []
    for pair in pairs(before, after, parts):
        effect = _effect(pair, before.calls, after.calls)
        calls.append((detail(pair.key[0]), effect.calls))
        if pair.recounted(after.calls - before.calls):
            drift.append(effect.own)
        else:
            own.append(Share(*pair.key, effect.own, own_text(pair.before, pair.after)))
    shares = [calls_share(before, after, calls), *own]
    return [share for share in with_drift(shares, sum(drift, Fraction(0)), before, after) if share.delta]


def calls_share(before: StageComposition, after: StageComposition, details: list[tuple[str, Fraction]]) -> Share:
    """More or fewer calls, and what they consist of."""
    text = instead(after.calls, before.calls, "call")
    return Share("calls", "", sum((size for _, size in details), Fraction(0)), text, details=tuple(details))


def _effect(pair: Pair, calls_before: int, calls_after: int) -> Effect:
    part = pair.key[0]
    if part not in FIXED:
        return gathered_effect(pair.before, pair.after, calls_before, calls_after)
    effect = carried_effect(pair.before, pair.after, calls_after - calls_before)
    return followed(effect, calls_after - calls_before) if part == "framing" else effect


def with_drift(shares: list[Share], drift: Fraction, before: StageComposition, after: StageComposition) -> list[Share]:
    """Give the change in the count of unchanged texts to what caused it.

    With another model it is the model. Otherwise the provider's tokenizer counts an unchanged text as before, and only
    the scale by which local counts are fitted to the provider's number has moved: because of the parts that did change,
    which therefore share it in proportion to their size. Where nothing changed that could carry it, it stands alone.
    """
    if not drift:
        return shares
    if before.models != after.models:
        return [*shares, Share("model", "", drift, _model_text(before, after, drift))]
    own = [share for share in shares if share.part not in ("framing", "calls") and share.delta]
    for carriers in (own, [share for share in shares if share.part == "calls"]):
        weight = sum((abs(share.delta) for share in carriers), Fraction(0))
        if abs(drift) <= weight:
            kept = [share for share in shares if share not in carriers]
            return [*kept, *(replace(each, delta=each.delta + drift * abs(each.delta) / weight) for each in carriers)]
    return [*shares, Share("framing", "", drift, "the same texts count otherwise than before")]


def _model_text(before: StageComposition, after: StageComposition, drift: Fraction) -> str:
    more = "more" if drift > 0 else "fewer"
    return f"{models_text(before, after)}: the same texts count {amount(abs(drift))} {more}"


def models_text(before: StageComposition, after: StageComposition) -> str:
    """``gpt-4o -> gpt-4.1``."""
    return f"{_names(before)} -> {_names(after)}"


def _names(composition: StageComposition) -> str:
    return ", ".join(plain(model) for model in composition.models[:3]) or "unknown model"


Shares = Callable[[StageComposition, StageComposition], list[Share]]
"""Shares in the difference of a metric, from two compositions of one stage."""
