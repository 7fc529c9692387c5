"""A whole session: the noise that its baselines teach, and the shift that its gates share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_tokenbudget.compare.terms import ALPHA, STORED_TAU, change
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.stats.distributions import upper_quantile
from pytest_tokenbudget.stats.log_ratio import ENOUGH_GATES, ScalePrior, learn_prior
from pytest_tokenbudget.stats.statistic import median

_MEDIAN_INFLATION = 1.2533
"""Standard error of a median over that of a mean, under normality."""

_MAD_TO_SIGMA = 1.4826

LEAST_SESSIONS = 3
"""Sessions of a baseline below which a shift that all gates share fails nothing: how much days and machines differ is
not seen in one or two of them, and all gates move together with either."""


@dataclass(frozen=True, slots=True)
class SuiteShift:
    """The common movement of all latency gates of one provider and model.

    Attributes:
        verdict: ``regression`` where the shift is above the allowance and is more than sessions differ by themselves,
            ``inconclusive`` where it is above the allowance and sessions may differ by as much, or where the baseline has too few sessions
            to tell, else ``ok``.
        log_ratio: Median log-ratio of the gates: the ``shift`` to judge each gate with.
        ratio: The same as a ratio.
        gates: Gates that it is the median of.
        lower: 99 % lower bound of the ratio, the variation between sessions included.
        reason: One sentence.
    """

    verdict: Literal["ok", "regression", "inconclusive"]
    log_ratio: float
    ratio: float
    gates: int
    lower: float
    reason: str


def suite_shift(
    ratios: Sequence[float], *, max_increase: float = 0.2, sessions: int = 5, tau: float = STORED_TAU
) -> SuiteShift | None:
    """The shift that the latency gates of one provider and model share.

    A provider that is slow today moves all of them; what a gate moved beyond that is its own. The shift is a verdict
    of its own, since a longer prompt that all tests share would hide in it.

    Args:
        ratios: New over base of each gate.
        max_increase: Allowed increase of the whole suite.
        sessions: Sessions of the baselines, typically.
        tau: Standard deviation of the provider's level from session to session, log scale.

    Returns:
        The shift; ``None`` where fewer than 20 gates have a finite, positive ratio.
    """
    logs = sorted(math.log(ratio) for ratio in ratios if 0.0 < ratio < math.inf)
    if len(logs) < ENOUGH_GATES:
        return None
    centre = median(logs)
    sigma = _MAD_TO_SIGMA * median(sorted(abs(value - centre) for value in logs))
    own = (_MEDIAN_INFLATION * sigma) ** 2 / len(logs)
    error = math.sqrt(own + tau * tau * (1.0 / max(1, sessions) + 1.0))
    lower = centre - upper_quantile(ALPHA, len(logs) - 1.0) * error
    above = centre > math.log1p(max_increase)
    text = f"all {len(logs)} latency gates together: {change(math.exp(centre))}"
    if above and sessions < LEAST_SESSIONS:
        verdict: Literal["ok", "regression", "inconclusive"] = "inconclusive"
        text += f", which baselines of fewer than {LEAST_SESSIONS} sessions cannot tell from a slower machine or day"
    elif above and lower > 0.0:
        verdict = "regression"
        text += ", more than the provider differs from session to session"
    elif above:
        verdict = "inconclusive"
        text += ", by which the provider may differ from session to session: `tokenbudget ab` tells"
    else:
        verdict = "ok"
    return SuiteShift(verdict, centre, math.exp(centre), len(logs), math.exp(lower), text)


LEARNED_FROM = "latency"


def learned_noise(entries: Iterable[BaselineEntry]) -> ScalePrior | None:
    """Learn the standard deviation of a single live time from a suite's baselines, by empirical Bayes.

    Args:
        entries: The stored entries of the session's tests; replayed and scripted ones are passed over.

    Returns:
        The prior, or ``None`` where fewer than 20 latency gates have sessions of several samples.
    """
    return learn_prior(_variances(entry for entry in entries if entry.traffic == "live"))


def _variances(entries: Iterable[BaselineEntry]) -> Iterator[tuple[float, float]]:
    """Variance inside the sessions (log scale) of each latency record, and its degrees of freedom."""
    for entry in entries:
        for name, record in entry.metrics.items():
            if name.rpartition(".")[2] == LEARNED_FROM:
                squares, freedom = _within(record)
                if freedom:
                    yield squares / freedom, float(freedom)


def _within(record: MetricRecord) -> tuple[float, int]:
    squares, freedom = 0.0, 0
    for session in record.sessions:
        if len(session) > 1 and min(session) > 0:
            logs = [math.log(value) for value in session]
            mean = math.fsum(logs) / len(logs)
            squares += math.fsum((value - mean) ** 2 for value in logs)
            freedom += len(logs) - 1
    return squares, freedom
