"""Single calls that are pooled over samples, and values that are compared as they are written."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pytest_tokenbudget.compare.gate_results import GateInput, judge_gates
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult

TEN = Rule(Fraction(1, 10))


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.33, "ok"), (0.33000000000000007, "regression"), (0.27, "ok"), (0.26, "improved")]
)
def test_times_of_a_replay_are_compared_as_they_are_written(value: float, verdict: str) -> None:
    """0.33 is 10 % above 0.3, though the doubles next to them are not."""
    budget = Budget(None, rules=((Metric("", "latency"), TEN),))
    entry = BaselineEntry(metrics={"latency": MetricRecord(((0.3,),))}, traffic="replay")
    sample = Sample(total={"latency": value}, traffic="replay")
    (judged,) = judge_gates(GateInput(budget, [sample], entry, True, metric_table()))
    assert (judged.verdict, judged.allowed) == (verdict, 0.33)


@pytest.mark.parametrize(("cost", "verdict"), [(0.02, "ok"), (0.020000001, "over_limit")])
def test_a_limit_is_not_passed_by_its_own_value(cost: float, verdict: str) -> None:
    """$0.02 is within a limit of $0.02."""
    budget = Budget(None, limit=((Metric("", "cost"), Fraction(2, 100)),))
    (gate,) = judge_gates(GateInput(budget, [Sample(total={"cost": cost})], None, True, metric_table()))
    assert gate.verdict == verdict


def _judged(
    *runs: list[float], base: list[list[float]], fixed: bool = False, paired: bool = False, most: int = 10
) -> GateResult:
    budget = Budget(None, rules=((Metric("", "call_latency", "p95"), TEN),), max_samples=most)
    entry = BaselineEntry(pooled={"call_latency": MetricRecord(tuple(map(tuple, base)))})
    samples = [Sample(pooled={"": {"call_latency": tuple(run)}}) for run in runs]
    (gate,) = judge_gates(GateInput(budget, samples, entry, True, metric_table(), fixed=fixed, paired=paired))
    return gate


def test_calls_of_a_single_run_do_not_fail_a_gate() -> None:
    """Many slow calls at once may be one incident of the provider: two more runs are wanted before that is a failure."""
    sessions = [[1.0 + 0.005 * i for i in range(20)]] * 4
    once = _judged([5.0] * 12, base=sessions)
    assert (once.verdict, once.more) == ("inconclusive", 2)
    assert "2 more samples would confirm it" in once.reason
    assert _judged(*[[5.0] * 4] * 3, base=sessions).verdict == "regression"
    assert _judged([5.0] * 12, base=sessions, fixed=True).more == 0


def test_interleaved_calls_are_pooled_until_they_are_enough() -> None:
    """59 calls bound a p95: three a run come together within 20 runs, one a run never within 30."""
    base = [[1.0] * 9]
    assert _judged(*[[1.0] * 3] * 3, base=base, paired=True, most=30).more == 2
    assert _judged(*[[1.0]] * 3, base=base, paired=True, most=30).more == 0
    assert _judged(*[[1.0] * 3] * 3, base=base, most=30).more == 0
    assert _judged(*[[1.0] * 3] * 20, base=[[1.0] * 60], paired=True, most=30).verdict == "ok"
