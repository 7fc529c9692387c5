"""Judging counts, exact values, tails, drift and whole suites."""

from __future__ import annotations

import math
from random import Random

import pytest

from pytest_tokenbudget.compare import judge, judge_origin
from pytest_tokenbudget.compare.shared_shift import suite_shift
from pytest_tokenbudget.records.verdict import GateResult, next_batch


@pytest.mark.parametrize(
    ("base", "new", "verdict", "ratio"),
    [
        ([100], [110], "ok", 1.1),
        ([100], [111], "regression", 1.11),
        ([100], [90], "ok", 0.9),
        ([100], [89], "improved", 0.89),
        ([0], [0], "ok", 1.0),
        ([0], [1], "regression", math.inf),
        ([100, 100], [105, 115], "ok", 1.1),
        ([0.3], [0.33], "ok", 1.1),
    ],
)
def test_exact_values_are_compared_exactly(base: list[float], new: list[float], verdict: str, ratio: float) -> None:
    """One value suffices, nothing is rounded, and a base of 0 has no special rule."""
    judged = judge(base, new, max_increase="10%", kind="exact")
    assert judged.verdict == verdict
    assert judged.ratio == pytest.approx(ratio)
    assert judged.exact
    assert judged.p is None
    assert judged.sigma is None
    assert judged.lower == judged.upper == judged.ratio
    assert judged.detectable == pytest.approx(0.1)


def test_exact_slack() -> None:
    """``"10% +200"`` must be passed in both parts."""
    assert judge([100], [250], max_increase="10% +200", kind="exact").verdict == "ok"
    assert judge([100], [301], max_increase="10% +200", kind="exact").verdict == "regression"
    assert judge([0], [200], max_increase="+200", kind="exact").verdict == "ok"


def test_exact_quantile() -> None:
    """A gate on the maximum compares maxima."""
    assert judge([1, 2, 10], [1, 2, 11], max_increase="10%", kind="exact", statistic="max").verdict == "ok"
    assert judge([1, 2, 10], [1, 2, 12], max_increase="10%", kind="exact", statistic="max").verdict == "regression"


def test_a_quiet_count_is_confirmed_before_it_fails() -> None:
    """A suspicious live count needs two more, one at a time; three that agree fail, though their variance is zero."""
    first = judge([[100] * 5], [200], max_increase=0.1, kind="count")
    assert (first.verdict, first.more) == ("inconclusive", 1)
    assert "2 more samples" in first.reason
    assert judge([[100] * 5], [200] * 3, max_increase=0.1, kind="count").verdict == "regression"
    assert judge([[100] * 5], [105], max_increase=0.1, kind="count").verdict == "ok"


def test_a_lower_live_count_is_no_improvement_until_three_agree() -> None:
    """A loop that happened to end early is within the budget; what is called improved has the evidence of a regression."""
    first = judge([[100]], [50], max_increase=0.1, kind="count")
    assert (first.verdict, first.more) == ("ok", 0)
    assert "2 more samples would tell an improvement from chance" in first.reason
    assert judge([[100]], [50, 50], max_increase=0.1, kind="count").verdict == "ok"
    assert judge([[100]], [50, 50, 50], max_increase=0.1, kind="count").verdict == "improved"
    assert judge([[100]], [50], max_increase=0.1, kind="count", fixed=True).verdict == "improved"


def test_counts_that_vary_are_not_sampled_where_no_number_of_samples_can_decide() -> None:
    """Against one stored value only ten that all lie above it decide; the first that does not ends the sampling."""
    second = judge([[100]], [150, 160], max_increase=0.1, kind="count")
    assert (second.verdict, second.more) == ("inconclusive", 1)
    third = judge([[100]], [150, 160, 105], max_increase=0.1, kind="count")
    assert (third.verdict, third.more, third.baseline_missing) == ("inconclusive", 0, 2)
    assert "1 baseline sample cannot tell a change from chance" in third.reason
    assert judge([[100]], [150, 160], max_increase=0.1, kind="count", max_samples=5).more == 0
    assert judge([[100, 120, 90]], [150, 160, 105], max_increase=0.1, kind="count").more > 0


