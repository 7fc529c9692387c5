"""Location, scale, ranks, quantiles and exact comparison of samples."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.stats.distributions import exceedance_of_middle, fisher_exact
from pytest_tokenbudget.stats.log_ratio import NoisePrior, fit, huber_location, moderated_variance
from pytest_tokenbudget.stats.ranks import (
    exceedance_p,
    exceedance_test,
    mann_whitney,
    smallest_p,
    upper_bound,
    values_needed,
    wins,
)
from pytest_tokenbudget.stats.statistic import (
    exceeds,
    falls_short,
    mean,
    median,
    quantile,
    rational,
    rational_mean,
    statistic,
)

FLOATS = st.floats(-5.0, 5.0)


def test_median_of_even_and_odd() -> None:
    """The middle value, or the mean of the middle two; of nothing there is none."""
    assert median([1.0]) == 1.0
    assert median([1.0, 4.0]) == 2.5
    assert median([1.0, 4.0, 9.0]) == 4.0
    with pytest.raises(ValueError, match="no values"):
        median([])


@given(st.lists(FLOATS, min_size=1, max_size=30), st.floats(0.01, 5.0))
def test_huber_location_lies_inside_the_sample(values: list[float], scale: float) -> None:
    """The location never leaves the range of the values by more than rounding."""
    ordered = sorted(values)
    location = huber_location(ordered, median(ordered), scale)
    assert ordered[0] - 1e-9 <= location <= ordered[-1] + 1e-9


def test_huber_location_bounds_the_pull_of_an_outlier() -> None:
    """A value far away pulls no more than one at the edge of the reach."""
    ordered = [-0.2, -0.1, 0.0, 0.1, 0.2]
    near = huber_location([*ordered, 1.0], 0.05, 0.2)
    far = huber_location([*ordered, 1000.0], 0.05, 0.2)
    assert far == pytest.approx(near)
    assert far < 0.15


def test_moderated_variance_of_one_value_each_is_the_prior() -> None:
    """Without any spread to see, the prior stands."""
    assert moderated_variance([0.0, 0.0], 0.4, 4.0) == pytest.approx(0.16)


def test_moderated_variance_of_equal_values_shrinks_below_the_prior() -> None:
    """Equal values are evidence of a small spread, and never give a zero."""
    variance = moderated_variance([0.0] * 20, 0.4, 4.0)
    assert 0.0 < variance < 0.16 / 5


@given(st.lists(FLOATS, min_size=1, max_size=20), st.lists(FLOATS, min_size=1, max_size=20))
def test_moderated_variance_is_positive(base: list[float], new: list[float]) -> None:
    """Whatever the values, there is a variance to divide by."""
    squares = sorted((value - median(sorted(v))) ** 2 for v in (base, new) for value in v)
    assert moderated_variance(squares, 0.4, 4.0) > 0.0


def test_fit_of_single_values() -> None:
    """One value each: the estimate is their difference, the spread is the prior's."""
    ratio, _ = fit([0.0], [0.5], 1, NoisePrior(tau=0.0))
    assert ratio.estimate == 0.5
    assert ratio.sigma == pytest.approx(0.4)
    assert ratio.error == pytest.approx(math.sqrt(1.4 * 0.16 * 2))
    assert ratio.nu == 4.0


def test_bounds_and_p_value_belong_together() -> None:
    """The lower bound at 1 - p is where no change lies."""
    ratio, _ = fit([-0.1, 0.0, 0.1, 0.2], [0.4, 0.5, 0.7], 2, NoisePrior())
    assert ratio.bound(1.0 - ratio.p_increase()) == pytest.approx(0.0, abs=1e-9)
    assert ratio.bound(0.99) < ratio.estimate < ratio.bound(0.05)


def test_detectable_shrinks_with_the_sample() -> None:
    """More values show smaller changes, and never one below what is allowed."""
    small, _ = fit([0.0, 0.1, 0.2], [0.0, 0.1, 0.2], 3, NoisePrior(tau=0.0))
    large, _ = fit([0.0, 0.1, 0.2] * 10, [0.0, 0.1, 0.2] * 10, 3, NoisePrior(tau=0.0))
    assert 0.18 < large.detectable(0.18, 0.01) < small.detectable(0.18, 0.01)


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        ([1, 3, 5, 7], [2, 6, 8, 9, 10], 0.09523809523809523),
        ([1, 2, 3], [4, 5, 6], 0.05),
        ([4, 5, 6], [1, 2, 3], 1.0),
        ([], [1], 1.0),
        ([1], [], 1.0),
        ([2.0], [2.0], 1.0),
    ],
)
def test_mann_whitney_is_exact(base: list[float], new: list[float], expected: float) -> None:
    """p-values of small samples are exact; a tie is no win, an empty sample no evidence."""
    assert mann_whitney(base, new) == pytest.approx(expected)


def test_mann_whitney_counts_every_arrangement() -> None:
    """The exact tail is the share of arrangements with at least as many wins."""
    base, new = [1.0, 2.0, 5.0, 7.0], [3.0, 4.0, 8.0]
    pooled = sorted(base + new)
    observed = wins(base, new)
    arrangements = [
        wins([v for v in pooled if v not in chosen], list(chosen)) for chosen in itertools.combinations(pooled, 3)
    ]
    expected = sum(count >= observed for count in arrangements) / len(arrangements)
    assert mann_whitney(base, new) == pytest.approx(expected)


