"""One gate against its baseline: which rule decides, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pytest_tokenbudget.compare.values import Number, as_number
from pytest_tokenbudget.records.gate import Gate
from pytest_tokenbudget.records.verdict import GateResult


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a gate is judged on.

    Attributes:
        values: The values of this run.
        sessions: The stored sessions, oldest first.
        base: The gate's statistic of the baseline.
        timed: Whether the metric is a time.
        pooled: Whether the values are those of single calls.
        projected: Whether the traffic was replayed or scripted, so that values are exact.
        family: Number of latency gates among which the level is shared out.
        fixed: Whether the number of samples is fixed, as opposed to adaptive.
    """

    values: Sequence[Number]
    sessions: Sequence[Sequence[Number]]
    base: Number
    timed: bool
    pooled: bool
    projected: bool
    family: int
    fixed: bool

    @property
    def quiet(self) -> bool:
        """Whether nothing shows noise: all stored values are equal, and all new ones are."""
        stored = {value for session in self.sessions for value in session}
        return len(stored) == 1 and len(set(self.values)) == 1


def judge_increase(blank: GateResult, gate: Gate, evidence: Evidence) -> GateResult:
    """Judge a ``max_increase`` gate: exactly where nothing is noisy, by statistics else."""
    if evidence.projected or (not evidence.timed and evidence.quiet):
        return exact_increase(blank, gate)
    return replace(
        blank,
        verdict="inconclusive",
        exact=False,
        reason="live latency is not judged yet",
    )


def exact_increase(blank: GateResult, gate: Gate) -> GateResult:
    """Compare exactly: a regression is an increase beyond the allowed share and beyond the slack."""
    assert blank.value is not None and blank.baseline is not None
    now, base = Fraction(blank.value), Fraction(blank.baseline)
    allowed = as_number(max(base * (1 + gate.rule.fraction), base + gate.rule.slack))
    blank = replace(blank, allowed=allowed)
    if now > base * (1 + gate.rule.fraction) and now - base > gate.rule.slack:
        return replace(blank, verdict="regression")
    improved = now < base and base - now > base * gate.rule.fraction and base - now > gate.rule.slack
    return replace(blank, verdict="improved" if improved else "ok")


def judge_reduction(blank: GateResult, gate: Gate, evidence: Evidence) -> GateResult:
    """Judge a ``reduce`` gate: at least that share below what it is compared with."""
    assert blank.value is not None and blank.baseline is not None and gate.reduction is not None
    wanted = Fraction(blank.baseline) * (1 - gate.reduction)
    met = Fraction(blank.value) <= wanted
    return replace(blank, verdict="improved" if met else "target_missed", allowed=as_number(wanted))
