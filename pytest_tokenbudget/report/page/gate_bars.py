"""A gate as a bar: what was, what is allowed, what is; and where chance plays a part, the interval in which it lies.

All bars have the same axis, counted in allowances: what was before stands at a quarter of the width, what is allowed at half of it.
So the line of what is allowed runs straight down the table, and whatever ends to the right of it is over budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_tokenbudget.records.verdict import GateResult
from pytest_tokenbudget.report.figures import change, interval, number, percent
from pytest_tokenbudget.report.table import metric_name
from pytest_tokenbudget.wording import counted, plain

LEAST_UNIT = 0.02
"""The change that one allowance stands for where nothing, or next to nothing, is allowed."""


@dataclass(frozen=True, slots=True)
class GateBar:
    """A gate as a row of the table. Positions are per cents of the bar's width.

    Attributes:
        zone: Where the zone of what is allowed ends (for a target: begins at the left and ends here).
        start: Where the bar begins: at the value before, or at nothing for limits.
        mark: Where the value is; ``None`` where it is unknown.
        low: Lower end of the interval, ``None`` where nothing is left to chance.
        beyond: Whether the value lies beyond the right edge.
    """

    metric: str
    before: str
    now: str
    change: str
    allowed: str
    verdict: str
    kind: str
    zone: float
    start: float
    mark: float | None
    low: float | None
    high: float | None
    beyond: bool
    title: str
    reason: str
    source: str


def gate_bar(gate: GateResult) -> GateBar:
    """A gate as a row."""
    zone, start, mark = _positions(gate)
    low = high = None
    if not gate.exact and gate.lower is not None and gate.upper is not None and gate.kind != "limit":
        low, high = (_clipped(_at(gate, bound_)) for bound_ in (gate.lower, gate.upper))
    return GateBar(
        metric=metric_name(gate),
        before=number(gate.baseline, gate.unit) if gate.kind != "limit" else "",
        now=number(gate.value, gate.unit),
        change=change(gate) if gate.change else "",
        allowed=_allowed(gate),
        verdict=gate.verdict,
        kind=gate.kind,
        zone=zone,
        start=start,
        mark=None if mark is None else _clipped(mark),
        low=low,
        high=high,
        beyond=mark is not None and mark > 100,
        title=_title(gate),
        reason=plain(gate.reason),
        source=gate.source,
    )


def _positions(gate: GateResult) -> tuple[float, float, float | None]:
    if gate.kind == "limit":
        known = gate.value is not None and gate.allowed
        return 50.0, 0.0, 50 * gate.value / gate.allowed if known else None  # type: ignore[operator]  # known says so
    start = 75.0 if gate.kind == "reduce" else 25.0
    zone = 25.0 if gate.kind == "reduce" else 50.0
    return zone, start, None if gate.change is None else _at(gate, gate.change)


def _at(gate: GateResult, relative: float) -> float:
    """Give the place of a relative change on the axis."""
    unit = LEAST_UNIT
    if gate.allowed is not None and gate.baseline:
        unit = max(unit, abs(gate.allowed / gate.baseline - 1))
    return 75 + 50 * relative / unit if gate.kind == "reduce" else 25 + 25 * relative / unit


def _clipped(position: float) -> float:
    return round(min(100.0, max(0.0, position)), 1)


def _allowed(gate: GateResult) -> str:
    if gate.kind == "limit":
        return f"≤ {number(gate.allowed, gate.unit)}"
    return plain(gate.rule, limit=40).replace("%", " %")


def _title(gate: GateResult) -> str:
    said = []
    if gate.allowed is not None:
        said.append(f"up to {number(gate.allowed, gate.unit)}")
    if bounds := interval(gate):
        said += [bounds, counted(gate.samples, "sample")]
    if gate.detectable is not None:
        said.append(f"an increase of {percent(gate.detectable)} would have been seen")
    return "; ".join(said)
