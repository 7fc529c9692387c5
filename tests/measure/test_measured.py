"""Calls and spans become figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import calls

from pytest_tokenbudget.measure import measured, metrics
from pytest_tokenbudget.measure.measured import measure, union_length
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.records.sample import Span
from pytest_tokenbudget.tokens.aggregate import stage_composition

INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair))))


@given(INTERVALS, st.randoms())
def test_union_counts_each_unit_once(intervals: list[tuple[int, int]], random: object) -> None:
    """The union is as long as the set of units that are covered, in any order."""
    covered = {unit for start, end in intervals for unit in range(start, end)}
    shuffled = list(intervals)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a random.Random
    assert union_length(shuffled) == len(covered)


@pytest.mark.parametrize("stage", ["", "worker", "worker/finalize", "main"])
def test_a_stage_with_all_calls_has_the_sums_of_the_test(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums that are taken over are those that the stage's own calls give; its times are its own."""
    made = [
        replace(call, stage=stage or call.stage, error="http 500" if n == 1 else None)
        for n, call in enumerate(calls(3))
    ]
    given_spans = (Span("worker", 0.0, 0.5), Span("empty", 0.5, 1.0))

    def figures() -> measured.Measured:
        return measure(
            made, given_spans, call_phase=9.0, own_time=None, table=metric_table(), compose=stage_composition
        )

    quick = figures()
    monkeypatch.setattr(measured, "values", lambda view, table, **_: metrics.values(view, table))
    assert quick == figures()
