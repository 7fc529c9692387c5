"""Measurements of production: rows of model calls, and the distribution of each metric by stage."""

from __future__ import annotations

from dataclasses import dataclass, field

METRICS = ("input_tokens", "output_tokens", "cached_input_tokens", "calls", "latency", "cost")
"""The metrics that rows can give; latency in s, cost in USD."""


@dataclass(frozen=True, slots=True)
class ProductionRow:
    """One model call, or one stage of one run, as another program recorded it. It holds no text and no user.

    Attributes:
        stage: Its stage.
        model: Its model, ``""`` where unknown.
        run: What groups rows to one run (a trace, a conversation); ``""``: the row is a run of its own.
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        cached_input_tokens: Tokens read from a cache.
        calls: Model calls that the row stands for.
        latency: Duration, s.
        cost: USD.
    """

    stage: str
    model: str = ""
    run: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    calls: int = 1
    latency: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of a stage's metric over the runs of production.

    Attributes:
        n: Number of runs.
        mean: Mean, in the metric's unit.
        p50: Median.
        p95: 95th percentile, by nearest rank.
        values: Up to 60 values at equal distances of rank, ascending: what a statistical gate compares with.
    """

    n: int
    mean: float
    p50: float
    p95: float
    values: tuple[float | int, ...]


@dataclass(frozen=True, slots=True)
class Production:
    """The reference that production gives.

    Attributes:
        source: Kind of the source: ``sql``, ``otel``, ``langfuse`` or ``jsonl``.
        stages: Distributions by stage and metric; those of a whole run stand under ``""``.
        models: Names of the models that answered, sorted.
    """

    source: str
    stages: dict[str, dict[str, Distribution]] = field(default_factory=dict)
    models: tuple[str, ...] = ()
