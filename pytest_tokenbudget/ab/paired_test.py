"""One test of an A/B run: its samples on both sides, how they are judged, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_tokenbudget.ab.arms import Arm
from pytest_tokenbudget.baselines.observe import observe, session_values
from pytest_tokenbudget.compare.gate_results import Alone, GateInput, judge_gates
from pytest_tokenbudget.explain.text_diffs import with_text_diffs
from pytest_tokenbudget.measure.constant_speed import at_speed_of
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.processes.transcript import Transcript
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.gate import Budget, split_key
from pytest_tokenbudget.records.prompt import PromptText
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import GateResult, TestResult
from pytest_tokenbudget.report.test_result import assemble, not_compared
from pytest_tokenbudget.settings import Settings

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
        """Judge the gates of a test by the pairs so far; their ``more`` asks for further pairs."""
        entry = entry_of(base)
        given = GateInput(
            budget,
            at_speed_of(entry, head),
            entry,
            False,
            self.table,
            suite=Alone(self.family),
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
        """Count the gates that compare live times."""
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
    return seen.entry(values, pooled)


@dataclass(slots=True)
class PairedTest:
    """One test while pairs of it are run.

    Attributes:
        nodeid: Its node id, the same on both sides.
        wanted: Further pairs that are needed, 0 where it is settled.
        base: Samples of the base.
        head: Samples of the head.
        measured: What the head's plugin said of its last sample.
        texts: The texts of the base's prompts.
        budget: Its budget in this run, known from the first pair on.
        gates: What the gates say.
        trouble: Why it cannot be compared: a failure of its own on one side; empty where it can.
        diverged: Whether that is a run that no longer fits its recorded answers.
        left_out: Why it is left out without being a failure (skipped on one side).
    """

    nodeid: str
    wanted: int = 1
    base: list[Sample] = field(default_factory=list)
    head: list[Sample] = field(default_factory=list)
    measured: TestResult | None = None
    texts: tuple[PromptText, ...] = ()
    budget: Budget | None = None
    gates: tuple[GateResult, ...] = ()
    trouble: str = ""
    diverged: bool = False
    left_out: str = ""

    @property
    def is_out(self) -> bool:
        """Tell whether no further pair of it is run, because it cannot be compared."""
        return bool(self.trouble or self.left_out)

    @property
    def stages(self) -> set[str]:
        """All stages that it opened on either side."""
        return {stage for sample in (*self.base, *self.head) for stage in sample.stages}

    def take(self, arm: Arm, seen: Transcript, *, head: bool) -> None:
        """Take what one side measured in one run, or why it did not."""
        result = seen.results.get(self.nodeid)
        if result is not None and result.passed and self.nodeid not in seen.failures:
            (self.head if head else self.base).extend(result.samples)
            if head:
                self.measured = result
            else:
                self.texts = result.texts
        elif self.nodeid in seen.failures:
            when, text = seen.failures[self.nodeid]
            phase = "" if when == "call" else f" in its {when}"
            self.trouble = self.trouble or f"fails{phase} at {arm.name}: {_last_lines(text)}"
            self.diverged = result is not None and result.verdict == "diverged"
            self.measured = result if head or self.measured is None else self.measured
        elif self.nodeid in seen.skipped:
            self.left_out = f"is skipped at {arm.name}"
        else:
            self.trouble = self.trouble or f"did not run at {arm.name} (pytest ended with exit code {seen.exit_code})"


def _last_lines(text: str, most: int = 300) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    shown = " ".join(marked or lines[-3:])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def results_of(tests: Sequence[PairedTest]) -> tuple[TestResult, ...]:
    """Give the results of the tests in the order of their node ids; tests that were left out are not in it."""
    found: Mapping[str, TestResult] = {
        test.nodeid: _result(test) for test in tests if test.trouble or not test.left_out
    }
    return tuple(found[nodeid] for nodeid in sorted(found))


def _result(test: PairedTest) -> TestResult:
    measured = test.measured or TestResult(test.nodeid, "inconclusive")
    if test.trouble:
        return not_compared(measured, test.trouble, test.head, has_diverged=test.diverged)
    assert test.budget is not None
    blank = replace(measured, budget=test.budget, compared_with="", notices=(), played=None, texts=())
    outcomes = [sample.outcomes for sample in test.base]
    entry = entry_of(test.base)
    judged = assemble(
        blank, test.gates, at_speed_of(entry, test.head), Settings(), entry=entry, earlier_outcomes=outcomes
    )
    # The samples of the base cost money too.
    causes = with_text_diffs(judged.causes, test.texts, measured.texts)
    return replace(judged, discarded=tuple(test.base), causes=causes)
