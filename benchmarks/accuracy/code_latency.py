"""The code's latency: simulated agents with known truth, judged at the speed of a baseline of one single run.

Providers differ from session to session by up to 30 % either way, and each call by a sigma of 0.4. What the code
decides (calls, their order and overlap, tokens) is the same in every run of an unchanged agent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from pytest_tokenbudget.compare import judge
from pytest_tokenbudget.measure.constant_speed import at_constant_speed, fit_speeds, provider_paces
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.sample import Sample, Values
from pytest_tokenbudget.report.test_result import is_told

LIMIT = 0.20
SIGMA, DRIFT = 0.4, 0.3
CHANGES = ("none", "one more call in four", "+60 % output", "fan-out made sequential", "provider 1.6 times slower")

Step = list[tuple[int, int]]
"""Calls that run side by side: uncached input tokens and output tokens of each."""


@dataclass(frozen=True)
class Cell:
    """What is simulated.

    Attributes:
        change: One of :data:`CHANGES`.
        repeats: How often.
    """

    change: str
    repeats: int


@dataclass
class Outcome:
    """What came of a cell: verdicts at constant speed, by today's rule on the measured time, and of the provider's part."""

    cell: Cell
    code: Counter[str] = field(default_factory=Counter)
    stored: Counter[str] = field(default_factory=Counter)
    provider_said: int = 0

    def share(self, verdicts: Counter[str], verdict: str) -> float:
        """Share of a verdict, in per cent."""
        return 100.0 * verdicts[verdict] / self.cell.repeats


def agent(rng: Random) -> list[Step]:
    """An agent of 6 to 20 calls: a loop whose history grows, with fan-outs of three or four calls in it."""
    calls = rng.randint(6, 20)
    steps: list[Step] = []
    made = 0
    while made < calls:
        wide = min(calls - made, rng.choice((1, 1, 3, 4)))
        steps.append(
            [(300 + 120 * made + rng.randint(0, 400), round(150 * math.exp(rng.gauss(0, 0.25)))) for _ in range(wide)]
        )
        made += wide
    if max(map(len, steps)) < 3:
        steps[-1:] = [[(800, 160), (900, 140), (700, 150)]]
    return steps


def changed(steps: Sequence[Step], change: str, rng: Random) -> list[Step]:
    """The agent after a change of its code."""
    if change == "one more call in four":
        calls = sum(map(len, steps))
        usual = sorted(pair for step in steps for pair in step)
        return [*steps, *([rng.choice(usual)] for _ in range(math.ceil(calls / 4)))]
    if change == "+60 % output":
        return [[(read, round(1.6 * written)) for read, written in step] for step in steps]
    if change == "fan-out made sequential":
        return [[pair] for step in steps for pair in step]
    return list(steps)


def run(steps: Sequence[Step], speed: tuple[float, float, float], level: float, rng: Random) -> Sample:
    """A run of an agent on a day of a provider; its own code takes some milliseconds between calls."""
    calls: list[Call] = []
    now = rng.uniform(0.02, 0.06)
    for step in steps:
        ends = []
        for read, written in step:
            begun = now + rng.uniform(0.0, 0.003)
            seconds = level * math.exp(rng.gauss(0, SIGMA)) * (speed[0] + speed[1] * read + speed[2] * written)
            usage = Usage(input_tokens=read, output_tokens=written)
            calls.append(Call("main", "openai", "openai.chat", model="m", started=begun, latency=seconds, usage=usage))
            ends.append(begun + seconds)
        now = max(ends) + rng.uniform(0.005, 0.05)
    calls.sort(key=lambda call: call.started)
    total: Values = {"measured_latency": now}
    return Sample(calls=tuple(calls), total=total, windows={"": ((0.0, now),)})


def _value(sample: Sample, metric: str) -> float:
    value = sample.total[metric]
    assert value is not None
    return value


def simulate(task: tuple[Cell, int]) -> Outcome:
    """Simulate one cell, seeded by what it is."""
    cell, seed = task
    rng = Random(f"{seed}/{cell}")
    outcome = Outcome(cell)
    for _ in range(cell.repeats):
        speed = (rng.uniform(0.3, 1.0), rng.uniform(0.00003, 0.0003), rng.uniform(0.008, 0.025))
        steps = agent(rng)
        then, now = (math.exp(rng.uniform(-DRIFT, DRIFT)) for _ in range(2))
        if cell.change.startswith("provider"):
            now = 1.6 * then
        before = run(steps, speed, then, rng)
        after = run(changed(steps, cell.change, rng), speed, now, rng)
        speeds = fit_speeds([before])
        base, new = (_value(at_constant_speed(sample, speeds), "latency") for sample in (before, after))
        outcome.code[judge([[base]], [new], max_increase=LIMIT, kind="count", fixed=True).verdict] += 1
        base, new = (_value(sample, "measured_latency") for sample in (before, after))
        outcome.stored[judge([[base]], [new], max_increase=LIMIT, fixed=True).verdict] += 1
        (pace,) = provider_paces([after], speeds)
        outcome.provider_said += is_told(pace) and pace.ratio > 1.0
    return outcome
