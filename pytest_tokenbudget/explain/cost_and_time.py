"""Explains the metrics that are no sums of tokens: cost, time, what a cache served."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pytest_tokenbudget.explain.additive import Additive, Leaf, leaf_shares, weigh_tokens
from pytest_tokenbudget.explain.cache_prefix import behind_breaks, find_break
from pytest_tokenbudget.explain.phrases import say_dollars, say_instead, say_seconds, say_tokens
from pytest_tokenbudget.explain.shares import Share, product, shapley
from pytest_tokenbudget.explain.token_shares import read_shares, say_models
from pytest_tokenbudget.records.composition import StageComposition

OUTPUT_WEIGHT = 4
"""What an output token costs in input tokens where the prices cannot be told: the usual ratio of price lists (2026-11)."""

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """Prices that explain a cost.

    Attributes:
        input: USD per input token.
        output: USD per output token.
    """

    input: float
    output: float


def cost_shares(
    leaves: list[Leaf],
    totals: tuple[StageComposition, StageComposition],
    values: tuple[Fraction, Fraction],
    prices: UnitPrices | None,
    *,
    unnamed: str,
) -> list[Share]:
    """The shares in the difference of a cost: tokens times their price, and the price itself.

    Where no prices are given they are told from the two sides, if one pair of prices explains both; else an output token
    counts as :data:`OUTPUT_WEIGHT` input tokens, and the price of such a token is a factor of its own (Shapley).

    Args:
        leaves: The stages.
        totals: The compositions of the metric's stage.
        values: USD before and after.
        prices: The price of a token, where known.
        unnamed: The stage that the texts need not name.
    """
    pair = (Fraction(prices.input), Fraction(prices.output)) if prices is not None else _infer_prices(totals, values)
    if pair is not None:
        shares = _all_shares(leaves, weigh_tokens(*pair), unnamed=unnamed)
        return [*shares, *_rest(values[1] - values[0] - _sum(shares), totals)]
    metric = weigh_tokens(Fraction(1), Fraction(OUTPUT_WEIGHT))
    sizes = [metric.value(total) for total in totals]
    if not sizes[0] or not sizes[1]:
        return []
    price = [value / size for value, size in zip(values, sizes, strict=True) if size]
    shares = [share.scaled((price[0] + price[1]) / 2) for share in _all_shares(leaves, metric, unnamed=unnamed)]
    left = values[1] - values[0] - _sum(shares)
    text = f"a million tokens {say_dollars(price[0] * MILLION)} -> {say_dollars(price[1] * MILLION)}: another price, model or share of the cache"
    return [*shares, Share("model", "", left, text)] if left else shares


def _infer_prices(
    totals: tuple[StageComposition, StageComposition], values: tuple[Fraction, Fraction]
) -> tuple[Fraction, Fraction] | None:
    """The two prices that explain both costs; ``None`` where they cannot be told or are no prices."""
    (a, b), (c, d) = ((Fraction(t.input_tokens), Fraction(t.output_tokens or 0)) for t in totals)
    determinant = a * d - b * c
    if not determinant or totals[0].models != totals[1].models:
        return None
    for_input = (values[0] * d - b * values[1]) / determinant
    for_output = (a * values[1] - values[0] * c) / determinant
    return (for_input, for_output) if 0 < for_input <= for_output <= 20 * for_input else None


def _rest(left: Fraction, totals: tuple[StageComposition, StageComposition]) -> list[Share]:
    if not left:
        return []
    text = "another share of the cache, or another price"
    if totals[0].models != totals[1].models:
        text = f"{say_models(*totals)}: another price"
    return [Share("model", "", left, text)]


def time_shares(
    before: StageComposition, after: StageComposition, values: tuple[Fraction, Fraction], *, own_code: bool
) -> list[Share]:
    """The shares in the difference of a time: calls, times what each wrote, times the time for a token of it.

    What a model writes is what it takes time for; the time for reading is in the time for a token.

    Args:
        before: The composition before.
        after: The composition now.
        values: s before and after.
        own_code: Whether the time holds the agent's own code as well.
    """
    if not (before.calls and after.calls and values[0] and values[1]):
        return []
    calls = [Fraction(before.calls), Fraction(after.calls)]
    call_time = [value / number for value, number in zip(values, calls, strict=True)]
    other = "the model or the agent's own code" if own_code else "the model"
    more_calls = say_instead(after.calls, before.calls, "call")
    if not (before.output_tokens and after.output_tokens):
        by_calls, by_time = shapley(product, *zip(calls, call_time, strict=True))
        text = f"{say_seconds(call_time[0])} -> {say_seconds(call_time[1])} a call: {other}"
        shares = [Share("calls", "", by_calls, more_calls), Share("model", "", by_time, text)]
        return [share for share in shares if share.delta]
    written = [Fraction(side.output_tokens or 0, side.calls) for side in (before, after)]
    token_time = [time / tokens for time, tokens in zip(call_time, written, strict=True)]
    by_calls, by_length, by_time = shapley(product, *zip(calls, written, token_time, strict=True))
    text = f"{say_seconds(token_time[0])} -> {say_seconds(token_time[1])} an output token: {other}"
    answers = f"answers {say_tokens(written[0])} -> {say_tokens(written[1])} tokens a call"
    shares = [
        Share("calls", "", by_calls, more_calls),
        Share("output", "", by_length, answers),
        Share("model", "", by_time, text),
    ]
    return [share for share in shares if share.delta]


def cache_shares(before: StageComposition, after: StageComposition, values: tuple[Fraction, Fraction]) -> list[Share]:
    """The shares in the difference of what a cache served: what it could serve, times how much of it it did."""
    could = [Fraction(side.input_tokens - side.fresh_input_tokens) for side in (before, after)]
    # Of next to nothing that it could serve, the part that it did serve tells nothing.
    if min(could) <= max(could) / 10:
        return [_could_share(before, after, values[1] - values[0])]
    served = [value / size for value, size in zip(values, could, strict=True)]
    by_could, by_served = shapley(product, *zip(could, served, strict=True))
    text = f"the cache took part in {float(served[0]):.0%} -> {float(served[1]):.0%} of what it could serve"
    shares = [_could_share(before, after, by_could), Share("model", "", by_served, text)]
    return [share for share in shares if share.delta]


def _could_share(before: StageComposition, after: StageComposition, delta: Fraction) -> Share:
    """Why a cache could serve more or less: a broken prefix, another number of calls, or the largest change of the input."""
    lost = behind_breaks(after) - behind_breaks(before)
    broken = find_break(after, before) if lost > 0 else find_break(before, after)
    if broken is not None and delta * lost < 0:
        text = broken.text if lost > 0 else f"no longer so: {broken.text}"
        return Share(broken.part, broken.name, delta, text)
    largest = max(
        read_shares(before, after), key=lambda share: (abs(share.delta), share.part, share.name), default=None
    )
    if largest is None:
        return Share("framing", "", delta, "the cache served more or less of an unchanged input")
    return Share(largest.part, largest.name, delta, f"the input changed: {largest.words}")


def _all_shares(leaves: list[Leaf], metric: Additive, *, unnamed: str) -> list[Share]:
    return [share for leaf in leaves for share in leaf_shares(leaf, metric, unnamed=unnamed)]


def _sum(shares: list[Share]) -> Fraction:
    return sum((share.delta for share in shares), Fraction(0))
