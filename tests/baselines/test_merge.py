"""Two baselines of the same test file become one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.baselines.format import dump
from pytest_tokenbudget.baselines.merge import merge, merge_entries
from pytest_tokenbudget.records.baseline import MAX_SESSIONS, BaselineEntry, MetricRecord


@given(data=st.data())
def test_the_order_of_files_does_not_matter(data: st.DataObject, strategies) -> None:
    """Commutative to the byte."""
    a, b = data.draw(strategies.files), data.draw(strategies.files)
    assert dump(merge(a, b)) == dump(merge(b, a))


@given(data=st.data())
def test_the_grouping_of_files_does_not_matter(data: st.DataObject, strategies) -> None:
    """Associative to the byte."""
    a, b, c = (data.draw(strategies.files) for _ in range(3))
    assert dump(merge(merge(a, b), c)) == dump(merge(a, merge(b, c)))


@given(data=st.data())
def test_merging_a_file_with_itself_or_nothing_changes_nothing(data: st.DataObject, strategies) -> None:
    """Idempotent, and an empty file is neutral."""
    a = data.draw(strategies.files)
    assert dump(merge(a, a)) == dump(merge(a, {})) == dump(merge({}, a)) == dump(a)


@given(data=st.data())
def test_anything_that_can_be_stored_can_be_merged(data: st.DataObject, strategies) -> None:
    """No content makes merging fail, and tests of one file only are taken over as they are."""
    a, b = data.draw(strategies.entries), data.draw(strategies.entries)
    merged = merge(a, b)
    assert dump(merged) == dump(merge(b, a))
    assert merged.keys() == a.keys() | b.keys()
    assert all(merged[key] == a[key] for key in a.keys() - b.keys())


def test_sessions_of_both_are_kept_once(entry) -> None:
    """What both have in common is the same session and no second one."""
    merged = merge_entries(entry((1, 2), (3,)), entry((1, 2), (4,)))
    assert sorted(merged.metrics["input_tokens"].sessions) == [(1, 2), (3,), (4,)]


def test_a_merged_record_is_capped(entry) -> None:
    """At most as many sessions as are kept of one."""
    left = entry(*((n,) for n in range(8)))
    right = entry(*((n,) for n in range(8, 16)))
    assert len(merge_entries(left, right).metrics["input_tokens"].sessions) == MAX_SESSIONS


def test_the_lower_origin_stays(entry) -> None:
    """A drift is seen the sooner; a known origin beats an unknown one."""
    assert merge_entries(entry(origin=90), entry(origin=100)).metrics["input_tokens"].origin == 90
    assert merge_entries(entry(origin=None), entry(origin=100)).metrics["input_tokens"].origin == 100


def test_metrics_of_either_are_kept(entry) -> None:
    """A stage that only one of them saw is in the union."""
    other = BaselineEntry(metrics={"judge.calls": MetricRecord(((1,),), 1)}, models=("m",), providers=("p",))
    assert set(merge_entries(entry((1,)), other).metrics) == {"input_tokens", "judge.calls"}


def test_live_and_replayed_numbers_are_not_mixed(entry) -> None:
    """The live entry is taken whole."""
    live, replay = entry((1,)), entry((2,), traffic="replay")
    assert merge_entries(live, replay) == merge_entries(replay, live) == live
