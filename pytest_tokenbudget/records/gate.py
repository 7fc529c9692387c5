"""What a test allows: metrics, rules and gates."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

GateKind = Literal["max_increase", "limit", "reduce"]


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """A metric as users write it: ``[stage.]name[.statistic]``.

    Attributes:
        stage: Stage path; ``""`` for the whole test, ``"*"`` for each stage.
        name: Name in the table of metrics.
        statistic: ``mean`` (default), ``p50``, ``p90``, ``p95``, ``p99`` or ``max``.
    """

    stage: str
    name: str
    statistic: str = "mean"

    @property
    def key(self) -> str:
        """The name under which it is stored and shown, without the statistic: ``worker.input_tokens``."""
        return f"{self.stage}.{self.name}" if self.stage else self.name

    @staticmethod
    def split(key: str) -> tuple[str, str]:
        """Split the name under which a metric is stored into stage and name: ``("worker", "input_tokens")``."""
        stage, _, name = key.rpartition(".")
        return stage, name

    def __str__(self) -> str:
        return self.key if self.statistic == "mean" else f"{self.key}.{self.statistic}"


@dataclass(frozen=True, slots=True)
class Rule:
    """How much a metric may grow.

    Both bounds must be passed before it is a regression.

    Attributes:
        fraction: Allowed relative increase, 1/10 for 10 %.
        slack: Allowed absolute increase in the metric's unit.
        off: Whether the gate is switched off.
    """

    fraction: Fraction = Fraction(0)
    slack: Fraction = Fraction(0)
    off: bool = False

    def __str__(self) -> str:
        if self.off:
            return "off"
        parts = []
        if self.fraction or not self.slack:
            parts.append(f"+{100 * float(self.fraction):.12g}%")
        if self.slack:
            parts.append(f"+{float(self.slack):.15g}" if self.slack.denominator > 1 else f"+{self.slack.numerator}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Gate:
    """A metric with a rule.

    Attributes:
        metric: The metric.
        kind: ``max_increase``, ``limit`` or ``reduce``.
        rule: Allowed increase of a ``max_increase`` gate.
        ceiling: Ceiling of a ``limit`` gate, in the metric's unit.
        reduction: Wanted reduction of a ``reduce`` gate, as a fraction.
        explicit: Whether the user named the metric, as opposed to a default gate.
    """

    metric: Metric
    kind: GateKind
    rule: Rule = Rule()
    ceiling: Fraction | None = None
    reduction: Fraction | None = None
    explicit: bool = True

    @property
    def text(self) -> str:
        """The rule as it is shown."""
        if self.kind == "limit" and self.ceiling is not None:
            return f"<= {float(self.ceiling):,.10g}"
        if self.kind == "reduce" and self.reduction is not None:
            return f"-{float(self.reduction * 100):g}%"
        return str(self.rule)


@dataclass(frozen=True, slots=True)
class Budget:
    """All that a test's markers say, merged and checked.

    Attributes:
        default_rule: Rule of the default gates; ``None`` where a mapping named the gates and left the default ones out.
        rules: Rules by metric.
        limit: Ceilings by metric, in the metric's unit.
        reduce: Wanted reductions by metric.
        against: Name of what ``reduce`` and ``max_increase`` compare with: ``baseline`` or a reference.
        samples: Number of samples, or ``None`` for ``"auto"``.
        max_samples: Most samples that ``"auto"`` may take.
        stop_at: Ceilings at which the run is stopped, by metric.
        replay: Name of a cassette, ``""`` for the test's own, ``None`` for none.
    """

    default_rule: Rule | None = Rule(Fraction(1, 10))
    rules: tuple[tuple[Metric, Rule], ...] = ()
    limit: tuple[tuple[Metric, Fraction], ...] = ()
    reduce: tuple[tuple[Metric, Fraction], ...] = ()
    against: str = "baseline"
    samples: int | None = None
    max_samples: int = 10
    stop_at: tuple[tuple[Metric, Fraction], ...] = ()
    replay: str | None = None
