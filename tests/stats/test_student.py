"""Student's t distribution and the special functions below it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.stats.distributions import (
    digamma,
    incomplete_beta,
    inverse_trigamma,
    tail,
    trigamma,
    upper_quantile,
)

QUANTILES = [
    (0.75, 0.5, 1.5537739740300383),
    (0.999, 0.5, 102849.11563017538),
    (0.95, 1, 6.313751514675037),
    (0.999, 1, 318.30883898555015),
    (0.975, 2, 4.302652729749462),
    (0.99, 3.2, 4.321414495900702),
    (0.95, 7.2, 1.8866907616907762),
    (0.999, 7.2, 4.719796575017796),
    (0.975, 10, 2.228138851986274),
    (0.99, 18.4, 2.547038503843295),
    (0.99, 30, 2.457261542400591),
    (0.999975, 30, 4.72919579898733),
    (0.975, 60.5, 1.9999578623144914),
    (0.999, 200, 3.131479814221121),
]
TAILS = [
    (0.1, 1, 0.4682744825694465),
    (2.3, 7.2, 0.026990777955927827),
    (5.0, 4.0, 0.0037452169406372625),
    (12.0, 3.5, 0.0002872670964280638),
    (40.0, 2.0, 0.0003122073360923703),
    (8.0, 100.0, 1.1364324038640347e-12),
    (-1.5, 6.0, 0.907859631929259),
]


@pytest.mark.parametrize(("probability", "nu", "expected"), QUANTILES)
def test_quantile_agrees_with_tables(probability: float, nu: float, expected: float) -> None:
    """Quantiles agree with reference values to ten digits, for whole and broken degrees of freedom."""
    assert upper_quantile(1 - probability, nu) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("t", "nu", "expected"), TAILS)
def test_tail_agrees_with_tables(t: float, nu: float, expected: float) -> None:
    """Tails keep ten digits, also where they are tiny."""
    assert tail(t, nu) == pytest.approx(expected, rel=1e-10)


@given(level=st.floats(1e-9, 0.5), nu=st.floats(1.0, 500.0))
def test_upper_quantile_inverts_the_tail(level: float, nu: float) -> None:
    """The tail beyond an upper quantile is the level that was asked for."""
    assert tail(upper_quantile(level, nu), nu) == pytest.approx(level, rel=1e-9)


def test_extremes_of_the_distribution() -> None:
    """Half of it lies above 0, infinities have no tail or the whole of it."""
    assert tail(0.0, 3.0) == 0.5
    assert tail(math.inf, 3.0) == 0.0
    assert tail(-math.inf, 3.0) == 1.0


@pytest.mark.parametrize("level", [0.0, 0.6, 1.0, -0.1, 1.1, math.nan])
def test_upper_quantile_refuses_a_level_that_is_none(level: float) -> None:
    """A probability of 0 has no finite quantile, and an upper one is above the median."""
    with pytest.raises(ValueError, match="level"):
        upper_quantile(level, 3.0)


@pytest.mark.parametrize("nu", [0.0, -1.0, math.nan])
def test_tail_refuses_no_degrees_of_freedom(nu: float) -> None:
    """Degrees of freedom are positive."""
    with pytest.raises(ValueError, match="degrees of freedom"):
        tail(1.0, nu)


@pytest.mark.parametrize(
    ("x", "first", "second"),
    [
        (0.01, -100.56088545786868, 10001.621213528311),
        (1.0, -0.5772156649015329, 1.6449340668482266),
        (2.5, 0.7031566406452432, 0.4903577561002349),
        (17.0, 2.8035133283274605, 0.06058753340323937),
    ],
)
def test_derivatives_of_log_gamma(x: float, first: float, second: float) -> None:
    """Digamma and trigamma agree with reference values, and trigamma is inverted."""
    assert digamma(x) == pytest.approx(first, rel=1e-11)
    assert trigamma(x) == pytest.approx(second, rel=1e-11)
    assert inverse_trigamma(second) == pytest.approx(x, rel=1e-9)


def test_inverse_trigamma_stays_in_range() -> None:
    """Values that no sensible argument gives are cut off, and a negative one is refused."""
    assert inverse_trigamma(1e300) == pytest.approx(1e-8)
    assert inverse_trigamma(1e-300) == pytest.approx(1e8)
    with pytest.raises(ValueError, match="trigamma"):
        inverse_trigamma(0.0)


@given(a=st.floats(0.1, 50), b=st.floats(0.1, 50), x=st.floats(0.0, 1.0))
def test_incomplete_beta_is_a_distribution(a: float, b: float, x: float) -> None:
    """It lies in [0, 1] and its mirror image adds up with it to 1."""
    value = incomplete_beta(a, b, x)
    assert -1e-12 <= value <= 1 + 1e-12
    assert value + incomplete_beta(b, a, 1 - x, complement=x) == pytest.approx(1.0, abs=1e-9)
