"""Another model or provider than the baseline's: its tokens and times say nothing about the old ones, its cost does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.composition import Compositions, inside
from pytest_tokenbudget.records.gate import Budget, Gate, Metric, Rule
from pytest_tokenbudget.records.sample import Sample


@dataclass(frozen=True, slots=True)
class WhoAnswers:
    """The models and providers that answer in a stage, set against those of the baseline.

    Attributes:
        change: ``the model changed from A to B`` where none of the models, or of the providers, is the same; else ``""``.
        added: Whether any of them is not the baseline's.
    """

    change: str = ""
    added: bool = False


def who_answers(entry: BaselineEntry, samples: Sequence[Sample], stage: str = "") -> WhoAnswers:
    """Compare those who answer now with those of a baseline.

    Args:
        entry: The baseline.
        samples: The samples of this run.
        stage: Path of a stage, ``""`` for the whole test.
    """
    models = {model for sample in samples for model in _stage_models(sample.composition, stage)}
    providers = {call.provider for sample in samples for call in sample.calls if call.succeeded}
    change, added = "", False
    for what, then, now in (
        ("model", _stage_models(entry.composition, stage), models),
        ("provider", set(entry.providers), providers),
    ):
        if then and now:
            added = added or bool(now - then)
            if not then & now and not change:
                change = f"the {what} changed from {', '.join(sorted(then))} to {', '.join(sorted(now))}"
    return WhoAnswers(change, added)


def _stage_models(composition: Compositions, stage: str) -> set[str]:
    return {model for path, own in composition.items() if inside(path, stage) for model in own.models}


def cost_gates(budget: Budget, gates: Collection[Gate], stages: Collection[str]) -> list[Gate]:
    """Gates on the cost of stages in which other models answer: the one number that can still be compared.

    They have the default rule, or else the widest of the rules that hold for the stage.

    Args:
        budget: What the test's markers say.
        gates: The gates that the budget means.
        stages: The stages in which other models or providers answer.
    """
    found = []
    for stage in sorted(stages):
        mine = [gate for gate in gates if gate.metric.stage == stage and gate.kind == "max_increase"]
        if mine and not any(gate.metric.name == "cost" for gate in mine):
            widest = Rule(max((gate.rule.fraction for gate in mine), default=Fraction(0)))
            found.append(Gate(Metric(stage, "cost"), "max_increase", budget.default_rule or widest, explicit=False))
    return found
