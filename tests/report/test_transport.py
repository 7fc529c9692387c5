"""Results on their way between processes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Cause, StageComposition
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.transport import decode, encode


def test_whole_numbers_stay_whole(failing: TestResult) -> None:
    """3,120 does not arrive as 3,120.0, so reports and baselines are the same with and without workers."""
    sample = replace(
        failing.samples[0],
        composition={"": StageComposition(1, output_tokens=96)},
        outcomes={"booked": [1, 1.5, None, "\ud800"]},
        calls=(Call("main", "p", "a", cost=0), Call("main", "p", "a", cost=0.0)),
    )
    budget = Budget(Rule(Fraction(1, 10)), limit=((Metric("", "cost", "p95"), Fraction(1, 3)),))
    result = replace(failing, samples=(sample,), causes=(Cause("calls", "", "calls", "", 490, "more"),), budget=budget)
    assert repr(decode(encode(result))) == repr(result)