def test_a_fixed_count_gets_its_verdict() -> None:
    """Where no more samples come, what passes the allowance over the worst baseline value is a regression."""
    assert judge([[100] * 5], [200], max_increase=0.1, kind="count", fixed=True).verdict == "regression"
    noisy = [[98, 101, 100, 99, 120]]
    assert judge(noisy, [140], max_increase=0.1, kind="count", fixed=True).verdict == "regression"
    assert judge(noisy, [125], max_increase=0.1, kind="count", fixed=True).verdict == "inconclusive"


def test_noisy_counts_need_five() -> None:
    """Counts that vary fail from the fifth value on."""
    base = [[970, 1010, 1000, 990], [1005, 1020, 985, 1000]]
    few = judge(base, [1500, 1510, 1490], max_increase=0.2, kind="count")
    assert (few.verdict, few.more) == ("inconclusive", 2)
    assert "2 more samples" in few.reason
    five = judge(base, [1500, 1510, 1490, 1505, 1495], max_increase=0.2, kind="count")
    assert five.verdict == "regression"
    assert five.confirmed
    assert not five.exact


def test_one_value_of_an_unchanged_noisy_count_passes() -> None:
    """A count within the allowance passes at once."""
    assert judge([[970, 1010, 1000, 990]], [1020], max_increase=0.1, kind="count").verdict == "ok"


def test_a_lower_noisy_count_is_improved() -> None:
    """Five values far below are an improvement."""
    assert judge([[970, 1010, 1000, 990, 1000]], [500, 510, 490, 505, 495], max_increase=0.1, kind="count").verdict == (
        "improved"
    )


def test_a_loop_that_sometimes_runs_twice_does_not_fail() -> None:
    """Three of five samples in the upper cluster are no evidence, tight as the clusters are."""
    base = [[100, 100, 200, 100], [100, 200, 100, 100]]
    assert judge(base, [200, 200, 100, 200, 100], max_increase=0.1, kind="count").verdict == "inconclusive"


def test_a_baseline_of_one_value_is_overruled_by_many() -> None:
    """A single stored count cannot be significant; ten new ones far above it are enough, nine are not."""
    new = [150, 151, 149, 152, 150, 150, 151, 149, 150, 151]
    assert judge([[100]], new[:9], max_increase=0.1, kind="count").verdict == "inconclusive"
    assert judge([[100]], new, max_increase=0.1, kind="count").verdict == "regression"


def test_a_baseline_of_one_value_may_be_a_low_one() -> None:
    """Where the new values lie further apart than above the single stored one, that one was no typical value."""
    scattered = [150, 300, 210, 180, 250, 280, 160, 220, 190, 260]
    assert judge([[100]], scattered, max_increase=0.1, kind="count").verdict == "inconclusive"
    assert judge([[100]], [4 * v for v in scattered], max_increase=0.1, kind="count").verdict == "regression"


def test_counts_of_zero() -> None:
    """Counts with zeros have no logarithm, and are judged by ranks and means."""
    base = [[0, 1, 0, 0, 1], [0, 0, 1, 0, 0]]
    assert judge(base, [0, 1, 0, 0, 1], max_increase="10% +1", kind="count").verdict == "ok"
    assert judge(base, [5, 6, 5, 7, 5, 6, 5, 5, 6, 5], max_increase="10% +1", kind="count").verdict == "regression"


def test_p95_says_how_many_calls_it_needs() -> None:
    """Too few calls can fail, and never pass."""
    rng = Random(3)
    base = [[rng.lognormvariate(0, 0.3) for _ in range(20)] for _ in range(5)]
    same = [rng.lognormvariate(0, 0.3) for _ in range(12)]
    few = judge(base, same, max_increase=0.2, statistic="p95", paired_run=True)
    assert few.verdict == "inconclusive"
    assert few.reason == "p95 needs 59 pooled calls, have 12"
    assert few.upper == math.inf
    slow = judge(base, [3 * v for v in same], max_increase=0.2, statistic="p95", paired_run=True)
    assert slow.verdict == "regression"
    assert slow.lower == 1.0
    many = [rng.lognormvariate(0, 0.3) for _ in range(150)]
    assert judge(base, many, max_increase=0.2, statistic="p95", paired_run=True).verdict == "ok"
    fast = [0.3 * v for v in many]
    assert judge(base, fast, max_increase=0.2, statistic="p95", paired_run=True).verdict == "improved"


