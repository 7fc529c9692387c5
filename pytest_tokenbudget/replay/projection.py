"""Projects what the recorded times do not say: how they depend on the size of a request, and on who shares the server."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_tokenbudget.replay.interaction import Interaction

LEAST_CALLS = 8
"""Calls from which on a slope is looked for."""

LEAST_SIZE_RATIO = 1.5
"""Largest request over smallest, from which on."""

LEAST_STANDARD_ERRORS = 3.0
"""The number of its standard errors by which a slope must be above 0: about one in a thousand by chance."""


@dataclass(frozen=True, slots=True)
class Slope:
    """The seconds that a token takes.

    Attributes:
        seconds_per_token: s that each further input token takes.
        calls: Calls that tell it.
    """

    seconds_per_token: float
    calls: int

    def seconds_later(self, then: Interaction, tokens: int) -> float:
        """Tell by how many s a recorded answer comes later (earlier: below 0) where its request has so many tokens."""
        first = then.times[0] if then.times else then.duration
        return max(self.seconds_per_token * (tokens - (then.input_tokens or 0)), -first)


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


class ServerLoad:
    """Follows how many calls each server works on.

    Where the number of slots is known, calls queue up for them in the order in which they arrive; the wait that the
    recording had is taken out first. Where it is not, a run with more calls at once than were recorded is told of.

    Args:
        interactions: The recorded model calls.
        slots_of: Tells how many calls a host works on at a time, ``None`` where that is not known.
    """

    def __init__(self, interactions: Sequence[Interaction], slots_of: Callable[[str], int | None]) -> None:
        self._slots_of = slots_of
        self._waits: dict[int, float] = {}
        self._busy: dict[str, list[float]] = {}
        self._played: dict[str, list[tuple[float, float]]] = {}
        recorded: dict[str, list[tuple[float, float]]] = {}
        busy: dict[str, list[float]] = {}
        for one in sorted(interactions, key=lambda one: one.started):
            host = urlsplit(one.url).netloc
            recorded.setdefault(host, []).append((one.started, one.ended))
            slots = slots_of(host)
            if slots is not None:
                self._waits[id(one)] = max(0.0, _begin(busy.setdefault(host, []), slots, one.started) - one.started)
                heapq.heappush(busy[host], one.ended)
        self._recorded_peaks = {host: _most_at_once(spans) for host, spans in recorded.items()}

    def delay(self, then: Interaction, now: float, later: float) -> float:
        """Tell by how much an answer comes later (earlier: below 0) than recorded, since it waits for its server.

        Args:
            then: The recorded call.
            now: When it is made now, virtual s.
            later: By how much it takes longer for other reasons, s.
        """
        host = urlsplit(then.url).netloc
        slots, wait = self._slots_of(host), self._waits.get(id(then), 0.0)
        service = max(0.0, then.duration + later - wait)
        begin = now
        if slots is not None:
            busy = self._busy.setdefault(host, [])
            begin = _begin(busy, slots, now)
            heapq.heappush(busy, begin + service)
        self._played.setdefault(host, []).append((now, begin + service))
        return begin - now - wait

    def notices(self) -> tuple[str, ...]:
        """Say which servers have more calls at once now than when they were recorded, without known slots."""
        found = []
        for host, spans in self._played.items():
            now, then = _most_at_once(spans), self._recorded_peaks.get(host, 1)
            if now > then and self._slots_of(host) is None:
                found.append(
                    f"up to {now} calls to {host} are under way at once, {then} when it was recorded: their times are"
                    " projected as if they did not share the server (tokenbudget_server_slots says how many it works on)"
                )
        return tuple(found)


def _begin(busy: list[float], slots: int, arrival: float) -> float:
    """Take a slot: tell when the work on a call begins that arrives now, s."""
    while busy and busy[0] <= arrival:
        heapq.heappop(busy)
    begin = arrival
    while len(busy) >= slots:
        begin = heapq.heappop(busy)
    return begin


def _most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    events = sorted(
        [(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans], key=lambda one: (one[0], one[1])
    )
    most = now = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most
