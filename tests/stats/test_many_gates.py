"""Levels of many gates, learning of noise."""

from __future__ import annotations

import math
from random import Random

import pytest

from pytest_tokenbudget.stats.log_ratio import DF_RANGE, SCALE_RANGE, learn_prior
from pytest_tokenbudget.stats.statistic import shared_level


def test_shared_level() -> None:
    """A gate alone keeps its level, many gates share out that of the family."""
    assert shared_level(0.01, 1) == 0.01
    assert shared_level(0.01, 5) == 0.01
    assert shared_level(0.01, 100) == pytest.approx(0.0005)
    assert shared_level(0.01, 0) == 0.01


def _variances(rng: Random, gates: int, df: int, sigma: float) -> list[tuple[float, float]]:
    return [(sum(rng.gauss(0.0, sigma) ** 2 for _ in range(df)) / df, float(df)) for _ in range(gates)]


def test_a_common_spread_is_learned() -> None:
    """Gates of one spread give that spread, with a heavy weight."""
    prior = learn_prior(_variances(Random(1), 200, 10, 0.2))
    assert prior is not None
    assert prior.scale == pytest.approx(0.2, rel=0.1)
    assert prior.df == DF_RANGE[1]


def test_different_spreads_weigh_less() -> None:
    """Gates of very different spreads teach little about the next one."""
    rng = Random(1)
    mixed = [v for sigma in (0.05, 0.2, 0.8) for v in _variances(rng, 60, 10, sigma)]
    prior = learn_prior(mixed)
    assert prior is not None
    assert prior.df < 4


def test_few_or_useless_gates_teach_nothing() -> None:
    """Fewer than 20 usable variances give no prior; zeros and infinities are not usable."""
    good = _variances(Random(1), 19, 10, 0.2)
    assert learn_prior(good) is None
    assert learn_prior([*good, (0.0, 10.0), (math.inf, 10.0), (0.1, 0.0)]) is None


def test_a_learned_scale_stays_plausible() -> None:
    """A clock that hardly moves does not teach that everything is certain."""
    prior = learn_prior(_variances(Random(1), 40, 5, 1e-6))
    assert prior is not None
    assert prior.scale == SCALE_RANGE[0]