def test_mann_whitney_of_large_samples_is_close_to_exact() -> None:
    """The approximation for large samples continues the exact values."""
    base = [float(i) for i in range(50)]
    exact = mann_whitney(base, [v + 10.5 for v in base])
    approximate = mann_whitney([*base, 50.0], [v + 10.5 for v in [*base, 50.0]])
    assert approximate == pytest.approx(exact, rel=0.25)


def test_smallest_p_is_that_of_complete_separation() -> None:
    """No arrangement is rarer than complete separation."""
    assert mann_whitney([1.0, 2.0, 3.0], [4.0, 5.0]) == pytest.approx(smallest_p(3, 2))


def test_fisher_exact() -> None:
    """The hypergeometric tail; without hits there is nothing to say."""
    assert fisher_exact(2, 11, 4, 9) == pytest.approx(0.21671826625386995)
    assert fisher_exact(0, 10, 0, 5) == 1.0
    assert exceedance_of_middle([], [1.0]) == 1.0
    assert exceedance_of_middle([1.0] * 5, [2.0] * 5) == pytest.approx(1 / 252)


@pytest.mark.parametrize(("level", "needed"), [("1/2", 5), ("3/4", 11), ("9/10", 29), ("19/20", 59), ("99/100", 299)])
def test_values_needed_for_a_bound(level: str, needed: int) -> None:
    """The known numbers of values for a distribution-free 95 % bound; one fewer gives no bound."""
    share = Fraction(level)
    assert values_needed(share) == needed
    assert upper_bound([float(i) for i in range(needed)], share) == needed - 1
    assert upper_bound([float(i) for i in range(needed - 1)], share) is None


def test_the_maximum_has_no_bound() -> None:
    """No number of values bounds the largest possible one."""
    assert values_needed(1) is None
    assert upper_bound([1.0] * 1000, 1) is None


def test_exceedance_p_by_enumeration() -> None:
    """The negative hypergeometric tail is the share of arrangements with as many exceedances."""
    m, r, n, k = 4, 2, 3, 2
    found = total = 0
    for chosen in itertools.combinations(range(m + n), n):
        base = [i for i in range(m + n) if i not in chosen]
        found += sum(i > base[m - r] for i in chosen) >= k
        total += 1
    assert exceedance_p(m, r, n, k) == pytest.approx(found / total)


def test_exceedance_test_of_nothing() -> None:
    """An empty sample is no evidence; neither is the same sample twice."""
    assert exceedance_test([], [1.0], 0.95) == 1.0
    assert exceedance_test([1.0], [], 0.95) == 1.0
    assert exceedance_test([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 0.95) > 0.5


def test_quantile_is_the_nearest_rank() -> None:
    """A quantile is one of the values, and integers stay integers."""
    values = [1, 2, 3, 4]
    assert [quantile(values, Fraction(q, 100)) for q in (0, 25, 50, 51, 100)] == [1, 1, 2, 3, 4]
    assert statistic([3, 1, 2], "max") == 3
    assert statistic([1, 2, 6], "mean") == 3
    with pytest.raises(ValueError, match="p96"):
        statistic([1], "p96")
    with pytest.raises(ValueError, match="no values"):
        statistic([], "mean")
    with pytest.raises(ValueError, match="no values"):
        quantile([], Fraction(1, 2))


def test_a_mean_is_whole_where_it_can_be() -> None:
    """Tokens stay whole numbers, and what is written as a decimal has the mean of a decimal."""
    assert (mean([1, 3]), type(mean([1, 3]))) == (2, int)
    assert mean([1, 2]) == 1.5
    assert (mean([2.0, 2.0]), type(mean([2.0, 2.0]))) == (2.0, float)
    assert mean([0.1, 0.2]) == 0.15


def test_exact_comparison_does_not_round() -> None:
    """10 % lets 110 pass against 100, and nothing above it; 0.1 is one tenth."""
    tenth = rational(0.1)
    assert tenth == Fraction(1, 10)
    assert not exceeds(110, 100, tenth)
    assert exceeds(Fraction(1100000001, 10000000), 100, tenth)
    assert not exceeds(10**30 + 10**29, 10**30, tenth)
    assert exceeds(10**30 + 10**29 + 1, 10**30, tenth)
    assert not exceeds(rational(0.33), rational(0.3), tenth)


def test_exact_comparison_with_slack_and_zero() -> None:
    """Both allowances must be passed; above 0 any increase beyond the slack is one."""
    assert not exceeds(150, 100, Fraction(1, 10), 50)
    assert exceeds(151, 100, Fraction(1, 10), 50)
    assert exceeds(1, 0, Fraction(1, 10))
    assert not exceeds(0, 0, Fraction(1, 10))
    assert not exceeds(3, 0, Fraction(1, 10), 3)
    assert falls_short(89, 100, Fraction(1, 10))
    assert not falls_short(90, 100, Fraction(1, 10))


def test_rational_mean() -> None:
    """The mean of integers and of decimals is exact; of nothing there is none."""
    assert rational_mean([1, 2]) == Fraction(3, 2)
    assert rational_mean([0.1, 0.2]) == Fraction(3, 20)
    with pytest.raises(ValueError, match="no values"):
        rational_mean([])
