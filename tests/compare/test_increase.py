"""One gate against its baseline: exact values as they are written, pooled calls only after several runs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from pytest_tokenbudget.compare.decide import Question, decide
from pytest_tokenbudget.compare.increase import Evidence, exact_increase, judge_increase
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.records.gate import Budget, Gate, Metric, Rule
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult

TEN = Rule(Fraction(1, 10))


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.33, "ok"), (0.33000000000000007, "regression"), (0.27, "ok"), (0.26, "improved")]
)
def test_times_of_a_replay_are_compared_as_they_are_written(value: float, verdict: str) -> None:
    """0.33 is 10 % above 0.3, though the doubles next to them are not."""
    blank = GateResult("latency", "mean", "+10%", "max_increase", 0.3, value, "ok")
    judged = exact_increase(blank, Gate(Metric("", "latency"), "max_increase", rule=TEN))
    assert (judged.verdict, judged.allowed) == (verdict, 0.33)


@pytest.mark.parametrize(("cost", "verdict"), [(0.02, "ok"), (0.020000001, "over_limit")])
def test_a_limit_is_not_passed_by_its_own_value(cost: float, verdict: str) -> None:
    """$0.02 is within a limit of $0.02."""
    budget = Budget(None, limit=((Metric("", "cost"), Fraction(2, 100)),))
    (gate,) = decide(Question(budget, [Sample(total={"cost": cost})], None, True, metric_table()))
    assert gate.verdict == verdict


def test_calls_of_a_single_run_do_not_fail_a_gate() -> None:
    """Many slow calls at once may be one incident of the provider: two more runs are wanted before that is a failure."""
    blank = GateResult("call_latency", "p95", "+10%", "max_increase", 1.1, 5.0, "ok")
    gate = Gate(Metric("", "call_latency", "p95"), "max_increase", rule=TEN)
    sessions = [[1.0 + 0.005 * i for i in range(20)]] * 4
    pooled = Evidence(
        [5.0] * 12, sessions, 1.1, timed=True, pooled=True, projected=False, family=1, fixed=False, max_samples=10
    )
    once = judge_increase(blank, gate, pooled)
    assert (once.verdict, once.more) == ("inconclusive", 2)
    assert "2 more samples would confirm it" in once.reason
    assert judge_increase(blank, gate, replace(pooled, runs=3)).verdict == "regression"
    assert judge_increase(blank, gate, replace(pooled, fixed=True)).more == 0


def test_interleaved_calls_are_pooled_until_they_are_enough() -> None:
    """59 calls bound a p95: three a run come together within 20 runs, one a run never within 30."""
    blank = GateResult("call_latency", "p95", "+10%", "max_increase", 1.1, 1.0, "ok")
    gate = Gate(Metric("", "call_latency", "p95"), "max_increase", rule=TEN)
    three = Evidence(
        [1.0] * 9, [[1.0] * 9], 1.0, timed=True, pooled=True, projected=False, family=1, fixed=False, max_samples=30,
        paired=True, runs=3,
    )  # fmt: skip
    assert judge_increase(blank, gate, three).more == 2
    assert judge_increase(blank, gate, replace(three, values=[1.0] * 3)).more == 0
    assert judge_increase(blank, gate, replace(three, paired=False)).more == 0
    enough = replace(three, values=[1.0] * 60, sessions=[[1.0] * 60], runs=20)
    assert judge_increase(blank, gate, enough).verdict == "ok"
