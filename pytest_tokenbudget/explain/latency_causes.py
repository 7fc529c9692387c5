"""Explains a live latency: by calls, tokens read, tokens written, the agent's own code, overlap, and the provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.explain.phrases import say_instead
from pytest_tokenbudget.measure.constant_speed import complete
from pytest_tokenbudget.records.baseline import BaselineEntry, Speed
from pytest_tokenbudget.records.composition import Cause, inside
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.stats.statistic import mean

OWN_CODE, OVERLAP, PROVIDER, READ = "own_code", "overlap", "provider", "input"
_LEAST = 0.005
"""Share of the larger value below which a part of the difference is rounding."""


@dataclass(frozen=True, slots=True)
class _Side:
    """A run's figures that decide its latency: sums over its calls, and times in s."""

    calls: float
    read: float
    written: float
    own_time: float
    latency: float
    measured: float

    @property
    def read_each(self) -> float:
        """Uncached input tokens of a call."""
        return self.read / self.calls

    @property
    def written_each(self) -> float:
        """Output tokens of a call."""
        return self.written / self.calls


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
    before, after = _stored(entry, metric.stage), _measured(samples, metric.stage)
    speed = _average(complete(entry.speeds, samples), metric.stage)
    if before is None or after is None or speed is None:
        return None
    a_call = speed.call + speed.read * before.read_each + speed.written * before.written_each
    shares = {
        "calls": (after.calls - before.calls) * a_call,
        READ: after.calls * (after.read_each - before.read_each) * speed.read,
        "output": after.calls * (after.written_each - before.written_each) * speed.written,
    }
    words = {
        "calls": f"{say_instead(round(after.calls), round(before.calls), 'call')}, {a_call:.2g} s each",
        READ: f"{before.read_each:,.0f} -> {after.read_each:,.0f} uncached tokens read a call",
        "output": f"{before.written_each:,.0f} -> {after.written_each:,.0f} tokens written a call",
        OWN_CODE: "the agent's own code",
        OVERLAP: "calls run side by side otherwise than before",
        PROVIDER: "the provider's speed: not this change",
    }
    code = after.latency - before.latency
    whole = code
    # Own code is what is left where nothing ran side by side on either side; its size is known apart.
    own = after.own_time - before.own_time
    left = code - sum(shares.values())
    shares[OWN_CODE] = max(0.0, min(own, left)) if left > 0 else min(0.0, max(own, left))
    shares[OVERLAP] = left - shares[OWN_CODE]
    if metric.name == "measured_latency":
        whole = after.measured - before.measured
        shares[PROVIDER] = whole - code
    return _causes(metric, shares, words, whole, max(before.measured, after.measured, before.latency, after.latency))


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


def _stored(entry: BaselineEntry, stage: str) -> _Side | None:
    def figure(name: str) -> float | None:
        record = entry.metrics.get(Metric(stage, name).key)
        return None if record is None else float(mean(record.sessions[-1]))

    return _side({name: figure(name) for name in _NAMES})


def _measured(samples: Sequence[Sample], stage: str) -> _Side | None:
    def figure(name: str) -> float | None:
        values = [(sample.stages.get(stage, {}) if stage else sample.total).get(name) for sample in samples]
        known = [value for value in values if value is not None]
        return float(mean(known)) if known and len(known) == len(values) else None

    return _side({name: figure(name) for name in _NAMES})


_NAMES = ("calls", "input_tokens", "cached_input_tokens", "output_tokens", "own_time", "latency", "measured_latency")


def _side(figures: Mapping[str, float | None]) -> _Side | None:
    known = {**figures, "cached_input_tokens": figures["cached_input_tokens"] or 0.0}
    values = {name: value for name, value in known.items() if value is not None}
    if len(values) < len(_NAMES) or not values["calls"]:
        return None
    return _Side(
        calls=values["calls"],
        read=max(0.0, values["input_tokens"] - values["cached_input_tokens"]),
        written=values["output_tokens"],
        own_time=values["own_time"],
        latency=values["latency"],
        measured=values["measured_latency"],
    )


def _average(speeds: Mapping[str, Mapping[str, Speed]], stage: str) -> Speed | None:
    """The speed of the calls of a stage, each model as often as it was fitted to a call."""
    mine = [speed for path, models in speeds.items() if inside(path, stage) for speed in models.values()]
    calls = sum(speed.calls for speed in mine)
    if not calls:
        return None
    call, read, written = (sum(speed.calls * speed.coefficients[index] for speed in mine) / calls for index in range(3))
    return Speed(call, read, written, calls)
