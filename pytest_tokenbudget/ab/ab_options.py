"""The options of an A/B run: targets and rules of the command line, added to each test's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pytest_tokenbudget.compare.rules import parse_reduction, parse_rule
from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.measure.metrics import MetricSpec, parse_metric
from pytest_tokenbudget.records.gate import Budget, Metric, Rule


@dataclass(frozen=True, slots=True)
class AbOptions:
    """Targets and rules that hold for every test.

    Attributes:
        default_rule: Rule of the default gates; ``None`` leaves each test's own.
        rules: Rules by metric, beside the test's own.
        reduce: Wanted reductions by metric; a test's own are against a stored reference and do not count here.
        max_samples: Most pairs that are run.
    """

    default_rule: Rule | None = None
    rules: tuple[tuple[Metric, Rule], ...] = ()
    reduce: tuple[tuple[Metric, Fraction], ...] = ()
    max_samples: int = 30

    def on(self, budget: Budget, *, base: str, stages: Collection[str]) -> Budget:
        """A test's budget in this run.

        Args:
            budget: What its markers say.
            base: Name of the base.
            stages: Stages that the test opened on either side; a target for a stage of other tests is not for this one.
        """
        return replace(
            budget,
            default_rule=budget.default_rule if self.default_rule is None else self.default_rule,
            rules=(*budget.rules, *((metric, rule) for metric, rule in self.rules if _here(metric, stages))),
            reduce=tuple((metric, wanted) for metric, wanted in self.reduce if _here(metric, stages)),
            against=base,
            samples=None,
            max_samples=self.max_samples,
        )

    def check_stages(self, opened: Collection[str]) -> None:
        """See that each named stage exists in at least one test.

        Raises:
            ABError: If one does not; it names those that do.
        """
        for metric, _ in (*self.reduce, *self.rules):
            if not _here(metric, opened):
                raise ABError(
                    f"{metric}: no test opened the stage {metric.stage!r}; opened: {', '.join(sorted(filter(None, opened))) or 'none'}",
                    remedy="check its name",
                )


def _here(metric: Metric, stages: Collection[str]) -> bool:
    return metric.stage in ("", "*") or metric.stage in stages


def parse_options(
    increases: Sequence[str], reductions: Sequence[str], *, max_samples: int, table: Mapping[str, MetricSpec]
) -> AbOptions:
    """Parse the options.

    Args:
        increases: ``METRIC=RULE``, or ``RULE`` for the default gates.
        reductions: ``METRIC=30%``.
        max_samples: Most pairs.
        table: The known metrics.

    Raises:
        ABError: If one cannot be understood.
    """
    default: Rule | None = None
    rules, reduce = [], []
    for text in increases:
        name, sign, rule = text.rpartition("=")
        try:
            if not sign:
                default = parse_rule(rule, unit="count")
            else:
                metric = parse_metric(name, table)
                rules.append((metric, parse_rule(rule, unit=table[metric.name].unit)))
        except ValueError as error:
            raise ABError(f"--max-increase {text}: {error}", remedy="--max-increase worker.latency=20%") from None
    for text in reductions:
        name, sign, wanted = text.rpartition("=")
        try:
            if not sign:
                raise ValueError("no metric is named")
            reduce.append((parse_metric(name, table), parse_reduction(wanted)))
        except ValueError as error:
            raise ABError(f"--reduce {text}: {error}", remedy="--reduce worker.input_tokens=30%") from None
    if max_samples < 1:
        raise ABError(f"--max-samples {max_samples}: at least one pair is needed", remedy="--max-samples 12")
    return AbOptions(default, tuple(rules), tuple(reduce), max_samples)
