"""Two arms' samples of one test: what its gates say, and what is reported of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_tokenbudget.baselines.observe import observe, session_values
from pytest_tokenbudget.compare.decide import Question, decide, fails, needs_baseline, worst
from pytest_tokenbudget.compare.values import before_of
from pytest_tokenbudget.explain import notes
from pytest_tokenbudget.explain.gate_causes import explain_gates
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, TestResult, Verdict

GateKey = tuple[str, str]
"""Metric and statistic of a gate."""


@dataclass(frozen=True, slots=True)
class PairedJudge:
    """On what terms all tests are judged.

    Attributes:
        table: The known metrics.
        family: Number of gates that compare live times, among which the level is shared out.
        only: By node id, the gates that are to be confirmed; ``None`` where all are judged.
    """

    table: Mapping[str, MetricSpec]
    family: int = 1
    only: Mapping[str, Collection[GateKey]] | None = None

    def gates(
        self, nodeid: str, budget: Budget, base: Sequence[Sample], head: Sequence[Sample]
    ) -> tuple[GateResult, ...]:
        """What the gates of a test say of the pairs so far; their ``more`` asks for further ones."""
        judged = decide(
            Question(budget, head, _entry(base), False, self.table, family=self.family, fixed=False, paired=True)
        )
        if self.only is None:
            return judged
        wanted = self.only.get(nodeid, ())
        # A target that was asked for on the command line is judged in a confirmation too.
        return tuple(gate for gate in judged if gate.kind == "reduce" or (gate.metric, gate.statistic) in wanted)

    def timed_gates(self, gates: Sequence[GateResult]) -> int:
        """How many of some gates compare live times."""
        return sum(
            not gate.exact and gate.kind != "limit" and self.table[gate.metric.rpartition(".")[2]].timed
            for gate in gates
        )


def _entry(samples: Sequence[Sample]) -> BaselineEntry:
    """The base's samples in the form of a baseline of one session, all of them."""
    seen = observe(samples)
    values = {name: MetricRecord((session,)) for name, session in session_values(samples).items() if session}
    pooled = {name: values.pop(name) for name in seen.pooled if name in values}
    return BaselineEntry(
        metrics=values,
        pooled=pooled,
        composition=seen.composition,
        outcomes=seen.outcomes,
        traffic=seen.traffic,
        sources=seen.sources,
        models=seen.models,
        providers=seen.providers,
    )


def judged_result(
    measured: TestResult, budget: Budget, gates: Sequence[GateResult], base: Sequence[Sample], head: Sequence[Sample]
) -> TestResult:
    """What is reported of a test that ran on both sides.

    Args:
        measured: What the head's plugin said of its last sample.
        budget: Its budget in this run.
        gates: What the gates say.
        base: All samples of the base.
        head: All samples of the head.
    """
    verdict: Verdict = worst(gates)
    if verdict == "ok" and gates and needs_baseline(budget) and all(gate.verdict == "new" for gate in gates):
        verdict = "new"
    entry = _entry(base)
    messages = [*measured.messages, *outcome_differences(base, head)]
    if budget.reduce and outcome_differences(base, head) and verdict in ("ok", "improved", "new", "inconclusive"):
        verdict = "target_missed"
    if not any(sample.calls for sample in head):
        verdict = "no_calls"
    messages += notes(entry.composition, head[-1].composition)
    return replace(
        measured,
        verdict=verdict,
        gates=tuple(gates),
        samples=tuple(head),
        causes=explain_gates(gates, entry, head),
        messages=tuple(dict.fromkeys(messages)),
        failed=fails(verdict, strict=False),
        against=budget.against,
        budget=budget,
        before=before_of(entry),
    )


def outcome_differences(base: Sequence[Sample], head: Sequence[Sample]) -> list[str]:
    """Outcomes of the head that the base never had; a model that varies may have several on either side."""
    lines = []
    for name in sorted({name for sample in (*base, *head) for name in sample.outcomes}):
        then = [sample.outcomes.get(name) for sample in base]
        lines += [
            f"outcome {name!r} was {then[-1]!r}, is {sample.outcomes.get(name)!r}"
            for sample in head
            if sample.outcomes.get(name) not in then
        ]
    return list(dict.fromkeys(lines))
