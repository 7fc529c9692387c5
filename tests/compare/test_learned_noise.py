"""What a suite's baselines teach about the noise of live times."""

from __future__ import annotations

import random

from pytest_tokenbudget.compare.shared_shift import learned_noise
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord


def _entry(seed: int, *, sigma: float = 0.1, traffic: str = "live") -> BaselineEntry:
    chance = random.Random(seed)
    sessions = tuple(tuple(chance.lognormvariate(1.0, sigma) for _ in range(5)) for _ in range(2))
    return BaselineEntry(metrics={"latency": MetricRecord(sessions)}, traffic=traffic)


def test_a_suite_of_quiet_gates_teaches_a_small_noise() -> None:
    """Forty gates that vary by 10 % are believed more than the cautious default of 40 %."""
    prior = learned_noise(_entry(seed) for seed in range(40))
    assert prior is not None
    assert 0.07 < prior.scale < 0.14


def test_too_few_gates_and_exact_traffic_teach_nothing() -> None:
    """Below twenty gates, and from replayed runs, nothing is learned."""
    assert learned_noise(_entry(seed) for seed in range(19)) is None
    assert learned_noise(_entry(seed, traffic="replay") for seed in range(40)) is None
