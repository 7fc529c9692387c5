"""Unions of time intervals."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.measure.measured import union_length

INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair))))


@given(INTERVALS, st.randoms())
def test_union_counts_each_unit_once(intervals: list[tuple[int, int]], random: object) -> None:
    """The union is as long as the set of units that are covered, in any order."""
    covered = {unit for start, end in intervals for unit in range(start, end)}
    shuffled = list(intervals)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a random.Random
    assert union_length(shuffled) == len(covered)
