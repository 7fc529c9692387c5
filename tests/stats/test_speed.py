"""The speed of a model, fitted to noisy calls."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.stats.speed import ORDINARY, expected_seconds, fit_speed


def _calls(
    speed: tuple[float, float, float], count: int, sigma: float, spread: float
) -> list[tuple[float, float, float]]:
    rng = Random(1)
    found = []
    for _ in range(count):
        read, written = rng.uniform(100, 8000), 150 * rng.lognormvariate(0, spread)
        found.append((expected_seconds(speed, read, written) * rng.lognormvariate(0, sigma), read, written))
    return found


def test_calls_that_spread_their_tokens_decide() -> None:
    """Two hundred calls give all three numbers back, also where they are far from those of an ordinary model."""
    speed = (2.0, 0.0005, 0.004)
    fitted = fit_speed(_calls(speed, 400, 0.2, 0.8))
    assert fitted is not None
    assert fitted == pytest.approx(speed, rel=0.3)


def test_calls_that_do_not_spread_them_give_a_speed_of_ordinary_shape() -> None:
    """Ten calls of the same size tell the level alone: more output still costs what it usually does."""
    calls = [(3.0 * factor, 1000.0, 150.0) for factor in (0.7, 0.8, 0.9, 1.0, 1.0, 1.0, 1.1, 1.2, 1.4, 9.0)]
    fitted = fit_speed(calls)
    assert fitted is not None
    assert expected_seconds(fitted, 1000, 150) == pytest.approx(3.0, rel=0.1)
    ratio = expected_seconds(fitted, 1000, 240) / expected_seconds(fitted, 1000, 150)
    assert ratio == pytest.approx(
        expected_seconds(ORDINARY, 1000, 240) / expected_seconds(ORDINARY, 1000, 150), rel=0.02
    )


def test_outliers_do_not_move_it() -> None:
    """One call in ten that takes five times as long is no speed."""
    calls = _calls(ORDINARY, 60, 0.1, 0.5)
    spoiled = [(5 * t if n % 10 == 0 else t, x, y) for n, (t, x, y) in enumerate(calls)]
    clean, fitted = fit_speed(calls), fit_speed(spoiled)
    assert clean is not None
    assert fitted is not None
    assert expected_seconds(fitted, 2000, 150) == pytest.approx(expected_seconds(clean, 2000, 150), rel=0.12)


def test_calls_without_time_have_no_speed() -> None:
    """A mock that answers at once, or no call at all."""
    assert fit_speed([]) is None
    assert fit_speed([(0.0, 10, 10)]) is None


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 1e4), st.floats(0, 1e6), st.floats(0, 1e5)),
        min_size=1,
        max_size=30,
    )
)
def test_any_calls_have_a_speed_that_is_positive(calls: list[tuple[float, float, float]]) -> None:
    """Whatever was measured, each of the three numbers is positive and finite."""
    fitted = fit_speed(calls)
    assert fitted is not None
    assert all(0.0 < value < 1e12 for value in fitted)
