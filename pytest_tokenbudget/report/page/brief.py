"""A test's details in few bytes: for suites of hundreds of tests, where most hold and all are to stay in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_tokenbudget.records.composition import within
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import number, signed, unit_of
from pytest_tokenbudget.report.highlights import cause_words, main_causes
from pytest_tokenbudget.report.means import now_value
from pytest_tokenbudget.report.prompt_tree import PART_ORDER, PART_WORDS
from pytest_tokenbudget.report.table import gate_row
from pytest_tokenbudget.report.timeline import lanes_of
from pytest_tokenbudget.wording import plain

SHOWN = 4
"""Lines of gates, causes and notes each."""

STRIP_PX = 12
LANE_PX = 6
_FIGURES = (
    ("output_tokens", "output"),
    ("calls", "calls"),
    ("failed_attempts", "failed attempts"),
    ("cached_input_tokens", "from cache"),
    ("own_time", "own code"),
)


@dataclass(frozen=True, slots=True)
class Brief:
    """A test in a few lines and one drawing without text.

    Attributes:
        figures: Its totals that do not stand in its row.
        lines: Gates that do not hold, causes and notes.
        paths: The prompt by part, and below it the calls on the test's clock: a class and a path each, 1,000 units wide.
        height: Height of the drawing, px.
    """

    figures: str
    lines: tuple[str, ...]
    paths: tuple[tuple[str, str], ...]
    height: int


def brief(result: TestResult, colours: Mapping[str, str]) -> Brief:
    """A test's details in few bytes.

    Args:
        result: The test.
        colours: Class of the colour by stage path.
    """
    last = result.samples[-1] if result.samples else Sample()
    figures = [
        f"{label} {number(value, unit_of(name))}" for name, label in _FIGURES if (value := now_value(result, name))
    ]
    gates = [gate for gate in result.gates if gate.verdict != "ok"]
    lines = ["  ".join(part for part in gate_row(gate, loud=False) if part) for gate in gates[:SHOWN]]
    for cause in main_causes(result)[:SHOWN]:
        words = PART_WORDS.get(cause.part, plain(cause.part, limit=40))
        lines.append(f"{signed(cause.delta, unit_of(cause.metric))} {words}: {cause_words(cause)}")
    lines += [plain(text) for text in (*result.notices, *result.messages)[:SHOWN]]
    paths = [*_strip(last), *_lanes(last, colours)]
    rows = max(lanes_of(last.calls), default=-1) + 1
    return Brief(" · ".join(figures), tuple(lines), tuple(paths), STRIP_PX + 4 + LANE_PX * rows)


def _strip(sample: Sample) -> list[tuple[str, str]]:
    whole = within(sample.composition, "")
    if whole is None or not whole.input_tokens:
        return []
    paths, x = [], 0.0
    for name in PART_ORDER:
        tokens = sum(part.tokens for part in whole.parts if part.part == name)
        width = 1000 * tokens / whole.input_tokens
        if tokens:
            paths.append((f"p-{name}", f"M{x:.0f},0h{width:.0f}v{STRIP_PX}h-{width:.0f}"))
        x += width
    return paths


def _lanes(sample: Sample, colours: Mapping[str, str]) -> list[tuple[str, str]]:
    end = max((call.started + call.latency for call in sample.calls), default=0.0)
    if end <= 0:
        return []
    drawn: dict[str, list[str]] = {}
    for call, lane in zip(sample.calls, lanes_of(sample.calls), strict=True):
        x, width = 1000 * max(0.0, call.started) / end, max(2.0, 1000 * call.latency / end)
        y = STRIP_PX + 4 + lane * LANE_PX
        kind = colours.get(call.stage, "s0") if call.succeeded else "bad"
        drawn.setdefault(kind, []).append(f"M{x:.0f},{y}h{width:.0f}v{LANE_PX - 1}h-{width:.0f}")
    return [(kind, "".join(moves)) for kind, moves in sorted(drawn.items())]
