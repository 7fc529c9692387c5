"""Explains the metrics that are no sums of tokens: cost, projected time, live latency, what a cache served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from pytest_tokenbudget.explain.additive import Leaf, additive_shares, weigh_tokens
from pytest_tokenbudget.explain.cache_prefix import behind_breaks, find_break
from pytest_tokenbudget.explain.phrases import say_change, say_instead, say_seconds
from pytest_tokenbudget.explain.shares import Share, product, read_shares, shapley
from pytest_tokenbudget.measure.constant_speed import complete
from pytest_tokenbudget.records.baseline import BaselineEntry, Speed
from pytest_tokenbudget.records.composition import Cause, StageComposition, inside
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.stats.statistic import mean

OUTPUT_WEIGHT = 4
"""The cost of an output token in input tokens where the prices cannot be told: the usual ratio of price lists (2026-11)."""

MILLION = 1_000_000


def cost_shares(
    leaves: list[Leaf],
    totals: tuple[StageComposition, StageComposition],
    values: tuple[Fraction, Fraction],
    *,
    unnamed: str,
) -> list[Share]:
    """The shares in the difference of a cost: tokens times their price, and the price itself.

    The prices are told from the two sides, if one pair of prices explains both; else an output token counts as
    :data:`OUTPUT_WEIGHT` input tokens, and the price of such a token is a factor of its own (Shapley).
    """
    pair = _infer_prices(totals, values)
    if pair is not None:
        shares = additive_shares(leaves, weigh_tokens(*pair), unnamed=unnamed)
        text = "another share of the cache, or another price"
    else:
        metric = weigh_tokens(Fraction(1), Fraction(OUTPUT_WEIGHT))
        sizes = [metric.value(total) for total in totals]
        if not sizes[0] or not sizes[1]:
            return []
        price = [value / size for value, size in zip(values, sizes, strict=True) if size]
        by_tokens = additive_shares(leaves, metric, unnamed=unnamed)
        shares = [share.scaled((price[0] + price[1]) / 2) for share in by_tokens]
        million = " -> ".join(f"${float(one * MILLION):,.2f}" for one in price)
        text = f"a million tokens {million}: another price, model or share of the cache"
    left = values[1] - values[0] - sum((share.delta for share in shares), Fraction(0))
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


def time_shares(
    before: StageComposition, after: StageComposition, values: tuple[Fraction, Fraction], *, own_code: bool
) -> list[Share]:
    """The shares in the difference of a time: calls, times what each wrote, times the time for a token of it.

    What a model writes is what it takes time for. Where the time for a token of it moved as what is read did, reading moved it, up
    to what it would be if all of a call's time were reading; only the rest is the model's or the agent's.

    ``own_code`` says whether the time holds the agent's own code as well.
    """
    if not (before.calls and after.calls and values[0] and values[1]):
        return []
    calls = [Fraction(before.calls), Fraction(after.calls)]
    written = [Fraction(side.output_tokens or 0, side.calls) for side in (before, after)]
    units, unit = (written, "an output token") if all(written) else ([Fraction(1)] * 2, "a call")
    call_time = [value / number for value, number in zip(values, calls, strict=True)]
    unit_time = [time / number for time, number in zip(call_time, units, strict=True)]
    by_calls, by_length, by_time = shapley(product, *zip(calls, units, unit_time, strict=True))
    other = "the model or the agent's own code" if own_code else "the model"
    reading = _reading_share(before, after, call_time[0], by_time)
    shares = [
        Share("calls", "", by_calls, say_instead(after.calls, before.calls, "call")),
        Share("output", "", by_length, f"answers {say_change(*written)} tokens a call"),
        reading,
        Share("model", "", by_time - reading.delta, f"{' -> '.join(map(say_seconds, unit_time))} {unit}: {other}"),
    ]
    return [share for share in shares if share.delta]


def _reading_share(before: StageComposition, after: StageComposition, call_time: Fraction, by_time: Fraction) -> Share:
    """The part of a change of speed (``by_time``, s) that other prompts explain; 0 where they moved the other way."""
    read = [Fraction(side.input_tokens, side.calls) for side in (before, after)]
    most = after.calls * call_time * (read[1] - read[0]) / read[0] if read[0] else Fraction(0)
    if by_time * most <= 0:
        return Share(READ, "", Fraction(0), "")
    delta = by_time if abs(by_time) < abs(most) else most
    return Share(READ, "", delta, f"{say_change(*read)} tokens read a call")


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


OWN_CODE, OVERLAP, PROVIDER, READ = "own_code", "overlap", "provider", "input"
_LEAST = 0.005
"""Share of the larger value below which a part of the difference is rounding."""


def latency_causes(metric: Metric, entry: BaselineEntry, samples: Sequence[Sample]) -> tuple[Cause, ...] | None:
    """The causes of the difference of a latency of a live run, largest first; they add up to it.

    Args:
        metric: ``latency`` or ``measured_latency`` of a stage or of the whole test.
        entry: The baseline.
        samples: The samples of this run, at the baseline's speed.

    Returns:
        The causes; ``None`` where the baseline holds no speed, or a side has no calls or unknown tokens.
    """
    if not entry.speeds or samples[-1].traffic != "live":
        return None
    before = _side(lambda name: _stored(entry, Metric(metric.stage, name)))
    after = _side(lambda name: _measured(samples, Metric(metric.stage, name)))
    speed = _average(complete(entry.speeds, samples), metric.stage)
    if before is None or after is None or speed is None:
        return None
    a_call = speed.call + speed.read * before["read"] + speed.written * before["written"]
    shares = {
        "calls": (after["calls"] - before["calls"]) * a_call,
        READ: after["calls"] * (after["read"] - before["read"]) * speed.read,
        "output": after["calls"] * (after["written"] - before["written"]) * speed.written,
    }
    words = {
        "calls": f"{say_instead(round(after['calls']), round(before['calls']), 'call')}, {a_call:.2g} s each",
        READ: f"{before['read']:,.0f} -> {after['read']:,.0f} uncached tokens read a call",
        "output": f"{before['written']:,.0f} -> {after['written']:,.0f} tokens written a call",
        OWN_CODE: "the agent's own code",
        OVERLAP: "calls run side by side otherwise than before",
        PROVIDER: "the provider's speed: not this change",
    }
    code = after["latency"] - before["latency"]
    whole = code
    # Own code is what is left where nothing ran side by side on either side; its size is known apart.
    own = after["own_time"] - before["own_time"]
    left = code - sum(shares.values())
    shares[OWN_CODE] = max(0.0, min(own, left)) if left > 0 else min(0.0, max(own, left))
    shares[OVERLAP] = left - shares[OWN_CODE]
    if metric.name == "measured_latency":
        whole = after["measured_latency"] - before["measured_latency"]
        shares[PROVIDER] = whole - code
    return _causes(
        metric,
        shares,
        words,
        whole,
        max(before["measured_latency"], after["measured_latency"], before["latency"], after["latency"]),
    )


def _causes(
    metric: Metric, shares: Mapping[str, float], words: Mapping[str, str], whole: float, size: float
) -> tuple[Cause, ...]:
    kept = {part: delta for part, delta in shares.items() if abs(delta) > _LEAST * size}
    if not kept:
        return ()
    largest = max(kept, key=lambda part: abs(kept[part]))
    kept[largest] += whole - sum(kept.values())  # what is rounding goes to the largest, so that they add up
    ordered = sorted(kept.items(), key=lambda pair: -abs(pair[1]))
    return tuple(Cause(metric.key, metric.stage, part, "", delta, words[part]) for part, delta in ordered)


def _stored(entry: BaselineEntry, metric: Metric) -> float | None:
    record = entry.metrics.get(metric.key)
    return None if record is None else float(mean(record.sessions[-1]))


def _measured(samples: Sequence[Sample], metric: Metric) -> float | None:
    figures = [sample.stages.get(metric.stage, {}) if metric.stage else sample.total for sample in samples]
    known = [value for values in figures if (value := values.get(metric.name)) is not None]
    return float(mean(known)) if known and len(known) == len(figures) else None


_NAMES = ("calls", "input_tokens", "output_tokens", "own_time", "latency", "measured_latency")


def _side(figure: Callable[[str], float | None]) -> dict[str, float] | None:
    """A run's figures that decide its latency, with the uncached tokens that a call reads; ``None`` where one is not known."""
    known = {name: value for name in _NAMES if (value := figure(name)) is not None}
    if len(known) < len(_NAMES) or not known["calls"]:
        return None
    read = max(0.0, known["input_tokens"] - (figure("cached_input_tokens") or 0.0))
    return known | {"read": read / known["calls"], "written": known["output_tokens"] / known["calls"]}


def _average(speeds: Mapping[str, Mapping[str, Speed]], stage: str) -> Speed | None:
    """The speed of the calls of a stage, each model as often as it was fitted to a call."""
    mine = [speed for path, models in speeds.items() if inside(path, stage) for speed in models.values()]
    calls = sum(speed.calls for speed in mine)
    if not calls:
        return None
    call, read, written = (sum(speed.calls * speed.coefficients[index] for speed in mine) / calls for index in range(3))
    return Speed(call, read, written, calls)
