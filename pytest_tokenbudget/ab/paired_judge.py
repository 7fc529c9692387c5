"""Two arms' samples of one test: what its gates say, and what is reported of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.baselines.observe import observe, session_values
from pytest_tokenbudget.compare.gate_results import GateInput, judge_gates
from pytest_tokenbudget.measure.constant_speed import at_speed_of
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.gate import Budget, split_key
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult

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
        entry = entry_of(base)
        given = GateInput(
            budget,
            at_speed_of(entry, head),
            entry,
            False,
            self.table,
            family=self.family,
            fixed=False,
            paired=True,
        )
        judged = judge_gates(given)
        if self.only is None:
            return judged
        wanted = self.only.get(nodeid, ())
        # A target that was asked for on the command line is judged in a confirmation too.
        return tuple(gate for gate in judged if gate.kind == "reduce" or (gate.metric, gate.statistic) in wanted)

    def timed_gates(self, gates: Sequence[GateResult]) -> int:
        """How many of some gates compare live times."""
        return sum(
            not gate.exact
            and gate.kind != "limit"
            and (name := split_key(gate.metric)[1]) != "latency"
            and self.table[name].timed
            for gate in gates
        )


def entry_of(samples: Sequence[Sample]) -> BaselineEntry:
    """The base's samples in the form of a baseline of one session, all of them."""
    samples = at_speed_of(None, samples)
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
        speeds=seen.speeds,
    )
