"""A test's calls on the sample's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.report.figures import number, seconds
from pytest_tokenbudget.wording import plain


def lanes_of(calls: Sequence[Call]) -> list[int]:
    """The topmost row that is free when a call begins, so that what ran at the same time stands below each other."""
    ends: list[float] = []
    lanes = []
    for call in calls:
        lane = next((lane for lane, end in enumerate(ends) if end <= call.started), len(ends))
        if lane == len(ends):
            ends.append(0.0)
        ends[lane] = call.started + call.latency
        lanes.append(lane)
    return lanes


LABELLED_CALLS = 40
"""Calls up to which each has a row and a label of its own; more share rows and have tooltips only."""

ROW_PX = 20
DENSE_ROW_PX = 7
AXIS_PX = 18
NARROWEST = 0.2
"""Per cent of the width that even the shortest call is drawn with."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One call. Positions and widths are per cents of the drawing's width, heights pixels.

    Attributes:
        wait: The part of the duration that passed before the first generated chunk; 0 where it is not known.
        stage: Class of its stage's colour.
        label: Text beside the bar; empty in dense drawings.
        label_x: Where the text begins or ends.
    """

    x: float
    width: float
    wait: float
    y: int
    height: int
    stage: str
    failed: bool
    label: str
    label_x: float
    anchor: str
    title: str
    name: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which no call ran: the agent's own code."""

    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of the time axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """All calls of a sample, drawn."""

    bars: tuple[Bar, ...] = ()
    gaps: tuple[Gap, ...] = ()
    ticks: tuple[Tick, ...] = ()
    height: int = 0


def draw(calls: Sequence[Call], colours: Mapping[str, str]) -> Waterfall:
    """Draw the calls of a sample."""
    if not calls:
        return Waterfall()
    end = max(call.started + call.latency for call in calls)
    scale = 100 / end if end > 0 else 0.0
    dense = len(calls) > LABELLED_CALLS
    row, top = DENSE_ROW_PX if dense else ROW_PX, ROW_PX
    lanes = lanes_of(calls) if dense else list(range(len(calls)))
    bars = []
    for index, (call, lane) in enumerate(zip(calls, lanes, strict=True)):
        x = max(0.0, call.started * scale)
        width = max(NARROWEST, call.latency * scale)
        label_x, anchor = (x + width, "start") if x + width < 62 or x < 38 else (x, "end")
        bars.append(
            Bar(
                x=round(min(x, 100 - NARROWEST), 1),
                width=round(width, 1),
                wait=round(min(call.ttft or 0.0, call.latency) * scale, 1),
                y=top + lane * row + (1 if dense else 3),
                height=row - (2 if dense else 6),
                stage=colours.get(call.stage, "s0"),
                failed=not call.succeeded,
                label="" if dense else _label(call),
                label_x=round(min(label_x, 100), 2),
                anchor=anchor if x + width < 97 or anchor == "end" else "end",
                title=_title(index, call),
                name="" if dense else plain(call.stage.rpartition("/")[2], limit=24),
            )
        )
    height = top + (max(lanes) + 1) * row
    return Waterfall(tuple(bars), tuple(_gaps(calls, scale)), tuple(_ticks(end)), height + AXIS_PX)


def _gaps(calls: Sequence[Call], scale: float) -> list[Gap]:
    gaps, last = [], 0.0
    for start, end in sorted((max(0.0, call.started), call.started + call.latency) for call in calls):
        if (start - last) * scale >= NARROWEST:
            width = round((start - last) * scale, 2)
            gaps.append(Gap(round(last * scale, 2), width, f"own code: {seconds(start - last)}"))
        last = max(last, end)
    return gaps


def _ticks(end: float) -> list[Tick]:
    if end <= 0:
        return []
    raw = end / 5
    magnitude = 10.0 ** floor(log10(raw))
    step = next(unit * magnitude for unit in (1, 2, 5, 10) if unit * magnitude >= raw * 0.999)
    return [
        Tick(round(100 * index * step / end, 2), seconds(index * step))
        for index in range(int(end / step + 1e-9) + 1)
        if index * step / end < 0.97
    ]


def _label(call: Call) -> str:
    if not call.succeeded:
        return f"{_why(call)} after {seconds(call.latency)}"
    read, written = number(call.usage.input_tokens), number(call.usage.output_tokens)
    return f"{seconds(call.latency)} · {read} → {written}"


def _title(index: int, call: Call) -> str:
    said = [f"{index + 1}. {plain(call.stage, limit=80)}, {plain(call.model or call.request_model, limit=80)}"]
    said.append(f"{seconds(call.started)} + {seconds(call.latency)}")
    if call.ttft is not None:
        said.append(f"first chunk after {seconds(call.ttft)}")
    if call.succeeded:
        said.append(f"input {number(call.usage.input_tokens)}, output {number(call.usage.output_tokens)}")
        if call.usage.cached_input_tokens:
            said.append(f"{call.usage.cached_input_tokens:,} from the cache")
        if call.cost is not None:
            said.append(number(call.cost, "USD"))
    else:
        said.append(f"failed: {_why(call)}")
    if call.attempt:
        said.append(f"try {call.attempt + 1}")
    if call.tool_calls:
        said.append("calls " + ", ".join(plain(name, limit=60) for name in call.tool_calls[:5]))
    return "; ".join(said)


def _why(call: Call) -> str:
    return plain(call.error or "", limit=40)
