"""The noise of live times, learned from the stored baselines of a suite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.stats.log_ratio import ScalePrior, learn_prior

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
