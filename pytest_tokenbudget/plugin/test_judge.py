"""Judges one test: its samples meet its baseline, and further ones are asked for where that decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pytest_tokenbudget.compare.gate_results import GateInput, judge_gates
from pytest_tokenbudget.compare.values import stored_sessions
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.measure.constant_speed import at_speed_of
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.stored_baselines import TestLocation
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.gate import Budget, is_tool_metric
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, GateResult, TestResult, next_batch
from pytest_tokenbudget.report.test_result import assemble
from pytest_tokenbudget.settings import runs_per_month


@dataclass
class TestJudge:
    """Judges one test.

    Attributes:
        budget: What the test allows.
        location: Where it stands, and where its numbers are stored.
        context: The session's tools.
        entry: The stored entry of the test; ``None`` where there is none or where it cannot be read.
        problem: The error of a baseline that cannot be read.
        watched: The clients that were watched.
        notices: What has to be shown of how its samples were taken.
        is_final: Whether no further sample will come, so that what there is decides.
    """

    __test__ = False

    budget: Budget
    location: TestLocation
    context: SessionContext
    entry: BaselineEntry | None
    problem: TokenBudgetError | None
    watched: tuple[str, ...] = ()
    notices: list[str] = field(default_factory=list)
    is_final: bool = False
    _judged: tuple[tuple[Sample, ...], bool, tuple[Sample, ...], tuple[GateResult, ...]] | None = None

    def gates(self, samples: Sequence[Sample]) -> tuple[GateResult, ...]:
        """Judge the gates by some samples; their ``more`` asks for further ones. Without a call there is no gate."""
        return self._compared(samples)[1]

    def needs_warm_up(self) -> bool:
        """Tell whether the first live sample of a process is taken apart: its times hold imports and the making of connections.

        It costs a further run, so it is taken apart only where a time is gated by name and the number of samples is not 1.
        """
        settings, budget = self.context.settings, self.budget
        if settings.mode == "report" or (settings.samples or budget.samples) == 1:
            return False
        return any(
            self.context.table[metric.name].timed for metric, _ in (*budget.rules, *budget.limit, *budget.reduce)
        )

    def further_samples(self, samples: Sequence[Sample]) -> Iterator[tuple[GateResult, ...]]:
        """Yield once for each further sample that is needed: the gates that are undecided, where they were just judged.

        Args:
            samples: The samples so far; the caller adds to them between two steps.
        """
        settings, budget = self.context.settings, self.budget
        fixed = settings.samples or budget.samples
        if fixed is not None:
            while len(samples) < fixed:
                yield ()
            return
        # What is replayed or scripted is the same in every sample, and what replaces the baseline needs no confirmation.
        # A run that only reports fails nothing, so nothing in it has to be confirmed.
        if settings.replaces or settings.mode == "report" or samples[-1].traffic != "live":
            return
        while any(sample.calls for sample in samples) and len(samples) < budget.max_samples:
            gates = self.gates(samples)
            # What has failed already is not made better by more samples.
            wanted = 0 if any(gate.verdict in FAILING for gate in gates) else next_batch(gates)
            for taken in range(min(wanted, budget.max_samples - len(samples))):
                yield () if taken else tuple(gate for gate in gates if gate.more)
            if not wanted:
                return

    def result(self, samples: Sequence[Sample]) -> TestResult:
        """Give the whole result of the test, by the samples that are compared."""
        entry, problem = self.entry, self.problem
        compared, gates = self._compared(samples)
        return assemble(
            self._blank(),
            gates,
            compared,
            self.context.settings,
            entry=entry,
            earlier_outcomes=[] if entry is None else [entry.outcomes],
            notices=[*([] if problem is None else [f"{problem.message}; {problem.remedy}"]), *self.notices],
            details=self.context.details,
        )

    def _compared(self, samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[GateResult, ...]]:
        """Give the samples at the speed of the baseline, and judge the gates by them."""
        known = (tuple(samples), self.is_final)
        if self._judged is None or self._judged[:2] != known:
            context, settings = self.context, self.context.settings
            compared = at_speed_of(self.entry, samples)
            given = GateInput(
                self.budget,
                compared,
                self.entry,
                self._may_create() or settings.replaces,
                context.table,
                suite=context.baselines,
                confirms_improvements=settings.ratchet,
                fixed=self.is_final or (settings.samples or self.budget.samples) is not None,
                # A run that a ceiling stopped fails, whatever its gates say, and shows them.
                brief=not context.details and not self.budget.stop_at,
            )
            called = any(sample.calls for sample in samples)
            self._judged = (*known, compared, judge_gates(given) if called else ())
        return self._judged[2:]

    def without_baseline(self) -> TestResult | None:
        """The result of a test whose gates have nothing to be compared with, before anything is spent; ``None`` else."""
        settings, budget, entry, table = self.context.settings, self.budget, self.entry, self.context.table
        if settings.replaces:
            return None
        rules = [] if self._may_create() else [metric for metric, rule in budget.rules if not rule.off]
        needed = [*rules, *(metric for metric, _ in budget.reduce)]
        if entry is None:
            by_default = budget.default_rule is not None and not budget.default_rule.off and not self._may_create()
            missing = needed or by_default
        else:
            missing = [
                metric
                for metric in needed
                if metric.stage != "*"
                and not is_tool_metric(metric.name)
                and not stored_sessions(entry, metric, table[metric.name])
            ]
        if not missing:
            return None
        names = [] if entry is None or isinstance(missing, bool) else [metric.key for metric in missing]
        said = f"{self.location.files.shown} has no {', '.join(names)} of this test" if names else ""
        return replace(self._blank(), verdict="no_baseline", messages=(said,) if said else (), failed=True)

    def _may_create(self) -> bool:
        settings = self.context.settings
        return settings.missing == "create" and self.budget.against == "baseline" and self.problem is None

    def _blank(self) -> TestResult:
        """Give the result of the test before it has run."""
        location = self.location
        return TestResult(
            nodeid=location.nodeid,
            verdict="ok",
            line=location.line,
            baseline_file=str(location.files.baseline),
            key=location.key,
            against=self.budget.against,
            compared_with=location.files.shown,
            watched=self.watched,
            budget=self.budget,
            runs_per_month=runs_per_month(self.context.settings.runs_per_month, location.nodeid),
        )
