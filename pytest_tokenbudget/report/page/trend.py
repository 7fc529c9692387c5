"""Draws how a test's figures moved over the revisions of its baseline file, with the commits that moved them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pytest_tokenbudget.baselines.history import Revision, StoredValue, is_jump, stored_values
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.figures import now_value, number, percent, unit_of
from pytest_tokenbudget.report.highlights import METRIC_ORDER
from pytest_tokenbudget.report.page.overview import tone
from pytest_tokenbudget.wording import plain

HEIGHT = 40
SHOWN_JUMPS = 6
SHOWN_TESTS = 12


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a revision: where it is drawn (per cent of the width, pixels from the top), and its tooltip."""

    x: float
    y: float
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Jump:
    """A commit with which another value was accepted."""

    commit: str
    date: str
    subject: str
    change: str
    tone: str


@dataclass(frozen=True, slots=True)
class Trend:
    """One metric of a test over time.

    Attributes:
        path: The line, in a drawing 100 wide and :data:`HEIGHT` high.
        points: The revisions at which it jumped, and this run.
    """

    metric: str
    first: str
    last: str
    change: str
    tone: str
    path: str
    points: tuple[Point, ...]
    jumps: tuple[Jump, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """A test in the list of trends."""

    name: str
    file: str
    trend: Trend


def trends(result: TestResult, revisions: Sequence[Revision]) -> list[Trend]:
    """The metrics of a test that were not always what they are now."""
    found = []
    for metric in METRIC_ORDER:
        now = now_value(result, metric)
        stored = stored_values(result.key, metric, revisions)
        if stored and now is not None and any(one.value != now for one in stored):
            found.append(_trend(metric, stored, now))
    return found


def moved_tests(results: Iterable[TestResult], past: dict[str, tuple[Revision, ...]]) -> list[Moved]:
    """The tests whose input moved most over time; ``past`` holds the revisions by baseline file."""
    found: list[tuple[float, Moved]] = []
    for result in results:
        revisions = past.get(result.baseline_file, ())
        stored, now = stored_values(result.key, "input_tokens", revisions), now_value(result, "input_tokens")
        if len(stored) > 1 and now is not None:
            file, _, name = result.nodeid.partition("::")
            moved = abs(now / stored[0].value - 1) if stored[0].value else 0.0
            shown = Moved(plain(name or file, limit=200), plain(file, limit=200), _trend("input_tokens", stored, now))
            found.append((moved, shown))
    return [shown for _, shown in sorted(found, key=lambda pair: -pair[0])[:SHOWN_TESTS]]


def _trend(metric: str, stored: Sequence[StoredValue], now: float) -> Trend:
    values = [*(one.value for one in stored), now]
    low, high = min(values), max(values)
    # A line that moves by less than a fiftieth is drawn flat, not as if it had jumped.
    span = max(high - low, abs(high) / 50, 1e-12)
    middle = (high + low) / 2
    places = [
        (round(100 * index / (len(values) - 1), 1), round(HEIGHT / 2 - (value - middle) / span * (HEIGHT - 12), 1))
        for index, value in enumerate(values)
    ]
    points, jumps = [], []
    for index, one in enumerate(stored):
        before = stored[index - 1].value if index else None
        if before is None or not is_jump(metric, before, one.value):
            continue
        jump = _jump(one, before)
        jumps.append(jump)
        moved = f"{number(before, unit_of(metric))} → {number(one.value, unit_of(metric))} ({jump.change})"
        points.append(Point(*places[index], f"{jump.commit} {jump.date} {jump.subject}: {moved}", jump.tone))
    points.append(Point(*places[-1], f"this run: {number(now, unit_of(metric))}", "now"))
    change = now / values[0] - 1 if values[0] else None
    return Trend(
        metric=metric.replace("_", " "),
        first=number(values[0], unit_of(metric)),
        last=number(now, unit_of(metric)),
        change=percent(change) if change else "",
        tone=tone(change),
        path="M" + "L".join(f"{x},{y}" for x, y in places),
        points=tuple(points),
        jumps=tuple(reversed(jumps[-SHOWN_JUMPS:])),
    )


def _jump(one: StoredValue, before: float) -> Jump:
    when = datetime.fromtimestamp(min(max(one.revision.time, 0), 2**40), UTC)
    return Jump(
        commit=one.revision.commit[:8],
        date=when.date().isoformat(),
        subject=plain(one.revision.subject, limit=80),
        change=percent(one.value / before - 1) if before else "new",
        tone=tone(one.value - before),
    )
