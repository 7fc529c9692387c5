"""The speed of a model: seconds a call, a token read and a token written, fitted to few noisy calls.

With t the duration of a call, x the tokens that it read uncached and y those that it wrote::

    t = a + b x + c y        a, b, c > 0

The logarithms of a, b and c are the most probable ones under two assumptions: the log-ratio of a duration to its
expectation varies with a scale that is estimated from the calls (Huber's loss beyond 1.5 of it), and the *proportions* of a,
b and c are those of an ordinary hosted model, each within a factor of about e. The level has no prior. So calls that
spread their tokens decide on all three numbers, and calls that do not still give a speed of a sensible shape.

Source: the maximum a posteriori estimate by Gauss-Newton steps with iterated weights (Huber and Ronchetti, *Robust
Statistics*, 2009, chapter 7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_tokenbudget.stats.log_ratio import HUBER_K, moderated_variance
from pytest_tokenbudget.stats.statistic import median

Coefficients = tuple[float, float, float]
"""Seconds a call, seconds a token read, seconds a token written."""

ORDINARY: Coefficients = (0.5, 0.0001, 0.0125)
"""Half a second until the answer begins, 10,000 tokens read and 80 tokens written a second. Only the proportions count."""

PROPORTION_SIGMA = 1.0
"""Standard deviation of the logarithm of a proportion, around that of an ordinary model."""

NOISE_SCALE, NOISE_DF = 0.40, 4.0
"""The assumed noise of the log-ratio of a single duration to its expectation."""

_STEPS = 20
_LARGEST_STEP = 1.0
_ENOUGH = 1e-4
"""A step of the logarithms that is smaller than this changes no digit that is kept."""
_LEAST_NOISE = 0.01


def expected_seconds(speed: Coefficients, read: float, written: float) -> float:
    """The duration of a call at a given speed, s."""
    return speed[0] + speed[1] * read + speed[2] * written


def fit_speed(calls: Sequence[tuple[float, float, float]]) -> Coefficients | None:
    """Fit a speed to the calls of one model.

    Args:
        calls: For each call its duration in s, the tokens that it read uncached and those that it wrote.

    Returns:
        The speed; ``None`` where no call took any time.
    """
    known = [call for call in calls if call[0] > 0.0]
    if not known:
        return None
    level = median(sorted(math.log(t / expected_seconds(ORDINARY, x, y)) for t, x, y in known))
    start = [math.log(each) + level for each in ORDINARY]
    logs = list(start)
    for _ in range(_STEPS):
        step = _step(known, logs, start)
        largest = max(map(abs, step))
        shrink = min(1.0, _LARGEST_STEP / largest) if largest else 1.0
        logs = [value + shrink * change for value, change in zip(logs, step, strict=True)]
        if largest < _ENOUGH:
            break
    a, b, c = (math.exp(value) for value in logs)
    return a, b, c


def _step(calls: Sequence[tuple[float, float, float]], logs: Sequence[float], start: Sequence[float]) -> list[float]:
    """One Gauss-Newton step towards the most probable logarithms of the three coefficients."""
    a, b, c = (math.exp(value) for value in logs)
    residuals, shares = [], []
    for t, x, y in calls:
        expected = a + b * x + c * y
        residuals.append(math.log(t / expected))
        shares.append((a / expected, b * x / expected, c * y / expected))
    squares = sorted([residual * residual for residual in residuals])
    variance = moderated_variance(squares, NOISE_SCALE, NOISE_DF, centres=min(1, len(squares)))
    sigma = max(_LEAST_NOISE, math.sqrt(variance))
    # The prior is on the deviations from their common level, which is free: (I - 11'/3) / sigma^2.
    precision = 1.0 / PROPORTION_SIGMA**2
    matrix = [[precision * ((i == j) - 1.0 / 3.0) for j in range(3)] for i in range(3)]
    moved = [value - begin for value, begin in zip(logs, start, strict=True)]
    common = sum(moved) / 3.0
    right = [-precision * (value - common) for value in moved]
    for residual, share in zip(residuals, shares, strict=True):
        weight = min(1.0, HUBER_K * sigma / abs(residual)) if residual else 1.0
        weight /= sigma * sigma
        for i in range(3):
            right[i] += weight * share[i] * residual
            for j in range(3):
                matrix[i][j] += weight * share[i] * share[j]
    return _solved(matrix, right)


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a small symmetric positive definite system, by Cholesky's decomposition."""
    size = len(right)
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = math.sqrt(max(rest, 1e-12)) if i == j else rest / lower[j][j]
    forward: list[float] = []
    for i in range(size):
        forward.append((right[i] - sum(lower[i][k] * forward[k] for k in range(i))) / lower[i][i])
    solution = [0.0] * size
    for i in reversed(range(size)):
        solution[i] = (forward[i] - sum(lower[k][i] * solution[k] for k in range(i + 1, size))) / lower[i][i]
    return solution
