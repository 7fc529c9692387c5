"""Says in words what an update of the baselines accepted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_tokenbudget.explain import explain
from pytest_tokenbudget.records.baseline import BaselineEntry, Number
from pytest_tokenbudget.records.gate import Unit
from pytest_tokenbudget.report.figures import number, percent
from pytest_tokenbudget.stats.statistic import mean
from pytest_tokenbudget.wording import counted, plain

_SHOWN: dict[str, tuple[str, Unit]] = {
    "input_tokens": ("input", "tokens"),
    "output_tokens": ("output", "tokens"),
    "calls": ("calls", "count"),
    "cost": ("cost", "USD"),
}
"""Metrics of the whole test that are told, with their word and unit."""

_MOST_TESTS = 5


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What became of the stored numbers of one test.

    Attributes:
        nodeid: pytest's node id.
        before: What was stored.
        after: What is stored now.
    """

    nodeid: str
    before: BaselineEntry
    after: BaselineEntry


def accepted_lines(acceptances: Sequence[Acceptance]) -> Iterator[str]:
    """Give a line a test whose numbers changed: ``test_desk.py::test_a: input 4,766 -> 5,515 +15.7 %, search_orders``."""
    told = [(one, line) for one in acceptances if (line := _line(one))]
    for one, line in told[:_MOST_TESTS]:
        yield f"accepted {plain(one.nodeid)}: {line}"
    if len(told) > _MOST_TESTS:
        yield f"accepted {counted(len(told) - _MOST_TESTS, 'more test')}"


def _line(one: Acceptance) -> str:
    """Say what changed; ``""`` where nothing did but that sessions of the same were added."""
    parts = []
    for name, (word, unit) in _SHOWN.items():
        then, now = _value(one.before, name), _value(one.after, name)
        if then is None or now is None or then == now:
            continue
        change = f" {percent(now / then - 1)}" if then else ""
        parts.append(f"{word} {number(then, unit)} → {number(now, unit)}{change}{_cause(one, name, then, now)}")
    if parts:
        return "; ".join(parts)
    changed = [
        key
        for key, record in one.after.metrics.items()
        if key in one.before.metrics and set(record.sessions[:1]) != set(one.before.metrics[key].sessions[:1])
    ]
    return counted(len(changed), "figure") if changed else ""


def _value(entry: BaselineEntry, name: str) -> Number | None:
    record = entry.metrics.get(name)
    return None if record is None else mean(record.values)


def _cause(one: Acceptance, name: str, then: Number, now: Number) -> str:
    """Name the tool or the part that most of a change of the input comes from."""
    if name != "input_tokens":
        return ""
    causes = explain(name, "", one.before.composition, one.after.composition, before_value=then, after_value=now)
    return f", {causes[0].name or causes[0].part.replace('_', ' ')}" if causes else ""
