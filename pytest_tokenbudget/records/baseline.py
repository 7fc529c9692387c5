"""The stored entry of a test: the samples of its metrics, and what is needed to explain a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pytest_tokenbudget.records.composition import StageComposition, all_stages

Number = float | int
"""A value of a metric, in the metric's unit. Whole numbers stay ``int``."""

Session = tuple[Number, ...]
"""The values of one metric in one pytest session, a value a sample (pooled metrics: a value a call)."""

MAX_SESSIONS = 10
"""Sessions that are kept of a metric; the oldest goes first."""

MAX_SAMPLES = 10
"""Samples that are kept of a session; the first ones stay, so that the samples of different metrics stay aligned."""

MAX_POOLED = 60
"""Values of single calls that are kept of a session: a bound on p95 needs 59 (distribution-free, 95 %)."""


LARGEST = 10**15
"""No tokens, no seconds and no dollars come near it. Up to here a float holds every whole number."""

SMALLEST = 1e-15
"""A value nearer to 0 counts as 0: a token costs 1e-9 USD at the least, and no clock tells less than 1e-9 s."""


def bounded(value: Number) -> bool:
    """Tell whether a number has a size that a measurement can have."""
    return value == 0 or SMALLEST <= abs(value) <= LARGEST


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """The stored values of one metric.

    Attributes:
        sessions: The values of each session, newest last, in the metric's unit.
        origin: Mean of the session with which the metric was first stored or last accepted; ``None`` where unknown.
    """

    sessions: tuple[Session, ...]
    origin: Number | None = None

    @property
    def values(self) -> Session:
        """All stored values, oldest session first."""
        return self.sessions[0] if len(self.sessions) == 1 else tuple(chain.from_iterable(self.sessions))


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of a model in a stage, fitted to its calls.

    Attributes:
        call: s a call, whatever its tokens.
        read: s a token that was read uncached.
        written: s a token that was written.
        calls: Calls that it was fitted to.
    """

    call: float
    read: float
    written: float
    calls: int

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """The three numbers together."""
        return self.call, self.read, self.written


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """The stored entry of one test.

    Attributes:
        metrics: Record by full metric name: ``input_tokens``, ``worker.input_tokens``, ``worker/finalize.calls``.
        pooled: The same for metrics whose values are those of single calls (``call_latency``, ``worker.ttft``), s.
        composition: What the input of each stage's own calls consisted of, by stage path.
        outcomes: What the agent achieved, as JSON has it.
        traffic: Where the answers came from: ``live``, ``replay`` or ``scripted``.
        sources: How ``input_tokens`` and ``output_tokens`` were obtained where not from the provider, by full metric
            name: ``counted`` or ``calibrated`` and the encoding, ``"counted o200k_base"``.
        models: Names of the models that answered, sorted.
        providers: Names of the providers, sorted.
        speeds: Speed of each model by stage path, of live runs; the stored ``latency`` is that at these speeds.
    """

    metrics: Mapping[str, MetricRecord] = field(default_factory=dict)
    pooled: Mapping[str, MetricRecord] = field(default_factory=dict)
    composition: dict[str, StageComposition] = field(default_factory=dict)
    outcomes: dict[str, Any] = field(default_factory=dict)
    traffic: str = "live"
    sources: dict[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    speeds: dict[str, dict[str, Speed]] = field(default_factory=dict)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that the test opened, by path, sorted."""
        return all_stages(self.composition)
