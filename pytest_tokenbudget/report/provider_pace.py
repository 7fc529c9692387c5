"""The provider's part of latency in words: it is told, and fails nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pytest_tokenbudget.records.verdict import ProviderPace, TestResult
from pytest_tokenbudget.wording import counted, plain

TOLD_FROM = 1.1
"""Ratio from which a model's speed is told, and below whose inverse."""

KNOWN_WITHIN = 2.0
"""Factor within which the ratio has to be known: one call of a baseline of one call says nothing."""


def pace_lines(paces: Iterable[ProviderPace], *, what: str) -> list[str]:
    """A sentence for each model that was faster or slower than in the baseline.

    Args:
        paces: Their speeds.
        what: What has not caused it: ``this change``.
    """
    return [
        f"{plain(pace.provider)} {plain(pace.model)} is {_times(pace.ratio)} per token than in the baseline"
        f" ({pace.lower:.2g} to {pace.upper:.2g} times its time, {counted(pace.calls, 'call')}): not {what}"
        for pace in paces
        if is_told(pace)
    ]


def is_told(pace: ProviderPace) -> bool:
    """Whether a model's speed has changed by enough, and is known well enough, to be told."""
    has_changed = not 1.0 / TOLD_FROM < pace.ratio < TOLD_FROM
    return has_changed and (pace.upper < KNOWN_WITHIN * pace.ratio or not pace.lower <= 1.0 <= pace.upper)


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times slower" if ratio > 1.0 else f"{1.0 / ratio:.2g} times faster"


def pooled_paces(results: Sequence[TestResult]) -> list[ProviderPace]:
    """The speed of each model over all tests of a session.

    The logarithms of the tests' ratios are averaged, each weighted by the inverse of its squared margin.
    """
    groups: dict[tuple[str, str], list[ProviderPace]] = {}
    for result in results:
        for pace in result.paces:
            groups.setdefault((pace.provider, pace.model), []).append(pace)
    return [_pooled(groups[key]) for key in sorted(groups)]


def _pooled(paces: Sequence[ProviderPace]) -> ProviderPace:
    weights = [max(1e-6, math.log(pace.upper / pace.ratio)) ** -2 for pace in paces]
    location = sum(w * math.log(pace.ratio) for w, pace in zip(weights, paces, strict=True)) / sum(weights)
    margin = sum(weights) ** -0.5
    lower, ratio, upper = (math.exp(location + offset) for offset in (-margin, 0.0, margin))
    return ProviderPace(paces[0].model, paces[0].provider, ratio, lower, upper, sum(pace.calls for pace in paces))
