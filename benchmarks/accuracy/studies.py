"""One cell of the table: a family, a design and a true change, simulated many times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from benchmarks.accuracy.rivals import RIVALS
from benchmarks.accuracy.sampling import Sampled, sample_until_decided
from benchmarks.accuracy.traces import COUNTS, FAMILIES, Interleaved, Stored
from pytest_tokenbudget.compare import judge
from pytest_tokenbudget.compare.sequential import PAIRED, STORED
from pytest_tokenbudget.compare.terms import Judged

LIMIT = 0.20
RIVAL_VALUES = 12
"""New values that the rules of others get; they ask for no more and take no more."""


@dataclass(frozen=True)
class Cell:
    """What is simulated.

    Attributes:
        family: Name of the family.
        design: ``A/B``, ``A/B incidents``, ``A/B learned`` (the spread is known from other gates), ``stored`` (sampled
            until decided), ``stored auto`` (sampled while suspected) or ``counts``.
        change: True ratio of new over base.
        repeats: How often.
        family_size: Latency gates among which the level is shared out.
        rivals: Repeats in which the rules of others see the same kind of data.
    """

    family: str
    design: str
    change: float
    repeats: int
    family_size: int = 1
    rivals: int = 0


@dataclass
class Outcome:
    """What came of a cell: verdicts, samples, and the alarms of the other rules."""

    cell: Cell
    verdicts: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    alarms: Counter[str] = field(default_factory=Counter)

    def share(self, *verdicts: str) -> float:
        """Share of some verdicts, in per cent."""
        return 100.0 * sum(self.verdicts[v] for v in verdicts) / self.cell.repeats

    @property
    def mean_samples(self) -> float:
        """New values that were drawn, on average."""
        return self.samples / self.cell.repeats

    def rival_share(self, name: str) -> float:
        """Share of alarms of another rule, in per cent."""
        return 100.0 * self.alarms[name] / max(1, self.cell.rivals)


@dataclass(frozen=True)
class Persistent:
    """A result that is sampled on until it is decided or the plan ends, suspected or not."""

    result: Judged

    @property
    def verdict(self) -> str:
        """The verdict."""
        return self.result.verdict

    @property
    def more(self) -> int:
        """New values until the next look."""
        following = STORED.following(self.result.n)
        return 0 if following is None or self.verdict != "inconclusive" else following - self.result.n


def _once(cell: Cell, rng: Random) -> tuple[str, int]:
    """One simulation: the verdict, and the new values that it took."""
    limits: Any = {"max_increase": LIMIT, "family": cell.family_size}
    sampled: Sampled[Any]
    if cell.design == "counts":
        draw = COUNTS[cell.family]
        sessions = [[draw(rng) for _ in range(4)] for _ in range(5)]
        sampled = sample_until_decided(
            lambda: (None, cell.change * draw(rng)), lambda _, new: judge(sessions, new, kind="count", **limits), 1
        )
    elif cell.design.startswith("A/B"):
        known: Any = {"s0": 0.2, "d0": 20.0} if "learned" in cell.design else {}
        pairs = Interleaved(FAMILIES[cell.family], cell.change, rng, incidents="incidents" in cell.design)
        sampled = sample_until_decided(
            pairs, lambda base, new: judge(base, new, paired_run=True, **limits, **known), PAIRED.looks[0]
        )
    else:
        today = Stored(FAMILIES[cell.family], cell.change, rng)

        def judged(_: object, new: Sequence[float]) -> Any:
            result = judge(today.sessions, new, **limits)
            return result if cell.design == "stored auto" else Persistent(result)

        sampled = sample_until_decided(today, judged, 1)
    return sampled.result.verdict, len(sampled.new)


def simulate(task: tuple[Cell, int]) -> Outcome:
    """Simulate one cell, seeded by what it is."""
    cell, seed = task
    rng = Random(f"{seed}/{cell}")
    outcome = Outcome(cell)
    for _ in range(cell.repeats):
        verdict, values = _once(cell, rng)
        outcome.verdicts[verdict] += 1
        outcome.samples += values
    for _ in range(cell.rivals):
        base, new = _fixed_values(cell, rng)
        for name, rule in RIVALS.items():
            outcome.alarms[name] += rule(base, new)
    return outcome


def _fixed_values(cell: Cell, rng: Random) -> tuple[list[float], list[float]]:
    draw = FAMILIES[cell.family]
    if cell.design.startswith("A/B"):
        pairs = Interleaved(draw, cell.change, rng, incidents="incidents" in cell.design)
        drawn = [pairs() for _ in range(RIVAL_VALUES)]
        return [base for base, _ in drawn], [new for _, new in drawn]
    today = Stored(draw, cell.change, rng)
    return [v for session in today.sessions for v in session], [today()[1] for _ in range(RIVAL_VALUES)]


@dataclass(frozen=True)
class Suite:
    """Clean sessions of many gates: how often any of them raises a false alarm.

    Attributes:
        gates: Gates in a session.
        runs: Sessions.
        design: ``A/B`` or ``stored auto``.
        first: Number of the first session, which seeds it.
    """

    gates: int
    runs: int
    design: str
    first: int = 0


def simulate_suite(task: tuple[Suite, int]) -> list[int]:
    """False alarms in each clean session; every family takes its turn."""
    suite, seed = task
    families = list(FAMILIES)
    alarms = []
    for run in range(suite.first, suite.first + suite.runs):
        rng = Random(f"{seed}/{suite.design}/{run}")
        count = 0
        for gate in range(suite.gates):
            cell = Cell(families[gate % len(families)], suite.design, 1.0, 1, family_size=suite.gates)
            count += _once(cell, rng)[0] == "regression"
        alarms.append(count)
    return alarms
