"""A test's gates meet its samples and its baseline."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from report_runs import calls as run_calls

from pytest_tokenbudget.ab.paired_test import entry_of
from pytest_tokenbudget.compare import gate_results
from pytest_tokenbudget.compare.gate_results import GateInput, judge_gates
from pytest_tokenbudget.compare.rules import parse_quantity, parse_rule
from pytest_tokenbudget.measure.measured import measure
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord, Number
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import FixedPrompt, StageComposition
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.records.sample import Sample, Values
from pytest_tokenbudget.records.verdict import GateResult, worst

TABLE = metric_table()


def _stored(stages: tuple[str, ...] = (), **values: Number) -> BaselineEntry:
    records = {name.replace("__", "."): MetricRecord(((value,),), value) for name, value in values.items()}
    composition = {stage: StageComposition(1) for stage in stages}
    return BaselineEntry(metrics=records, composition=composition, traffic="scripted")


def _decide(
    budget: Budget, entry: BaselineEntry | None = None, stages: dict[str, Values] | None = None, **total: Number
) -> dict[str, GateResult]:
    sample = Sample(total=dict(total), stages=stages or {}, traffic="scripted")
    given = GateInput(budget, [sample], entry, entry is None, TABLE)
    return {result.metric: result for result in judge_gates(given)}


def _gate(metric: Metric, rule: str) -> Budget:
    return Budget(default_rule=None, rules=((metric, parse_rule(rule, unit=TABLE[metric.name].unit)),))


@pytest.mark.parametrize(
    ("rule", "base", "now", "verdict"),
    [
        ("10%", 30, 33, "ok"),
        ("10%", 30, 34, "regression"),
        ("10%", 0.7, 0.77, "ok"),
        ("10%", 0.7, 0.7700001, "regression"),
        ("$0.1", 0.2, 0.3, "ok"),
        ("0", 0, 1, "regression"),
        ("0", 100, 99, "improved"),
        ("10% +200", 1000, 1200, "ok"),
        ("10% +200", 1000, 1201, "regression"),
        ("10% +200", 10_000, 11_001, "regression"),
    ],
)
def test_a_rule_holds_to_the_last_digit(rule: str, base: Number, now: Number, verdict: str) -> None:
    """What was written as a decimal is compared as one: +10 % on 0.7 is 0.77, whatever a double makes of it."""
    budget = _gate(Metric("", "cost"), rule.replace("$", "+"))
    assert _decide(budget, _stored(cost=base), cost=now)["cost"].verdict == verdict


def test_a_ceiling_and_a_target_hold_to_the_last_digit() -> None:
    """The same for absolute limits and for reductions."""
    limit = Budget(default_rule=None, limit=((Metric("", "cost"), parse_quantity("$0.3", unit="USD")),))
    assert _decide(limit, cost=0.3)["cost"].verdict == "ok"
    assert _decide(limit, cost=0.30000001)["cost"].verdict == "over_limit"
    target = Budget(default_rule=None, reduce=((Metric("", "cost"), Fraction(3, 10)),))
    assert _decide(target, _stored(cost=0.1), cost=0.07)["cost"].verdict == "improved"
    assert _decide(target, _stored(cost=0.1), cost=0.0700001)["cost"].verdict == "target_missed"


def test_a_named_stage_that_vanished_fails() -> None:
    """A gate that was put on a stage by name fails where the run never opened it, also if the baseline knows it."""
    entry = _stored(("worker",), worker__input_tokens=100, input_tokens=100)
    said = _decide(
        _gate(Metric("worker", "input_tokens"), "10%"), entry, {"wrker": {"input_tokens": 100}}, input_tokens=100
    )
    assert said["worker.input_tokens"].verdict == "no_calls"
    assert said["worker.input_tokens"].reason == "stage 'worker' was never opened; opened: wrker"


def test_a_stage_that_vanished_is_an_improvement_for_default_gates() -> None:
    """Nobody named it: a step that the agent no longer takes is less than before."""
    entry = _stored(("worker",), worker__input_tokens=100, input_tokens=100)
    budget = Budget(Rule(Fraction(1, 10)), rules=((Metric("", "latency"), Rule(off=True)),))
    said = _decide(budget, entry, {}, input_tokens=10, output_tokens=1, calls=1)
    assert (said["worker.input_tokens"].value, said["worker.input_tokens"].verdict) == (0, "improved")


def test_drift_is_told_by_this_run_alone_where_nothing_is_noisy() -> None:
    """Ten times +4 % under a gate of 5 % is +48 % since the origin in the very run that adds the last of them."""
    entry = BaselineEntry(metrics={"input_tokens": MetricRecord(((1423,),), 1000)}, traffic="scripted")
    said = _decide(_gate(Metric("", "input_tokens"), "5%"), entry, input_tokens=1480)["input_tokens"]
    assert said.verdict == "ok"
    assert said.drift == pytest.approx(0.48)


def test_a_default_latency_that_still_learns_is_no_doubt_about_the_test() -> None:
    """Against a baseline without speeds one session of measured times decides nothing; it is said, and the test is ok."""
    figures: dict[str, Number | None] = {"input_tokens": 100, "output_tokens": 5, "calls": 1, "latency": 1.3}
    records = {name: MetricRecord(((value,),), value) for name, value in figures.items() if value is not None}
    entry = BaselineEntry(metrics={**records, "latency": MetricRecord(((1.0, 1.2),), 1.1)})
    sample = Sample(total=figures, calls=(Call("main", "p", "a", model="m", latency=1.2),))
    gates = judge_gates(GateInput(Budget(Rule(Fraction(1, 10))), [sample], entry, True, TABLE))
    (learning,) = [gate for gate in gates if gate.verdict == "inconclusive"]
    assert (learning.metric, learning.learning) == ("latency", True)
    assert learning.reason == "latency: 1 of 5 sessions; each `--tokenbudget-update` adds one"
    assert worst(gates) == "ok"
    asked = Budget(None, rules=((Metric("", "latency"), Rule(Fraction(1, 10))),))
    assert worst(judge_gates(GateInput(asked, [sample], entry, True, TABLE))) == "inconclusive"


@pytest.mark.parametrize("metric", ["reasoning_tokens", "input_tokens", "cost", "ttft"])
def test_an_unknown_value_fails_what_was_asked_for_by_name(metric: str) -> None:
    """It is never taken for 0; the ceiling and the reason are told."""
    budget = Budget(default_rule=None, limit=((Metric("", metric), Fraction(7)),))
    sample = Sample(total={metric: None}, traffic="scripted")
    (said,) = judge_gates(GateInput(budget, [sample], None, True, TABLE))
    assert (said.value, said.allowed, said.verdict) == (None, 7, "over_limit")
    assert said.reason.startswith(f"{metric} is not known: ")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_finite_number_is_not_known(value: float) -> None:
    """A hook's metric may give anything: it raises nothing, and what was asked for by name fails."""
    named = ((Metric("", "cost"), Rule(Fraction(1, 10))),)
    budget = Budget(None, rules=named, limit=((Metric("", "latency"), Fraction(7)),))
    said = _decide(budget, _stored(cost=1), cost=value, latency=value)
    assert (said["cost"].verdict, said["latency"].verdict) == ("regression", "over_limit")
    live = [Sample(total={"cost": cost}) for cost in (1.0, value)]
    (gate,) = judge_gates(GateInput(Budget(None, rules=named), live, _stored(cost=1), False, TABLE))
    assert gate.verdict == "regression"


