"""How the duration of a call depends on the size of its request, as far as a cassette can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_tokenbudget.replay.cassette import RecordedCall

ENOUGH_CALLS = 6
SPREAD = 2.0
"""Largest request over smallest, from which on a slope can be told."""
EXPLAINED = 0.5
"""Share of the variance that the line must explain."""


@dataclass(frozen=True, slots=True)
class Slope:
    """Time until the answer begins, by size.

    Attributes:
        seconds_per_token: s that each further input token (local count) takes.
        calls: Calls that it was fitted on.
    """

    seconds_per_token: float
    calls: int


def slope_of(calls: Sequence[RecordedCall]) -> Slope | None:
    """Fit a line by least squares through the time to the first piece of each answer, by its request's size.

    Returns:
        The slope, or ``None`` where it cannot be told: too few calls, too little spread, or too much else.
    """
    points = [
        (call.counted_tokens, call.times[0])
        for call in calls
        if call.status == 200 and call.times and call.counted_tokens
    ]
    if len(points) < ENOUGH_CALLS or max(points)[0] < SPREAD * min(points)[0]:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    xx = sum((x - mean_x) ** 2 for x, _ in points)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in points)
    yy = sum((y - mean_y) ** 2 for _, y in points)
    if xy <= 0 or not yy or xy * xy < EXPLAINED * xx * yy:
        return None
    return Slope(xy / xx, len(points))