def test_tails_allow_for_drift() -> None:
    """What is significant between interleaved arms may be drift against a stored baseline."""
    rng = Random(3)
    base = [[rng.lognormvariate(0, 0.1) for _ in range(20)] for _ in range(5)]
    new = [1.3 * rng.lognormvariate(0, 0.1) for _ in range(100)]
    assert judge(base, new, max_increase=0.2, statistic="p50", paired_run=True).verdict == "regression"
    assert judge(base, new, max_increase=0.2, statistic="p50").verdict != "regression"


def test_a_maximum_never_passes() -> None:
    """No number of calls bounds the maximum, and the reason says what to gate instead."""
    judged = judge([1.0, 1.1] * 30, [1.0, 1.1] * 30, max_increase=0.2, statistic="max")
    assert judged.verdict == "inconclusive"
    assert "p95" in judged.reason


def _times(seed: int, count: int, factor: float = 1.0) -> list[float]:
    rng = Random(seed)
    return [factor * rng.lognormvariate(0, 0.2) for _ in range(count)]


def test_drift_is_seen_against_the_origin() -> None:
    """Updates of +4 % each are within a gate of 5 %, and not within twice that of the origin."""
    sessions = [[round(100 * 1.04**k)] for k in range(1, 9)]
    drift = judge_origin(100, sessions, max_increase="5%", kind="count")
    assert drift.verdict == "regression"
    assert drift.sessions == 5
    assert "since the origin" in drift.reason
    assert judge_origin(100, sessions[:3], max_increase="5%", kind="count").verdict == "ok"


def test_noise_is_no_drift() -> None:
    """Sessions that vary around the origin have not moved."""
    sessions = [[97, 104, 101], [99, 103, 96], [102, 100, 98]]
    drift = judge_origin(100, sessions, max_increase="2%", kind="count")
    assert drift.verdict == "ok"
    assert drift.p is not None
    assert drift.p > 0.1


def test_times_drift_too() -> None:
    """Tripled times have drifted; a quarter more may be the provider's days."""
    slow = [_times(seed, 4, 3.0) for seed in range(5)]
    assert judge_origin(1.0, slow, max_increase="10%", origin_samples=10).verdict == "regression"
    slower = [_times(seed, 4, 1.25) for seed in range(5)]
    assert judge_origin(1.0, slower, max_increase="10%", origin_samples=10).verdict == "ok"


def test_no_session_is_no_drift() -> None:
    """Without sessions there is nothing to compare; an exact one is compared without a p-value."""
    assert math.isnan(judge_origin(100, [[]], max_increase="5%").ratio)
    exact = judge_origin(100, [[111]], max_increase="5%", kind="exact")
    assert (exact.verdict, exact.p) == ("regression", None)


def test_the_suite_shifts_together() -> None:
    """A shift is the median of 20 gates or more; drift explains a small one, not a doubling."""
    assert suite_shift([1.5] * 19) is None
    ratios = [1.0 + 0.01 * (i % 7) for i in range(30)]
    still = suite_shift(ratios)
    assert still is not None
    assert still.verdict == "ok"
    drifted = suite_shift([1.25 * r for r in ratios])
    assert drifted is not None
    assert drifted.verdict == "inconclusive"
    assert drifted.log_ratio == pytest.approx(math.log(drifted.ratio))
    doubled = suite_shift([2.0 * r for r in ratios])
    assert doubled is not None
    assert doubled.verdict == "regression"
    assert doubled.lower > 1.0


def test_the_next_batch_is_the_smallest_that_helps() -> None:
    """Several gates of a test share its samples: the first look among them comes next."""
    open_count = judge([[100] * 5], [200], max_increase=0.1, kind="count")
    noisy = judge([[98, 101, 100, 99, 120]], [200], max_increase=0.1, kind="count")
    done = judge([100], [100], max_increase=0.1, kind="exact")
    assert (open_count.more, noisy.more, done.more) == (1, 4, 0)
    gates = [
        GateResult("calls", "mean", "+10%", "max_increase", 1, 2, judged.verdict, more=judged.more)
        for judged in (open_count, noisy, done)
    ]
    assert next_batch(gates) == 1
    assert next_batch(gates[2:]) == 0
    assert next_batch([]) == 0