@pytest.mark.parametrize("seed", range(30))
def test_a_stage_that_holds_everything_is_judged_as_by_itself(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence that is worked out once for the test and its only stage gives what each of them would give alone."""
    rng = random.Random(seed)
    stages = rng.choice([("main",), ("worker",), ("worker", "worker/finalize"), ("router", "worker")])

    def taken(*, grown: int) -> Sample:
        calls = [
            replace(
                call,
                stage=rng.choice(stages),
                model=rng.choice(["gpt-4.1", "gpt-4.1", "gpt-5"]) if rng.random() < 0.2 else "gpt-4.1",
                input_source=rng.choice(["provider", "counted"]) if rng.random() < 0.2 else "provider",
            )
            for call in run_calls(rng.randint(1, 4), growth=1 + grown / 10)
        ]

        def compose(mine: Sequence[Call], _: float) -> StageComposition:
            fixed = FixedPrompt("2ad14b", "o200k_base", 500 + 100 * grown, 5, len(mine))
            models = tuple(sorted({call.model for call in mine}))
            return StageComposition(calls=len(mine), models=models, fixed=(fixed,) if mine else ())

        found = measure(calls, (), call_phase=9.0, own_time=None, table=TABLE, compose=compose)
        return Sample(
            calls=tuple(calls),
            total=found.total,
            stages=found.stages,
            composition=found.composition,
            pooled=found.pooled,
        )

    entry = entry_of([taken(grown=0)])
    given = GateInput(Budget(), [taken(grown=rng.choice([0, 0, 1, 3]))], entry, rng.random() < 0.5, TABLE)
    judged = judge_gates(given)
    monkeypatch.setattr(gate_results._Gates, "_scope", lambda _, stage: stage)
    assert judged == judge_gates(given)
    assert judged
