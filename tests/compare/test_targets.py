"""Wanted reductions: reached or missed with evidence, whatever the statistic."""

from __future__ import annotations

import math
from random import Random

import pytest

from pytest_tokenbudget.compare import judge_improvement
from pytest_tokenbudget.compare.sequential import PAIRED
from pytest_tokenbudget.compare.target_rule import standard_met


@pytest.mark.parametrize(
    ("estimate", "upper_99", "upper_95", "expected"),
    [
        (0.6, 0.8, 0.68, "proven"),
        (0.6, 0.95, 0.8, "demonstrated"),
        (0.6, 1.05, 0.9, None),
        (0.71, 0.8, 0.75, None),
        (0.7, 0.9, 0.8, "demonstrated"),
    ],
)
def test_standards_of_improvement(estimate: float, upper_99: float, upper_95: float, expected: str | None) -> None:
    """Proven beats demonstrated; an estimate that misses the target meets neither."""
    assert standard_met(estimate, upper_99, upper_95, 0.7) == expected


@pytest.mark.parametrize(
    ("new", "kind", "verdict", "standard"),
    [
        ([60], "exact", "improved", "proven"),
        ([70], "exact", "improved", "proven"),
        ([71], "exact", "target_missed", None),
        ([60], "count", "inconclusive", None),
        ([60] * 3, "count", "improved", "proven"),
        ([80] * 3, "count", "target_missed", None),
    ],
)
def test_reductions_without_noise(new: list[float], kind: str, verdict: str, standard: str | None) -> None:
    """A target is met exactly or missed; live counts are confirmed first."""
    judged = judge_improvement([100] * 5, new, reduce="30%", kind=kind)  # type: ignore[arg-type]
    assert (judged.verdict, judged.standard) == (verdict, standard)
    assert (judged.more > 0) == (verdict == "inconclusive")
    assert judged.reason


def _times(seed: int, count: int, factor: float = 1.0) -> list[float]:
    rng = Random(seed)
    return [factor * rng.lognormvariate(0, 0.2) for _ in range(count)]


@pytest.mark.parametrize(
    ("factor", "verdict", "standard"),
    [(0.3, "improved", "proven"), (0.62, "improved", "demonstrated"), (1.0, "target_missed", None)],
)
def test_reductions_of_times(factor: float, verdict: str, standard: str | None) -> None:
    """Half the target is proven, a bit less than the target demonstrated, no change a miss."""
    judged = judge_improvement(_times(1, 20), _times(2, 20, factor), reduce=0.3, paired_run=True)
    assert (judged.verdict, judged.standard) == (verdict, standard)
    assert judged.lower < judged.ratio < judged.upper <= judged.upper_99


def test_a_reduction_asks_for_more() -> None:
    """What looks good on three values is not yet shown; with fixed samples it stays open."""
    judged = judge_improvement(_times(1, 3), _times(2, 3, 0.6), reduce=0.3, paired_run=True)
    assert (judged.verdict, judged.more) == ("inconclusive", 2)
    assert judge_improvement(_times(1, 3), _times(2, 3, 0.6), reduce=0.3, paired_run=True, fixed=True).more == 0


@pytest.mark.parametrize(("base", "new"), [([], [1.0]), ([1.0], [])])
def test_a_reduction_of_nothing(base: list[float], new: list[float]) -> None:
    """Without values nothing was reached and nothing was missed."""
    judged = judge_improvement(base, new, reduce=0.3)
    assert judged.verdict == "inconclusive"
    assert math.isnan(judged.ratio)


def test_reductions_of_tails() -> None:
    """A quantile is demonstrated by exceedances, proven by its bound, missed with enough calls."""
    base = _times(1, 100)
    half = judge_improvement(base, _times(2, 100, 0.4), reduce=0.3, statistic="p95", paired_run=True)
    assert (half.verdict, half.standard) == ("improved", "proven")
    same = judge_improvement(base, _times(2, 100), reduce=0.3, statistic="p95", paired_run=True)
    assert same.verdict == "target_missed"
    few = judge_improvement(base, _times(2, 12, 0.72), reduce=0.3, statistic="p95", paired_run=True)
    assert (few.verdict, few.more) == ("inconclusive", 8)
    assert few.reason.endswith("not shown with 12 values, p95 needs 59")


@pytest.mark.parametrize(("statistic", "each"), [("p50", 1), ("p95", 2), ("mean", 1)])
@pytest.mark.parametrize("sigma", [0.2, 0.4])
def test_a_target_that_is_reached_is_not_called_missed(statistic: str, each: int, sigma: float) -> None:
    """A miss needs evidence: of -34 % where -25 % is wanted it is called in at most 1 % of runs, at any look."""
    verdicts = [_verdict_of_pairs(Random(seed), statistic, each, 0.66, sigma) for seed in range(100)]
    assert verdicts.count("target_missed") <= 1
    unchanged = [_verdict_of_pairs(Random(seed), statistic, each, 1.0, sigma) for seed in range(50)]
    assert unchanged.count("improved") <= 1
    assert unchanged.count("target_missed") >= (40 if sigma == 0.2 else 5)


def _verdict_of_pairs(rng: Random, statistic: str, each: int, factor: float, sigma: float) -> str:
    """The verdict of interleaved pairs with so many values each, looked at until it is decided or the plan ends."""
    base: list[float] = []
    new: list[float] = []
    while True:
        base += [rng.lognormvariate(0, sigma) for _ in range(each)]
        new += [factor * rng.lognormvariate(0, sigma) for _ in range(each)]
        if len(base) // each not in PAIRED.looks:
            continue
        judged = judge_improvement(base, new, reduce=0.25, statistic=statistic, paired_run=True)
        if judged.verdict != "inconclusive" or len(base) >= each * PAIRED.cap:
            return judged.verdict
