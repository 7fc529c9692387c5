"""The rules of other gates, each with a limit of 20 % where it has one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pytest_tokenbudget.stats.distributions import upper_quantile

Rule = Callable[[Sequence[float], Sequence[float]], bool]
"""Base and new values, to whether the new ones are called a regression."""

LIMIT = 0.20


def naive_mean(base: Sequence[float], new: Sequence[float]) -> bool:
    """The mean is more than 20 % above the mean."""
    return sum(new) / len(new) > (1 + LIMIT) * sum(base) / len(base)


def naive_p95(base: Sequence[float], new: Sequence[float]) -> bool:
    """The p95 (nearest rank) is more than 20 % above the p95."""
    now, then = (sorted(v)[math.ceil(0.95 * len(v)) - 1] for v in (new, base))
    return now > (1 + LIMIT) * then


def benchmark_compare_fail(base: Sequence[float], new: Sequence[float]) -> bool:
    """pytest-benchmark's ``--benchmark-compare-fail=min:20%``, after its documentation."""
    return min(new) > (1 + LIMIT) * min(base)


def bencher_t_test(base: Sequence[float], new: Sequence[float]) -> bool:
    """Bencher's ``t_test`` with an upper boundary of 0.99: mean + t * standard deviation of the history."""
    m = len(base)
    mean = sum(base) / m
    deviation = math.sqrt(sum((v - mean) ** 2 for v in base) / (m - 1))
    return sum(new) / len(new) > mean + upper_quantile(0.01, m - 1.0) * deviation


def kayenta(base: Sequence[float], new: Sequence[float]) -> bool:
    """Kayenta's Mann-Whitney judge: the 98 % interval of the shift lies above a quarter of its estimate."""
    m, n = len(base), len(new)
    shifts = sorted(x - y for x in new for y in base)
    count = m * n
    estimate = 0.5 * (shifts[(count - 1) // 2] + shifts[count // 2])
    rank = math.floor(0.5 * count - 2.3263478740408408 * math.sqrt(count * (m + n + 1) / 12.0))
    lower = shifts[max(0, rank)]
    return lower > 0.25 * abs(estimate)


RIVALS: dict[str, Rule] = {
    "naive mean": naive_mean,
    "naive p95": naive_p95,
    "pytest-benchmark compare-fail": benchmark_compare_fail,
    "Bencher t-test": bencher_t_test,
    "Kayenta Mann-Whitney": kayenta,
}
