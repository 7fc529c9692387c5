"""Calls that ran at the same time, in rows that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tokenbudget.records.call import Call


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
