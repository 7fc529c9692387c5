"""Outcomes as a file can hold them."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_tokenbudget.baselines.format import dump, load
from pytest_tokenbudget.baselines.observe import storable
from pytest_tokenbudget.records.baseline import BaselineEntry


@dataclass
class Event:
    title: str


class Silent:
    """No repr of its own."""


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, "a"), [1, "a"]),
        ({"b": 1, "a": {"x"}}, {"a": ["x"], "b": 1}),
        ({3, 1, 2}, [1, 2, 3]),
        ({1: "a"}, {"1": "a"}),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (True, True),
        (None, None),
        ("\ud800", "\\ud800"),
        (Event("dentist"), "Event(title='dentist')"),
        (datetime.date(2026, 11, 24), "datetime.date(2026, 11, 24)"),
        (b"x", "b'x'"),
        (Broken(), "<Broken>"),
        pytest.param(10**4300, "<int>", id="more digits than Python prints"),
        (2**63, str(2**63)),
    ],
)
def test_what_json_has_no_word_for_gets_one(value: object, expected: object) -> None:
    """The same value gives the same JSON in every session."""
    assert storable(value) == expected


def test_memory_addresses_are_left_out() -> None:
    """They differ from run to run."""
    assert storable(Silent()) == storable(Silent())
    assert "0x" not in storable(Silent())


def test_a_value_that_contains_itself_ends() -> None:
    """A cycle is cut and not followed for ever."""
    cycle: list[object] = []
    cycle.append(cycle)
    assert json.dumps(storable(cycle))


@given(data=st.data())
def test_plain_json_stays_as_it_is(data: st.DataObject, strategies) -> None:
    """What JSON can hold comes back equal, also from a file."""
    value = data.draw(strategies.anything)
    entries = {"test_a": BaselineEntry(outcomes={"x": storable(value)})}
    assert storable(value) == value
    assert load(dump(entries), Path("x"))["test_a"].outcomes == {"x": value}
