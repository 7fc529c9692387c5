"""From a budget to gates."""

from __future__ import annotations

from fractions import Fraction

from pytest_tokenbudget.compare.rules import expand
from pytest_tokenbudget.records.gate import Budget, Metric, Rule

TEN, FIVE = Rule(Fraction(1, 10)), Rule(Fraction(1, 20))


def _gated(budget: Budget, *stages: str) -> dict[str, str]:
    return {
        str(gate.metric): gate.text for gate in expand(budget, stages=stages, default_metrics=("input_tokens", "calls"))
    }


def test_default_gates_are_of_the_test_and_of_each_stage() -> None:
    """A bare rule applies to the default metrics everywhere."""
    assert _gated(Budget(TEN), "worker") == dict.fromkeys(
        ("calls", "input_tokens", "worker.calls", "worker.input_tokens"), "+10%"
    )


def test_a_named_metric_beats_the_star_and_the_default() -> None:
    """The nearer rule wins, whatever the order in which they are written."""
    rules = ((Metric("worker", "calls"), Rule(off=True)), (Metric("*", "calls"), FIVE))
    for order in (rules, rules[::-1]):
        gated = _gated(Budget(TEN, rules=order), "router", "worker")
        assert gated["router.calls"] == "+5%"
        assert gated["calls"] == "+10%"
        assert "worker.calls" not in gated


def test_a_mapping_without_default_gates_only_what_it_names() -> None:
    """Without the key ``default`` the default gates are gone."""
    assert _gated(Budget(None, rules=((Metric("", "cost"), TEN),)), "worker") == {"cost": "+10%"}


def test_limits_of_each_stage() -> None:
    """A limit on ``*`` is one for each stage, and a named one beats it."""
    limit = ((Metric("worker", "cost"), Fraction(2)), (Metric("*", "cost"), Fraction(1)))
    gated = _gated(Budget(None, limit=limit), "router", "worker")
    assert gated == {"router.cost": "<= 1", "worker.cost": "<= 2"}
