"""Projects how calls share a server: as a queue with so many slots, or at least by saying that they would."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from pytest_tokenbudget.replay.interaction import Interaction


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
