"""Tells how the time to an answer depends on the size of its request, as far as a cassette shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_tokenbudget.replay.interaction import Interaction

LEAST_CALLS = 8
"""Calls from which on a slope is looked for."""

LEAST_SIZE_RATIO = 1.5
"""Largest request over smallest, from which on."""

LEAST_STANDARD_ERRORS = 3.0
"""How many of its standard errors a slope must be above 0: about one in a thousand by chance."""


@dataclass(frozen=True, slots=True)
class Slope:
    """How many seconds a token costs.

    Attributes:
        seconds_per_token: s that each further input token takes.
        calls: Calls that tell it.
    """

    seconds_per_token: float
    calls: int


def slopes(interactions: Sequence[Interaction]) -> dict[str, Slope]:
    """Fit the slope of each model for which the cassette tells one.

    Streamed answers are taken by the time to their first chunk; plain ones by their whole duration, with the output
    tokens as a second variable, because both pass in one number. Ordinary least squares.
    """
    found: dict[str, Slope] = {}
    for model in {one.model for one in interactions}:
        mine = [one for one in interactions if one.model == model and one.ending == "complete" and one.status == 200]
        streamed = [(one.input_tokens, 0, one.times[0]) for one in mine if one.input_tokens and len(one.times) > 1]
        plain = [
            (one.input_tokens, one.output_tokens, one.duration)
            for one in mine
            if one.input_tokens and one.output_tokens is not None and len(one.times) == 1
        ]
        slope = _fit(streamed if len(streamed) >= len(plain) else plain)
        if slope is not None:
            found[model] = slope
    return found


def _fit(points: Sequence[tuple[int, int, float]]) -> Slope | None:
    """Fit seconds by input tokens (and output tokens); ``None`` where the points do not tell."""
    count = len(points)
    sizes = [size for size, _, _ in points]
    if count < LEAST_CALLS or max(sizes) < LEAST_SIZE_RATIO * min(sizes):
        return None
    x = _centred([float(size) for size in sizes])
    z = _centred([float(wrote) for _, wrote, _ in points])
    y = _centred([seconds for _, _, seconds in points])
    xx, zz, xz = _dot(x, x), _dot(z, z), _dot(x, z)
    xy, zy = _dot(x, y), _dot(z, y)
    variables = 2 if zz > 0 else 1
    determinant = xx * zz - xz * xz if variables == 2 else xx
    # Input and output that grow hand in hand cannot be told apart.
    if determinant <= 1e-9 * (xx * zz if variables == 2 else xx):
        return None
    slope = (xy * zz - zy * xz) / determinant if variables == 2 else xy / xx
    other = (zy * xx - xy * xz) / determinant if variables == 2 else 0.0
    rest = sum((v - slope * u - other * w) ** 2 for u, w, v in zip(x, z, y, strict=True))
    freedom = count - variables - 1
    error = (rest / freedom * (zz / determinant if variables == 2 else 1 / xx)) ** 0.5
    return Slope(slope, count) if slope > LEAST_STANDARD_ERRORS * error else None


def _centred(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    return [value - mean for value in values]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
