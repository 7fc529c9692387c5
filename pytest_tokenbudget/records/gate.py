"""The budget of a test: metrics, rules and gates."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

Unit = Literal["tokens", "count", "s", "USD", "ratio"]
GateKind = Literal["max_increase", "limit", "reduce"]


TOOL_PREFIX = "tools."
"""Beginning of the name of a metric that is one tool's schema: ``tools.calendar_write``."""

STANDARD_METRICS = frozenset(
    {
        "cache_write_tokens",
        "cached_input_tokens",
        "call_latency",
        "calls",
        "cost",
        "failed_attempts",
        "fresh_input_tokens",
        "history_tokens",
        "input_tokens",
        "latency",
        "latency_per_output_token",
        "measured_latency",
        "model_time",
        "output_tokens",
        "own_time",
        "provider_pace",
        "reasoning_tokens",
        "system_tokens",
        "tool_calls",
        "tool_schema_tokens",
        "total_tokens",
        "ttft",
    }
)
"""Names of the metrics that are no tool's: in a stage called ``tools`` they stand behind the same prefix."""

ANY_TOOL = f"{TOOL_PREFIX}*"
"""The metric of each tool."""


def is_tool_metric(name: str) -> bool:
    """Tell whether a metric's name, without its stage, is that of one tool's schema."""
    return name.startswith(TOOL_PREFIX)


@lru_cache(maxsize=10_000)
def split_key(key: str) -> tuple[str, str]:
    """Split the key of a metric into its stage, ``""`` for the whole test, and its name.

    Args:
        key: ``input_tokens``, ``worker.input_tokens``, ``worker.tools.calendar_write``.
    """
    stage, _, name = key.rpartition(".")
    outer, _, last = stage.rpartition(".")
    if last == TOOL_PREFIX[:-1] and name not in STANDARD_METRICS:
        return outer, f"{TOOL_PREFIX}{name}"
    return stage, name


def key_of(stage: str, name: str) -> str:
    """Give the key of a metric: its name, behind its stage unless it is the whole test's (``""``)."""
    return f"{stage}.{name}" if stage else name


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
        return key_of(self.stage, self.name)

    def __str__(self) -> str:
        return self.key if self.statistic == "mean" else f"{self.key}.{self.statistic}"


@dataclass(frozen=True, slots=True)
class Rule:
    """The growth that a metric may have.

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
    """The budget that a test's markers give, merged and checked.

    Attributes:
        default_rule: Rule of the default gates; ``None`` where a mapping named the gates and left the default ones out.
        rules: Rules by metric.
        limit: Ceilings by metric, in the metric's unit.
        reduce: Wanted reductions by metric.
        against: Name of what ``reduce`` and ``max_increase`` compare with: ``baseline`` or a reference.
        samples: Number of samples, or ``None`` for ``"auto"``.
        samples_in: Where further samples run: ``auto`` or ``process``; ``None`` leaves it to the session's option.
        max_samples: Most samples that ``"auto"`` may take.
        stop_at: Ceilings at which the run is stopped, by metric.
        replay: Name of a cassette, ``""`` for the test's own, ``None`` for none.
        fixture_calls: To whom calls of fixtures of a wider scope are charged; ``None`` leaves it to the session's option.
    """

    default_rule: Rule | None = Rule(Fraction(1, 10))
    rules: tuple[tuple[Metric, Rule], ...] = ()
    limit: tuple[tuple[Metric, Fraction], ...] = ()
    reduce: tuple[tuple[Metric, Fraction], ...] = ()
    against: str = "baseline"
    samples: int | None = None
    samples_in: Literal["auto", "process"] | None = None
    max_samples: int = 10
    stop_at: tuple[tuple[Metric, Fraction], ...] = ()
    replay: str | None = None
    fixture_calls: Literal["apart", "each", "shared"] | None = None
