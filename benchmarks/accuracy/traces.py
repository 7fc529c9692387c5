"""Simulated latencies and counts with known truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Draw = Callable[[Random], float]

BASE_SESSIONS, PER_SESSION = 5, 4


def lognormal(sigma: float, outliers: float = 0.0) -> Draw:
    """Lognormal around 1 with a standard deviation of the logarithm; a share of the values is five times as long."""

    def draw(rng: Random) -> float:
        value = math.exp(rng.gauss(0.0, sigma))
        return 5.0 * value if outliers and rng.random() < outliers else value

    return draw


def pareto(rng: Random) -> float:
    """A narrow body, and in one value of ten a tail with an infinite variance."""
    value = math.exp(rng.gauss(0.0, 0.2))
    return value * 1.5 * rng.paretovariate(1.5) if rng.random() < 0.1 else value


def gamma(rng: Random) -> float:
    """Skewed to the right with a coefficient of variation of 0.41."""
    return rng.gammavariate(6.0, 1.0 / 6.0)


def trimodal(rng: Random) -> float:
    """Three routes through an agent: fast, with one more call, with two more calls."""
    route = rng.random()
    return math.exp(rng.gauss(0.0, 0.08)) * (1.0 if route < 0.5 else 1.8 if route < 0.8 else 3.2)


FAMILIES: dict[str, Draw] = {
    "lognormal 0.1": lognormal(0.1),
    "lognormal 0.2": lognormal(0.2),
    "lognormal 0.2, 3 % x5": lognormal(0.2, 0.03),
    "lognormal 0.4": lognormal(0.4),
    "lognormal 0.4, 3 % x5": lognormal(0.4, 0.03),
    "lognormal 0.6, 5 % x5": lognormal(0.6, 0.05),
    "Pareto tail (untuned)": pareto,
    "gamma (untuned)": gamma,
    "trimodal (untuned)": trimodal,
}
"""Families of latencies; the rules were tuned on the lognormal ones, and never on those that say so."""


class Incidents:
    """A provider that is three times slower for a while: 4 % of the calls begin a bad stretch of four on average."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._bad = False

    def factor(self) -> float:
        """Slowdown of the next call."""
        self._bad = self._rng.random() < (0.75 if self._bad else 0.04)
        return 3.0 if self._bad else 1.0


@dataclass
class Interleaved:
    """Two arms, run alternately (A B B A ...) through the same day.

    Attributes:
        draw: Family.
        change: True ratio of new over base.
        rng: Source of chance.
        incidents: Whether the provider has bad stretches.
        drift: The day's level is anywhere within this (log scale), and moves by as much in 60 calls.
    """

    draw: Draw
    change: float
    rng: Random
    incidents: bool = False
    drift: float = 0.30

    def __post_init__(self) -> None:
        self._level = self.rng.uniform(-self.drift, self.drift)
        self._slope = self.rng.uniform(-self.drift, self.drift) / 60.0
        self._trouble = Incidents(self.rng) if self.incidents else None
        self._swap = False

    def _call(self) -> float:
        value = self.draw(self.rng) * math.exp(self._level)
        self._level += self._slope
        return value * self._trouble.factor() if self._trouble else value

    def __call__(self) -> tuple[float, float]:
        """One more pair: base, new."""
        first, second = self._call(), self._call()
        self._swap = not self._swap
        base, new = (first, second) if self._swap else (second, first)
        return base, new * self.change


class Stored:
    """A baseline of 20 values over 5 sessions, and today; each session has its own level."""

    def __init__(self, draw: Draw, change: float, rng: Random, drift: float = 0.15) -> None:
        self._draw, self._rng = draw, rng
        self.sessions = []
        for _ in range(BASE_SESSIONS):
            level = math.exp(rng.uniform(-drift, drift))
            self.sessions.append([level * draw(rng) for _ in range(PER_SESSION)])
        self._today = change * math.exp(rng.uniform(-drift, drift))

    def __call__(self) -> tuple[None, float]:
        """One more value of today."""
        return None, self._today * self._draw(self._rng)


def jittered(rng: Random) -> float:
    """Tokens that vary by up to 3 %."""
    return float(rng.randint(9700, 10300))


def looping(often: float, factor: float) -> Draw:
    """Tokens of a loop that sometimes runs once more."""
    return lambda rng: (
        round(9000 * factor) + rng.randint(0, 40) if rng.random() < often else 9000.0 + rng.randint(0, 40)
    )


COUNTS: dict[str, Draw] = {
    "deterministic": lambda _: 10000.0,
    "+-3 %": jittered,
    "bimodal, 10 % x1.33": looping(0.1, 4 / 3),
    "bimodal, 30 % x1.33": looping(0.3, 4 / 3),
    "bimodal, 50 % x2": looping(0.5, 2.0),
}
"""Families of counts."""
